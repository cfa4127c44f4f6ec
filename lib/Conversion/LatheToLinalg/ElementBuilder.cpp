//===- ElementBuilder.cpp - Arithmetic on one element or a vector ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Conversion/ElementBuilder.h"
#include "lathe/Conversion/ScalarBody.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <cmath>

namespace lathe {

Type getStorageType(Type elementType) {
  if (elementType.isInteger(1))
    return IntegerType::get(elementType.getContext(), 8);
  return getComputeType(elementType);
}

RankedTensorType getStorageType(RankedTensorType type) {
  return RankedTensorType::get(type.getShape(),
                               getStorageType(type.getElementType()));
}

Value fromStorage(OpBuilder &builder, Location loc, Value value,
                  Type elementType) {
  if (!elementType.isInteger(1))
    return value;
  ElementBuilder b(builder, loc);
  return b.compare("ne", value, b.zero(value.getType()));
}

Value toStorage(OpBuilder &builder, Location loc, Value value,
                Type elementType) {
  if (!elementType.isInteger(1))
    return value;
  Type stored =
      ElementBuilder::typeLike(getStorageType(elementType), value.getType());
  return builder.create<arith::ExtUIOp>(loc, stored, value);
}

Type getComputeType(Type elementType) {
  if (elementType.isUnsignedInteger())
    return IntegerType::get(elementType.getContext(),
                            elementType.getIntOrFloatBitWidth());
  return elementType;
}

Type getAccumulatorType(Type elementType) {
  if (elementType.isF16() || elementType.isBF16() ||
      elementType.isFloat8E4M3FN())
    return Float32Type::get(elementType.getContext());
  return getComputeType(elementType);
}

static bool isFloat(Value value) {
  return isa<FloatType>(getElementTypeOrSelf(value.getType()));
}
static unsigned width(Value value) {
  return getElementTypeOrSelf(value.getType()).getIntOrFloatBitWidth();
}

Type ElementBuilder::typeLike(Type element, Type like) {
  if (auto vector = dyn_cast<VectorType>(like))
    return VectorType::get(vector.getShape(), element,
                           vector.getScalableDims());
  return element;
}

static Value splat(ElementBuilder &b, TypedAttr attr, Type like) {
  if (auto vector = dyn_cast<VectorType>(like))
    attr = DenseElementsAttr::get(vector, Attribute(attr));
  return b.create<arith::ConstantOp>(attr);
}

Value ElementBuilder::number(double value, Type like) {
  Type element = getElementTypeOrSelf(like);
  if (!isa<FloatType>(element))
    return integer(static_cast<int64_t>(value), like);
  return splat(*this, FloatAttr::get(element, value), like);
}

Value ElementBuilder::integer(int64_t value, Type like) {
  Type element = getElementTypeOrSelf(like);
  unsigned bits =
      isa<IndexType>(element) ? 64 : element.getIntOrFloatBitWidth();
  return splat(*this,
               IntegerAttr::get(element, APInt(64, value, true).trunc(bits)),
               like);
}

Value ElementBuilder::add(Value a, Value b) {
  if (isFloat(a))
    return create<arith::AddFOp>(a, b);
  return create<arith::AddIOp>(a, b);
}
Value ElementBuilder::sub(Value a, Value b) {
  if (isFloat(a))
    return create<arith::SubFOp>(a, b);
  return create<arith::SubIOp>(a, b);
}
Value ElementBuilder::mul(Value a, Value b) {
  if (isFloat(a))
    return create<arith::MulFOp>(a, b);
  return create<arith::MulIOp>(a, b);
}

Value ElementBuilder::neg(Value a) {
  if (isFloat(a))
    return create<arith::NegFOp>(a);
  return sub(zero(a.getType()), a);
}

Value ElementBuilder::div(Value a, Value b, bool isUnsigned) {
  if (isFloat(a))
    return create<arith::DivFOp>(a, b);
  // The divisors the processor traps on are replaced first.
  Value nought = zero(a.getType()), one = integer(1, a.getType());
  Value byZero = compare("eq", b, nought);
  if (isUnsigned) {
    Value q = create<arith::DivUIOp>(a, select(byZero, one, b));
    return select(byZero, nought, q);
  }
  Value byMinusOne = compare("eq", b, integer(-1, a.getType()));
  Value safe = select(logicalOr(byZero, byMinusOne), one, b);
  Value q = create<arith::DivSIOp>(a, safe);
  return select(byZero, nought, select(byMinusOne, neg(a), q));
}

Value ElementBuilder::rem(Value a, Value b, bool isUnsigned) {
  if (isFloat(a))
    return create<arith::RemFOp>(a, b);
  // A remainder by 1 is 0, which is also the answer by 0 and by -1.
  Value one = integer(1, a.getType());
  Value unsafe = compare("eq", b, zero(a.getType()));
  if (isUnsigned)
    return create<arith::RemUIOp>(a, select(unsafe, one, b));
  unsafe = logicalOr(unsafe, compare("eq", b, integer(-1, a.getType())));
  return create<arith::RemSIOp>(a, select(unsafe, one, b));
}

Value ElementBuilder::mod(Value a, Value b, bool isUnsigned) {
  Value r = rem(a, b, isUnsigned);
  if (isUnsigned)
    return r;
  Value nought = zero(a.getType());
  Value nonZero = compare("ne", r, nought);
  Value signsDiffer =
      create<arith::XOrIOp>(compare("lt", r, nought), compare("lt", b, nought));
  return select(logicalAnd(nonZero, signsDiffer), add(r, b), r);
}

Value ElementBuilder::pow(Value a, Value b, bool isUnsigned) {
  if (isFloat(a))
    return create<math::PowFOp>(a, b);
  // Square and multiply over the bits of the exponent; wraps as a product does.
  Type type = a.getType();
  Value nought = zero(type), one = integer(1, type);
  Value lower = create<arith::ConstantIndexOp>(0);
  Value upper = create<arith::ConstantIndexOp>(width(a));
  Value step = create<arith::ConstantIndexOp>(1);
  auto loop = create<scf::ForOp>(
      lower, upper, step, ValueRange{one, a, b},
      [&](OpBuilder &inner, Location loc, Value, ValueRange carried) {
        ElementBuilder e(inner, loc);
        Value bit = e.logicalAnd(carried[2], e.integer(1, type));
        Value isSet = e.compare("ne", bit, e.zero(type));
        Value result =
            e.select(isSet, e.mul(carried[0], carried[1]), carried[0]);
        Value square = e.mul(carried[1], carried[1]);
        Value rest = e.create<arith::ShRUIOp>(carried[2], e.integer(1, type));
        e.create<scf::YieldOp>(ValueRange{result, square, rest});
      });
  Value power = loop.getResult(0);
  if (isUnsigned)
    return power;
  // 1 / a^|b| truncated: not zero only for a = 1 and a = -1.
  Value minusOne = integer(-1, type);
  Value odd = compare("ne", logicalAnd(b, one), nought);
  Value inverse = select(
      compare("eq", a, one), one,
      select(compare("eq", a, minusOne), select(odd, minusOne, one), nought));
  return select(compare("lt", b, nought), inverse, power);
}

// One comparison, one min/max instruction and one blend; llvm.maximum takes
// twice that for the order of signed zeros.
Value ElementBuilder::max(Value a, Value b, bool isUnsigned) {
  if (isFloat(a))
    return select(isNan(a), a, select(compare("gt", a, b), a, b));
  if (isUnsigned)
    return create<arith::MaxUIOp>(a, b);
  return create<arith::MaxSIOp>(a, b);
}
Value ElementBuilder::min(Value a, Value b, bool isUnsigned) {
  if (isFloat(a))
    return select(isNan(a), a, select(compare("lt", a, b), a, b));
  if (isUnsigned)
    return create<arith::MinUIOp>(a, b);
  return create<arith::MinSIOp>(a, b);
}

Value ElementBuilder::abs(Value a, bool isUnsigned) {
  if (isUnsigned)
    return a;
  if (isFloat(a))
    return create<math::AbsFOp>(a);
  return select(compare("lt", a, zero(a.getType())), neg(a), a);
}

Value ElementBuilder::sign(Value a, bool isUnsigned) {
  Value nought = zero(a.getType()), one = number(1, a.getType());
  Value positive = compare("gt", a, nought, isUnsigned);
  if (isUnsigned)
    return select(positive, one, nought);
  // The innermost `a` stays for 0 and NaN.
  return select(positive, one,
                select(compare("lt", a, nought), number(-1, a.getType()), a));
}

Value ElementBuilder::compare(StringRef predicate, Value a, Value b,
                              bool isUnsigned) {
  if (isFloat(a)) {
    using P = arith::CmpFPredicate;
    P p = llvm::StringSwitch<P>(predicate)
              .Case("eq", P::OEQ)
              .Case("ne", P::UNE)
              .Case("lt", P::OLT)
              .Case("le", P::OLE)
              .Case("gt", P::OGT)
              .Case("ge", P::OGE);
    return create<arith::CmpFOp>(p, a, b);
  }
  using P = arith::CmpIPredicate;
  P p = llvm::StringSwitch<P>(predicate)
            .Case("eq", P::eq)
            .Case("ne", P::ne)
            .Case("lt", isUnsigned ? P::ult : P::slt)
            .Case("le", isUnsigned ? P::ule : P::sle)
            .Case("gt", isUnsigned ? P::ugt : P::sgt)
            .Case("ge", isUnsigned ? P::uge : P::sge);
  return create<arith::CmpIOp>(p, a, b);
}

Value ElementBuilder::isNan(Value a) {
  return create<arith::CmpFOp>(arith::CmpFPredicate::UNO, a, a);
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

Value ElementBuilder::widen(Value value) {
  Type element = getElementTypeOrSelf(value.getType());
  return floatCast(value, getAccumulatorType(element));
}

Value ElementBuilder::narrow(Value value, Type elementType) {
  if (!isa<FloatType>(elementType))
    return value;
  return floatCast(value, elementType);
}

// f64 to f32 rounding to odd: a second rounding to 16 bits then gives what one
// rounding from f64 would (Boldo and Melquiond, "Emulation of FMA and correctly
// rounded sums", 2008).
Value ElementBuilder::truncateToOdd(Value value) {
  Type f32 = typeLike(getF32Type(), value.getType());
  Type i32 = typeLike(getI32Type(), value.getType());
  Value near = create<arith::TruncFOp>(f32, value);
  Value back = create<arith::ExtFOp>(value.getType(), near);
  Value bits = create<arith::BitcastOp>(i32, near);
  Value tooLarge =
      compare("gt", create<math::AbsFOp>(back), create<math::AbsFOp>(value));
  bits = select(tooLarge, sub(bits, integer(1, i32)), bits);
  Value inexact = create<arith::CmpFOp>(arith::CmpFPredicate::ONE, back, value);
  bits = select(inexact, logicalOr(bits, integer(1, i32)), bits);
  return create<arith::BitcastOp>(f32, bits);
}

// Integer arithmetic: without AVX512-BF16 the instruction selector calls a
// runtime function.
Value ElementBuilder::truncateToBf16(Value value) {
  Type like = value.getType();
  Type i32 = typeLike(getI32Type(), like), i16 = typeLike(getI16Type(), like);
  Value bits = create<arith::BitcastOp>(i32, value);
  Value sixteen = integer(16, i32);
  Value odd =
      logicalAnd(create<arith::ShRUIOp>(bits, sixteen), integer(1, i32));
  Value rounded = add(bits, add(integer(0x7fff, i32), odd));
  Value quiet = logicalOr(bits, integer(0x400000, i32));
  Value high =
      create<arith::ShRUIOp>(select(isNan(value), quiet, rounded), sixteen);
  Value half = create<arith::TruncIOp>(i16, high);
  return create<arith::BitcastOp>(typeLike(getBF16Type(), like), half);
}

// There are no infinities: what is too large becomes the largest number.
// Comparisons with NaN are false, which leaves it.
Value ElementBuilder::truncateToE4m3(Value value) {
  Type like = value.getType();
  Value most = number(448, like), least = number(-448, like);
  value = select(compare("gt", value, most), most, value);
  value = select(compare("lt", value, least), least, value);
  return create<arith::TruncFOp>(typeLike(getFloat8E4M3FNType(), like), value);
}

Value ElementBuilder::floatCast(Value value, Type to) {
  Type from = getElementTypeOrSelf(value.getType());
  if (from == to)
    return value;
  Type like = value.getType();
  if (from.isBF16()) {
    Type i16 = typeLike(getI16Type(), like), i32 = typeLike(getI32Type(), like);
    Value bits =
        create<arith::ExtUIOp>(i32, create<arith::BitcastOp>(i16, value));
    value =
        create<arith::BitcastOp>(typeLike(getF32Type(), like),
                                 create<arith::ShLIOp>(bits, integer(16, i32)));
    return floatCast(value, to);
  }
  if (from.isF64() && to.getIntOrFloatBitWidth() <= 16)
    return floatCast(truncateToOdd(value), to);
  // Every 8-bit float is one of 16 bits, and the other way there is one
  // rounding.
  Type f32 = typeLike(getF32Type(), like);
  if (from.isFloat8E4M3FN())
    return floatCast(create<arith::ExtFOp>(f32, value), to);
  if (to.isFloat8E4M3FN())
    return truncateToE4m3(floatCast(value, getF32Type()));
  if (from.isF16() && to.isBF16())
    value = create<arith::ExtFOp>(typeLike(getF32Type(), like), value);
  if (to.isBF16())
    return truncateToBf16(value);
  if (from.getIntOrFloatBitWidth() < to.getIntOrFloatBitWidth())
    return create<arith::ExtFOp>(typeLike(to, like), value);
  return create<arith::TruncFOp>(typeLike(to, like), value);
}

// arith.fptosi is poison out of range, so such values are replaced before it
// and the bounds put in after it.
Value ElementBuilder::floatToInt(Value value, Type to, bool isUnsigned) {
  unsigned bits = to.getIntOrFloatBitWidth();
  Type from = value.getType(), type = typeLike(to, from);
  double low = isUnsigned ? 0.0 : -std::ldexp(1.0, bits - 1);
  double high = std::ldexp(1.0, isUnsigned ? bits : bits - 1);
  Value tooLow = compare("lt", value, number(low, from));
  Value tooHigh = compare("ge", value, number(high, from));
  Value bad = logicalOr(isNan(value), logicalOr(tooLow, tooHigh));
  Value safe = select(bad, zero(from), value);
  Value result = isUnsigned ? create<arith::FPToUIOp>(type, safe).getResult()
                            : create<arith::FPToSIOp>(type, safe).getResult();
  APInt least =
      isUnsigned ? APInt::getMinValue(bits) : APInt::getSignedMinValue(bits);
  APInt most =
      isUnsigned ? APInt::getMaxValue(bits) : APInt::getSignedMaxValue(bits);
  result =
      select(tooLow, splat(*this, IntegerAttr::get(to, least), type), result);
  return select(tooHigh, splat(*this, IntegerAttr::get(to, most), type),
                result);
}

Value ElementBuilder::cast(Value value, Type from, Type to) {
  if (from == to)
    return value;
  Type like = value.getType(), target = getComputeType(to);
  if (isa<FloatType>(from) && isa<FloatType>(to))
    return floatCast(value, to);
  if (to.isInteger(1))
    return compare("ne", value, zero(like));
  if (isa<FloatType>(from))
    return floatToInt(widen(value), target, isUnsignedElement(to));

  bool isUnsigned = isUnsignedElement(from);
  if (isa<FloatType>(to)) {
    // Integers below 16 bits are exact in f32, below 64 bits in f64.
    Type by = to;
    if (to.getIntOrFloatBitWidth() <= 16)
      by = width(value) <= 16 ? Type(getF32Type()) : Type(getF64Type());
    Type type = typeLike(by, like);
    Value number = isUnsigned
                       ? create<arith::UIToFPOp>(type, value).getResult()
                       : create<arith::SIToFPOp>(type, value).getResult();
    return floatCast(number, to);
  }
  unsigned toBits = target.getIntOrFloatBitWidth();
  Type type = typeLike(target, like);
  if (toBits < width(value))
    return create<arith::TruncIOp>(type, value);
  if (toBits == width(value))
    return value;
  if (isUnsigned)
    return create<arith::ExtUIOp>(type, value);
  return create<arith::ExtSIOp>(type, value);
}

} // namespace lathe
