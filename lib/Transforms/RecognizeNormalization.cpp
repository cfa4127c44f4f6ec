//===- RecognizeNormalization.cpp - Layer and RMS norms written out -------===//
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
#define GEN_PASS_DEF_RECOGNIZENORMALIZATION
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// Dims of a mean that keeps its dims and runs over the last ones, or 0.
static int64_t countMeanDims(ReduceMeanOp mean) {
  int64_t rank = getTensorType(mean.getInput()).getRank();
  if (!mean.getKeepdims() || rank == 0)
    return 0;
  llvm::SmallBitVector reduced(rank, mean.getAxes().empty());
  for (int64_t axis : mean.getAxes())
    reduced.set(axis < 0 ? axis + rank : axis);
  int64_t count = reduced.count();
  return reduced.find_first() == rank - count ? count : 0;
}

/// The value whose square `value` is, or null.
static Value getSquared(Value value) {
  if (auto pow = value.getDefiningOp<PowOp>())
    return isNumber(getSplatNumber(pow.getRhs()), 2.0) ? pow.getLhs() : Value();
  if (auto mul = value.getDefiningOp<MulOp>())
    return mul.getLhs() == mul.getRhs() ? mul.getLhs() : Value();
  return {};
}

/// The mean of squares under sqrt(mean + epsilon); null where it is not so.
static ReduceMeanOp getMeanSquare(Value root, double &epsilon) {
  auto add = root.getDefiningOp<AddOp>();
  if (!add)
    return {};
  auto [rest, number] = splitNumber(add);
  epsilon = number;
  return rest ? rest.getDefiningOp<ReduceMeanOp>() : ReduceMeanOp();
}

/// For x / sqrt(s) in any of its spellings: x and s.
static std::pair<Value, Value> splitRootQuotient(Operation *op) {
  if (auto div = dyn_cast<DivOp>(op)) {
    if (auto root = div.getRhs().getDefiningOp<SqrtOp>())
      return {div.getLhs(), root.getInput()};
    return {};
  }
  if (!isa<MulOp>(op))
    return {};
  for (unsigned side : {0u, 1u}) {
    Operation *factor = op->getOperand(side).getDefiningOp();
    Value other = op->getOperand(1 - side);
    if (isa_and_nonnull<RsqrtOp>(factor))
      return {other, factor->getOperand(0)};
    if (auto one = dyn_cast_or_null<DivOp>(factor))
      if (isNumber(getSplatNumber(one.getLhs()), 1.0))
        if (auto root = one.getRhs().getDefiningOp<SqrtOp>())
          return {other, root.getInput()};
    if (auto one = dyn_cast_or_null<ReciprocalOp>(factor))
      if (auto root = one.getInput().getDefiningOp<SqrtOp>())
        return {other, root.getInput()};
  }
  return {};
}

/// Whether `value` may be the scale or bias over the last `dims` dims of `x`.
static bool isAffineOperand(Value value, Value x, int64_t dims) {
  RankedTensorType type = getTensorType(value), whole = getTensorType(x);
  if (type.getRank() > dims || !type.hasStaticShape() ||
      !whole.hasStaticShape() ||
      type.getElementType() != whole.getElementType())
    return false;
  return type.getShape() == whole.getShape().take_back(type.getRank()) &&
         type.getRank() == dims;
}

/// `op` applied to `value`: the other operand, or null.
template <typename OpTy> static Value getOther(Operation *op, Value value) {
  auto binary = dyn_cast<OpTy>(op);
  if (!binary)
    return {};
  return binary.getLhs() == value ? binary.getRhs() : binary.getLhs();
}

namespace {
struct RecognizeNorm : RewritePattern {
  RecognizeNorm(MLIRContext *context)
      : RewritePattern(MatchAnyOpTypeTag(), 1, context) {}

  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    if (!isa<MulOp, DivOp>(op))
      return failure();
    auto [numerator, variance] = splitRootQuotient(op);
    if (!numerator || numerator.getType() != op->getResult(0).getType())
      return rewriter.notifyMatchFailure(op, "expected x / sqrt(s)");
    double epsilon;
    ReduceMeanOp meanSquare = getMeanSquare(variance, epsilon);
    int64_t dims = meanSquare ? countMeanDims(meanSquare) : 0;
    if (dims == 0 || getSquared(meanSquare.getInput()) != numerator)
      return rewriter.notifyMatchFailure(
          op, "expected s to be the mean of x squared, plus a number");

    // A numerator that is x minus its own mean makes it a layer norm.
    Value x = numerator;
    bool centered = false;
    if (auto sub = numerator.getDefiningOp<SubOp>())
      if (auto mean = sub.getRhs().getDefiningOp<ReduceMeanOp>())
        if (mean.getInput() == sub.getLhs() && countMeanDims(mean) == dims) {
          x = sub.getLhs();
          centered = true;
        }
    if (!centered && dims != 1)
      return rewriter.notifyMatchFailure(
          op, "an RMS norm runs over the last dim only");

    // Scale and bias, each an only use.
    Operation *last = op;
    Value scale, bias;
    auto follow = [&](auto tag, Value &operand) {
      using OpTy = decltype(tag);
      if (!last->getResult(0).hasOneUse())
        return;
      Operation *user = *last->getResult(0).user_begin();
      Value other = getOther<OpTy>(user, last->getResult(0));
      if (other && user->getResult(0).getType() == x.getType() &&
          isAffineOperand(other, x, dims)) {
        operand = other;
        last = user;
      }
    };
    follow(MulOp(), scale);
    if (centered)
      follow(AddOp(), bias);

    rewriter.setInsertionPoint(last);
    if (centered)
      rewriter.replaceOpWithNewOp<LayerNormOp>(
          last, x.getType(), x, scale, bias, rewriter.getI64IntegerAttr(-dims),
          rewriter.getF64FloatAttr(epsilon));
    else
      rewriter.replaceOpWithNewOp<RmsNormOp>(last, x.getType(), x, scale,
                                             rewriter.getF64FloatAttr(epsilon));
    return success();
  }
};

class RecognizeNormalization
    : public lathe::impl::RecognizeNormalizationBase<RecognizeNormalization> {
  using RecognizeNormalizationBase::RecognizeNormalizationBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<RecognizeNorm>(&getContext());
    if (failed(
            applyPatternsAndFoldGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
