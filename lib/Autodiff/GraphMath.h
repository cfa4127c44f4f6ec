//===- GraphMath.h - Arithmetic as ops --------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// So that an optimizer reads like the formula it implements.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_AUTODIFF_GRAPHMATH_H
#define LATHE_LIB_AUTODIFF_GRAPHMATH_H

#include "dialects/Lathe/Lathe.h"

namespace lathe {

/// Builds ops at one location. Numbers take the element type of the value they
/// meet; operands broadcast.
class GraphMath {
public:
  GraphMath(OpBuilder &builder, Location location)
      : builder(builder), location(location) {}

  OpBuilder &builder;
  Location location;

  static RankedTensorType typeOf(Value value) {
    return cast<RankedTensorType>(value.getType());
  }
  static Type elementOf(Value value) { return typeOf(value).getElementType(); }

  template <typename OpTy, typename... Args> Value make(Args &&...args) {
    return builder.create<OpTy>(location, std::forward<Args>(args)...);
  }

  /// A rank-0 constant.
  Value number(double value, Type element) {
    auto type = RankedTensorType::get({}, element);
    if (auto floats = dyn_cast<FloatType>(element)) {
      APFloat rounded(value);
      bool losesInfo;
      rounded.convert(floats.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                      &losesInfo);
      return make<ConstantOp>(DenseElementsAttr::get(type, rounded));
    }
    return make<ConstantOp>(DenseElementsAttr::get(
        type, APInt(element.getIntOrFloatBitWidth(), int64_t(value),
                    /*isSigned=*/true)));
  }
  Value like(double value, Value other) {
    return number(value, elementOf(other));
  }
  Value to(Value value, Type element) {
    return elementOf(value) == element ? value : make<CastOp>(value, element);
  }

  Value add(Value a, Value b) { return make<AddOp>(a, b); }
  Value sub(Value a, Value b) { return make<SubOp>(a, b); }
  Value mul(Value a, Value b) { return make<MulOp>(a, b); }
  Value div(Value a, Value b) { return make<DivOp>(a, b); }
  Value pow(Value a, Value b) { return make<PowOp>(a, b); }
  Value min(Value a, Value b) { return make<MinOp>(a, b); }
  Value max(Value a, Value b) { return make<MaxOp>(a, b); }
  Value add(Value a, double b) { return add(a, like(b, a)); }
  Value sub(Value a, double b) { return sub(a, like(b, a)); }
  Value mul(Value a, double b) { return mul(a, like(b, a)); }
  Value div(Value a, double b) { return div(a, like(b, a)); }
  Value min(Value a, double b) { return min(a, like(b, a)); }
  Value max(Value a, double b) { return max(a, like(b, a)); }
  Value rsub(double a, Value b) { return sub(like(a, b), b); }
  Value sqrt(Value a) { return make<SqrtOp>(a); }
  Value square(Value a) { return mul(a, a); }

  Value compare(ComparePredicate predicate, Value a, Value b) {
    return make<CompareOp>(predicate, a, b);
  }
  Value select(Value condition, Value a, Value b) {
    return make<SelectOp>(condition, a, b);
  }

  /// Sum and mean over all dims from `from` on, as dims of size 1 where `from`
  /// is not 0. The last dim is summed first: it is the one in memory order.
  Value sum(Value value, int64_t from = 0);
  /// Largest magnitude; NaN where any element is NaN.
  Value largest(Value value);
  /// The square root of the sum of squares of the dims from `from` on.
  Value norm(Value value, int64_t from = 0) {
    return sqrt(sum(square(value), from));
  }
};

} // namespace lathe

#endif // LATHE_LIB_AUTODIFF_GRAPHMATH_H
