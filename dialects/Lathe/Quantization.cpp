//===- Quantization.cpp - Quantize and dequantize -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Composer.h"

namespace lathe {

/// Checks scale and zero point: both rank 0, or both rank 1 along `axis`.
template <typename OpTy>
static LogicalResult inferQuantization(std::optional<Location> location,
                                       typename OpTy::Adaptor adaptor,
                                       Type element,
                                       SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  auto scale = dyn_cast<RankedTensorType>(adaptor.getScale().getType());
  auto zero = dyn_cast<RankedTensorType>(adaptor.getZeroPoint().getType());
  if (!input || !scale || !zero)
    return inferenceError<OpTy>(location, "expected ranked tensors");
  if (scale.getRank() > 1 || zero.getRank() != scale.getRank())
    return inferenceError<OpTy>(
        location,
        "expected scale and zero point both of rank 0 or both of rank 1, got " +
            shapeText(scale.getShape()) + " and " + shapeText(zero.getShape()));
  SmallVector<int64_t> shape(input.getShape());
  if (scale.getRank() == 1) {
    FailureOr<int64_t> axis = normalizeAxis(adaptor.getAxis(), input.getRank());
    if (failed(axis))
      return axisError<OpTy>(location, input.getRank(), adaptor.getAxis());
    for (RankedTensorType type : {scale, zero}) {
      if (!sizesAgree(type.getDimSize(0), shape[*axis]))
        return inferenceError<OpTy>(
            location, "expected scale and zero point of shape " +
                          shapeText({shape[*axis]}) + ", as axis " +
                          Twine(*axis) + " of the input, got " +
                          shapeText(type.getShape()));
      shape[*axis] = mergeSizes(shape[*axis], type.getDimSize(0));
    }
  }
  results.push_back(RankedTensorType::get(shape, element));
  return success();
}

LogicalResult QuantizeOp::inferReturnTypes(MLIRContext *,
                                           std::optional<Location> location,
                                           Adaptor adaptor,
                                           SmallVectorImpl<Type> &results) {
  return inferQuantization<QuantizeOp>(
      location, adaptor, getElementTypeOrSelf(adaptor.getZeroPoint().getType()),
      results);
}

LogicalResult QuantizeOp::verify() {
  Type input = tensorType(getInput()).getElementType();
  Type scale = tensorType(getScale()).getElementType();
  if (input != scale)
    return emitOpError("expected a scale of the input's element type ")
           << input << ", got " << scale;
  if (tensorType(getZeroPoint()).getElementType().isInteger(1))
    return emitOpError("expected a zero point of an integer type, got i1");
  return success();
}

FusionKind QuantizeOp::getFusionKind() { return FusionKind::Opaque; }

/// A scale or zero point, placed along the quantized axis.
static Value placeAlongAxis(Composer &c, Value parameter, int64_t axis,
                            int64_t rank) {
  if (tensorType(parameter).getRank() == 0)
    return parameter;
  return c.alongAxis(parameter, *normalizeAxis(axis, rank), rank);
}

// The cast to the zero point's type saturates.
FailureOr<SmallVector<Value>> QuantizeOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  int64_t rank = tensorType(getInput()).getRank();
  Value x = c.widen(getInput());
  Type element = tensorType(x).getElementType();
  Value scale = placeAlongAxis(c, c.widen(getScale()), getAxis(), rank);
  Value zero =
      placeAlongAxis(c, c.cast(getZeroPoint(), element), getAxis(), rank);
  Value rounded = c.make<RoundOp>(c.make<DivOp>(x, scale));
  return SmallVector<Value>{
      c.cast(c.make<AddOp>(rounded, zero),
             tensorType(getZeroPoint()).getElementType())};
}

LogicalResult DequantizeOp::inferReturnTypes(MLIRContext *,
                                             std::optional<Location> location,
                                             Adaptor adaptor,
                                             SmallVectorImpl<Type> &results) {
  return inferQuantization<DequantizeOp>(
      location, adaptor, getElementTypeOrSelf(adaptor.getScale().getType()),
      results);
}

LogicalResult DequantizeOp::verify() {
  Type input = tensorType(getInput()).getElementType();
  Type zero = tensorType(getZeroPoint()).getElementType();
  if (input != zero)
    return emitOpError("expected a zero point of the input's element type ")
           << input << ", got " << zero;
  if (input.isInteger(1))
    return emitOpError("expected an input of an integer type, got i1");
  return success();
}

FusionKind DequantizeOp::getFusionKind() { return FusionKind::Opaque; }

FailureOr<SmallVector<Value>> DequantizeOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = tensorType(getInput());
  Value scale =
      placeAlongAxis(c, c.widen(getScale()), getAxis(), type.getRank());
  Type element = tensorType(scale).getElementType();
  Value x = getInput(), zero = getZeroPoint();
  // Below 32 bits the difference is exact in floats; above it is taken in i64.
  Type difference =
      type.getElementTypeBitWidth() < 32 ? element : builder.getI64Type();
  zero = placeAlongAxis(c, c.cast(zero, difference), getAxis(), type.getRank());
  Value shifted = c.cast(c.make<SubOp>(c.cast(x, difference), zero), element);
  Value result = c.make<MulOp>(shifted, scale);
  return SmallVector<Value>{
      c.cast(result, tensorType(getScale()).getElementType())};
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Quantization.cpp.inc"
