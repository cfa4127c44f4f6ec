//===- MergeViews.cpp - Successive views as one ---------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/Passes.h"

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace lathe {
#define GEN_PASS_DEF_MERGEVIEWS
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

namespace {
/// transpose(transpose(x)) -> transpose(x), or x where they cancel out.
struct MergeTransposes : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(TransposeOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<TransposeOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "expected a transpose as input");
    SmallVector<int64_t> whole;
    for (int64_t dim : op.getPermutation())
      whole.push_back(inner.getPermutation()[dim]);
    if (llvm::equal(whole, llvm::seq<int64_t>(0, whole.size())))
      rewriter.replaceOp(op, inner.getInput());
    else
      rewriter.replaceOpWithNewOp<TransposeOp>(
          op, op.getType(), inner.getInput(),
          rewriter.getDenseI64ArrayAttr(whole));
    return success();
  }
};

/// A transpose that only moves dims of size 1 leaves the data where it is.
struct TransposeToReshape : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(TransposeOp op,
                                PatternRewriter &rewriter) const override {
    auto input = cast<RankedTensorType>(op.getInput().getType());
    auto type = cast<RankedTensorType>(op.getType());
    if (!type.hasStaticShape())
      return rewriter.notifyMatchFailure(op, "expected static sizes");
    SmallVector<int64_t> moving;
    for (int64_t dim : op.getPermutation())
      if (input.getDimSize(dim) != 1)
        moving.push_back(dim);
    if (!llvm::is_sorted(moving))
      return rewriter.notifyMatchFailure(op, "moves data");
    rewriter.replaceOpWithNewOp<ReshapeOp>(
        op, type, op.getInput(), rewriter.getDenseI64ArrayAttr(type.getShape()),
        rewriter.getUnitAttr());
    return success();
  }
};

/// reshape(reshape(x)) -> reshape(x), or x where the shape is back.
struct MergeReshapes : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    auto type = cast<RankedTensorType>(op.getType());
    if (op.getInput().getType() == type && type.hasStaticShape()) {
      rewriter.replaceOp(op, op.getInput());
      return success();
    }
    auto inner = op.getInput().getDefiningOp<ReshapeOp>();
    if (!inner || !type.hasStaticShape())
      return rewriter.notifyMatchFailure(
          op, "expected a reshape as input, and static sizes");
    rewriter.replaceOpWithNewOp<ReshapeOp>(
        op, type, inner.getInput(),
        rewriter.getDenseI64ArrayAttr(type.getShape()), rewriter.getUnitAttr());
    return success();
  }
};

struct MergeViews : lathe::impl::MergeViewsBase<MergeViews> {
  using MergeViewsBase::MergeViewsBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<MergeTransposes, TransposeToReshape, MergeReshapes>(
        &getContext());
    if (failed(
            applyPatternsAndFoldGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
