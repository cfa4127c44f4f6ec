//===- ElementwiseFold.cpp - Folding of elementwise ops -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Constants are computed in double precision and rounded once: for the four
// arithmetic operations and the square root the result is the one that
// arithmetic in the narrower type gives (Figueroa, "When is double rounding
// innocuous?", 1995).
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/ConstantNumbers.h"
#include "dialects/Lathe/ElementwiseOps.h"
#include "dialects/Lathe/Inference.h"

#include "mlir/IR/Matchers.h"

#include <cmath>
#include <limits>

namespace lathe {
namespace {

//===----------------------------------------------------------------------===//
// The meaning of each op on numbers
//===----------------------------------------------------------------------===//

/// On floats (`y` is 0 for unary ops) and on integers; the result of `ints` is
/// wrapped by the caller.
template <typename OpTy> struct Meaning;

#define LATHE_FLOATS(OP, EXPR)                                                 \
  template <> struct Meaning<OP> {                                             \
    static double floats(double x, double y) { return EXPR; }                  \
    static int64_t ints(NumberKind, int64_t, int64_t) { return 0; }            \
  };
#define LATHE_INTS(OP, EXPR)                                                   \
  template <> struct Meaning<OP> {                                             \
    static double floats(double, double) { return 0.0; }                       \
    static int64_t ints(NumberKind k, int64_t x, int64_t y) { return EXPR; }   \
  };
#define LATHE_NUMBERS(OP, FLOATS, INTS)                                        \
  template <> struct Meaning<OP> {                                             \
    static double floats(double x, double y) { return FLOATS; }                \
    static int64_t ints(NumberKind k, int64_t x, int64_t y) { return INTS; }   \
  };

/// Integer arithmetic that wraps instead of overflowing.
int64_t add(int64_t x, int64_t y) { return uint64_t(x) + uint64_t(y); }
int64_t sub(int64_t x, int64_t y) { return uint64_t(x) - uint64_t(y); }
int64_t mul(int64_t x, int64_t y) { return uint64_t(x) * uint64_t(y); }

int64_t div(NumberKind k, int64_t x, int64_t y) {
  if (y == 0)
    return 0;
  if (k.isUnsigned)
    return uint64_t(x) / uint64_t(y);
  return y == -1 ? sub(0, x) : x / y;
}
int64_t rem(NumberKind k, int64_t x, int64_t y) {
  if (y == 0)
    return 0;
  if (k.isUnsigned)
    return uint64_t(x) % uint64_t(y);
  return y == -1 ? 0 : x % y;
}
int64_t mod(NumberKind k, int64_t x, int64_t y) {
  int64_t r = rem(k, x, y);
  return !k.isUnsigned && r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
double mod(double x, double y) {
  double r = std::fmod(x, y);
  return r != 0.0 && (r < 0.0) != (y < 0.0) ? r + y : r;
}
int64_t pow(NumberKind k, int64_t x, int64_t y) {
  // 1 / x^|y|, truncated.
  if (!k.isUnsigned && y < 0)
    return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  int64_t result = 1;
  for (uint64_t rest = y; rest; rest >>= 1) {
    if (rest & 1)
      result = mul(result, x);
    x = mul(x, x);
  }
  return result;
}
int64_t shl(NumberKind k, int64_t x, int64_t y) {
  return uint64_t(y) >= k.width ? 0 : int64_t(uint64_t(x) << y);
}
int64_t shr(NumberKind k, int64_t x, int64_t y) {
  if (uint64_t(y) >= k.width)
    return k.isUnsigned || x >= 0 ? 0 : -1;
  return k.isUnsigned ? int64_t(uint64_t(x) >> y) : x >> y;
}
double max(double x, double y) { return std::isnan(x) || x > y ? x : y; }
double min(double x, double y) { return std::isnan(x) || x < y ? x : y; }
double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// clang-format off
LATHE_FLOATS(ExpOp, std::exp(x))
LATHE_FLOATS(LogOp, std::log(x))
LATHE_FLOATS(SqrtOp, std::sqrt(x))
LATHE_FLOATS(RsqrtOp, 1.0 / std::sqrt(x))
LATHE_FLOATS(ReciprocalOp, 1.0 / x)
LATHE_FLOATS(SinOp, std::sin(x))
LATHE_FLOATS(CosOp, std::cos(x))
LATHE_FLOATS(TanOp, std::tan(x))
LATHE_FLOATS(AsinOp, std::asin(x))
LATHE_FLOATS(AcosOp, std::acos(x))
LATHE_FLOATS(AtanOp, std::atan(x))
LATHE_FLOATS(SinhOp, std::sinh(x))
LATHE_FLOATS(CoshOp, std::cosh(x))
LATHE_FLOATS(AsinhOp, std::asinh(x))
LATHE_FLOATS(AcoshOp, std::acosh(x))
LATHE_FLOATS(AtanhOp, std::atanh(x))
LATHE_FLOATS(TanhOp, std::tanh(x))
LATHE_FLOATS(ErfOp, std::erf(x))
LATHE_FLOATS(SigmoidOp, sigmoid(x))
LATHE_FLOATS(SiluOp, x * sigmoid(x))
LATHE_FLOATS(SoftplusOp, max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))))
LATHE_FLOATS(FloorOp, std::floor(x))
LATHE_FLOATS(CeilOp, std::ceil(x))
LATHE_FLOATS(RoundOp, std::nearbyint(x))
LATHE_NUMBERS(ReluOp, x < 0.0 ? 0.0 : x, k.isUnsigned || x >= 0 ? x : 0)
LATHE_NUMBERS(NegOp, -x, sub(0, x))
LATHE_NUMBERS(AbsOp, std::fabs(x), k.isUnsigned || x >= 0 ? x : sub(0, x))
LATHE_NUMBERS(SignOp, x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x,
              x == 0 ? 0 : k.isUnsigned || x > 0 ? 1 : -1)
LATHE_INTS(NotOp, ~x)
LATHE_NUMBERS(AddOp, x + y, add(x, y))
LATHE_NUMBERS(SubOp, x - y, sub(x, y))
LATHE_NUMBERS(MulOp, x * y, mul(x, y))
LATHE_NUMBERS(DivOp, x / y, div(k, x, y))
LATHE_NUMBERS(PowOp, std::pow(x, y), pow(k, x, y))
LATHE_NUMBERS(MaxOp, max(x, y), k.less(y, x) ? x : y)
LATHE_NUMBERS(MinOp, min(x, y), k.less(x, y) ? x : y)
LATHE_NUMBERS(RemOp, std::fmod(x, y), rem(k, x, y))
LATHE_NUMBERS(ModOp, mod(x, y), mod(k, x, y))
LATHE_INTS(AndOp, x & y)
LATHE_INTS(OrOp, x | y)
LATHE_INTS(XorOp, x ^ y)
LATHE_INTS(ShlOp, shl(k, x, y))
LATHE_INTS(ShrOp, shr(k, x, y))
// clang-format on
#undef LATHE_FLOATS
#undef LATHE_INTS
#undef LATHE_NUMBERS

double gelu(double x, bool tanh) {
  double inner =
      tanh ? std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))
           : std::erf(x * 0.7071067811865476);
  return 0.5 * x * (1.0 + inner);
}

template <typename T, typename Less>
bool compare(ComparePredicate predicate, T x, T y, Less less) {
  switch (predicate) {
  case ComparePredicate::eq:
    return x == y;
  case ComparePredicate::ne:
    return x != y;
  case ComparePredicate::lt:
    return less(x, y);
  case ComparePredicate::le:
    return less(x, y) || x == y;
  case ComparePredicate::gt:
    return less(y, x);
  case ComparePredicate::ge:
    return less(y, x) || x == y;
  }
  return false;
}

Number castNumber(Number x, NumberKind from, NumberKind to) {
  if (to.width == 1)
    return {0.0, from.isFloat ? x.f != 0.0 : x.i != 0};
  if (from.isFloat && to.isFloat)
    return x;
  if (to.isFloat) {
    if (to.width == 32) // rounded once
      return {from.isUnsigned ? float(uint64_t(x.i)) : float(x.i), 0};
    return {from.isUnsigned ? double(uint64_t(x.i)) : double(x.i), 0};
  }
  if (!from.isFloat)
    return {0.0, to.wrap(x.i)};
  if (std::isnan(x.f))
    return {};
  if (x.f <= (to.isUnsigned ? 0.0 : -std::ldexp(1.0, to.width - 1)))
    return {0.0, to.lowest()};
  if (x.f >= std::ldexp(1.0, to.isUnsigned ? to.width : to.width - 1))
    return {0.0, to.highest()};
  return {0.0, to.isUnsigned ? int64_t(uint64_t(x.f)) : int64_t(x.f)};
}

/// One element of `op`'s result from one element of each operand; `from` is the
/// kind of the first operand, `to` that of the result.
template <typename OpTy>
Number evaluate(OpTy op, ArrayRef<Number> x, NumberKind from, NumberKind to) {
  if constexpr (std::is_same_v<OpTy, GeluOp>)
    return {gelu(x[0].f, op.getTanh()), 0};
  else if constexpr (std::is_same_v<OpTy, IsNanOp>)
    return {0.0, std::isnan(x[0].f)};
  else if constexpr (std::is_same_v<OpTy, IsInfOp>)
    return {0.0, std::isinf(x[0].f)};
  else if constexpr (std::is_same_v<OpTy, CompareOp>)
    return {0.0, from.isFloat
                     ? compare(op.getPredicate(), x[0].f, x[1].f,
                               [](double a, double b) { return a < b; })
                     : compare(op.getPredicate(), x[0].i, x[1].i,
                               [&](int64_t a, int64_t b) {
                                 return from.less(a, b);
                               })};
  else if constexpr (std::is_same_v<OpTy, SelectOp>)
    return x[0].i ? x[1] : x[2];
  else if constexpr (std::is_same_v<OpTy, CastOp>)
    return castNumber(x[0], from, to);
  else {
    Number y = x.size() > 1 ? x[1] : Number();
    if (from.isFloat)
      return {Meaning<OpTy>::floats(x[0].f, y.f), 0};
    return {0.0, to.wrap(Meaning<OpTy>::ints(from, x[0].i, y.i))};
  }
}

template <typename OpTy>
Attribute foldConstants(OpTy op, ArrayRef<Attribute> operands) {
  auto type = getTensorType(op.getResult());
  FailureOr<int64_t> elements = elementCount(type.getShape());
  if (!type.hasStaticShape() || failed(elements))
    return {};
  SmallVector<SmallVector<Number>> numbers;
  SmallVector<SmallVector<int64_t>> strides;
  bool isSplat = true;
  for (Attribute operand : operands) {
    std::optional<SmallVector<Number>> read = readNumbers(operand);
    if (!read)
      return {};
    isSplat &= read->size() == 1;
    // One number stands for the whole operand.
    strides.push_back(
        read->size() == 1
            ? SmallVector<int64_t>(type.getRank(), 0)
            : broadcastStrides(
                  cast<DenseElementsAttr>(operand).getType().getShape(),
                  type.getShape()));
    numbers.push_back(std::move(*read));
  }
  int64_t count = isSplat ? std::min<int64_t>(*elements, 1) : *elements;
  if (count > kFoldLimit)
    return {};
  NumberKind from(getElementTypeOrSelf(op->getOperand(0).getType()));
  NumberKind to(type.getElementType());
  SmallVector<Number> results;
  SmallVector<int64_t> index(type.getRank(), 0);
  SmallVector<Number> arguments(operands.size());
  for (int64_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < arguments.size(); ++j) {
      int64_t flat = 0;
      for (auto [position, stride] : llvm::zip_equal(index, strides[j]))
        flat += position * stride;
      arguments[j] = numbers[j][flat];
    }
    results.push_back(evaluate(op, arguments, from, to));
    for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
      if (++index[dim] < type.getDimSize(dim))
        break;
      index[dim] = 0;
    }
  }
  return writeNumbers(type, results);
}

//===----------------------------------------------------------------------===//
// Identities
//===----------------------------------------------------------------------===//

/// Whether a constant holds `value` everywhere; as a float, -0.0 is not 0.0.
bool isSplatOf(Attribute attribute, double value) {
  auto dense = dyn_cast_if_present<DenseElementsAttr>(attribute);
  if (!dense || !dense.isSplat())
    return false;
  std::optional<SmallVector<Number>> numbers = readNumbers(dense);
  if (!numbers)
    return false;
  Number number = numbers->front();
  if (isa<FloatType>(dense.getElementType()))
    return number.f == value && std::signbit(number.f) == std::signbit(value);
  return number.i == int64_t(value);
}

/// `value` where it may stand for the result of `op`, whose other operand
/// `constant` changes nothing.
Value unlessBroadcast(Operation *op, Value value, Attribute constant) {
  auto type = getTensorType(op->getResult(0));
  if (value.getType() != type)
    return {};
  // An open size of `value` may be a 1 that the constant stretches.
  if (!type.hasStaticShape() &&
      cast<DenseElementsAttr>(constant).getNumElements() != 1)
    return {};
  return value;
}

/// x where `op` is `x op neutral`, or on either side where `isCommutative`.
Value foldNeutral(Operation *op, ArrayRef<Attribute> operands, double neutral,
                  bool isCommutative) {
  if (isSplatOf(operands[1], neutral))
    return unlessBroadcast(op, op->getOperand(0), operands[1]);
  if (isCommutative && isSplatOf(operands[0], neutral))
    return unlessBroadcast(op, op->getOperand(1), operands[0]);
  return {};
}

/// The constant `absorbing` where `op` is `x op absorbing`, or the other way
/// round. For integers and Booleans only: NaN * 0.0 is NaN.
Attribute foldAbsorbing(Operation *op, ArrayRef<Attribute> operands,
                        int64_t absorbing) {
  auto type = getTensorType(op->getResult(0));
  if (type.hasStaticShape() && !isa<FloatType>(type.getElementType()) &&
      llvm::any_of(operands, [&](Attribute operand) {
        return isSplatOf(operand, absorbing);
      }))
    return writeNumbers(type, Number{0.0, absorbing});
  return {};
}

/// Whether every value of `from` is one of `to`.
bool isExact(Type from, Type to) {
  NumberKind a(from), b(to);
  if (a.isFloat && b.isFloat)
    return a.width < b.width;
  if (a.isFloat)
    return false;
  if (b.isFloat)
    return a.width <= cast<FloatType>(to).getFPMantissaWidth();
  if (b.width == 1)
    return a.width == 1;
  return a.isUnsigned == b.isUnsigned ? a.width <= b.width
                                      : a.isUnsigned && a.width < b.width;
}

template <typename OpTy>
OpFoldResult foldIdentity(OpTy op, ArrayRef<Attribute> operands) {
  bool isFloat =
      isa<FloatType>(getElementTypeOrSelf(op->getOperand(0).getType()));
  Type type = op.getType();
  bool isBool = getElementTypeOrSelf(type).isInteger(1);
  (void)isFloat;
  (void)isBool;
  if constexpr (llvm::is_one_of<OpTy, AddOp, OrOp, XorOp>::value) {
    if (std::is_same_v<OpTy, OrOp> && isBool)
      if (Attribute one = foldAbsorbing(op, operands, 1))
        return one;
    // x + 0.0 would turn -0.0 into 0.0.
    return foldNeutral(op, operands, isFloat ? -0.0 : 0.0, true);
  } else if constexpr (llvm::is_one_of<OpTy, SubOp, ShlOp, ShrOp>::value) {
    return foldNeutral(op, operands, 0.0, false);
  } else if constexpr (std::is_same_v<OpTy, MulOp>) {
    if (Attribute zero = foldAbsorbing(op, operands, 0))
      return zero;
    return foldNeutral(op, operands, 1.0, true);
  } else if constexpr (llvm::is_one_of<OpTy, DivOp, PowOp>::value) {
    return foldNeutral(op, operands, 1.0, false);
  } else if constexpr (std::is_same_v<OpTy, AndOp>) {
    if (Attribute zero = foldAbsorbing(op, operands, 0))
      return zero;
    return foldNeutral(op, operands, isBool ? 1.0 : -1.0, true);
  } else if constexpr (std::is_same_v<OpTy, SelectOp>) {
    auto condition = dyn_cast_if_present<DenseElementsAttr>(operands[0]);
    Value onTrue = op.getOnTrue(), onFalse = op.getOnFalse();
    Value chosen;
    if (onTrue == onFalse)
      chosen = onTrue;
    else if (condition && condition.isSplat())
      chosen = condition.getSplatValue<bool>() ? onTrue : onFalse;
    // The other operands may stretch an open size.
    if (chosen && chosen.getType() == type &&
        cast<RankedTensorType>(type).hasStaticShape())
      return chosen;
  } else if constexpr (llvm::is_one_of<OpTy, MaxOp, MinOp>::value) {
    if (op.getLhs() == op.getRhs() && op.getLhs().getType() == type)
      return op.getLhs();
  } else if constexpr (llvm::is_one_of<OpTy, NegOp, NotOp>::value) {
    if (auto inner = op.getInput().template getDefiningOp<OpTy>())
      if (inner.getInput().getType() == type)
        return inner.getInput();
  } else if constexpr (llvm::is_one_of<OpTy, ReluOp, AbsOp, FloorOp, CeilOp,
                                       RoundOp>::value) {
    if (op.getInput().template getDefiningOp<OpTy>() &&
        op.getInput().getType() == type)
      return op.getInput();
  } else if constexpr (std::is_same_v<OpTy, CastOp>) {
    if (op.getInput().getType() == type)
      return op.getInput();
    // To a type that holds every value, and back.
    auto inner = op.getInput().template getDefiningOp<CastOp>();
    if (inner && inner.getInput().getType() == type &&
        isExact(getElementTypeOrSelf(type),
                getElementTypeOrSelf(op.getInput().getType())))
      return inner.getInput();
  }
  return {};
}

} // namespace

#define LATHE_ELEMENTWISE_FOLD(OP)                                             \
  OpFoldResult OP::fold(FoldAdaptor adaptor) {                                 \
    ArrayRef<Attribute> operands = adaptor.getOperands();                      \
    if (OpFoldResult same = foldIdentity(*this, operands))                     \
      return same;                                                             \
    return foldConstants(*this, operands);                                     \
  }
LATHE_ELEMENTWISE_OPS(LATHE_ELEMENTWISE_FOLD)
#undef LATHE_ELEMENTWISE_FOLD

} // namespace lathe
