//===- Simplify.cpp - Small rewrites that make later passes see more ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/Passes.h"

#include "dialects/Lathe/ConstantNumbers.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace lathe {
#define GEN_PASS_DEF_SIMPLIFY
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

namespace {
/// x + (-y) -> x - y
struct AddOfNegation : OpRewritePattern<AddOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AddOp op,
                                PatternRewriter &rewriter) const override {
    for (unsigned side : {1u, 0u})
      if (auto negation = op->getOperand(side).getDefiningOp<NegOp>()) {
        rewriter.replaceOpWithNewOp<SubOp>(
            op, op.getType(), op->getOperand(1 - side), negation.getInput());
        return success();
      }
    return rewriter.notifyMatchFailure(op, "expected a negation");
  }
};

/// x - (-y) -> x + y
struct SubOfNegation : OpRewritePattern<SubOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SubOp op,
                                PatternRewriter &rewriter) const override {
    auto negation = op.getRhs().getDefiningOp<NegOp>();
    if (!negation)
      return rewriter.notifyMatchFailure(op,
                                         "expected a negation on the right");
    rewriter.replaceOpWithNewOp<AddOp>(op, op.getType(), op.getLhs(),
                                       negation.getInput());
    return success();
  }
};

/// A broadcast that the elementwise op would do by itself.
struct ImplicitBroadcast : OpInterfaceRewritePattern<FusibleOpInterface> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;

  LogicalResult matchAndRewrite(FusibleOpInterface op,
                                PatternRewriter &rewriter) const override {
    if (op.getFusionKind() != FusionKind::Elementwise ||
        op->getNumOperands() < 2)
      return rewriter.notifyMatchFailure(op, "expected an elementwise op of "
                                             "several operands");
    ArrayRef<int64_t> shape = getTensorType(op->getResult(0)).getShape();
    for (OpOperand &operand : op->getOpOperands()) {
      auto broadcast = operand.get().getDefiningOp<BroadcastOp>();
      if (!broadcast)
        continue;
      // Another operand alone must give the result its shape.
      bool isImplied = llvm::any_of(op->getOpOperands(), [&](OpOperand &other) {
        return &other != &operand &&
               getTensorType(other.get()).getShape() == shape;
      });
      if (!isImplied || getTensorType(broadcast).getRank() >
                            static_cast<int64_t>(shape.size()))
        continue;
      rewriter.modifyOpInPlace(op, [&] { operand.set(broadcast.getInput()); });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no broadcast that is implied");
  }
};

/// reshape(reduce(x) without the dims) -> reduce(x) keeping them, which lets
/// the consumers share the rows of the reduction.
struct KeepReducedDims : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    auto reduce = op.getInput().getDefiningOp<FusibleOpInterface>();
    if (!reduce || reduce.getFusionKind() != FusionKind::Reduction ||
        !op.getInput().hasOneUse() || reduce->getNumOperands() != 1)
      return rewriter.notifyMatchFailure(op, "expected a reduction, used once");
    auto axes = reduce->getAttrOfType<DenseI64ArrayAttr>("axes");
    auto keepdims = reduce->getAttrOfType<BoolAttr>("keepdims");
    RankedTensorType input = getTensorType(reduce->getOperand(0));
    if (!axes || !keepdims || keepdims.getValue() || !input.hasStaticShape())
      return rewriter.notifyMatchFailure(op, "expected a reduction that drops "
                                             "its dims");
    SmallVector<int64_t> shape(input.getShape());
    if (axes.empty())
      shape.assign(shape.size(), 1);
    for (int64_t axis : axes.asArrayRef())
      shape[axis < 0 ? axis + input.getRank() : axis] = 1;
    if (getTensorType(op.getResult()).getShape() != ArrayRef<int64_t>(shape))
      return rewriter.notifyMatchFailure(op, "the dims come back elsewhere");
    OperationState state(reduce.getLoc(), reduce->getName());
    state.addOperands(reduce->getOperands());
    state.addTypes(op.getType());
    state.addAttributes(reduce->getAttrs());
    state.attributes.set("keepdims", rewriter.getBoolAttr(true));
    rewriter.replaceOp(op, rewriter.create(state));
    return success();
  }
};

/// matmul(x, transpose(y)) -> matmul(x, y) {transpose_rhs}, where the transpose
/// swaps the last two dims; the same on the left.
struct TransposeIntoMatmul : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  static Value getSwapped(Value value) {
    auto transpose = value.getDefiningOp<TransposeOp>();
    if (!transpose)
      return {};
    ArrayRef<int64_t> permutation = transpose.getPermutation();
    int64_t rank = permutation.size();
    if (rank < 2 || permutation[rank - 1] != rank - 2 ||
        permutation[rank - 2] != rank - 1)
      return {};
    for (int64_t dim = 0; dim < rank - 2; ++dim)
      if (permutation[dim] != dim)
        return {};
    return transpose.getInput();
  }

  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    Value lhs = getSwapped(op.getLhs()), rhs = getSwapped(op.getRhs());
    if (!lhs && !rhs)
      return rewriter.notifyMatchFailure(op,
                                         "expected a swap of the last dims");
    auto flag = [&](bool isSet) {
      return isSet ? rewriter.getUnitAttr() : UnitAttr();
    };
    rewriter.replaceOpWithNewOp<MatmulOp>(
        op, op.getType(), lhs ? lhs : op.getLhs(), rhs ? rhs : op.getRhs(),
        flag(op.getTransposeLhs() != bool(lhs)),
        flag(op.getTransposeRhs() != bool(rhs)));
    return success();
  }
};

/// A sum of pieces that zeros surround, each with a place of its own along one
/// dim, and no place left over: concat. The gradients of all slices of a value
/// are such a sum.
struct SumOfPads : OpRewritePattern<AddOp> {
  using OpRewritePattern::OpRewritePattern;

  /// The dim along which `pad` adds zeros, and no other.
  static std::optional<int64_t> getDim(PadOp pad) {
    if (pad.getMode() != PadMode::constant ||
        (pad.getValue() && !matchPattern(pad.getValue(), m_AnyZeroFloat()) &&
         !matchPattern(pad.getValue(), m_Zero())))
      return std::nullopt;
    std::optional<int64_t> dim;
    for (auto [i, low, high] : llvm::enumerate(pad.getLow(), pad.getHigh())) {
      if (low == 0 && high == 0)
        continue;
      if (dim || low < 0 || high < 0)
        return std::nullopt;
      dim = i;
    }
    return dim;
  }

  LogicalResult matchAndRewrite(AddOp op,
                                PatternRewriter &rewriter) const override {
    if (!getTensorType(op).hasStaticShape())
      return rewriter.notifyMatchFailure(op, "expected a static shape");
    std::optional<int64_t> dim;
    SmallVector<PadOp> pieces;
    SmallVector<Value> worklist(op->getOperands());
    while (!worklist.empty()) {
      Value value = worklist.pop_back_val();
      if (!value.hasOneUse() || value.getType() != op.getType())
        return rewriter.notifyMatchFailure(op, "a term is used elsewhere");
      if (auto add = value.getDefiningOp<AddOp>()) {
        llvm::append_range(worklist, add->getOperands());
        continue;
      }
      auto pad = value.getDefiningOp<PadOp>();
      std::optional<int64_t> padded = pad ? getDim(pad) : std::nullopt;
      if (!padded || (dim && *dim != *padded))
        return rewriter.notifyMatchFailure(op, "a term has no place of its own "
                                               "along one dim");
      dim = padded;
      pieces.push_back(pad);
    }
    llvm::sort(pieces, [&](PadOp a, PadOp b) {
      return a.getLow()[*dim] < b.getLow()[*dim];
    });
    int64_t end = 0;
    SmallVector<Value> inputs;
    for (PadOp pad : pieces) {
      if (pad.getLow()[*dim] != end)
        return rewriter.notifyMatchFailure(op, "places overlap or are empty");
      end += getTensorType(pad.getInput()).getDimSize(*dim);
      inputs.push_back(pad.getInput());
    }
    if (end != getTensorType(op).getDimSize(*dim))
      return rewriter.notifyMatchFailure(op, "places are empty at the end");
    rewriter.replaceOpWithNewOp<ConcatOp>(op, op.getType(), inputs, *dim);
    return success();
  }
};

/// x + scatter_nd(zeros, i, u) {add} -> scatter_nd(x, i, u) {add}: the gradient
/// of a table that is read twice.
struct ScatterIntoSum : OpRewritePattern<AddOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AddOp op,
                                PatternRewriter &rewriter) const override {
    for (unsigned side : {0u, 1u}) {
      auto scatter = op->getOperand(side).getDefiningOp<ScatterNdOp>();
      Value other = op->getOperand(1 - side);
      if (!scatter || scatter.getMode() != ScatterMode::add ||
          !scatter->hasOneUse() || !isZeroConstant(scatter.getInput()) ||
          other.getType() != op.getType() || scatter.getType() != op.getType())
        continue;
      rewriter.replaceOpWithNewOp<ScatterNdOp>(
          op, op.getType(), other, scatter.getIndices(), scatter.getUpdates(),
          scatter.getMode());
      return success();
    }
    return rewriter.notifyMatchFailure(op, "expected updates of zeros");
  }
};

class Simplify : public lathe::impl::SimplifyBase<Simplify> {
  using SimplifyBase::SimplifyBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns
        .add<AddOfNegation, SubOfNegation, ImplicitBroadcast, KeepReducedDims,
             ScatterIntoSum, SumOfPads, TransposeIntoMatmul>(&getContext());
    if (failed(
            applyPatternsAndFoldGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
