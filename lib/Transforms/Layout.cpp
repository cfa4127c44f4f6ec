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

static RankedTensorType getType(Value value) {
  return cast<RankedTensorType>(value.getType());
}

namespace {
class Layout : public lathe::impl::LayoutBase<Layout> {
  using LayoutBase::LayoutBase;

  void runOnOperation() override;
  void convert(const LayoutGraph &graph);
  void explainRegions(const LayoutGraph &graph, AffineMap layout);
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
  LayoutTarget whose =
      target == "cpu" ? LayoutTarget::Cpu : LayoutTarget::Cuda;
  llvm::SetVector<AffineMap> layouts;
  getOperation()->walk([&](LayoutOpInterface op) {
    for (const LayoutPreference &preference : op.getPreferredLayouts(whose))
      layouts.insert(preference.layout);
  });
  // One after the other: an op that has taken one asks for no other.
  for (AffineMap layout : layouts) {
    LoadTime load(getOperation());
    LayoutGraph graph(getOperation(), load, layout, whose);
    graph.solve();
    if (explain)
      explainRegions(graph, layout);
    convert(graph);
  }
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
  ArrayRef<int64_t> shape = getType(value).getShape();
  if (!movesData(shape, whole))
    return builder.create<ReshapeOp>(
        loc, value, builder.getDenseI64ArrayAttr(applyPermutation(shape, whole)),
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
  if (int64_t missing = layout.getNumDims() - getType(value).getRank()) {
    SmallVector<int64_t> shape(missing, 1);
    llvm::append_range(shape, getType(value).getShape());
    aligned = builder.create<ReshapeOp>(value.getLoc(), value,
                                        builder.getDenseI64ArrayAttr(shape),
                                        UnitAttr());
  }
  twin = transpose(builder, value.getLoc(), aligned, getDimOrder(layout));
  return twin;
}

void Layout::convert(const LayoutGraph &graph) {
  twins.clear();
  SmallVector<const LayoutNode *> converted;
  for (const LayoutNode &node : graph.getNodes()) {
    if (!node.converted)
      continue;
    converted.push_back(&node);
    ++numConverted;
    SmallVector<Value> operands;
    for (auto [operand, layout] :
         llvm::zip_equal(node.op->getOperands(), node.layouts.operands))
      operands.push_back(layout ? getStored(operand, layout) : operand);
    OpBuilder builder(node.op);
    Operation *copy = builder.clone(*node.op);
    copy->setOperands(operands);
    for (auto [old, result, layout] :
         llvm::zip_equal(node.op->getResults(), copy->getResults(),
                         node.layouts.results)) {
      if (layout) {
        RankedTensorType type = getType(result);
        result.setType(type.clone(
            applyPermutation(type.getShape(), getDimOrder(layout))));
        twins[{old, layout}] = result;
      } else {
        old.replaceAllUsesWith(result);
      }
    }
    cast<LayoutOpInterface>(copy).applyLayouts(node.layouts);
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
      old.replaceAllUsesWith(transpose(builder, old.getLoc(), twin,
                                       invert(getDimOrder(layout))));
    }
    node->op->erase();
  }
  if (!converted.empty())
    mergeTransposes();
}

/// Transposes that the model had, behind those that are new.
void Layout::mergeTransposes() {
  SmallVector<TransposeOp> all;
  getOperation()->walk([&](TransposeOp op) { all.push_back(op); });
  for (TransposeOp op : all)
    if (op.getInput().getDefiningOp<TransposeOp>()) {
      OpBuilder builder(op);
      op.replaceAllUsesWith(transpose(builder, op.getLoc(), op.getInput(),
                                      op.getPermutation()));
    }
  for (TransposeOp op : llvm::reverse(all))
    if (op->use_empty())
      op->erase();
}

/// One remark per region, at its first op that has a preference.
void Layout::explainRegions(const LayoutGraph &graph, AffineMap layout) {
  llvm::SmallDenseSet<unsigned> seen;
  std::string order;
  llvm::raw_string_ostream stream(order);
  llvm::interleaveComma(getDimOrder(layout), stream);
  for (const LayoutNode &node : graph.getNodes()) {
    if (!node.prefers || !seen.insert(node.region).second)
      continue;
    const LayoutRegion &region = graph.getRegion(node);
    InFlightDiagnostic remark = node.op->emitRemark();
    if (region.converted == 0)
      remark << "keeps its layout: ";
    else
      remark << "is stored as [" << order << "], with " << region.converted
             << " of the " << region.size << " ops that could be: ";
    remark << "stored as [" << order << "], all of them would save "
           << region.gain << " bytes, and transposes would move "
           << region.after << " bytes instead of " << region.before;
  }
}
