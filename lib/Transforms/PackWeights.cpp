//===- PackWeights.cpp - Weights in the form microkernels read ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/ConstantNumbers.h"
#include "lathe/Analysis/LoadTime.h"
#include "lathe/Transforms/Passes.h"
#include "mlir/Dialect/Quant/QuantTypes.h"

namespace lathe {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// Of a panel: more are no panel, but a matrix.
static constexpr int64_t kMostColumns = 4096;

/// Of a type that the microkernel reads.
static bool isPackable(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  Type element = type.getElementType();
  return (element.isF32() || element.isBF16() || element.isF16() ||
          element.isFloat8E4M3FN()) &&
         type.hasStaticShape() && type.getNumElements() != 0;
}

static bool isF32(Value value) {
  return isPackable(value) &&
         cast<RankedTensorType>(value.getType()).getElementType().isF32();
}

/// How many neighbours along the depth stand side by side in a packed matrix
/// whose elements, and those it is multiplied by, are as these; 0: it is not
/// packed.
static int64_t getInterleave(Value lhs, Value rhs) {
  auto isBytes = [](Value value) {
    auto type = cast<RankedTensorType>(value.getType());
    return type.getElementType().isInteger(8) && type.hasStaticShape() &&
           type.getNumElements() != 0;
  };
  auto isBfloat = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getElementType().isBF16();
  };
  if (isPackable(lhs) && isPackable(rhs))
    return isBfloat(lhs) && isBfloat(rhs) ? 2 : 1;
  return isBytes(lhs) && isBytes(rhs) ? 4 : 0;
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
  if (!isPackable(matrix) || rows > kRowsInScan)
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
    if (panel < 1 || panel > kMostColumns) {
      getOperation().emitError("expected 'panel' of 1 to ")
          << kMostColumns << " columns, got " << int64_t(panel);
      return signalPassFailure();
    }
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

  /// Of f32 by weights in few bits: `depthAxis` is the weight's axis of the
  /// sum.
  Value packQuantized(OpBuilder &builder, Operation *op, Value lhs,
                      Value weight, int64_t depthAxis,
                      const LoadTime &loadTime);

  Value pack(OpBuilder &builder, Location loc, Value matrix, bool transposed,
             int64_t interleave = 1, int64_t bits = 0);
  Value multiply(OpBuilder &builder, Location loc, Value lhs, Value packed,
                 int64_t n);
  Value addBias(OpBuilder &builder, Location loc, Value product, Value bias);
};
} // namespace

Value PackWeights::pack(OpBuilder &builder, Location loc, Value matrix,
                        bool transposed, int64_t interleave, int64_t bits) {
  return builder.create<PackOp>(loc, matrix, transposed, int64_t(panel),
                                interleave, bits);
}

Value PackWeights::multiply(OpBuilder &builder, Location loc, Value lhs,
                            Value packed, int64_t n) {
  return builder.create<PackedMatmulOp>(loc, lhs, packed, n);
}

Value PackWeights::addBias(OpBuilder &builder, Location loc, Value product,
                           Value bias) {
  return bias ? builder.create<AddOp>(loc, product, bias) : product;
}

/// Bits that hold every number of `storage`, 4 or 8.
static int64_t getBits(DequantizeOp dequantize) {
  std::optional<Type> storage = dequantize.getStorage();
  auto type = storage ? dyn_cast<quant::QuantizedType>(*storage)
                      : quant::QuantizedType();
  return type && type.getStorageTypeMin() >= -8 && type.getStorageTypeMax() <= 7
             ? 4
             : 8;
}

Value PackWeights::packQuantized(OpBuilder &builder, Operation *op, Value lhs,
                                 Value weight, int64_t depthAxis,
                                 const LoadTime &loadTime) {
  auto dequantize = weight.getDefiningOp<DequantizeOp>();
  if (!dequantize || !isF32(lhs) || !isF32(weight) ||
      !loadTime.isKnownOrSlice(weight) || loadTime.isKnownOrSlice(lhs) ||
      !isZeroConstant(dequantize.getZeroPoint()))
    return {};
  Value numbers = dequantize.getInput(), scale = dequantize.getScale();
  ArrayRef<int64_t> shape = getShape(numbers);
  auto type = cast<RankedTensorType>(numbers.getType());
  Type stored = type.getElementType();
  if (shape.size() != 2 ||
      !(stored.isSignlessInteger(8) || stored.isFloat8E4M3FN()))
    return {};
  int64_t bits = getBits(dequantize);
  if (fewBits && bits != 4)
    return {};
  int64_t axis = dequantize.getAxis(), n = shape[1 - depthAxis];
  axis = axis < 0 ? axis + 2 : axis;
  int64_t group = dequantize.getGroup();

  // The scale as a matrix of groups by columns, in the weight's order of axes.
  ArrayRef<int64_t> scaleShape = getShape(scale);
  SmallVector<int64_t, 2> sizes(scaleShape);
  if (scaleShape.empty())
    sizes = {1, 1};
  else if (scaleShape.size() == 1 && axis != depthAxis)
    sizes = depthAxis == 1 ? SmallVector<int64_t, 2>{scaleShape[0], 1}
                           : SmallVector<int64_t, 2>{1, scaleShape[0]};
  else if (scaleShape.size() != 2)
    return {};
  if (group == 0 ? sizes[depthAxis] != 1 : axis != depthAxis)
    return {};
  Location loc = op->getLoc();
  // Scales that are numbers of bf16 are stored as such.
  if (auto widened = scale.getDefiningOp<CastOp>();
      widened && bits == 4 && getElementTypeOrSelf(widened.getInput()).isBF16())
    scale = widened.getInput();
  if (ArrayRef<int64_t>(sizes) != scaleShape)
    scale = builder.create<ReshapeOp>(
        loc, scale, builder.getDenseI64ArrayAttr(sizes), UnitAttr());
  if (sizes[1 - depthAxis] != n) {
    sizes[1 - depthAxis] = n;
    scale = builder.create<BroadcastOp>(
        loc, RankedTensorType::get(sizes, getElementTypeOrSelf(scale)), scale,
        builder.getDenseI64ArrayAttr(sizes));
  }
  bool transposed = depthAxis == 1;
  Value packed = pack(builder, loc, numbers, transposed, 1, bits == 4 ? 4 : 0);
  Value scales = pack(builder, loc, scale, transposed);
  return builder.create<PackedMatmulOp>(
      loc, op->getResult(0).getType(), lhs, packed, scales,
      builder.getI64IntegerAttr(n), builder.getI64IntegerAttr(group));
}

Value PackWeights::packLinear(OpBuilder &builder, LinearOp op,
                              const LoadTime &loadTime) {
  if (Value product = packQuantized(builder, op, op.getInput(), op.getWeight(),
                                    /*depthAxis=*/1, loadTime))
    return addBias(builder, op.getLoc(), product, op.getBias());
  if (fewBits)
    return {};
  ScanOp scan = getInvariantScan(op.getWeight(), op);
  int64_t interleave = getInterleave(op.getInput(), op.getWeight());
  if (!interleave || (!scan && !loadTime.isKnownOrSlice(op.getWeight())) ||
      loadTime.isKnownOrSlice(op.getInput()))
    return {};
  OpBuilder before(scan ? scan.getOperation() : op.getOperation());
  Value packed = pack(before, op.getLoc(), op.getWeight(), /*transposed=*/true,
                      interleave);
  Value product = multiply(builder, op.getLoc(), op.getInput(), packed,
                           getShape(op.getWeight())[0]);
  return addBias(builder, op.getLoc(), product, op.getBias());
}

Value PackWeights::packMatmul(OpBuilder &builder, MatmulOp op,
                              const LoadTime &loadTime) {
  if (!op.getTransposeLhs())
    if (Value product = packQuantized(builder, op, op.getLhs(), op.getRhs(),
                                      op.getTransposeRhs() ? 1 : 0, loadTime))
      return product;
  if (fewBits)
    return {};
  ScanOp scan = getInvariantScan(op.getRhs(), op);
  int64_t interleave = getInterleave(op.getLhs(), op.getRhs());
  if (!interleave || op.getTransposeLhs() ||
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
  Value packed =
      pack(before, op.getLoc(), rhs, op.getTransposeRhs(), interleave);
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
  if (fewBits || op.getLayout() != ImageLayout::channels_last ||
      op.getGroups() != 1 || filterShape.size() != 4 ||
      loadTime.isKnownOrSlice(op.getInput()))
    return {};
  int64_t interleave = getInterleave(op.getInput(), op.getFilter());
  if (!interleave)
    return {};
  Location loc = op.getLoc();
  SmallVector<int64_t> low = orDefault(op.getPadLow(), 0),
                       high = orDefault(op.getPadHigh(), 0),
                       strides = orDefault(op.getStrides(), 1),
                       dilations = orDefault(op.getDilations(), 1);
  int64_t out = filterShape[0], kh = filterShape[2], kw = filterShape[3];
  auto isAll = [](ArrayRef<int64_t> values, int64_t expected) {
    return llvm::all_of(values, [&](int64_t v) { return v == expected; });
  };
  bool isMatmul = kh * kw == 1 && isAll(strides, 1);
  // What stands side by side is of one pixel.
  int64_t channels =
      isMatmul ? filterShape[1] : llvm::alignTo(filterShape[1], interleave);
  int64_t depth = channels * kh * kw, moreChannels = channels - filterShape[1];
  auto pad = [&](Value tensor, ArrayRef<int64_t> before,
                 ArrayRef<int64_t> after) -> Value {
    return builder.create<PadOp>(
        loc, tensor, /*value=*/Value(), builder.getDenseI64ArrayAttr(before),
        builder.getDenseI64ArrayAttr(after),
        PadModeAttr::get(&getContext(), PadMode::constant));
  };

  // Columns of the implicit matrix run over (kh, kw, c), as the input lies.
  Value filter = op.getFilter();
  if (kh * kw != 1)
    filter = builder.create<TransposeOp>(
        loc, filter, builder.getDenseI64ArrayAttr({0, 2, 3, 1}));
  // A window of one place keeps its order: channels are then the second dim.
  if (moreChannels)
    filter = kh * kw == 1 ? pad(filter, {0, 0, 0, 0}, {0, moreChannels, 0, 0})
                          : pad(filter, {0, 0, 0, 0}, {0, 0, 0, moreChannels});
  filter = builder.create<ReshapeOp>(
      loc, filter, builder.getDenseI64ArrayAttr({out, depth}), UnitAttr());
  Value packed = pack(builder, loc, filter, /*transposed=*/true, interleave);

  Value input = op.getInput();
  if (!isAll(low, 0) || !isAll(high, 0) || moreChannels)
    input =
        pad(input, {0, low[0], low[1], 0}, {0, high[0], high[1], moreChannels});

  Value product;
  if (isMatmul)
    product = multiply(builder, loc, input, packed, out);
  else
    product = builder.create<PackedConvOp>(
        loc, input, packed, builder.getDenseI64ArrayAttr({kh, kw}),
        builder.getDenseI64ArrayAttr(strides),
        builder.getDenseI64ArrayAttr(dilations),
        builder.getI64IntegerAttr(out));
  return addBias(builder, loc, product, op.getBias());
}
