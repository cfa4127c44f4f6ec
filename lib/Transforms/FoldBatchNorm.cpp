//===- FoldBatchNorm.cpp - Per-channel arithmetic into weights ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/LoadTime.h"
#include "lathe/Transforms/Passes.h"

namespace lathe {
#define GEN_PASS_DEF_FOLDBATCHNORM
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// Links of a chain behind one product that are folded; longer ones are no
/// normalization.
static constexpr unsigned kMaxRounds = 8;

/// y * scale + shift per channel of y; either may be absent.
struct ChannelAffine {
  Value scale, shift;
};

namespace {
class FoldBatchNorm : public lathe::impl::FoldBatchNormBase<FoldBatchNorm> {
  using FoldBatchNormBase::FoldBatchNormBase;

  void runOnOperation() override {
    // Each fold makes new values; those made from known ones are known, and a
    // chain (convolution, norm, scale) takes a round per link.
    bool changed = true;
    for (unsigned round = 0; changed && round < kMaxRounds; ++round) {
      changed = false;
      LoadTime loadTime(getOperation());
      SmallVector<Operation *> worklist;
      getOperation()->walk([&](Operation *op) {
        if (isa<BatchNormOp, MulOp, AddOp>(op))
          worklist.push_back(op);
      });
      DenseSet<Operation *> replaced;
      for (Operation *op : worklist) {
        // The result of a fold is not in the analysis yet.
        if (llvm::any_of(op->getOperands(), [&](Value operand) {
              return replaced.contains(operand.getDefiningOp());
            })) {
          changed = true;
          continue;
        }
        if (Operation *product = fold(op, loadTime)) {
          replaced.insert(product);
          ++numFolded;
        }
      }
    }
  }

  Operation *fold(Operation *op, const LoadTime &loadTime);
  Operation *apply(OpBuilder &builder, Operation *product,
                   const ChannelAffine &affine);
};
} // namespace

/// The dim of a product's result that its weight's outputs run along, or -1
/// where the op has no weight to fold into.
static int64_t getChannelDim(Operation *product, const LoadTime &loadTime) {
  auto known = [&](Value value) {
    return !value || loadTime.isKnownOrSlice(value);
  };
  if (auto conv = dyn_cast_or_null<ConvOp>(product))
    if (known(conv.getFilter()) && known(conv.getBias()))
      return conv.getLayout() == ImageLayout::channels_last
                 ? getTensorType(conv.getResult()).getRank() - 1
                 : 1;
  if (auto linear = dyn_cast_or_null<LinearOp>(product))
    if (known(linear.getWeight()) && known(linear.getBias()))
      return getTensorType(linear.getResult()).getRank() - 1;
  if (auto matmul = dyn_cast_or_null<MatmulOp>(product))
    if (known(matmul.getRhs()) && getTensorType(matmul.getRhs()).getRank() == 2)
      return getTensorType(matmul.getResult()).getRank() - 1;
  return -1;
}

/// `value` as a vector over the channels, if that is all it varies along when
/// broadcast to `shape`; null otherwise.
static Value getPerChannel(OpBuilder &builder, Location loc, Value value,
                           ArrayRef<int64_t> shape, int64_t channelDim) {
  auto type = getTensorType(value);
  int64_t offset = shape.size() - type.getRank();
  if (offset < 0)
    return {};
  int64_t channels = shape[channelDim];
  for (auto [dim, size] : llvm::enumerate(type.getShape()))
    if (size != 1 && static_cast<int64_t>(dim) + offset != channelDim)
      return {};
  int64_t count = type.getNumElements();
  if (count != 1 && count != channels)
    return {};
  Value vector = value;
  if (type.getRank() != 1)
    vector = builder.create<ReshapeOp>(
        loc, value, builder.getDenseI64ArrayAttr({count}), UnitAttr());
  if (count != channels)
    vector = builder.create<BroadcastOp>(
        loc, vector, builder.getDenseI64ArrayAttr({channels}));
  return vector;
}

Operation *FoldBatchNorm::fold(Operation *op, const LoadTime &loadTime) {
  // Only a product that nobody else reads may change.
  Operation *product = nullptr;
  unsigned at = 0;
  for (; at < op->getNumOperands(); ++at) {
    product = op->getOperand(at).getDefiningOp();
    if (product && getChannelDim(product, loadTime) >= 0)
      break;
    product = nullptr;
  }
  if (!product || !product->hasOneUse() ||
      product->getBlock() != op->getBlock() ||
      !getTensorType(op->getResult(0)).hasStaticShape())
    return nullptr;
  auto type = getTensorType(product->getResult(0));
  if (getTensorType(op->getResult(0)) != type ||
      !isa<FloatType>(type.getElementType()))
    return nullptr;
  int64_t channelDim = getChannelDim(product, loadTime);
  for (auto [index, operand] : llvm::enumerate(op->getOperands()))
    if (index != at && !loadTime.isKnownOrSlice(operand))
      return nullptr;

  OpBuilder builder(op);
  Location loc = op->getLoc();
  ChannelAffine affine;
  if (auto norm = dyn_cast<BatchNormOp>(op)) {
    int64_t axis = norm.getAxis();
    if (axis < 0)
      axis += type.getRank();
    if (at != 0 || axis != channelDim)
      return nullptr;
    auto vector = getTensorType(norm.getVariance());
    Value epsilon = builder.create<ConstantOp>(
        loc,
        DenseElementsAttr::get(
            vector, builder.getFloatAttr(vector.getElementType(),
                                         norm.getEpsilon().convertToDouble())));
    Value deviation = builder.create<SqrtOp>(
        loc, builder.create<AddOp>(loc, norm.getVariance(), epsilon));
    affine.scale = builder.create<DivOp>(loc, norm.getScale(), deviation);
    affine.shift = builder.create<SubOp>(
        loc, norm.getBias(),
        builder.create<MulOp>(loc, norm.getMean(), affine.scale));
  } else {
    Value vector = getPerChannel(builder, loc, op->getOperand(1 - at),
                                 type.getShape(), channelDim);
    if (!vector)
      return nullptr;
    // A bias alone is an epilogue already.
    if (isa<AddOp>(op) && !isa<ConvOp>(product))
      return nullptr;
    (isa<MulOp>(op) ? affine.scale : affine.shift) = vector;
  }

  // The rebuilt product stands where `op` does: its weights may be made in
  // between.
  Operation *folded = apply(builder, product, affine);
  op->getResult(0).replaceAllUsesWith(folded->getResult(0));
  op->erase();
  product->erase();
  return folded;
}

Operation *FoldBatchNorm::apply(OpBuilder &builder, Operation *product,
                                const ChannelAffine &affine) {
  Location loc = product->getLoc();
  auto scaleBias = [&](Value bias) {
    if (bias && affine.scale)
      bias = builder.create<MulOp>(loc, bias, affine.scale);
    if (bias && affine.shift)
      return Value(builder.create<AddOp>(loc, bias, affine.shift));
    return bias ? bias : affine.shift;
  };
  auto scaleWeight = [&](Value weight, int64_t dim) {
    if (!affine.scale)
      return weight;
    SmallVector<int64_t> shape(getTensorType(weight).getRank(), 1);
    shape[dim] = getTensorType(affine.scale).getDimSize(0);
    Value scale = affine.scale;
    if (shape.size() > 1)
      scale = builder.create<ReshapeOp>(
          loc, scale, builder.getDenseI64ArrayAttr(shape), UnitAttr());
    return Value(builder.create<MulOp>(loc, weight, scale));
  };
  if (auto conv = dyn_cast<ConvOp>(product)) {
    Value filter = scaleWeight(conv.getFilter(), 0);
    Value bias = scaleBias(conv.getBias());
    return builder.create<ConvOp>(
        loc, conv.getResult().getType(), conv.getInput(), filter, bias,
        conv.getStridesAttr(), conv.getDilationsAttr(), conv.getPadLowAttr(),
        conv.getPadHighAttr(), conv.getGroupsAttr(), conv.getLayoutAttr());
  }
  if (auto linear = dyn_cast<LinearOp>(product)) {
    Value weight = scaleWeight(linear.getWeight(), 0);
    return builder.create<LinearOp>(loc, linear.getResult().getType(),
                                    linear.getInput(), weight,
                                    scaleBias(linear.getBias()));
  }
  auto matmul = cast<MatmulOp>(product);
  Value rhs = scaleWeight(matmul.getRhs(), matmul.getTransposeRhs() ? 0 : 1);
  Operation *folded = builder.create<MatmulOp>(
      loc, matmul.getResult().getType(), matmul.getLhs(), rhs,
      matmul.getTransposeLhsAttr(), matmul.getTransposeRhsAttr());
  if (affine.shift)
    folded = builder.create<AddOp>(loc, folded->getResult(0), affine.shift);
  return folded;
}
