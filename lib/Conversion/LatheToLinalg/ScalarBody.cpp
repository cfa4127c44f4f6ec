//===- ScalarBody.cpp - What an elementwise op does to one element --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One row of the table per op: this is where its meaning is written.
//
//===----------------------------------------------------------------------===//

#include "lathe/Conversion/ScalarBody.h"

#include "dialects/Lathe/Lathe.h"
#include "lathe/Conversion/ElementBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <limits>

namespace lathe {
namespace {

/// What a row sees: operands already widened to f32 where they were 16-bit
/// floats, and whether the operand type is unsigned.
struct Args {
  Operation *op;
  ValueRange values;
  bool isUnsigned;
  Value operator[](size_t i) const { return values[i]; }
  Type type() const { return values[0].getType(); }
};
using Body = Value (*)(ElementBuilder &, const Args &);

template <typename MathOp> Value math1(ElementBuilder &b, const Args &x) {
  return b.create<MathOp>(x[0]);
}
template <typename ArithOp> Value arith2(ElementBuilder &b, const Args &x) {
  return b.create<ArithOp>(x[0], x[1]);
}

Value onePlusExpOfMinus(ElementBuilder &b, Value x) {
  Value e = b.create<math::ExpOp>(b.neg(x));
  return b.add(b.number(1, x.getType()), e);
}

Value gelu(ElementBuilder &b, const Args &args) {
  Value x = args[0], inner;
  Type type = x.getType();
  if (cast<GeluOp>(args.op).getTanh()) {
    // sqrt(2/pi) * (x + 0.044715 x^3)
    Value cubic = b.mul(b.number(0.044715, type), b.mul(x, b.mul(x, x)));
    Value z = b.mul(b.number(0.7978845608028654, type), b.add(x, cubic));
    inner = b.create<math::TanhOp>(z);
  } else {
    inner = b.create<math::ErfOp>(b.mul(x, b.number(0.7071067811865476, type)));
  }
  Value half = b.mul(x, b.number(0.5, type));
  return b.mul(half, b.add(b.number(1, type), inner));
}

Value softplus(ElementBuilder &b, const Args &x) {
  // max(x, 0) + log(1 + exp(-|x|)), whose exponent is never positive.
  Value e = b.create<math::ExpOp>(b.neg(b.abs(x[0], false)));
  return b.add(b.max(x[0], b.zero(x.type()), false),
               b.create<math::Log1pOp>(e));
}

Value relu(ElementBuilder &b, const Args &x) {
  Value nought = b.zero(x.type());
  if (x.isUnsigned)
    return x[0];
  // NaN stays, and the pair is one instruction.
  return b.select(b.compare("lt", x[0], nought), nought, x[0]);
}

Value shift(ElementBuilder &b, const Args &x, bool left) {
  Type type = x.type();
  int64_t width = getElementTypeOrSelf(type).getIntOrFloatBitWidth();
  // A signed type of one bit cannot hold 1, and an 8-bit one holds 8: compare
  // unsigned with width - 1.
  Value most = b.integer(width - 1, type);
  Value outside = b.compare("gt", x[1], most, /*isUnsigned=*/true);
  Value amount = b.select(outside, most, x[1]);
  if (left)
    return b.select(outside, b.zero(type),
                    b.create<arith::ShLIOp>(x[0], amount));
  if (x.isUnsigned)
    return b.select(outside, b.zero(type),
                    b.create<arith::ShRUIOp>(x[0], amount));
  return b.create<arith::ShRSIOp>(x[0], amount);
}

template <typename OpTy>
void row(llvm::DenseMap<TypeID, Body> &table, Body body) {
  table[TypeID::get<OpTy>()] = body;
}

llvm::DenseMap<TypeID, Body> makeTable() {
  using B = ElementBuilder;
  llvm::DenseMap<TypeID, Body> t;
  row<ExpOp>(t, math1<math::ExpOp>);
  row<LogOp>(t, math1<math::LogOp>);
  row<SqrtOp>(t, math1<math::SqrtOp>);
  row<SinOp>(t, math1<math::SinOp>);
  row<CosOp>(t, math1<math::CosOp>);
  row<TanOp>(t, math1<math::TanOp>);
  row<AsinOp>(t, math1<math::AsinOp>);
  row<AcosOp>(t, math1<math::AcosOp>);
  row<AtanOp>(t, math1<math::AtanOp>);
  row<SinhOp>(t, math1<math::SinhOp>);
  row<CoshOp>(t, math1<math::CoshOp>);
  row<AsinhOp>(t, math1<math::AsinhOp>);
  row<AcoshOp>(t, math1<math::AcoshOp>);
  row<AtanhOp>(t, math1<math::AtanhOp>);
  row<TanhOp>(t, math1<math::TanhOp>);
  row<ErfOp>(t, math1<math::ErfOp>);
  row<FloorOp>(t, math1<math::FloorOp>);
  row<CeilOp>(t, math1<math::CeilOp>);
  row<RoundOp>(t, math1<math::RoundEvenOp>);
  row<GeluOp>(t, gelu);
  row<SoftplusOp>(t, softplus);
  row<ReluOp>(t, relu);
  row<RsqrtOp>(t, [](B &b, const Args &x) -> Value {
    return b.create<arith::DivFOp>(b.number(1, x.type()),
                                   b.create<math::SqrtOp>(x[0]));
  });
  row<ReciprocalOp>(t, [](B &b, const Args &x) -> Value {
    return b.create<arith::DivFOp>(b.number(1, x.type()), x[0]);
  });
  row<SigmoidOp>(t, [](B &b, const Args &x) -> Value {
    return b.create<arith::DivFOp>(b.number(1, x.type()),
                                   onePlusExpOfMinus(b, x[0]));
  });
  row<SiluOp>(t, [](B &b, const Args &x) -> Value {
    return b.create<arith::DivFOp>(x[0], onePlusExpOfMinus(b, x[0]));
  });
  row<NegOp>(t, [](B &b, const Args &x) { return b.neg(x[0]); });
  row<AbsOp>(t, [](B &b, const Args &x) { return b.abs(x[0], x.isUnsigned); });
  row<SignOp>(t,
              [](B &b, const Args &x) { return b.sign(x[0], x.isUnsigned); });
  row<NotOp>(t, [](B &b, const Args &x) { return b.logicalNot(x[0]); });
  row<IsNanOp>(t, [](B &b, const Args &x) { return b.isNan(x[0]); });
  row<IsInfOp>(t, [](B &b, const Args &x) {
    Value inf = b.number(std::numeric_limits<double>::infinity(), x.type());
    return b.compare("eq", b.abs(x[0], false), inf);
  });
  row<AddOp>(t, [](B &b, const Args &x) { return b.add(x[0], x[1]); });
  row<SubOp>(t, [](B &b, const Args &x) { return b.sub(x[0], x[1]); });
  row<MulOp>(t, [](B &b, const Args &x) { return b.mul(x[0], x[1]); });
  row<DivOp>(
      t, [](B &b, const Args &x) { return b.div(x[0], x[1], x.isUnsigned); });
  row<PowOp>(
      t, [](B &b, const Args &x) { return b.pow(x[0], x[1], x.isUnsigned); });
  row<MaxOp>(
      t, [](B &b, const Args &x) { return b.max(x[0], x[1], x.isUnsigned); });
  row<MinOp>(
      t, [](B &b, const Args &x) { return b.min(x[0], x[1], x.isUnsigned); });
  row<RemOp>(
      t, [](B &b, const Args &x) { return b.rem(x[0], x[1], x.isUnsigned); });
  row<ModOp>(
      t, [](B &b, const Args &x) { return b.mod(x[0], x[1], x.isUnsigned); });
  row<AndOp>(t, arith2<arith::AndIOp>);
  row<OrOp>(t, arith2<arith::OrIOp>);
  row<XorOp>(t, arith2<arith::XOrIOp>);
  row<ShlOp>(t, [](B &b, const Args &x) { return shift(b, x, true); });
  row<ShrOp>(t, [](B &b, const Args &x) { return shift(b, x, false); });
  row<CompareOp>(t, [](B &b, const Args &x) {
    auto predicate = cast<CompareOp>(x.op).getPredicate();
    return b.compare(stringifyComparePredicate(predicate), x[0], x[1],
                     x.isUnsigned);
  });
  row<SelectOp>(t,
                [](B &b, const Args &x) { return b.select(x[0], x[1], x[2]); });
  return t;
}

Type elementType(Value tensor) {
  return cast<RankedTensorType>(tensor.getType()).getElementType();
}

} // namespace

Value buildScalarBody(OpBuilder &builder, Location loc, Operation *op,
                      ValueRange operands) {
  static const llvm::DenseMap<TypeID, Body> table = makeTable();
  ElementBuilder b(builder, loc);
  if (auto castOp = dyn_cast<CastOp>(op))
    return b.cast(operands[0], elementType(castOp.getInput()),
                  elementType(castOp.getResult()));
  auto found = table.find(op->getName().getTypeID());
  if (found == table.end())
    return nullptr;

  // Moving a value needs no computing form; everything else on 16-bit floats
  // happens in f32.
  bool moves = isa<SelectOp>(op);
  SmallVector<Value> values;
  for (Value operand : operands)
    values.push_back(moves ? operand : b.widen(operand));
  bool isUnsigned = isUnsignedElement(elementType(op->getOperand(0)));
  Value result = found->second(b, Args{op, values, isUnsigned});
  return b.narrow(result, elementType(op->getResult(0)));
}

} // namespace lathe
