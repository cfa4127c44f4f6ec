//===- Pad.cpp - Padding to linalg --------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"

namespace lathe {
namespace {

/// The input position for `place` (which may lie outside) by the mode's rule.
Value foldPosition(ElementBuilder &b, Value place, int64_t size, PadMode mode) {
  Type type = place.getType();
  auto modulo = [&](Value x, int64_t by) {
    Value n = b.integer(by, type);
    Value r = b.create<arith::RemSIOp>(x, n);
    return b.select(b.compare("lt", r, b.integer(0, type)), b.add(r, n), r);
  };
  Value last = b.integer(size - 1, type), zero = b.integer(0, type);
  switch (mode) {
  case PadMode::reflect: {
    if (size == 1)
      return zero;
    // 0 1 2 1 0 1 ...: period 2 (n - 1).
    Value m = modulo(place, 2 * (size - 1));
    Value mirrored = b.sub(b.integer(2 * (size - 1), type), m);
    return b.create<arith::MinSIOp>(m, mirrored);
  }
  case PadMode::wrap:
    return modulo(place, size);
  case PadMode::edge:
  case PadMode::constant:
    return b.create<arith::MaxSIOp>(b.create<arith::MinSIOp>(place, last),
                                    zero);
  }
  return place;
}

/// The general form: `low(b, d)` is the padding before dim d.
Value computePad(Lowering &l, Value input, Value value, RankedTensorType type,
                 PadMode mode,
                 function_ref<Value(ElementBuilder &, unsigned)> low) {
  Shape in = Lowering::shape(input);
  return l.compute(type, [&](ElementBuilder &b, ValueRange indices) {
    SmallVector<Value> at;
    Value inside;
    for (auto [d, i] : llvm::enumerate(indices)) {
      Value place = b.sub(i, low(b, d));
      Value here = b.logicalAnd(
          b.compare("ge", place, b.integer(0, place.getType())),
          b.compare("lt", place, b.integer(in[d], place.getType())));
      inside = inside ? b.logicalAnd(inside, here) : here;
      at.push_back(foldPosition(b, place, in[d], mode));
    }
    Value x = b.create<tensor::ExtractOp>(input, at);
    if (mode != PadMode::constant || !inside)
      return x;
    Value fill = value ? b.create<tensor::ExtractOp>(value, ValueRange{})
                       : b.zero(x.getType());
    return b.select(inside, x, fill);
  });
}

LogicalResult lowerPad(Lowering &l, PadOp op) {
  Value input = l.get(op.getInput());
  RankedTensorType type = Lowering::storageType(op.getResult());
  Value value = op.getValue() ? l.get(op.getValue()) : Value();
  bool isEmpty = llvm::is_contained(Lowering::shape(input), 0);
  if (op.getMode() != PadMode::constant && !isEmpty) {
    Value result = computePad(
        l, input, {}, type, op.getMode(), [&](ElementBuilder &b, unsigned d) {
          return b.integer(op.getLow()[d], b.getIndexType());
        });
    l.set(op.getResult(), result);
    return success();
  }
  Value scalar;
  if (value)
    scalar = l.builder.create<tensor::ExtractOp>(l.loc, value, ValueRange{});
  else
    scalar = l.elements().zero(type.getElementType());
  l.set(op.getResult(), l.pad(input, op.getLow(), op.getHigh(), scalar));
  return success();
}

LogicalResult lowerDynamicPad(Lowering &l, DynamicPadOp op) {
  Value input = l.get(op.getInput()), pads = l.get(op.getPads());
  if (llvm::is_contained(Lowering::shape(input), 0))
    return op.emitOpError("expected an input with elements");
  Value value = op.getValue() ? l.get(op.getValue()) : Value();
  l.set(op.getResult(),
        computePad(l, input, value, Lowering::storageType(op.getResult()),
                   op.getMode(), [&](ElementBuilder &b, unsigned d) -> Value {
                     Value raw = b.create<tensor::ExtractOp>(
                         pads, ValueRange{b.integer(d, b.getIndexType())});
                     return b.create<arith::IndexCastOp>(b.getIndexType(), raw);
                   }));
  return success();
}

} // namespace

void addPadLowerings(LoweringTable &table) {
  addLowering<PadOp>(table, lowerPad);
  addLowering<DynamicPadOp>(table, lowerDynamicPad);
}

} // namespace lathe
