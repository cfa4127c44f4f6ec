//===- ChannelsLast.cpp - Images with their channels together -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One walk in program order. Every image value may get a twin, the same image
// with its channels last. Ops that are faster that way make the twin of their
// input; ops that do not mind follow where one of their operands has a twin;
// all others go on reading the original, which costs a transpose back.
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/Passes.h"

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"

namespace lathe {
#define GEN_PASS_DEF_CHANNELSLAST
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

static constexpr int64_t kRank = 4;
/// Twin dim i is original dim kPermutation[i].
static constexpr int64_t kPermutation[kRank] = {0, 2, 3, 1};
static constexpr int64_t kInverse[kRank] = {0, 3, 1, 2};

static RankedTensorType getType(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static bool isImage(Value value) {
  return getType(value).getRank() == kRank && getType(value).hasStaticShape();
}

static SmallVector<int64_t> permute(ArrayRef<int64_t> list,
                                    ArrayRef<int64_t> permutation) {
  return llvm::map_to_vector(permutation,
                             [&](int64_t from) { return list[from]; });
}

namespace {
class ChannelsLast : public lathe::impl::ChannelsLastBase<ChannelsLast> {
  using ChannelsLastBase::ChannelsLastBase;

  void runOnOperation() override {
    layout = AffineMap::getPermutationMap(ArrayRef<int64_t>(kPermutation),
                                          &getContext());
    if (!pays())
      return;
    twins.clear();
    SmallVector<Operation *> worklist;
    getOperation()->walk<WalkOrder::PreOrder>(
        [&](Operation *op) { worklist.push_back(op); });
    SmallVector<Operation *> converted, transposesBefore;
    for (Operation *op : worklist)
      if (convert(op)) {
        converted.push_back(op);
        ++numConverted;
      } else if (isa<TransposeOp>(op)) {
        transposesBefore.push_back(op);
      }
    for (Operation *op : llvm::reverse(converted)) {
      for (Value result : op->getResults())
        if (!result.use_empty())
          result.replaceAllUsesWith(makeOriginal(result));
      op->erase();
    }
    // The model's own transposes, where twins have made them useless.
    for (Operation *op : llvm::reverse(transposesBefore))
      if (op->use_empty())
        op->erase();
  }

  /// Some product over images would rather have its channels last.
  bool pays() {
    return getOperation()
        ->walk([&](Operation *op) {
          auto fusible = dyn_cast<FusibleOpInterface>(op);
          return fusible && prefersLast(op) &&
                         fusible.getFusionKind() == FusionKind::Contraction
                     ? WalkResult::interrupt()
                     : WalkResult::advance();
        })
        .wasInterrupted();
  }

  bool prefersLast(Operation *op) {
    auto image = dyn_cast<LayoutOpInterface>(op);
    return image && image.getLayoutRole() == LayoutRole::Sensitive &&
           op->getNumResults() == 1 && isImage(op->getOperand(0)) &&
           isImage(op->getResult(0)) && image.acceptsLayout(0, layout);
  }

  bool convert(Operation *op);
  bool convertAgnostic(LayoutOpInterface op);
  bool convertReduction(Operation *op);
  bool convertBatchNorm(BatchNormOp op);
  bool convertView(Operation *op);

  Value getTwin(Value image);
  Value getSmallTwin(OpBuilder &builder, Location loc, Value operand);
  Value makeOriginal(Value image);
  Value transpose(OpBuilder &builder, Location loc, Value value,
                  ArrayRef<int64_t> permutation);

  AffineMap layout;
  /// Original image -> the one with its channels last.
  DenseMap<Value, Value> twins;
};
} // namespace

/// A transpose, merged with one that made `value`, or nothing where the two
/// cancel out.
Value ChannelsLast::transpose(OpBuilder &builder, Location loc, Value value,
                              ArrayRef<int64_t> permutation) {
  SmallVector<int64_t> whole(permutation);
  if (auto before = value.getDefiningOp<TransposeOp>()) {
    value = before.getInput();
    whole = permute(before.getPermutation(), permutation);
  }
  if (llvm::equal(whole, llvm::seq<int64_t>(0, whole.size())))
    return value;
  // Dims of size 1 may pass each other without moving data.
  SmallVector<int64_t> moving;
  for (int64_t dim : whole)
    if (getType(value).getDimSize(dim) != 1)
      moving.push_back(dim);
  if (llvm::is_sorted(moving))
    return builder.create<ReshapeOp>(
        loc, value,
        builder.getDenseI64ArrayAttr(permute(getType(value).getShape(), whole)),
        UnitAttr());
  ++numTransposes;
  return builder.create<TransposeOp>(loc, value,
                                     builder.getDenseI64ArrayAttr(whole));
}

Value ChannelsLast::getTwin(Value image) {
  Value &twin = twins[image];
  if (!twin) {
    OpBuilder builder(&getContext());
    builder.setInsertionPointAfterValue(image);
    twin = transpose(builder, image.getLoc(), image, kPermutation);
  }
  return twin;
}

Value ChannelsLast::makeOriginal(Value image) {
  Value twin = twins.lookup(image);
  OpBuilder builder(&getContext());
  builder.setInsertionPointAfterValue(twin);
  return transpose(builder, twin.getLoc(), twin, kInverse);
}

/// The twin of an operand that is broadcast to an image.
Value ChannelsLast::getSmallTwin(OpBuilder &builder, Location loc,
                                 Value operand) {
  RankedTensorType type = getType(operand);
  if (type.getRank() == kRank)
    return transpose(builder, loc, operand, kPermutation);
  if (type.getNumElements() == 1)
    return operand;
  SmallVector<int64_t> aligned(kRank - type.getRank(), 1);
  llvm::append_range(aligned, type.getShape());
  Value image = builder.create<ReshapeOp>(
      loc, operand, builder.getDenseI64ArrayAttr(aligned), UnitAttr());
  return transpose(builder, loc, image, kPermutation);
}

bool ChannelsLast::convert(Operation *op) {
  if (prefersLast(op)) {
    SmallVector<Value> operands(op->getOperands());
    operands[0] = getTwin(operands[0]);
    OpBuilder builder(op);
    auto results =
        cast<LayoutOpInterface>(op).applyLayout(builder, operands, layout);
    if (failed(results))
      return false;
    twins[op->getResult(0)] = results->front();
    return true;
  }
  bool follows = llvm::any_of(
      op->getOperands(), [&](Value operand) { return twins.count(operand); });
  if (!follows || op->getNumResults() != 1 ||
      !getType(op->getResult(0)).hasStaticShape())
    return false;
  if (auto norm = dyn_cast<BatchNormOp>(op))
    return convertBatchNorm(norm);
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  if (fusible && fusible.getFusionKind() == FusionKind::View)
    return convertView(op);
  if (fusible && fusible.getFusionKind() == FusionKind::Reduction)
    return convertReduction(op);
  if (auto image = dyn_cast<LayoutOpInterface>(op))
    return image.getLayoutRole() == LayoutRole::Agnostic &&
           convertAgnostic(image);
  return false;
}

bool ChannelsLast::convertAgnostic(LayoutOpInterface op) {
  if (!isImage(op->getResult(0)))
    return false;
  for (auto [index, operand] : llvm::enumerate(op->getOperands()))
    if (!getType(operand).hasStaticShape() ||
        getType(operand).getRank() > kRank ||
        (getType(operand).getNumElements() != 1 &&
         !op.acceptsLayout(index, layout)))
      return false;
  OpBuilder builder(op);
  SmallVector<Value> operands;
  for (Value operand : op->getOperands()) {
    // Big tensors keep their twin for the next reader.
    bool isWhole =
        getType(operand).getShape() == getType(op->getResult(0)).getShape();
    operands.push_back(isImage(operand) && (isWhole || twins.count(operand))
                           ? getTwin(operand)
                           : getSmallTwin(builder, op.getLoc(), operand));
  }
  auto results = op.applyLayout(builder, operands, layout);
  if (failed(results))
    return false;
  twins[op->getResult(0)] = results->front();
  return true;
}

bool ChannelsLast::convertBatchNorm(BatchNormOp op) {
  int64_t axis = op.getAxis();
  if (axis < 0)
    axis += kRank;
  if (!twins.count(op.getInput()))
    return false;
  OpBuilder builder(op);
  Value twin = builder.create<BatchNormOp>(
      op.getLoc(), getTwin(op.getInput()).getType(), getTwin(op.getInput()),
      op.getScale(), op.getBias(), op.getMean(), op.getVariance(),
      op.getEpsilonAttr(), builder.getI64IntegerAttr(kInverse[axis]));
  twins[op.getResult()] = twin;
  return true;
}

bool ChannelsLast::convertReduction(Operation *op) {
  auto axes = op->getAttrOfType<DenseI64ArrayAttr>("axes");
  auto keepdims = op->getAttrOfType<BoolAttr>("keepdims");
  if (!axes || !keepdims || op->getNumOperands() != 1)
    return false;
  llvm::SmallBitVector reduced(kRank, axes.empty());
  for (int64_t axis : axes.asArrayRef())
    reduced.set(axis < 0 ? axis + kRank : axis);
  SmallVector<int64_t> lastAxes, kept;
  for (int64_t dim = 0; dim < kRank; ++dim) {
    if (reduced.test(kPermutation[dim]))
      lastAxes.push_back(dim);
    else
      kept.push_back(kPermutation[dim]);
  }
  // Without the reduced dims the result has the rank of no image; it is the
  // same tensor as long as what is left stands in the same order.
  if (!keepdims.getValue() && !llvm::is_sorted(kept))
    return false;
  auto type = getType(op->getResult(0));
  auto twinType =
      keepdims.getValue()
          ? RankedTensorType::get(permute(type.getShape(), kPermutation),
                                  type.getElementType())
          : type;
  OpBuilder builder(op);
  OperationState state(op->getLoc(), op->getName());
  state.addOperands(getTwin(op->getOperand(0)));
  state.addTypes(twinType);
  state.addAttributes(op->getAttrs());
  state.attributes.set("axes", builder.getDenseI64ArrayAttr(lastAxes));
  Value twin = builder.create(state)->getResult(0);
  if (keepdims.getValue()) {
    twins[op->getResult(0)] = twin;
  } else {
    op->getResult(0).replaceAllUsesWith(twin);
  }
  return true;
}

/// Views of a twin: a transpose merges with the one that is saved, a reshape of
/// an image of one pixel does not see the difference.
bool ChannelsLast::convertView(Operation *op) {
  Value twin = twins.lookup(op->getOperand(0));
  if (!twin || op->getNumOperands() != 1)
    return false;
  OpBuilder builder(op);
  if (auto view = dyn_cast<TransposeOp>(op)) {
    Value merged = transpose(builder, op->getLoc(), twin,
                             permute(kInverse, view.getPermutation()));
    op->getResult(0).replaceAllUsesWith(merged);
    return true;
  }
  if (isa<BroadcastOp>(op))
    return false;
  SmallVector<int64_t> moving;
  for (int64_t dim : kPermutation)
    if (getType(op->getOperand(0)).getDimSize(dim) != 1)
      moving.push_back(dim);
  if (!llvm::is_sorted(moving))
    return false;
  op->getResult(0).replaceAllUsesWith(builder.create<ReshapeOp>(
      op->getLoc(), twin,
      builder.getDenseI64ArrayAttr(getType(op->getResult(0)).getShape()),
      UnitAttr()));
  return true;
}
