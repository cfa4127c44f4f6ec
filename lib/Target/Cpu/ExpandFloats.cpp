//===- ExpandFloats.cpp - 8- and 16-bit floats to f32 and back ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the processor has no instruction for the back end calls a function for,
// element by element. The forms here are arithmetic on integers, of any number
// of lanes; rounding is to nearest even.
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cpu/ExpandMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;

namespace lathe::cpu {

namespace {
/// Arithmetic on one shape of lanes.
class Lanes {
public:
  Lanes(Operation *op)
      : b(op->getLoc(), op), shape(op->getOperand(0).getType()) {}

  Type of(Type element) const {
    if (auto vector = dyn_cast<VectorType>(shape))
      return VectorType::get(vector.getShape(), element);
    return element;
  }
  Type i32() { return of(b.getI32Type()); }
  Type i16() { return of(b.getIntegerType(16)); }
  Type i8() { return of(b.getI8Type()); }
  Type f32() { return of(b.getF32Type()); }
  Value number(uint32_t bits) { return constant(i32(), bits); }
  Value constant(Type type, uint32_t bits) {
    Type element = getElementTypeOrSelf(type);
    APInt value(element.getIntOrFloatBitWidth(), bits);
    if (auto vector = dyn_cast<VectorType>(type))
      return b.create<arith::ConstantOp>(DenseElementsAttr::get(vector, value));
    return b.create<arith::ConstantOp>(b.getIntegerAttr(element, value));
  }
  Value bits(Value x, Type type) { return b.create<arith::BitcastOp>(type, x); }
  Value widen(Value x) {
    bool isByte = getElementTypeOrSelf(x).getIntOrFloatBitWidth() == 8;
    return b.create<arith::ExtUIOp>(i32(), bits(x, isByte ? i8() : i16()));
  }
  Value shiftLeft(Value x, unsigned by) {
    return b.create<arith::ShLIOp>(x, number(by));
  }
  Value shiftRight(Value x, unsigned by) {
    return b.create<arith::ShRUIOp>(x, number(by));
  }
  Value add(Value x, Value y) { return b.create<arith::AddIOp>(x, y); }
  Value mask(Value x, uint32_t by) {
    return b.create<arith::AndIOp>(x, number(by));
  }
  Value isAbove(Value x, uint32_t bound) {
    return b.create<arith::CmpIOp>(arith::CmpIPredicate::ugt, x, number(bound));
  }
  Value select(Value condition, Value x, Value y) {
    return b.create<arith::SelectOp>(condition, x, y);
  }

  ImplicitLocOpBuilder b;

private:
  Type shape;
};
} // namespace

static Value extendBfloat(Lanes &l, Value x) {
  return l.bits(l.shiftLeft(l.widen(x), 16), l.f32());
}

static Value truncateToBfloat(Lanes &l, Value x) {
  Value word = l.bits(x, l.i32());
  Value odd = l.mask(l.shiftRight(word, 16), 1);
  Value rounded = l.shiftRight(l.add(l.add(word, l.number(0x7fff)), odd), 16);
  // A NaN stays one, whatever its low bits.
  Value nan = l.b.create<arith::OrIOp>(l.shiftRight(word, 16), l.number(0x40));
  Value isNan = l.isAbove(l.mask(word, 0x7fffffff), 0x7f800000);
  return l.select(isNan, nan, rounded);
}

static Value extendHalf(Lanes &l, Value x) {
  Value word = l.widen(x);
  Value sign = l.shiftLeft(l.mask(word, 0x8000), 16);
  Value size = l.mask(word, 0x7fff);
  // The exponent's bias goes from 15 to 127; that of infinity to 255.
  Value normal = l.add(l.shiftLeft(size, 13), l.number(112 << 23));
  normal = l.select(l.isAbove(size, 0x7bff), l.add(normal, l.number(112 << 23)),
                    normal);
  // Below the smallest normal one it counts 2^-24.
  Value small = l.b.create<arith::SIToFPOp>(l.f32(), size);
  small =
      l.b.create<arith::MulFOp>(small, l.bits(l.number(103 << 23), l.f32()));
  Value result =
      l.select(l.isAbove(size, 0x3ff), normal, l.bits(small, l.i32()));
  return l.bits(l.b.create<arith::OrIOp>(result, sign), l.f32());
}

/// As in F. Giesen, "Half to float done quic[k]", float_to_half_fast3_rtne.
static Value truncateToHalf(Lanes &l, Value x) {
  Value word = l.bits(x, l.i32());
  Value size = l.mask(word, 0x7fffffff);
  Value sign = l.shiftRight(l.mask(word, 0x80000000), 16);
  Value odd = l.mask(l.shiftRight(size, 13), 1);
  Value normal = l.shiftRight(
      l.add(l.add(size, l.number(uint32_t(15 - 127) * (1u << 23) + 0xfff)),
            odd),
      13);
  // Adding 1/2 leaves multiples of 2^-24 in the last bits, rounded.
  Value half = l.bits(l.number(126 << 23), l.f32());
  Value small = l.b.create<arith::AddFOp>(l.bits(size, l.f32()), half);
  small =
      l.b.create<arith::SubIOp>(l.bits(small, l.i32()), l.number(126 << 23));
  Value large =
      l.select(l.isAbove(size, 0x7f800000), l.number(0x7e00), l.number(0x7c00));
  // Below 2^-14, and from 65536 on.
  Value result = l.select(l.isAbove(size, 0x387fffff), normal, small);
  result = l.select(l.isAbove(size, 0x477fffff), large, result);
  return l.b.create<arith::OrIOp>(result, sign);
}

static Value extendE4m3(Lanes &l, Value x) {
  Value word = l.widen(x);
  Value sign = l.shiftLeft(l.mask(word, 0x80), 24);
  Value size = l.mask(word, 0x7f);
  // The exponent's bias goes from 7 to 127.
  Value normal = l.add(l.shiftLeft(size, 20), l.number(120 << 23));
  normal = l.select(l.isAbove(size, 0x7e), l.number(0x7fc00000), normal);
  // Below the smallest normal one it counts 2^-9.
  Value small = l.b.create<arith::SIToFPOp>(l.f32(), size);
  small =
      l.b.create<arith::MulFOp>(small, l.bits(l.number(118 << 23), l.f32()));
  Value result = l.select(l.isAbove(size, 7), normal, l.bits(small, l.i32()));
  return l.bits(l.b.create<arith::OrIOp>(result, sign), l.f32());
}

/// The same where the processor converts f16: as one of another bias.
static Value extendE4m3ByHalf(Lanes &l, Value x) {
  Value word = l.b.create<arith::ExtSIOp>(l.i16(), l.bits(x, l.i8()));
  word = l.b.create<arith::ShLIOp>(word, l.constant(l.i16(), 7));
  word = l.b.create<arith::AndIOp>(word, l.constant(l.i16(), 0xbfff));
  Value result =
      l.b.create<arith::ExtFOp>(l.f32(), l.bits(word, l.of(l.b.getF16Type())));
  result = l.b.create<arith::MulFOp>(
      result, l.bits(l.number(0x43800000), l.f32())); // 256
  // What comes out above 448 was NaN.
  Value size = l.mask(l.bits(result, l.i32()), 0x7fffffff);
  return l.select(l.isAbove(size, 0x43e00000),
                  l.bits(l.number(0x7fc00000), l.f32()), result);
}

/// Of what is 448 or less, or NaN; as truncateToHalf does.
static Value truncateToE4m3(Lanes &l, Value x) {
  Value word = l.bits(x, l.i32());
  Value size = l.mask(word, 0x7fffffff);
  Value sign = l.shiftRight(l.mask(word, 0x80000000), 24);
  Value odd = l.mask(l.shiftRight(size, 20), 1);
  Value normal = l.shiftRight(
      l.add(l.add(size, l.number(uint32_t(7 - 127) * (1u << 23) + 0x7ffff)),
            odd),
      20);
  // Adding 2^14 leaves multiples of 2^-9 in the last bits, rounded.
  Value base = l.bits(l.number(141 << 23), l.f32());
  Value small = l.b.create<arith::AddFOp>(l.bits(size, l.f32()), base);
  small =
      l.b.create<arith::SubIOp>(l.bits(small, l.i32()), l.number(141 << 23));
  // Below 2^-6, and NaN.
  Value result = l.select(l.isAbove(size, 0x3c7fffff), normal, small);
  result = l.select(l.isAbove(size, 0x7f800000), l.number(0x7f), result);
  return l.b.create<arith::OrIOp>(result, sign);
}

void expandFloats(func::FuncOp function, const CpuFeatures &features) {
  SmallVector<Operation *> casts;
  function.walk([&](Operation *op) {
    if (isa<arith::ExtFOp, arith::TruncFOp>(op))
      casts.push_back(op);
  });
  for (Operation *op : casts) {
    bool isWider = isa<arith::ExtFOp>(op);
    Type from = getElementTypeOrSelf(op->getOperand(0)),
         to = getElementTypeOrSelf(op->getResult(0));
    Type narrow = isWider ? from : to;
    if (!(isWider ? to : from).isF32() ||
        (narrow.isF16()    ? features.convertsHalf
         : narrow.isBF16() ? !isWider && features.convertsBfloat
                           : false))
      continue;
    Lanes l(op);
    Value x = op->getOperand(0), result;
    if (isWider) {
      result = narrow.isBF16()         ? extendBfloat(l, x)
               : narrow.isF16()        ? extendHalf(l, x)
               : features.convertsHalf ? extendE4m3ByHalf(l, x)
                                       : extendE4m3(l, x);
    } else {
      Value word = narrow.isBF16()  ? truncateToBfloat(l, x)
                   : narrow.isF16() ? truncateToHalf(l, x)
                                    : truncateToE4m3(l, x);
      Type bits = narrow.getIntOrFloatBitWidth() == 8 ? l.i8() : l.i16();
      result = l.bits(l.b.create<arith::TruncIOp>(bits, word), l.of(narrow));
    }
    op->getResult(0).replaceAllUsesWith(result);
    op->erase();
  }
}

} // namespace lathe::cpu
