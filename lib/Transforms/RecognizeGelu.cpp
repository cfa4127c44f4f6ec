//===- RecognizeGelu.cpp - GELU and SiLU written out in primitives --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Recognize.h"
#include "lathe/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace lathe {
#define GEN_PASS_DEF_RECOGNIZEGELU
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// Whether `value` is x * `scale`, however written.
static bool isScaled(Value value, Value x, double scale) {
  SmallVector<Value> factors;
  double found = 1.0;
  collectFactors(value, factors, found);
  return factors.size() == 1 && factors[0] == x && isNumber(found, scale);
}

/// Whether `value` is x cubed times `scale`.
static bool isScaledCube(Value value, Value x, double scale) {
  SmallVector<Value> factors;
  double found = 1.0;
  collectFactors(value, factors, found);
  if (!isNumber(found, scale))
    return false;
  unsigned power = 0;
  for (Value factor : factors) {
    if (factor == x) {
      ++power;
      continue;
    }
    if (auto pow = factor.getDefiningOp<PowOp>())
      if (auto exponent = getSplatNumber(pow.getRhs());
          pow.getLhs() == x &&
          (isNumber(exponent, 2.0) || isNumber(exponent, 3.0))) {
        power += static_cast<unsigned>(std::lround(*exponent));
        continue;
      }
    // x * x that is used elsewhere, too, is not taken apart into factors.
    auto square = factor.getDefiningOp<MulOp>();
    if (!square || square.getLhs() != x || square.getRhs() != x)
      return false;
    power += 2;
  }
  return power == 3;
}

/// What stands in 1 + f(inner), as (f, inner); nulls where it is not so.
static Operation *getGate(Value value) {
  auto add = value.getDefiningOp<AddOp>();
  if (!add)
    return nullptr;
  auto [rest, number] = splitNumber(add);
  return rest && isNumber(number, 1.0) ? rest.getDefiningOp() : nullptr;
}

/// sqrt(2/pi) * (x + 0.044715 x^3)
static bool isTanhArgument(Value value, Value x) {
  SmallVector<Value> factors;
  double scale = 1.0;
  collectFactors(value, factors, scale);
  if (factors.size() != 1 || !isNumber(scale, std::sqrt(2.0 / M_PI)))
    return false;
  auto sum = factors[0].getDefiningOp<AddOp>();
  return sum &&
         ((sum.getLhs() == x && isScaledCube(sum.getRhs(), x, 0.044715)) ||
          (sum.getRhs() == x && isScaledCube(sum.getLhs(), x, 0.044715)));
}

namespace {
/// x * 0.5 * (1 + erf(x / sqrt(2))), with the factors in any order and
/// grouping.
struct RecognizeProduct : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    // Where the product goes on, the whole of it is tried from its end.
    SmallVector<Value> factors;
    double scale = 1.0;
    collectFactors(op.getResult(), factors, scale);
    if (factors.size() != 2)
      return rewriter.notifyMatchFailure(op, "expected two factors");
    for (auto [x, gate] :
         {std::pair(factors[0], factors[1]), {factors[1], factors[0]}}) {
      if (x.getType() != op.getType())
        continue;
      if (isNumber(scale, 1.0) && gate.getDefiningOp<SigmoidOp>() &&
          gate.getDefiningOp()->getOperand(0) == x) {
        rewriter.replaceOpWithNewOp<SiluOp>(op, op.getType(), x);
        return success();
      }
      Operation *function = getGate(gate);
      if (!function || !isNumber(scale, 0.5))
        continue;
      Value inner = function->getOperand(0);
      bool isExact =
          isa<ErfOp>(function) && isScaled(inner, x, 1.0 / std::sqrt(2.0));
      bool isTanh = isa<TanhOp>(function) && isTanhArgument(inner, x);
      if (isExact || isTanh) {
        rewriter.replaceOpWithNewOp<GeluOp>(
            op, op.getType(), x, isTanh ? rewriter.getUnitAttr() : UnitAttr());
        return success();
      }
    }
    return rewriter.notifyMatchFailure(op, "no factor is a gate of the other");
  }
};

class RecognizeGelu : public lathe::impl::RecognizeGeluBase<RecognizeGelu> {
  using RecognizeGeluBase::RecognizeGeluBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<RecognizeProduct>(&getContext());
    if (failed(
            applyPatternsAndFoldGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
