//===- Layout.cpp - Where values are stored otherwise ---------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Ops say which layout they prefer and what it saves (`LayoutOpInterface`);
// LayoutGraph finds the ops for which it pays to take it. Here they take it:
// every value may get a twin, the same value stored otherwise. Where a reader
// has no use for the twin, a transpose makes one of the other; those that the
// model had already merge with it.
//
//===----------------------------------------------------------------------===//

#include "LayoutGraph.h"
#include "lathe/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

namespace lathe {
#define GEN_PASS_DEF_LAYOUT
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

namespace {
class Layout : public lathe::impl::LayoutBase<Layout> {
  using LayoutBase::LayoutBase;

  void runOnOperation() override;
  void convert(const LayoutGraph &graph);
  void convertOp(const LayoutNode &node);
  void convertSlot(const LayoutNode &node);
  void foldIntoWeights(TransposeOp op, const LoadTime &load);
  void explainRegions(const LayoutGraph &graph, AffineMap layout);
  void explainOpenSizes(LayoutTarget whose);
  void mergeTransposes();

  Value getStored(Value value, AffineMap layout);
  Value transpose(OpBuilder &builder, Location loc, Value value,
                  ArrayRef<int64_t> order);

  /// The same value stored in a layout.
  DenseMap<std::pair<Value, AffineMap>, Value> twins;
};
} // namespace

void Layout::runOnOperation() {
  if (target != "cpu" && target != "cuda") {
    getOperation().emitError("expected the target 'cpu' or 'cuda', got '")
        << target << "'";
    return signalPassFailure();
  }
  LayoutTarget whose = target == "cpu" ? LayoutTarget::Cpu : LayoutTarget::Cuda;
  llvm::SetVector<AffineMap> layouts;
  getOperation()->walk([&](LayoutOpInterface op) {
    for (const LayoutPreference &preference : op.getPreferredLayouts(whose))
      layouts.insert(preference.layout);
  });
  if (explain)
    explainOpenSizes(whose);
  // One after the other: an op that has taken one asks for no other.
  for (AffineMap layout : layouts) {
    LoadTime load(getOperation());
    LayoutGraph graph(getOperation(), load, layout, whose);
    graph.solve();
    if (explain)
      explainRegions(graph, layout);
    convert(graph);
  }
  LoadTime load(getOperation());
  SmallVector<TransposeOp> left;
  getOperation()->walk([&](TransposeOp op) { left.push_back(op); });
  for (TransposeOp op : left)
    foldIntoWeights(op, load);
}

/// A transpose, merged with one that made `value`, or nothing where the two
/// cancel out. Where dims of size 1 alone move, a reshape does.
Value Layout::transpose(OpBuilder &builder, Location loc, Value value,
                        ArrayRef<int64_t> order) {
  DimOrder whole(order);
  if (auto before = value.getDefiningOp<TransposeOp>()) {
    value = before.getInput();
    whole = chain(before.getPermutation(), order);
  }
  if (llvm::equal(whole, llvm::seq<int64_t>(whole.size())))
    return value;
  ArrayRef<int64_t> shape = getTensorType(value).getShape();
  if (!movesData(shape, whole))
    return builder.create<ReshapeOp>(
        loc, value,
        builder.getDenseI64ArrayAttr(applyPermutation(shape, whole)),
        UnitAttr());
  ++numTransposes;
  return builder.create<TransposeOp>(loc, value,
                                     builder.getDenseI64ArrayAttr(whole));
}

Value Layout::getStored(Value value, AffineMap layout) {
  Value &twin = twins[{value, layout}];
  if (twin)
    return twin;
  OpBuilder builder(&getContext());
  builder.setInsertionPointAfterValue(value);
  Value aligned = value;
  if (int64_t missing = layout.getNumDims() - getTensorType(value).getRank()) {
    SmallVector<int64_t> shape(missing, 1);
    llvm::append_range(shape, getTensorType(value).getShape());
    aligned = builder.create<ReshapeOp>(
        value.getLoc(), value, builder.getDenseI64ArrayAttr(shape), UnitAttr());
  }
  twin = transpose(builder, value.getLoc(), aligned, getDimOrder(layout));
  return twin;
}

void Layout::convertOp(const LayoutNode &node) {
  SmallVector<Value> operands;
  for (auto [operand, layout] :
       llvm::zip_equal(node.op->getOperands(), node.layouts.operands))
    operands.push_back(layout ? getStored(operand, layout) : operand);
  OpBuilder builder(node.op);
  Operation *copy = builder.clone(*node.op);
  copy->setOperands(operands);
  for (auto [old, result, layout] : llvm::zip_equal(
           node.op->getResults(), copy->getResults(), node.layouts.results)) {
    if (!layout) {
      old.replaceAllUsesWith(result);
      continue;
    }
    RankedTensorType type = getTensorType(result);
    result.setType(
        type.clone(applyPermutation(type.getShape(), getDimOrder(layout))));
    twins[{old, layout}] = result;
  }
  cast<LayoutOpInterface>(copy).applyLayouts(node.layouts);
}

/// What leaves the slot is its own twin; who reads it as it was reads a
/// transpose of it. The yielded value follows when the body is done.
void Layout::convertSlot(const LayoutNode &node) {
  ScanSlot slot{cast<ScanOp>(node.op), node.slot};
  AffineMap layout = node.layouts.results[0];
  DimOrder order = getDimOrder(layout);
  auto store = [&](Value value, OpBuilder builder) {
    RankedTensorType old = getTensorType(value);
    value.setType(old.clone(applyPermutation(old.getShape(), order)));
    auto back = builder.create<TransposeOp>(
        value.getLoc(), value, builder.getDenseI64ArrayAttr(invert(order)));
    value.replaceAllUsesExcept(back, back);
    twins[{back, layout}] = value;
  };
  if (slot.slot < slot.numArguments()) {
    OpOperand &operand = node.op->getOpOperand(node.slot);
    operand.set(getStored(operand.get(), node.layouts.operands[0]));
    Block &body = slot.scan.getBody().front();
    store(body.getArgument(node.slot), OpBuilder::atBlockBegin(&body));
  }
  if (!slot.isInput()) {
    OpBuilder behind(node.op);
    behind.setInsertionPointAfter(node.op);
    store(slot.getResult(), behind);
  }
}

void Layout::convert(const LayoutGraph &graph) {
  twins.clear();
  SmallVector<const LayoutNode *> converted;
  bool changes = false;
  for (const LayoutNode &node : graph.getNodes()) {
    if (!node.converted)
      continue;
    changes = true;
    ++numConverted;
    if (node.slot != LayoutNode::kNoSlot) {
      convertSlot(node);
      continue;
    }
    convertOp(node);
    converted.push_back(&node);
  }
  for (const LayoutNode &node : graph.getNodes()) {
    if (!node.converted || node.slot == LayoutNode::kNoSlot)
      continue;
    ScanSlot slot{cast<ScanOp>(node.op), node.slot};
    if (!slot.isInput())
      slot.getYielded().set(
          getStored(slot.getYielded().get(), node.layouts.operands[0]));
  }
  // What reads the values as they were gets them back, made of their twins.
  for (const LayoutNode *node : llvm::reverse(converted)) {
    for (auto [old, layout] :
         llvm::zip_equal(node->op->getResults(), node->layouts.results)) {
      if (old.use_empty())
        continue;
      Value twin = twins.lookup({old, layout});
      OpBuilder builder(&getContext());
      builder.setInsertionPointAfterValue(twin);
      old.replaceAllUsesWith(
          transpose(builder, old.getLoc(), twin, invert(getDimOrder(layout))));
    }
    node->op->erase();
  }
  if (changes)
    mergeTransposes();
}

/// Transposes that the model had, behind those that are new.
void Layout::mergeTransposes() {
  SmallVector<TransposeOp> all;
  getOperation()->walk([&](TransposeOp op) { all.push_back(op); });
  for (TransposeOp op : all)
    if (op.getInput().getDefiningOp<TransposeOp>()) {
      OpBuilder builder(op);
      op.replaceAllUsesWith(
          transpose(builder, op.getLoc(), op.getInput(), op.getPermutation()));
    }
  for (TransposeOp op : llvm::reverse(all))
    if (op->use_empty())
      op->erase();
}

/// Where a product sums over dims that a transpose has turned and a reshape has
/// joined, and what it multiplies by is known at load, that is turned instead.
void Layout::foldIntoWeights(TransposeOp op, const LoadTime &load) {
  if (!op->hasOneUse() || load.isKnownOrSlice(op) ||
      !getTensorType(op).hasStaticShape() || getTensorType(op).getRank() == 0)
    return;
  auto reshape = dyn_cast<ReshapeOp>(*op->user_begin());
  if (!reshape || !reshape->hasOneUse() ||
      getTensorType(reshape).getRank() == 0)
    return;
  OpOperand &use = *reshape->use_begin();
  auto product = dyn_cast<FusibleOpInterface>(use.getOwner());
  if (!product || product.getFusionKind() != FusionKind::Contraction)
    return;
  SmallVector<AffineMap> maps = product.getFusionMaps();
  if (maps.size() != product->getNumOperands() + 1)
    return;
  AffineExpr summed = maps[use.getOperandNumber()].getResults().back();
  if (!isa<AffineDimExpr>(summed) || maps.back().getResultPosition(summed))
    return;
  // The dims of the last one, none of which comes from further in front.
  ArrayRef<int64_t> shape = getTensorType(op).getShape(),
                    order = op.getPermutation();
  size_t first = shape.size();
  int64_t count = 1, wanted = getTensorType(reshape).getShape().back();
  while (first > 0 && count < wanted)
    count *= shape[--first];
  auto front = order.take_front(first);
  if (count != wanted || !llvm::equal(front, llvm::seq<int64_t>(first)))
    return;
  SmallVector<OpOperand *> weights;
  for (OpOperand &operand : product->getOpOperands())
    if (&operand != &use &&
        maps[operand.getOperandNumber()].getResultPosition(summed)) {
      if (!load.isKnownOrSlice(operand.get()))
        return;
      weights.push_back(&operand);
    }
  OpBuilder builder(product);
  auto makeReshape = [&](Value value, ArrayRef<int64_t> sizes) {
    return builder.create<ReshapeOp>(
        op.getLoc(), value, builder.getDenseI64ArrayAttr(sizes), UnitAttr());
  };
  DimOrder inverse = invert(order);
  for (OpOperand *weight : weights) {
    unsigned place =
        *maps[weight->getOperandNumber()].getResultPosition(summed);
    ArrayRef<int64_t> whole = getTensorType(weight->get()).getShape();
    SmallVector<int64_t> sizes(whole.take_front(place));
    llvm::append_range(sizes, shape.drop_front(first));
    llvm::append_range(sizes, whole.drop_front(place + 1));
    auto turn = llvm::to_vector(llvm::seq<int64_t>(sizes.size()));
    for (size_t dim = first; dim < shape.size(); ++dim)
      turn[place + dim - first] = place + inverse[dim] - first;
    Value digits = makeReshape(weight->get(), sizes);
    digits = builder.create<TransposeOp>(op.getLoc(), digits, turn);
    weight->set(makeReshape(digits, whole));
  }
  use.set(makeReshape(op.getInput(), getTensorType(reshape).getShape()));
  reshape->erase();
  op->erase();
  ++numFolded;
}

/// What moves, and what it saves, is told from sizes.
void Layout::explainOpenSizes(LayoutTarget whose) {
  auto isOpen = [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return tensor && !tensor.hasStaticShape();
  };
  getOperation()->walk([&](LayoutOpInterface op) {
    if ((llvm::any_of(op->getOperandTypes(), isOpen) ||
         llvm::any_of(op->getResultTypes(), isOpen)) &&
        !op.getPreferredLayouts(whose).empty())
      op->emitRemark("keeps its layout: has open sizes: specialize them first");
  });
}

/// One remark per region, at its first op that has a preference, and one for
/// each other that does not get its way.
void Layout::explainRegions(const LayoutGraph &graph, AffineMap layout) {
  llvm::SmallDenseSet<unsigned> seen;
  std::string order;
  llvm::raw_string_ostream stream(order);
  llvm::interleaveComma(getDimOrder(layout), stream);
  for (const LayoutNode &node : graph.getNodes()) {
    if (!node.prefers)
      continue;
    bool isFirst = seen.insert(node.region).second;
    const LayoutRegion &region = graph.getRegion(node);
    if (region.converted == 0) {
      if (isFirst)
        node.op->emitRemark("keeps its layout: stored as [")
            << order << "], it and " << region.size - 1 << " others would save "
            << region.gain << " bytes, and transposes would move "
            << region.moved << " bytes instead of " << region.movedBefore;
    } else if (!node.converted) {
      node.op->emitRemark("keeps its layout: stored as [")
          << order << "], it would save " << node.gain
          << " bytes, and transposes around it would move more";
    } else if (isFirst) {
      node.op->emitRemark("is stored as [")
          << order << "], with " << region.converted - 1
          << " others: they save " << region.gainNow
          << " bytes, and transposes move " << region.movedNow
          << " bytes instead of " << region.movedBefore;
    }
  }
}
