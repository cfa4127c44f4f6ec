//===- PackWeights.cpp - Weights in the form microkernels read ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/LoadTime.h"
#include "lathe/Transforms/Passes.h"

namespace lathe {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

static bool isF32(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return type.getElementType().isF32() && type.hasStaticShape() &&
         type.getNumElements() != 0;
}

static ArrayRef<int64_t> getShape(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

/// Products of more rows copy their right-hand side in no time beside their
/// own.
static constexpr int64_t kRowsInScan = 512;

/// The outermost scan around a product of few rows that finds the same `matrix`
/// in all iterations.
static ScanOp getInvariantScan(Value matrix, Operation *product) {
  ScanOp result;
  int64_t rows = 1;
  for (int64_t size : getShape(product->getResult(0)).drop_back())
    rows *= size;
  if (!isF32(matrix) || rows > kRowsInScan)
    return result;
  for (auto scan = product->getParentOfType<ScanOp>();
       scan && matrix.getParentRegion()->isProperAncestor(&scan.getBody());
       scan = scan->getParentOfType<ScanOp>())
    result = scan;
  return result && result.computeTripCount() > 1 ? result : ScanOp();
}

namespace {
class PackWeights : public lathe::impl::PackWeightsBase<PackWeights> {
  using PackWeightsBase::PackWeightsBase;

  void runOnOperation() override {
    LoadTime loadTime(getOperation());
    SmallVector<Operation *> worklist;
    getOperation()->walk([&](Operation *op) {
      if (isa<LinearOp, MatmulOp, ConvOp>(op))
        worklist.push_back(op);
    });
    for (Operation *op : worklist) {
      OpBuilder builder(op);
      Value result;
      if (auto linear = dyn_cast<LinearOp>(op))
        result = packLinear(builder, linear, loadTime);
      else if (auto matmul = dyn_cast<MatmulOp>(op))
        result = packMatmul(builder, matmul, loadTime);
      else
        result = packConv(builder, cast<ConvOp>(op), loadTime);
      if (!result)
        continue;
      op->getResult(0).replaceAllUsesWith(result);
      op->erase();
      ++numPacked;
    }
  }

  Value packLinear(OpBuilder &builder, LinearOp op, const LoadTime &loadTime);
  Value packMatmul(OpBuilder &builder, MatmulOp op, const LoadTime &loadTime);
  Value packConv(OpBuilder &builder, ConvOp op, const LoadTime &loadTime);

  Value pack(OpBuilder &builder, Location loc, Value matrix, bool transposed);
  Value multiply(OpBuilder &builder, Location loc, Value lhs, Value packed,
                 int64_t n);
  Value addBias(OpBuilder &builder, Location loc, Value product, Value bias);
};
} // namespace

Value PackWeights::pack(OpBuilder &builder, Location loc, Value matrix,
                        bool transposed) {
  return builder.create<PackOp>(loc, matrix, transposed, int64_t(panel));
}

Value PackWeights::multiply(OpBuilder &builder, Location loc, Value lhs,
                            Value packed, int64_t n) {
  return builder.create<PackedMatmulOp>(loc, lhs, packed, n);
}

Value PackWeights::addBias(OpBuilder &builder, Location loc, Value product,
                           Value bias) {
  return bias ? builder.create<AddOp>(loc, product, bias) : product;
}

Value PackWeights::packLinear(OpBuilder &builder, LinearOp op,
                              const LoadTime &loadTime) {
  ScanOp scan = getInvariantScan(op.getWeight(), op);
  if (!isF32(op.getResult()) || !isF32(op.getInput()) ||
      (!scan && !loadTime.isKnownOrSlice(op.getWeight())) ||
      loadTime.isKnownOrSlice(op.getInput()))
    return {};
  OpBuilder before(scan ? scan.getOperation() : op.getOperation());
  Value packed = pack(before, op.getLoc(), op.getWeight(), /*transposed=*/true);
  Value product = multiply(builder, op.getLoc(), op.getInput(), packed,
                           getShape(op.getWeight())[0]);
  return addBias(builder, op.getLoc(), product, op.getBias());
}

Value PackWeights::packMatmul(OpBuilder &builder, MatmulOp op,
                              const LoadTime &loadTime) {
  ScanOp scan = getInvariantScan(op.getRhs(), op);
  if (!isF32(op.getResult()) || !isF32(op.getLhs()) || op.getTransposeLhs() ||
      (!scan && !loadTime.isKnownOrSlice(op.getRhs())) ||
      loadTime.isKnownOrSlice(op.getLhs()))
    return {};
  Value rhs = op.getRhs();
  ArrayRef<int64_t> shape = getShape(rhs);
  // A batch of different matrices has no packed form; leading ones are noise,
  // as long as they do not add dims to the result.
  if (llvm::any_of(shape.drop_back(2),
                   [](int64_t size) { return size != 1; }) ||
      shape.size() > getShape(op.getLhs()).size())
    return {};
  OpBuilder before(scan ? scan.getOperation() : op.getOperation());
  if (shape.size() > 2)
    rhs = before.create<ReshapeOp>(
        op.getLoc(), rhs, before.getDenseI64ArrayAttr(shape.take_back(2)),
        UnitAttr());
  Value packed = pack(before, op.getLoc(), rhs, op.getTransposeRhs());
  return multiply(builder, op.getLoc(), op.getLhs(), packed,
                  getShape(op.getResult()).back());
}

/// Attribute values with the default of an empty list filled in.
static SmallVector<int64_t> orDefault(ArrayRef<int64_t> values, int64_t fill) {
  return values.empty() ? SmallVector<int64_t>(2, fill)
                        : SmallVector<int64_t>(values);
}

Value PackWeights::packConv(OpBuilder &builder, ConvOp op,
                            const LoadTime &loadTime) {
  ArrayRef<int64_t> filterShape = getShape(op.getFilter());
  if (op.getLayout() != ImageLayout::channels_last || op.getGroups() != 1 ||
      filterShape.size() != 4 || !isF32(op.getResult()) ||
      !isF32(op.getInput()) || loadTime.isKnownOrSlice(op.getInput()))
    return {};
  Location loc = op.getLoc();
  SmallVector<int64_t> low = orDefault(op.getPadLow(), 0),
                       high = orDefault(op.getPadHigh(), 0),
                       strides = orDefault(op.getStrides(), 1),
                       dilations = orDefault(op.getDilations(), 1);
  int64_t out = filterShape[0], kh = filterShape[2], kw = filterShape[3];
  int64_t depth = filterShape[1] * kh * kw;

  // Columns of the implicit matrix run over (kh, kw, c), as the input lies.
  Value filter = op.getFilter();
  if (kh * kw != 1)
    filter = builder.create<TransposeOp>(
        loc, filter, builder.getDenseI64ArrayAttr({0, 2, 3, 1}));
  filter = builder.create<ReshapeOp>(
      loc, filter, builder.getDenseI64ArrayAttr({out, depth}), UnitAttr());
  Value packed = pack(builder, loc, filter, /*transposed=*/true);

  Value input = op.getInput();
  auto isAll = [](ArrayRef<int64_t> values, int64_t expected) {
    return llvm::all_of(values, [&](int64_t v) { return v == expected; });
  };
  if (!isAll(low, 0) || !isAll(high, 0))
    input = builder.create<PadOp>(
        loc, input, /*value=*/Value(),
        builder.getDenseI64ArrayAttr({0, low[0], low[1], 0}),
        builder.getDenseI64ArrayAttr({0, high[0], high[1], 0}),
        PadModeAttr::get(&getContext(), PadMode::constant));

  Value product;
  if (kh * kw == 1 && isAll(strides, 1))
    product = multiply(builder, loc, input, packed, out);
  else
    product = builder.create<PackedConvOp>(
        loc, input, packed, builder.getDenseI64ArrayAttr({kh, kw}),
        builder.getDenseI64ArrayAttr(strides),
        builder.getDenseI64ArrayAttr(dilations),
        builder.getI64IntegerAttr(out));
  return addBias(builder, loc, product, op.getBias());
}
