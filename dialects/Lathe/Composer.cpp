//===- Composer.cpp - Builds decompositions of composite ops --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Composer.h"

namespace lathe {

Value Composer::constant(Type element, double value) {
  auto type = RankedTensorType::get({}, element);
  APFloat number(value);
  bool losesInfo;
  number.convert(llvm::cast<FloatType>(element).getFloatSemantics(),
                 APFloat::rmNearestTiesToEven, &losesInfo);
  return make<ConstantOp>(DenseElementsAttr::get(type, number));
}

Value Composer::constant(Type element, int64_t value) {
  auto type = RankedTensorType::get({}, element);
  APInt number(element.getIntOrFloatBitWidth(), value, /*isSigned=*/true);
  return make<ConstantOp>(DenseElementsAttr::get(type, number));
}

Value Composer::cast(Value value, Type element) {
  if (getTensorType(value).getElementType() == element)
    return value;
  return make<CastOp>(value, element);
}

Value Composer::widen(Value value) {
  Type element = getTensorType(value).getElementType();
  if (element.getIntOrFloatBitWidth() < 32)
    return cast(value, Float32Type::get(element.getContext()));
  return value;
}

Value Composer::alongAxis(Value value, int64_t axis, int64_t rank) {
  SmallVector<int64_t> axes;
  for (int64_t i = 1; i < rank - axis; ++i)
    axes.push_back(i);
  return axes.empty() ? value : make<UnsqueezeOp>(value, axes);
}

} // namespace lathe
