//===- ExpandBytes.cpp - Floats to bytes in few instructions --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// round(x / scale) + zero, saturated to a byte, is a division of 16 cycles, and
// 9 more instructions for what is out of range. By a constant a quotient is a
// product and two fused multiply-adds, rounded as the division is: N.
// Brisebarre, J.-M. Muller and S. K. Raina, "Accelerating correctly rounded
// floating-point division when the divisor is known in advance", IEEE
// Transactions on Computers 53(8), 2004. What saturates is clamped before it,
// so that nothing overflows, and adding 3 * 2^22 rounds to even and leaves the
// integer in the low bits. All of it gives the bits of the plain form.
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cpu/ExpandMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;

namespace lathe::cpu {

/// Divisors between these keep the remainder of the division away from
/// denormals, where the quotient is not next to 0 anyway.
static constexpr float kLeastScale = 0x1p-60f, kMostScale = 0x1p60f;
/// Its unit in the last place is 1, also around it.
static constexpr float kRound = 0x1.8p23f;

static std::optional<float> getSplat(Value value) {
  if (auto broadcast = value.getDefiningOp<vector::BroadcastOp>())
    value = broadcast.getSource();
  Attribute attribute;
  if (!matchPattern(value, m_Constant(&attribute)))
    return std::nullopt;
  if (auto elements = dyn_cast<DenseFPElementsAttr>(attribute))
    if (elements.isSplat())
      attribute = elements.getSplatValue<FloatAttr>();
  auto number = dyn_cast<FloatAttr>(attribute);
  if (!number || !number.getType().isF32())
    return std::nullopt;
  return number.getValue().convertToFloat();
}

/// Whether `value` is `lhs < or >= bound`.
static bool isComparison(Value value, arith::CmpFPredicate predicate, Value lhs,
                         float bound) {
  auto compare = value.getDefiningOp<arith::CmpFOp>();
  return compare && compare.getPredicate() == predicate &&
         compare.getLhs() == lhs && getSplat(compare.getRhs()) == bound;
}

namespace {
/// A cast of vectors of f32 to bytes as ElementBuilder writes it: the value,
/// and the op that gives the result.
struct ByteCast {
  Value value;
  arith::SelectOp root;
  bool isUnsigned = false;
  float least = 0, most = 0;

  static std::optional<ByteCast> match(Operation *convert);
};

class Emitter {
public:
  explicit Emitter(ByteCast &cast)
      : cast(cast), b(cast.root.getLoc(), cast.root),
        type(llvm::cast<VectorType>(cast.value.getType())) {}
  Value emit();

private:
  Value number(float value) {
    return b.create<arith::ConstantOp>(
        DenseElementsAttr::get(type, FloatAttr::get(b.getF32Type(), value)));
  }
  Value integer(int32_t value) {
    return b.create<arith::ConstantOp>(DenseElementsAttr::get(
        words(), static_cast<Attribute>(b.getI32IntegerAttr(value))));
  }
  VectorType words() { return type.clone(b.getI32Type()); }
  Value choose(arith::CmpFPredicate predicate, Value lhs, Value rhs) {
    Value condition = b.create<arith::CmpFOp>(predicate, lhs, rhs);
    return b.create<arith::SelectOp>(condition, lhs, rhs);
  }
  /// Between `low` and `high`, each in one instruction. A NaN stays one where
  /// it must become 0 in the end, and becomes `low` where that is 0.
  Value clamp(Value x, float low, float high) {
    using P = arith::CmpFPredicate;
    x = choose(P::OLT, number(high), x);
    return cast.isUnsigned ? choose(P::OGT, x, number(low))
                           : choose(P::OGT, number(low), x);
  }
  Value divide(Value x, float scale);

  ByteCast &cast;
  ImplicitLocOpBuilder b;
  VectorType type;
};
} // namespace

std::optional<ByteCast> ByteCast::match(Operation *convert) {
  if (!isa<arith::FPToUIOp, arith::FPToSIOp>(convert))
    return std::nullopt;
  ByteCast result;
  result.isUnsigned = isa<arith::FPToUIOp>(convert);
  result.least = result.isUnsigned ? 0 : -128;
  result.most = result.isUnsigned ? 255 : 127;
  auto type = dyn_cast<VectorType>(convert->getResult(0).getType());
  auto safe = convert->getOperand(0).getDefiningOp<arith::SelectOp>();
  if (!type || !type.getElementType().isInteger(8) || !safe ||
      getSplat(safe.getTrueValue()) != 0.0f ||
      !getElementTypeOrSelf(safe.getType()).isF32())
    return std::nullopt;
  result.value = safe.getFalseValue();
  auto next = [](Value value) {
    auto select = value.hasOneUse()
                      ? dyn_cast<arith::SelectOp>(*value.user_begin())
                      : arith::SelectOp();
    return select && select.getFalseValue() == value ? select
                                                     : arith::SelectOp();
  };
  arith::SelectOp low = next(convert->getResult(0));
  result.root = low ? next(low.getResult()) : arith::SelectOp();
  using P = arith::CmpFPredicate;
  if (!result.root ||
      !isComparison(low.getCondition(), P::OLT, result.value, result.least) ||
      !isComparison(result.root.getCondition(), P::OGE, result.value,
                    result.most + 1))
    return std::nullopt;
  return result;
}

Value Emitter::divide(Value x, float scale) {
  if (type.getNumElements() <= 4)
    return b.create<arith::DivFOp>(x, number(scale));
  Value inverse = number(1.0f / scale);
  Value quotient = b.create<arith::MulFOp>(x, inverse);
  Value rest = b.create<vector::FMAOp>(b.create<arith::NegFOp>(quotient),
                                       number(scale), x);
  return b.create<vector::FMAOp>(rest, inverse, quotient);
}

Value Emitter::emit() {
  // The sum with the zero point; a whole number, so that nothing is rounded
  // where the byte does not saturate.
  Value rounded = cast.value;
  float zero = 0;
  if (auto add = rounded.getDefiningOp<arith::AddFOp>())
    if (std::optional<float> number = getSplat(add.getRhs()))
      if (std::abs(*number) <= 255 && *number == std::floor(*number)) {
        zero = *number;
        rounded = add.getLhs();
      }
  Value value = cast.value, result;
  if (auto round = rounded.getDefiningOp<math::RoundEvenOp>()) {
    value = round.getOperand();
    float scale = 1;
    if (auto division = value.getDefiningOp<arith::DivFOp>())
      if (std::optional<float> number = getSplat(division.getRhs()))
        if (*number >= kLeastScale && *number <= kMostScale) {
          scale = *number;
          value = division.getLhs();
        }
    // The clamp below does what a relu does.
    if (cast.isUnsigned && zero == 0)
      if (auto relu = value.getDefiningOp<arith::SelectOp>())
        if (getSplat(relu.getTrueValue()) == 0.0f &&
            isComparison(relu.getCondition(), arith::CmpFPredicate::OLT,
                         relu.getFalseValue(), 0))
          value = relu.getFalseValue();
    // Whether the bounds are rounded or not, their quotients round to the least
    // and the most.
    value =
        clamp(value, scale * (cast.least - zero), scale * (cast.most - zero));
    Value quotient = scale == 1 ? value : divide(value, scale);
    Value moved = b.create<arith::AddFOp>(quotient, number(kRound));
    result = b.create<arith::BitcastOp>(words(), moved);
    if (zero != 0)
      result = b.create<arith::AddIOp>(result, integer(int32_t(zero)));
  } else {
    value = clamp(value, cast.least, cast.most);
    result = b.create<arith::FPToSIOp>(words(), value);
  }
  result = b.create<arith::TruncIOp>(type.clone(b.getI8Type()), result);
  if (cast.isUnsigned)
    return result;
  Value isNan =
      b.create<arith::CmpFOp>(arith::CmpFPredicate::UNO, value, value);
  Value none = b.create<arith::ConstantOp>(b.getZeroAttr(result.getType()));
  return b.create<arith::SelectOp>(isNan, none, result);
}

void expandBytes(func::FuncOp function) {
  SmallVector<ByteCast> casts;
  function.walk([&](Operation *op) {
    if (std::optional<ByteCast> cast = ByteCast::match(op))
      casts.push_back(*cast);
  });
  for (ByteCast &cast : casts) {
    cast.root.replaceAllUsesWith(Emitter(cast).emit());
    cast.root.erase();
  }
}

} // namespace lathe::cpu
