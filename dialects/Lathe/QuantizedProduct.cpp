//===- QuantizedProduct.cpp - Sums of products of quantized numbers -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/QuantizedProduct.h"

#include "mlir/Dialect/Quant/QuantTypes.h"

namespace lathe {

StorageRange getStorageRange(Type element, TypeAttr storage) {
  if (storage) {
    auto type = cast<quant::AnyQuantizedType>(storage.getValue());
    return {type.getStorageTypeMin(), type.getStorageTypeMax()};
  }
  if (auto type = dyn_cast<FloatType>(element)) {
    APFloat largest = APFloat::getLargest(type.getFloatSemantics());
    int64_t high = int64_t(largest.convertToDouble());
    return {-high, high};
  }
  unsigned width = element.getIntOrFloatBitWidth();
  if (element.isUnsignedInteger())
    return {0, width < 64 ? int64_t(llvm::maxUIntN(width)) : INT64_MAX};
  return {llvm::minIntN(width), llvm::maxIntN(width)};
}

Value alignParameter(Composer &c, Value parameter,
                     const QuantizedOperand &operand,
                     ArrayRef<int64_t> reducedAxes, std::string &whyNot) {
  auto type = getTensorType(parameter);
  ArrayRef<int64_t> shape = getTensorType(operand.quantized).getShape();
  int64_t rank = shape.size();
  auto reshape = [&](ArrayRef<int64_t> to) {
    return to == type.getShape() ? parameter : c.make<ReshapeOp>(parameter, to);
  };
  if (type.getNumElements() == 1)
    return reshape({});
  SmallVector<int64_t> aligned(type.getShape());
  if (type.getRank() != rank) {
    aligned.assign(rank, 1);
    aligned[*normalizeAxis(operand.axis, rank)] = type.getDimSize(0);
  }
  int64_t grouped = operand.group ? *normalizeAxis(operand.axis, rank) : -1;
  if (grouped >= 0 && aligned[grouped] != 1 &&
      !llvm::is_contained(reducedAxes, grouped)) {
    whyNot = "has scales for groups along axis " + std::to_string(grouped) +
             ", which the op does not sum over";
    return {};
  }
  for (int64_t axis : reducedAxes)
    if (aligned[axis] != 1) {
      whyNot = "has scales that differ along axis " + std::to_string(axis) +
               ", which the op sums over";
      return {};
    }
  return reshape(aligned);
}

LogicalResult alignParameters(Composer &c, ArrayRef<QuantizedOperand> operands,
                              ArrayRef<QuantizableOperand> places,
                              MutableArrayRef<Value> scales,
                              MutableArrayRef<Value> zeroPoints,
                              std::string &whyNot) {
  for (auto [i, operand] : llvm::enumerate(operands)) {
    ArrayRef<int64_t> axes = places[i].reducedAxes;
    scales[i] = alignParameter(c, operand.scale, operand, axes, whyNot);
    zeroPoints[i] = alignParameter(c, operand.zeroPoint, operand, axes, whyNot);
    if (!scales[i] || !zeroPoints[i])
      return failure();
  }
  return success();
}

LogicalResult checkBytes(ArrayRef<QuantizedOperand> operands,
                         std::string &whyNot) {
  Type first = getTensorType(operands[0].quantized).getElementType();
  llvm::raw_string_ostream os(whyNot);
  for (const QuantizedOperand &operand : operands) {
    Type element = getTensorType(operand.quantized).getElementType();
    if (element.isFloat8E4M3FN() && !isZeroConstant(operand.zeroPoint)) {
      os << "takes 8-bit floats with a zero point that is the constant 0";
      return failure();
    }
    if (element.isFloat8E4M3FN() != first.isFloat8E4M3FN()) {
      os << "takes two operands of 8-bit floats or none, not '" << first
         << "' and '" << element << "'";
      return failure();
    }
    if (element.isInteger(8) || element.isUnsignedInteger(8) ||
        element.isFloat8E4M3FN())
      continue;
    os << "takes products of 8-bit integers, not of '" << element << "'";
    return failure();
  }
  return success();
}

Value subtractZeroPoints(Composer &c, Value sum, const ProductSide &lhs,
                         const ProductSide &rhs, int64_t depth) {
  Type i32 = getTensorType(sum).getElementType();
  bool hasLeft = !isZeroConstant(lhs.zeroPoint),
       hasRight = !isZeroConstant(rhs.zeroPoint);
  Value left = hasLeft ? c.cast(lhs.zeroPoint, i32) : Value(),
        right = hasRight ? c.cast(rhs.zeroPoint, i32) : Value();
  if (hasLeft) {
    // With both, za (sum(qb) - k zb): one term less for every element.
    Value others = rhs.sum();
    if (hasRight)
      others =
          c.make<SubOp>(others, c.make<MulOp>(right, c.constant(i32, depth)));
    sum = c.make<SubOp>(sum, c.make<MulOp>(left, others));
  }
  if (hasRight)
    sum = c.make<SubOp>(sum, c.make<MulOp>(right, lhs.sum()));
  return sum;
}

Value finishProduct(Composer &c, Value sum, const ProductSide &lhs,
                    const ProductSide &rhs, int64_t depth, Type element) {
  Type wide = element.getIntOrFloatBitWidth() < 32
                  ? Type(Float32Type::get(element.getContext()))
                  : element;
  Value result = c.cast(subtractZeroPoints(c, sum, lhs, rhs, depth), wide);
  Value left = c.cast(lhs.scale, wide), right = c.cast(rhs.scale, wide);
  // The product of the scales is small, where one of them is a single number.
  if (getTensorType(left).getRank() == 0 || getTensorType(right).getRank() == 0)
    result = c.make<MulOp>(result, c.make<MulOp>(left, right));
  else
    result = c.make<MulOp>(c.make<MulOp>(result, left), right);
  return c.cast(result, element);
}

} // namespace lathe
