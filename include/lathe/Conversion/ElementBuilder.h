//===- ElementBuilder.h - Arithmetic on one element or a vector -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The vocabulary the bodies of all op families are written in. Every method
// takes scalars or vectors of one shape; element types are those of computing
// form (signless integers, i1, floats). Where signedness matters it is an
// argument.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CONVERSION_ELEMENTBUILDER_H
#define LATHE_CONVERSION_ELEMENTBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace lathe {
using namespace mlir;

/// Whether values of the lathe element type compare and divide as unsigned
/// (i1 counts as such: false < true).
inline bool isUnsignedElement(Type type) {
  return type.isUnsignedInteger() || type.isInteger(1);
}

/// The type bodies compute on: unsigned integers become signless.
Type getComputeType(Type elementType);

/// The type sums and products of `elementType` are accumulated in: f32 for
/// 16-bit floats, else its computing type.
Type getAccumulatorType(Type elementType);

class ElementBuilder : public ImplicitLocOpBuilder {
public:
  ElementBuilder(OpBuilder &builder, Location loc)
      : ImplicitLocOpBuilder(loc, builder) {}

  /// `element`, or a vector of it with the shape of `like`.
  static Type typeLike(Type element, Type like);
  /// A constant (splat) of the type of `like`.
  Value number(double value, Type like);
  Value integer(int64_t value, Type like);
  Value zero(Type like) { return number(0.0, like); }

  Value add(Value a, Value b);
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  /// Division and remainder that never trap: x / 0 = x rem 0 = 0 for integers,
  /// and the smallest integer / -1 wraps.
  Value div(Value a, Value b, bool isUnsigned);
  Value rem(Value a, Value b, bool isUnsigned);
  /// Python's %: the remainder with the sign of `b`.
  Value mod(Value a, Value b, bool isUnsigned);
  Value pow(Value a, Value b, bool isUnsigned);
  /// NaN wins; signed zeros are not told apart.
  Value max(Value a, Value b, bool isUnsigned);
  Value min(Value a, Value b, bool isUnsigned);
  Value neg(Value a);
  Value abs(Value a, bool isUnsigned);
  Value sign(Value a, bool isUnsigned);
  Value select(Value condition, Value a, Value b) {
    return create<arith::SelectOp>(condition, a, b);
  }
  /// Ordered comparisons (false on NaN), except `ne`. Predicates are "eq",
  /// "ne", "lt", "le", "gt", "ge".
  Value compare(StringRef predicate, Value a, Value b, bool isUnsigned = false);
  Value isNan(Value a);
  Value logicalNot(Value a) {
    return create<arith::XOrIOp>(a, integer(-1, a.getType()));
  }
  Value logicalAnd(Value a, Value b) { return create<arith::AndIOp>(a, b); }
  Value logicalOr(Value a, Value b) { return create<arith::OrIOp>(a, b); }

  /// Conversion between lathe element types with the meaning of `lathe.cast`.
  Value cast(Value value, Type from, Type to);
  /// 16-bit floats to f32 and back; everything else unchanged.
  Value widen(Value value);
  Value narrow(Value value, Type elementType);

private:
  Value floatCast(Value value, Type to);
  Value floatToInt(Value value, Type to, bool isUnsigned);
  Value truncateToOdd(Value value);
  Value truncateToBf16(Value value);
  Value truncateToE4m3(Value value);
};

} // namespace lathe

#endif // LATHE_CONVERSION_ELEMENTBUILDER_H
