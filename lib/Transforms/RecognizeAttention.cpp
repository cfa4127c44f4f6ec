//===- RecognizeAttention.cpp - Attention written out in products ---------===//
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
#define GEN_PASS_DEF_RECOGNIZEATTENTION
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

static bool isMinusInfinity(Value value) {
  auto number = getSplatNumber(value);
  return number && std::isinf(*number) && *number < 0;
}

/// `value` times `scale`: takes multiplications and divisions by numbers off,
/// as long as nobody else reads what they make.
static Value stripScale(Value value, double &scale) {
  while (value.hasOneUse()) {
    Operation *op = value.getDefiningOp();
    if (!isa_and_nonnull<MulOp, DivOp>(op))
      break;
    Value rest;
    double factor = 1.0;
    if (auto number = getSplatNumber(op->getOperand(1))) {
      rest = op->getOperand(0);
      factor = isa<DivOp>(op) ? 1.0 / *number : *number;
    } else if (auto first = getSplatNumber(op->getOperand(0));
               first && isa<MulOp>(op)) {
      rest = op->getOperand(1);
      factor = *first;
    }
    if (!rest || rest.getType() != value.getType() || !std::isfinite(factor))
      break;
    scale *= factor;
    value = rest;
  }
  return value;
}

/// The key whose transpose over the last two dims `value` is: taken off where
/// it is a transpose already, else put before.
static Value getKey(PatternRewriter &rewriter, Location loc, Value value) {
  int64_t rank = getTensorType(value).getRank();
  SmallVector<int64_t> swap = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  std::swap(swap[rank - 1], swap[rank - 2]);
  if (auto transpose = value.getDefiningOp<TransposeOp>()) {
    // [b, t, h, d] -> [b, h, d, t] is [b, h, t, d] with its last dims swapped.
    SmallVector<int64_t> whole = llvm::map_to_vector(
        swap, [&](int64_t dim) { return transpose.getPermutation()[dim]; });
    if (llvm::equal(whole, llvm::seq<int64_t>(0, rank)))
      return transpose.getInput();
    return rewriter.create<TransposeOp>(loc, transpose.getInput(),
                                        rewriter.getDenseI64ArrayAttr(whole));
  }
  return rewriter.create<TransposeOp>(loc, value,
                                      rewriter.getDenseI64ArrayAttr(swap));
}

/// Adds leading dims of size 1 up to rank 4.
static Value toRank4(PatternRewriter &rewriter, Location loc, Value value) {
  RankedTensorType type = getTensorType(value);
  if (type.getRank() == 4)
    return value;
  SmallVector<int64_t> shape(4 - type.getRank(), 1);
  llvm::append_range(shape, type.getShape());
  return rewriter.create<ReshapeOp>(
      loc, value, rewriter.getDenseI64ArrayAttr(shape), UnitAttr());
}

namespace {
/// softmax(q k^T * scale + mask) v
struct RecognizeProducts : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    RankedTensorType resultType = getTensorType(op.getResult());
    int64_t rank = resultType.getRank();
    if ((rank != 3 && rank != 4) || !resultType.hasStaticShape() ||
        op.getTransposeLhs() || op.getTransposeRhs())
      return rewriter.notifyMatchFailure(
          op, "expected [(b,) h, s, t] x [..., t, e]");

    // From the weights back to the scores.
    Value weights = op.getLhs();
    if (auto clean = weights.getDefiningOp<SelectOp>())
      // Rows that may see nothing: not a number, turned into zeros.
      if (auto isNan = clean.getCondition().getDefiningOp<IsNanOp>())
        if (isNan.getInput() == clean.getOnFalse() &&
            getSplatNumber(clean.getOnTrue()) == 0.0 && weights.hasOneUse())
          weights = clean.getOnFalse();
    auto softmax = weights.getDefiningOp<SoftmaxOp>();
    int64_t axis = softmax ? static_cast<int64_t>(softmax.getAxis()) : 0;
    if (!softmax || (axis != -1 && axis != rank - 1))
      return rewriter.notifyMatchFailure(op, "expected a softmax over the last "
                                             "dim on the left");
    for (Operation *user : softmax->getUsers())
      if (user != op && !isa<IsNanOp, SelectOp>(user))
        return rewriter.notifyMatchFailure(op,
                                           "the weights are used elsewhere");

    Value scores = softmax.getInput();
    RankedTensorType scoresType = getTensorType(scores);
    Value mask;
    if (!scores.hasOneUse())
      return rewriter.notifyMatchFailure(op, "the scores are used elsewhere");
    if (auto add = scores.getDefiningOp<AddOp>()) {
      for (unsigned side : {0u, 1u}) {
        double ignored = 1.0;
        Value rest = stripScale(add->getOperand(side), ignored);
        if (rest.getType() == scoresType && rest.getDefiningOp<MatmulOp>()) {
          scores = add->getOperand(side);
          mask = add->getOperand(1 - side);
          break;
        }
      }
    } else if (auto select = scores.getDefiningOp<SelectOp>()) {
      if (isMinusInfinity(select.getOnFalse()) &&
          select.getOnTrue().getType() == scoresType) {
        scores = select.getOnTrue();
        mask = select.getCondition();
      }
    }
    double scale = 1.0;
    scores = stripScale(scores, scale);
    auto product = scores.getDefiningOp<MatmulOp>();
    if (!product || !scores.hasOneUse() || product.getTransposeLhs())
      return rewriter.notifyMatchFailure(op, "expected the scores to be a "
                                             "product");
    Value query = stripScale(product.getLhs(), scale);
    Value key = stripScale(product.getRhs(), scale);
    Value value = op.getRhs();
    // No broadcasting between the batch dims.
    auto batch = [&](Value v) {
      return getTensorType(v).getShape().drop_back(2);
    };
    if (getTensorType(query).getRank() != rank || batch(query) != batch(key) ||
        batch(query) != batch(value) ||
        batch(query) != resultType.getShape().drop_back(2) ||
        !isa<FloatType>(resultType.getElementType()))
      return rewriter.notifyMatchFailure(op, "expected equal batch dims");
    if (mask && getTensorType(mask).getRank() > rank)
      return rewriter.notifyMatchFailure(op, "the mask broadcasts the scores");
    if (mask && !getTensorType(mask).getElementType().isInteger(1) &&
        getTensorType(mask).getElementType() != scoresType.getElementType())
      return rewriter.notifyMatchFailure(op,
                                         "expected a mask of the scores' type");

    Location loc = rewriter.getFusedLoc({product.getLoc(), op.getLoc()});
    if (!product.getTransposeRhs())
      key = getKey(rewriter, loc, key);
    Value result = rewriter.create<AttentionOp>(
        loc, toRank4(rewriter, loc, query), toRank4(rewriter, loc, key),
        toRank4(rewriter, loc, value),
        mask && getTensorType(mask).getRank() == 3
            ? toRank4(rewriter, loc, mask)
            : mask,
        rewriter.getF64FloatAttr(scale), /*causal=*/false);
    if (rank == 3)
      result = rewriter.create<ReshapeOp>(
          loc, result, rewriter.getDenseI64ArrayAttr(resultType.getShape()),
          UnitAttr());
    rewriter.replaceOp(op, result);
    return success();
  }
};

class RecognizeAttention
    : public lathe::impl::RecognizeAttentionBase<RecognizeAttention> {
  using RecognizeAttentionBase::RecognizeAttentionBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<RecognizeProducts>(&getContext());
    if (failed(
            applyPatternsAndFoldGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
