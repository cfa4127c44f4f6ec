//===- Elementwise.cpp - ONNX arithmetic, comparison, logic ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

#include <limits>

namespace lathe::onnx_import {
namespace {

template <typename OpTy> LogicalResult unary(Node &n) {
  return n.result(n.make<OpTy>(n.in(0)));
}

/// Before operator set 7, `broadcast` aligned B's first dim with `axis` of A.
Val legacyOperand(Node &n, Val a, Val b) {
  if (n.opset >= 7 || !n.i("broadcast") || !n.attr("axis") || !n.ok())
    return b;
  int64_t axis = n.axis(n.i("axis"), Node::rank(a));
  SmallVector<int64_t> behind;
  for (int64_t i = axis + Node::rank(b); i < Node::rank(a); ++i)
    behind.push_back(Node::rank(b) + behind.size());
  return n.unsqueeze(b, behind);
}

template <typename OpTy> LogicalResult binary(Node &n) {
  Val a = n.in(0), b = n.in(1);
  return n.result(n.make<OpTy>(a, legacyOperand(n, a, b)));
}

template <ComparePredicate predicate> LogicalResult comparison(Node &n) {
  Val a = n.in(0), b = n.in(1);
  return n.result(n.compare(predicate, a, legacyOperand(n, a, b)));
}

/// One op for two operands, repeated for any number of them.
template <typename OpTy> Val fold(Node &n) {
  Val result = n.in(0);
  for (unsigned i = 1; i < n.numInputs(); ++i)
    result = n.make<OpTy>(result, n.in(i));
  return result;
}
template <typename OpTy> LogicalResult variadic(Node &n) {
  return n.result(fold<OpTy>(n));
}
LogicalResult meanOf(Node &n) {
  return n.result(fold<AddOp>(n) / double(n.numInputs()));
}

/// Floats compute in their own type; an integer base with a float exponent
/// goes through f64, which holds the power exactly where it fits.
LogicalResult power(Node &n) {
  Val a = n.in(0), b = n.in(1);
  b = legacyOperand(n, a, b);
  Type type = n.elem(a);
  if (n.elem(b) == type)
    return n.result(n.make<PowOp>(a, b));
  if (n.isFloat(a))
    return n.result(n.make<PowOp>(a, n.convert(b, type)));
  if (!n.isFloat(b))
    return n.result(n.make<PowOp>(a, n.convert(b, type)));
  Type wide = n.b.getF64Type();
  return n.result(
      n.convert(n.make<PowOp>(n.convert(a, wide), n.convert(b, wide)), type));
}

LogicalResult modulo(Node &n) {
  if (n.i("fmod"))
    return binary<RemOp>(n);
  return binary<ModOp>(n);
}

LogicalResult bitShift(Node &n) {
  std::string direction = n.s("direction");
  if (direction == "LEFT")
    return binary<ShlOp>(n);
  if (direction == "RIGHT")
    return binary<ShrOp>(n);
  return n.fail("expected the direction LEFT or RIGHT, got '" + direction +
                "'");
}

LogicalResult where(Node &n) {
  return n.result(n.select(n.in(0), n.in(1), n.in(2)));
}

LogicalResult clip(Node &n) {
  Val x = n.in(0);
  if (n.has(1))
    x = n.make<MaxOp>(x, n.in(1));
  if (n.has(2))
    x = n.make<MinOp>(x, n.in(2));
  return n.result(x);
}
LogicalResult clipAttributes(Node &n) {
  Val x = n.in(0);
  if (n.attr("min"))
    x = max(x, n.f("min"));
  if (n.attr("max"))
    x = min(x, n.f("max"));
  return n.result(x);
}

/// Casts saturate; with `saturate = 0` what would round to more than the
/// largest 8-bit float becomes NaN.
LogicalResult castBy(Node &n, Type type) {
  Val x = n.in(0);
  if (n.ok() && type && type.isFloat8E4M3FN() && n.i("saturate", 1) == 0 &&
      n.isFloat(x)) {
    Val size = n.make<AbsOp>(x);
    constexpr double kLastToRoundDown = 464;
    Val nan = n.scalar(n.elem(x), std::numeric_limits<double>::quiet_NaN());
    x = n.select(greater(size, kLastToRoundDown), nan, x);
  }
  return n.result(n.convert(x, type));
}
LogicalResult castTo(Node &n) { return castBy(n, n.elementType(n.i("to"))); }
LogicalResult castLike(Node &n) { return castBy(n, n.elem(n.in(1))); }

LogicalResult isInf(Node &n) {
  Val x = n.in(0);
  bool negative = n.i("detect_negative", 1),
       positive = n.i("detect_positive", 1);
  Val inf = n.make<IsInfOp>(x);
  if (negative && positive)
    return n.result(inf);
  if (!negative && !positive)
    return n.result(n.make<AndOp>(inf, n.scalar(n.b.getI1Type(), 0)));
  return n.result(n.make<AndOp>(inf, positive ? greater(x, 0) : less(x, 0)));
}

LogicalResult identity(Node &n) { return n.result(n.in(0)); }

constexpr OpRow rows[] = {
    {"Abs", 1, 0, unary<AbsOp>},
    {"Neg", 1, 0, unary<NegOp>},
    {"Exp", 1, 0, unary<ExpOp>},
    {"Log", 1, 0, unary<LogOp>},
    {"Sqrt", 1, 0, unary<SqrtOp>},
    {"Reciprocal", 1, 0, unary<ReciprocalOp>},
    {"Sin", 1, 0, unary<SinOp>},
    {"Cos", 1, 0, unary<CosOp>},
    {"Tan", 1, 0, unary<TanOp>},
    {"Asin", 1, 0, unary<AsinOp>},
    {"Acos", 1, 0, unary<AcosOp>},
    {"Atan", 1, 0, unary<AtanOp>},
    {"Sinh", 1, 0, unary<SinhOp>},
    {"Cosh", 1, 0, unary<CoshOp>},
    {"Tanh", 1, 0, unary<TanhOp>},
    {"Asinh", 1, 0, unary<AsinhOp>},
    {"Acosh", 1, 0, unary<AcoshOp>},
    {"Atanh", 1, 0, unary<AtanhOp>},
    {"Erf", 1, 0, unary<ErfOp>},
    {"Sigmoid", 1, 0, unary<SigmoidOp>},
    {"Softplus", 1, 0, unary<SoftplusOp>},
    {"Floor", 1, 0, unary<FloorOp>},
    {"Ceil", 1, 0, unary<CeilOp>},
    {"Round", 1, 0, unary<RoundOp>},
    {"Relu", 1, 0, unary<ReluOp>},
    {"Sign", 1, 0, unary<SignOp>},
    {"Not", 1, 0, unary<NotOp>},
    {"BitwiseNot", 18, 0, unary<NotOp>},
    {"IsNaN", 1, 0, unary<IsNanOp>},
    {"IsInf", 1, 0, isInf},
    {"Identity", 1, 0, identity},
    {"Add", 1, 0, binary<AddOp>},
    {"Sub", 1, 0, binary<SubOp>},
    {"Mul", 1, 0, binary<MulOp>},
    {"Div", 1, 0, binary<DivOp>},
    {"Pow", 1, 0, power},
    {"Mod", 1, 0, modulo},
    {"And", 1, 0, binary<AndOp>},
    {"Or", 1, 0, binary<OrOp>},
    {"Xor", 1, 0, binary<XorOp>},
    {"BitwiseAnd", 18, 0, binary<AndOp>},
    {"BitwiseOr", 18, 0, binary<OrOp>},
    {"BitwiseXor", 18, 0, binary<XorOp>},
    {"BitShift", 11, 0, bitShift},
    {"Equal", 1, 0, comparison<ComparePredicate::eq>},
    {"Less", 1, 0, comparison<ComparePredicate::lt>},
    {"Greater", 1, 0, comparison<ComparePredicate::gt>},
    {"LessOrEqual", 12, 0, comparison<ComparePredicate::le>},
    {"GreaterOrEqual", 12, 0, comparison<ComparePredicate::ge>},
    {"Max", 1, 0, variadic<MaxOp>},
    {"Min", 1, 0, variadic<MinOp>},
    {"Sum", 1, 0, variadic<AddOp>},
    {"Mean", 1, 0, meanOf},
    {"Where", 9, 0, where},
    {"Clip", 11, 0, clip},
    {"Clip", 1, 10, clipAttributes},
    {"Cast", 6, 0, castTo},
    {"CastLike", 15, 0, castLike},
};

} // namespace

ArrayRef<OpRow> elementwiseOps() { return rows; }

} // namespace lathe::onnx_import
