//===- ConstantNumbers.cpp - Constants as plain numbers -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/ConstantNumbers.h"

#include "mlir/IR/Matchers.h"
#include <algorithm>
#include <cmath>

namespace lathe {

NumberKind::NumberKind(Type element)
    : isFloat(isa<FloatType>(element)),
      isUnsigned(element.isUnsignedInteger() || element.isInteger(1)),
      width(element.getIntOrFloatBitWidth()) {}

int64_t NumberKind::wrap(int64_t value) const {
  if (width >= 64)
    return value;
  uint64_t bits = uint64_t(value) << (64 - width);
  return isUnsigned ? int64_t(bits >> (64 - width))
                    : int64_t(bits) >> (64 - width);
}

int64_t NumberKind::lowest() const {
  return isUnsigned ? 0 : APInt::getSignedMinValue(width).getSExtValue();
}

int64_t NumberKind::highest() const {
  return isUnsigned ? int64_t(APInt::getMaxValue(width).getZExtValue())
                    : APInt::getSignedMaxValue(width).getSExtValue();
}

std::optional<SmallVector<Number>> readNumbers(Attribute attribute,
                                               int64_t limit) {
  auto dense = dyn_cast_if_present<DenseElementsAttr>(attribute);
  if (!dense || !dense.getElementType().isIntOrFloat() ||
      dense.getElementType().getIntOrFloatBitWidth() > 64)
    return std::nullopt;
  int64_t count = dense.isSplat() ? 1 : dense.getNumElements();
  if (count > limit)
    return std::nullopt;
  NumberKind kind(dense.getElementType());
  SmallVector<Number> numbers;
  numbers.reserve(count);
  if (kind.isFloat) {
    for (const APFloat &value :
         llvm::make_range(dense.value_begin<APFloat>(),
                          dense.value_begin<APFloat>() + count))
      numbers.push_back({value.convertToDouble(), 0});
  } else {
    for (const APInt &value : llvm::make_range(
             dense.value_begin<APInt>(), dense.value_begin<APInt>() + count))
      numbers.push_back({0.0, kind.isUnsigned ? int64_t(value.getZExtValue())
                                              : value.getSExtValue()});
  }
  return numbers;
}

DenseElementsAttr writeNumbers(RankedTensorType type,
                               ArrayRef<Number> numbers) {
  NumberKind kind(type.getElementType());
  if (!kind.isFloat) {
    SmallVector<APInt> values;
    for (const Number &number : numbers)
      values.push_back(APInt(64, number.i).trunc(kind.width));
    return DenseElementsAttr::get(type, values);
  }
  SmallVector<APFloat> values;
  // 8-bit floats have no infinities: casts saturate.
  double largest = type.getElementType().isFloat8E4M3FN() ? 448 : HUGE_VAL;
  for (const Number &number : numbers) {
    APFloat value(std::isnan(number.f)
                      ? number.f
                      : std::clamp(number.f, -largest, largest));
    bool losesInfo;
    value.convert(cast<FloatType>(type.getElementType()).getFloatSemantics(),
                  APFloat::rmNearestTiesToEven, &losesInfo);
    values.push_back(value);
  }
  return DenseElementsAttr::get(type, values);
}

SmallVector<int64_t> broadcastStrides(ArrayRef<int64_t> shape,
                                      ArrayRef<int64_t> result) {
  SmallVector<int64_t> strides(result.size(), 0);
  int64_t stride = 1, shift = result.size() - shape.size();
  for (int64_t i = shape.size() - 1; i >= 0; --i) {
    if (shape[i] != 1)
      strides[i + shift] = stride;
    stride *= shape[i];
  }
  return strides;
}

bool isZeroConstant(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<ReshapeOp, UnsqueezeOp, SqueezeOp, BroadcastOp, TransposeOp>(op))
      break;
    value = op->getOperand(0);
  }
  DenseElementsAttr elements;
  if (!matchPattern(value, m_Constant(&elements)))
    return false;
  if (elements.isSplat())
    return isa<FloatType>(elements.getElementType())
               ? elements.getSplatValue<APFloat>().isZero()
               : elements.getSplatValue<APInt>().isZero();
  if (isa<FloatType>(elements.getElementType()))
    return llvm::all_of(elements.getValues<APFloat>(),
                        [](const APFloat &number) { return number.isZero(); });
  return llvm::all_of(elements.getValues<APInt>(),
                      [](const APInt &number) { return number.isZero(); });
}

} // namespace lathe
