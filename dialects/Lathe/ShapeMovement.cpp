//===- ShapeMovement.cpp - Concat, pad, tile and generated shapes ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The second half of the shape family (see Shape.cpp).
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

#include "mlir/IR/Matchers.h"
#include <cmath>

namespace lathe {

using Types = SmallVectorImpl<Type>;
static constexpr int64_t kDynamic = ShapedType::kDynamic;

//===----------------------------------------------------------------------===//
// Concat, pad, tile, reverse
//===----------------------------------------------------------------------===//

LogicalResult ConcatOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                         Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  if (adaptor.getInputs().empty())
    return inferenceError(site, "expected at least one input");
  RankedTensorType first = getTensorType(adaptor.getInputs().front());
  FailureOr<int64_t> axis = normalizeAxis(adaptor.getAxis(), first.getRank());
  if (failed(axis))
    return inferenceError(site, "expected an axis of inputs of rank " +
                                    Twine(first.getRank()) + ", got " +
                                    Twine(int64_t(adaptor.getAxis())));
  SmallVector<int64_t> shape(first.getShape());
  for (auto [n, input] : llvm::enumerate(adaptor.getInputs().drop_front())) {
    ArrayRef<int64_t> other = getTensorType(input).getShape();
    if (other.size() != shape.size())
      return inferenceError(site, "expected inputs of equal rank, got " +
                                      shapeText(first.getShape()) + " and " +
                                      shapeText(other));
    for (size_t i = 0; i < shape.size(); ++i) {
      if (int64_t(i) == *axis) {
        FailureOr<int64_t> sum = addSizes(shape[i], other[i]);
        if (failed(sum))
          return sizeTooLarge(site, i);
        shape[i] = *sum;
      } else if (ShapedType::isDynamic(shape[i])) {
        shape[i] = other[i];
      } else if (!ShapedType::isDynamic(other[i]) && shape[i] != other[i]) {
        return inferenceError(
            site, "expected inputs that differ in dim " + Twine(*axis) +
                      " only, got " + Twine(shape[i]) + " and " +
                      Twine(other[i]) + " in dim " + Twine(i));
      }
    }
  }
  return inferLike(adaptor.getInputs().front(), shape, types);
}

FusionKind ConcatOp::getFusionKind() { return FusionKind::Opaque; }

// What a kernel costs to compile grows with the cube of the inputs it joins:
// 32 take 0.1 s, 128 take 4 s. Parts of one size may share a kernel.
FailureOr<SmallVector<Value>> ConcatOp::decompose(OpBuilder &builder) {
  constexpr size_t kMost = 32;
  size_t count = getInputs().size();
  if (count <= kMost)
    return failure();
  SmallVector<Value> parts;
  for (size_t first = 0; first < count; first += kMost)
    parts.push_back(builder.create<ConcatOp>(
        getLoc(), getInputs().slice(first, std::min(kMost, count - first)),
        getAxis()));
  return SmallVector<Value>{
      builder.create<ConcatOp>(getLoc(), getType(), parts, getAxis())};
}

/// `pads` are the lows, then the highs.
static FailureOr<SmallVector<int64_t>>
padShape(const Site &site, Value inputValue, Value value, ArrayRef<int64_t> low,
         ArrayRef<int64_t> high, PadMode mode) {
  ArrayRef<int64_t> input = getTensorType(inputValue).getShape();
  if (low.size() != input.size() || high.size() != input.size())
    return inferenceError(
        site, "expected " + Twine(input.size()) + " amounts at each end, got " +
                  Twine(low.size()) + " and " + Twine(high.size()));
  if (value &&
      getTensorType(value) !=
          RankedTensorType::get({}, getTensorType(inputValue).getElementType()))
    return inferenceError(site, "expected a rank-0 'value' of the input's "
                                "element type");
  SmallVector<int64_t> shape(input);
  for (size_t i = 0; i < input.size(); ++i) {
    if (ShapedType::isDynamic(input[i])) {
      if (low[i] == 0 && high[i] == 0)
        continue;
      shape[i] = kDynamic;
      continue;
    }
    int64_t grown;
    if (llvm::AddOverflow(input[i], low[i], grown) ||
        llvm::AddOverflow(grown, high[i], grown))
      return sizeTooLarge(site, i);
    if (grown < 0)
      return inferenceError(site, "cannot crop dim " + Twine(i) + " of size " +
                                      Twine(input[i]) + " by " + Twine(low[i]) +
                                      " and " + Twine(high[i]));
    if (input[i] == 0 && grown > 0 && mode != PadMode::constant)
      return inferenceError(site, "cannot fill dim " + Twine(i) +
                                      " of size 0 in mode '" +
                                      stringifyPadMode(mode) + "'");
    shape[i] = grown;
  }
  return shape;
}

LogicalResult PadOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                      Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  auto shape = padShape(site, adaptor.getInput(), adaptor.getValue(),
                        adaptor.getLow(), adaptor.getHigh(), adaptor.getMode());
  if (failed(shape))
    return failure();
  return inferLike(adaptor.getInput(), *shape, types);
}

LogicalResult DynamicPadOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                             Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  int64_t rank = getTensorType(adaptor.getInput()).getRank();
  FailureOr<int64_t> length = vectorLength(site, adaptor.getPads(), "pads");
  if (failed(length))
    return failure();
  if (!ShapedType::isDynamic(*length) && *length != 2 * rank)
    return inferenceError(site, "expected " + Twine(2 * rank) +
                                    " entries in 'pads', got " +
                                    Twine(*length));
  auto pads = getConstantIntegers(adaptor.getPads());
  if (!pads)
    return inferLike(adaptor.getInput(), SmallVector<int64_t>(rank, kDynamic),
                     types);
  ArrayRef<int64_t> all = *pads;
  auto shape =
      padShape(site, adaptor.getInput(), adaptor.getValue(),
               all.take_front(rank), all.drop_front(rank), adaptor.getMode());
  if (failed(shape))
    return failure();
  return inferLike(adaptor.getInput(), *shape, types);
}

static FailureOr<SmallVector<int64_t>> tileShape(const Site &site,
                                                 ArrayRef<int64_t> input,
                                                 ArrayRef<int64_t> repeats) {
  if (repeats.size() != input.size())
    return inferenceError(site, "expected " + Twine(input.size()) +
                                    " repeats, got " + Twine(repeats.size()));
  SmallVector<int64_t> shape;
  for (auto [i, size] : llvm::enumerate(input)) {
    if (repeats[i] < 0)
      return inferenceError(site, "expected repeats of 0 or more, got " +
                                      Twine(repeats[i]));
    FailureOr<int64_t> product = multiplySizes(size, repeats[i]);
    if (failed(product))
      return sizeTooLarge(site, i);
    shape.push_back(repeats[i] == 0 ? 0 : *product);
  }
  return shape;
}

LogicalResult TileOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                       Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  auto shape = tileShape(site, getTensorType(adaptor.getInput()).getShape(),
                         adaptor.getRepeats());
  if (failed(shape))
    return failure();
  return inferLike(adaptor.getInput(), *shape, types);
}

LogicalResult DynamicTileOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                              Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  ArrayRef<int64_t> input = getTensorType(adaptor.getInput()).getShape();
  auto length = vectorLength(site, adaptor.getRepeats(), "repeats");
  if (failed(length))
    return failure();
  if (!ShapedType::isDynamic(*length) && *length != int64_t(input.size()))
    return inferenceError(site, "expected " + Twine(input.size()) +
                                    " repeats, got " + Twine(*length));
  auto repeats = getConstantIntegers(adaptor.getRepeats());
  if (!repeats)
    return inferLike(adaptor.getInput(),
                     SmallVector<int64_t>(input.size(), kDynamic), types);
  auto shape = tileShape(site, input, *repeats);
  if (failed(shape))
    return failure();
  return inferLike(adaptor.getInput(), *shape, types);
}

LogicalResult ReverseOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                          Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  RankedTensorType type = getTensorType(adaptor.getInput());
  if (failed(normalizeAxes(adaptor.getAxes(), type.getRank())))
    return inferenceError(site, "expected different axes of an input of rank " +
                                    Twine(type.getRank()) + ", got " +
                                    shapeText(adaptor.getAxes()));
  types.push_back(type);
  return success();
}

//===----------------------------------------------------------------------===//
// Shape_of, iota, dynamic_range
//===----------------------------------------------------------------------===//

LogicalResult ShapeOfOp::inferReturnTypes(MLIRContext *context, MaybeLoc,
                                          Adaptor adaptor, Types &types) {
  types.push_back(
      RankedTensorType::get({getTensorType(adaptor.getInput()).getRank()},
                            IntegerType::get(context, 64)));
  return success();
}

LogicalResult IotaOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                       Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  ArrayRef<int64_t> shape = adaptor.getShape();
  for (int64_t size : shape)
    if (size < 0)
      return inferenceError(
          site, "expected sizes of 0 or more in 'shape', got " + Twine(size));
  if (failed(normalizeAxis(adaptor.getAxis(), shape.size())))
    return inferenceError(site, "expected an axis of a result of rank " +
                                    Twine(shape.size()) + ", got " +
                                    Twine(int64_t(adaptor.getAxis())));
  Type dtype = adaptor.getDtype();
  if (!dtype || !dtype.isIntOrFloat() || dtype.getIntOrFloatBitWidth() % 8)
    return inferenceError(site, "expected 'dtype' to be a number type");
  types.push_back(RankedTensorType::get(shape, dtype));
  return success();
}

/// How many elements start:limit:delta has, kDynamic where an operand is not
/// constant.
static FailureOr<int64_t> rangeCount(const Site &site, Value start, Value limit,
                                     Value delta) {
  DenseElementsAttr values[3];
  // An array: a ValueRange of a braced list would not outlive this line.
  Value operands[] = {start, limit, delta};
  for (auto [value, attr] : llvm::zip_equal(operands, values))
    if (!matchPattern(value, m_Constant(&attr)))
      return kDynamic;
  if (isa<FloatType>(values[0].getElementType())) {
    double x[3];
    for (int i = 0; i < 3; ++i) {
      APFloat v = values[i].getSplatValue<APFloat>();
      bool lost;
      v.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
      x[i] = v.convertToDouble();
    }
    double count = std::ceil((x[1] - x[0]) / x[2]);
    if (x[2] == 0 || !(count < 0x1p62))
      return inferenceError(site, "expected a finite range with a delta other "
                                  "than 0");
    return std::max<int64_t>(0, int64_t(count));
  }
  bool isUnsigned = values[0].getElementType().isUnsignedInteger();
  __int128 x[3];
  for (int i = 0; i < 3; ++i) {
    APInt v = values[i].getSplatValue<APInt>();
    x[i] = isUnsigned ? __int128(v.getZExtValue()) : __int128(v.getSExtValue());
  }
  if (x[2] == 0)
    return inferenceError(site, "expected a delta other than 0");
  __int128 distance = x[2] > 0 ? x[1] - x[0] : x[0] - x[1];
  __int128 stride = x[2] > 0 ? x[2] : -x[2];
  __int128 count = distance <= 0 ? 0 : (distance - 1) / stride + 1;
  if (count > INT64_MAX)
    return inferenceError(site, "expected fewer than 2^63 elements");
  return int64_t(count);
}

LogicalResult DynamicRangeOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                               Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  for (Value operand : adaptor.getOperands())
    if (getTensorType(operand).getRank() != 0)
      return inferenceError(site, "expected operands of rank 0, got rank " +
                                      Twine(getTensorType(operand).getRank()));
  FailureOr<int64_t> count = rangeCount(site, adaptor.getStart(),
                                        adaptor.getLimit(), adaptor.getDelta());
  if (failed(count))
    return failure();
  return inferLike(adaptor.getStart(), {*count}, types);
}

FusionKind PadOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind DynamicPadOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind TileOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind DynamicTileOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind ReverseOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind ShapeOfOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind IotaOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind DynamicRangeOp::getFusionKind() { return FusionKind::Opaque; }

} // namespace lathe
