//===- ElementwiseVjp.cpp - Derivatives of elementwise ops ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One row of the table per op. Rows see floats of 32 bits and up, and write
// gradients of the result's shape; what is stretched is summed afterwards.
//
// Where a function has a kink the gradient is: of relu and abs at 0, 0; of max
// and min where both are equal, half for each; of a step (floor, sign, ...) 0.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/ElementwiseOps.h"
#include "dialects/Lathe/Vjp.h"

namespace lathe {
namespace {

using B = VjpBuilder;
using P = ComparePredicate;

/// What a row sees: the op, its operands x, its result y, the cotangent g.
struct Row {
  Operation *op;
  SmallVector<Value, 3> x;
  Value y, g;
};
using Rule = SmallVector<Value, 3> (*)(B &, const Row &);

/// Of max and min: all of g where `wins`, half of it in a tie.
Value shareOf(B &b, const Row &r, P wins, Value x, Value other) {
  Value half = b.scale(r.g, 0.5), none = b.number(0, r.g);
  Value tie = b.select(b.compare(P::eq, x, other), half, none);
  return b.select(b.compare(wins, x, other), r.g, tie);
}

SmallVector<Value, 3> gelu(B &b, const Row &r) {
  Value x = r.x[0], one = b.number(1, x);
  Value square = b.mul(x, x), half = b.number(0.5, x);
  Value inner, slope; // gelu = x / 2 * (1 + inner), slope = inner'
  if (::mlir::cast<GeluOp>(r.op).getTanh()) {
    constexpr double k = 0.7978845608028654, a = 0.044715;
    Value z = b.mul(b.scale(x, k), b.add(one, b.scale(square, a)));
    inner = b.make<TanhOp>(z);
    Value dz = b.scale(b.add(one, b.scale(square, 3 * a)), k);
    slope = b.mul(b.sub(one, b.mul(inner, inner)), dz);
  } else {
    inner = b.make<ErfOp>(b.scale(x, 0.7071067811865476));
    slope = b.scale(b.make<ExpOp>(b.scale(square, -0.5)), 0.7978845608028654);
  }
  Value whole = b.mul(half, b.add(b.add(one, inner), b.mul(x, slope)));
  return {b.mul(r.g, whole)};
}

SmallVector<Value, 3> pow(B &b, const Row &r) {
  Value x = r.x[0], e = r.x[1], zero = b.number(0, x), one = b.number(1, x);
  // x^(e-1) is infinite at 0 for e < 1, and e = 0 is flat.
  Value lower = b.mul(e, b.make<PowOp>(x, b.sub(e, one)));
  Value dx = b.select(b.compare(P::eq, e, zero), zero, lower);
  // Only a positive base has a power for the exponents next to e.
  Value isPositive = b.compare(P::gt, x, zero);
  Value log = b.make<LogOp>(b.select(isPositive, x, one));
  return {b.mul(r.g, dx), b.mul(r.g, b.mul(r.y, log))};
}

/// rem and mod: x - n * divisor with a whole number n that does not change.
SmallVector<Value, 3> remainder(B &b, const Row &r) {
  Value n = b.make<RoundOp>(b.div(b.sub(r.x[0], r.y), r.x[1]));
  return {r.g, b.neg(b.mul(r.g, n))};
}

template <typename OpTy>
void row(llvm::DenseMap<TypeID, Rule> &table, Rule rule) {
  table[TypeID::get<OpTy>()] = rule;
}

#define RULE [](B & b, const Row &r) -> SmallVector<Value, 3>

llvm::DenseMap<TypeID, Rule> makeTable() {
  llvm::DenseMap<TypeID, Rule> t;
  row<ExpOp>(t, RULE { return {b.mul(r.g, r.y)}; });
  row<LogOp>(t, RULE { return {b.div(r.g, r.x[0])}; });
  row<SqrtOp>(t, RULE { return {b.div(b.scale(r.g, 0.5), r.y)}; });
  row<RsqrtOp>(
      t, RULE {
        Value cube = b.mul(r.y, b.mul(r.y, r.y));
        return {b.scale(b.mul(r.g, cube), -0.5)};
      });
  row<ReciprocalOp>(t, RULE { return {b.neg(b.mul(r.g, b.mul(r.y, r.y)))}; });
  row<SinOp>(t, RULE { return {b.mul(r.g, b.make<CosOp>(r.x[0]))}; });
  row<CosOp>(t, RULE { return {b.neg(b.mul(r.g, b.make<SinOp>(r.x[0])))}; });
  row<TanOp>(
      t,
      RULE { return {b.mul(r.g, b.add(b.number(1, r.y), b.mul(r.y, r.y)))}; });
  row<AsinOp>(
      t, RULE {
        Value rest = b.sub(b.number(1, r.y), b.mul(r.x[0], r.x[0]));
        return {b.mul(r.g, b.make<RsqrtOp>(rest))};
      });
  row<AcosOp>(
      t, RULE {
        Value rest = b.sub(b.number(1, r.y), b.mul(r.x[0], r.x[0]));
        return {b.neg(b.mul(r.g, b.make<RsqrtOp>(rest)))};
      });
  row<AtanOp>(
      t, RULE {
        return {b.div(r.g, b.add(b.number(1, r.y), b.mul(r.x[0], r.x[0])))};
      });
  row<SinhOp>(t, RULE { return {b.mul(r.g, b.make<CoshOp>(r.x[0]))}; });
  row<CoshOp>(t, RULE { return {b.mul(r.g, b.make<SinhOp>(r.x[0]))}; });
  row<AsinhOp>(
      t, RULE {
        Value more = b.add(b.mul(r.x[0], r.x[0]), b.number(1, r.y));
        return {b.mul(r.g, b.make<RsqrtOp>(more))};
      });
  row<AcoshOp>(
      t, RULE {
        Value less = b.sub(b.mul(r.x[0], r.x[0]), b.number(1, r.y));
        return {b.mul(r.g, b.make<RsqrtOp>(less))};
      });
  row<AtanhOp>(
      t, RULE {
        return {b.div(r.g, b.sub(b.number(1, r.y), b.mul(r.x[0], r.x[0])))};
      });
  row<TanhOp>(
      t,
      RULE { return {b.mul(r.g, b.sub(b.number(1, r.y), b.mul(r.y, r.y)))}; });
  row<ErfOp>(
      t, RULE {
        Value bell = b.make<ExpOp>(b.neg(b.mul(r.x[0], r.x[0])));
        return {b.mul(r.g, b.scale(bell, 1.1283791670955126))}; // 2 / sqrt(pi)
      });
  row<SigmoidOp>(
      t,
      RULE { return {b.mul(r.g, b.mul(r.y, b.sub(b.number(1, r.y), r.y)))}; });
  row<SiluOp>(
      t, RULE {
        Value s = b.make<SigmoidOp>(r.x[0]);
        Value rest = b.mul(r.y, b.sub(b.number(1, s), s));
        return {b.mul(r.g, b.add(s, rest))};
      });
  row<SoftplusOp>(t, RULE { return {b.mul(r.g, b.make<SigmoidOp>(r.x[0]))}; });
  row<ReluOp>(
      t, RULE {
        Value zero = b.number(0, r.g);
        return {b.select(b.compare(P::gt, r.x[0], zero), r.g, zero)};
      });
  row<NegOp>(t, RULE { return {b.neg(r.g)}; });
  row<AbsOp>(t, RULE { return {b.mul(r.g, b.make<SignOp>(r.x[0]))}; });
  row<GeluOp>(t, gelu);
  row<AddOp>(t, RULE { return {r.g, r.g}; });
  row<SubOp>(t, RULE { return {r.g, b.neg(r.g)}; });
  row<MulOp>(t, RULE { return {b.mul(r.g, r.x[1]), b.mul(r.g, r.x[0])}; });
  row<DivOp>(
      t, RULE {
        Value dx = b.div(r.g, r.x[1]);
        return {dx, b.neg(b.mul(dx, r.y))};
      });
  row<PowOp>(t, pow);
  row<MaxOp>(
      t, RULE {
        return {shareOf(b, r, P::gt, r.x[0], r.x[1]),
                shareOf(b, r, P::gt, r.x[1], r.x[0])};
      });
  row<MinOp>(
      t, RULE {
        return {shareOf(b, r, P::lt, r.x[0], r.x[1]),
                shareOf(b, r, P::lt, r.x[1], r.x[0])};
      });
  row<RemOp>(t, remainder);
  row<ModOp>(t, remainder);
  row<SelectOp>(
      t, RULE {
        Value zero = b.number(0, r.g);
        return {Value(), b.select(r.x[0], r.g, zero),
                b.select(r.x[0], zero, r.g)};
      });
  // Operands and results differ in type: the conversion back is what
  // gradientOf does.
  row<CastOp>(t, RULE { return {r.g}; });
  return t;
}
#undef RULE

const llvm::DenseMap<TypeID, Rule> &table() {
  static const llvm::DenseMap<TypeID, Rule> rules = makeTable();
  return rules;
}

bool isFlat(Operation *op) {
  return !table().contains(op->getName().getTypeID());
}

Gradients differentiate(Operation *op, OpBuilder &builder, Value cotangent) {
  VjpBuilder b(builder, op);
  auto found = table().find(op->getName().getTypeID());
  if (found == table().end())
    return failure();
  // 16-bit floats compute in f32, as in the op itself.
  auto widen = [&](Value value) {
    return hasFloatElements(value) ? b.widen(value) : value;
  };
  Row row{op, {}, widen(op->getResult(0)), widen(cotangent)};
  for (Value operand : op->getOperands())
    row.x.push_back(widen(operand));
  SmallVector<Value> gradients;
  for (auto [operand, gradient] :
       llvm::zip_equal(op->getOperands(), found->second(b, row)))
    gradients.push_back(gradient && hasFloatElements(operand)
                            ? b.gradientOf(operand, gradient)
                            : Value());
  return gradients;
}

} // namespace

#define LATHE_ELEMENTWISE_RULES(OP)                                            \
  Gradients OP::buildVjp(OpBuilder &builder, ValueRange cotangents) {          \
    return differentiate(*this, builder, cotangents[0]);                       \
  }                                                                            \
  bool OP::isInactiveOperand(unsigned) { return isFlat(*this); }
LATHE_ELEMENTWISE_OPS(LATHE_ELEMENTWISE_RULES)
#undef LATHE_ELEMENTWISE_RULES

} // namespace lathe
