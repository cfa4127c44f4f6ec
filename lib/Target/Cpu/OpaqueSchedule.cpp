//===- OpaqueSchedule.cpp - The schedule that takes everything ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// linalg on tensors -> buffers (one-shot bufferization, results written where
// the caller wants them, temporaries in the scratch) -> loops. Where the result
// is touched along one of its dims at the loops' own variables alone, that dim
// is dealt out to work items: copies, pads, and what is scattered along other
// dims. Everything else is one item.
//
//===----------------------------------------------------------------------===//

#include "ScratchPlan.h"

#include "lathe/Target/Cpu/Schedule.h"
#include "lathe/Target/KernelFunction.h"

#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/MemRef/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/MathExtras.h"

namespace lathe::cpu {

static LogicalResult lowerToLoops(func::FuncOp function) {
  MLIRContext *context = function.getContext();
  IRRewriter rewriter(context);
  SmallVector<linalg::LinalgOp> ops;
  function.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
  for (linalg::LinalgOp op : ops) {
    // A result that was computed in place.
    if (isa<linalg::CopyOp>(op) && op->getOperand(0) == op->getOperand(1)) {
      rewriter.eraseOp(op);
      continue;
    }
    rewriter.setInsertionPoint(op);
    if (failed(linalg::linalgOpToLoops(rewriter, op)))
      return op.emitOpError("cannot be lowered to loops");
    rewriter.eraseOp(op);
  }
  // Copies that bufferization made without asking for the function above.
  SmallVector<memref::CopyOp> copies;
  function.walk([&](memref::CopyOp op) { copies.push_back(op); });
  for (memref::CopyOp op : copies) {
    rewriter.setInsertionPoint(op);
    auto copy = rewriter.create<linalg::CopyOp>(op.getLoc(), op.getSource(),
                                                op.getTarget());
    if (failed(linalg::linalgOpToLoops(rewriter, copy)))
      return op.emitOpError("cannot be lowered to loops");
    rewriter.eraseOp(copy);
    rewriter.eraseOp(op);
  }
  RewritePatternSet patterns(context);
  memref::populateFoldMemRefAliasOpPatterns(patterns);
  for (StringRef dialect : {"scf", "memref", "arith", "affine"})
    context->getLoadedDialect(dialect)->getCanonicalizationPatterns(patterns);
  for (RegisteredOperationName name : context->getRegisteredOperations())
    if (llvm::is_contained({"scf", "memref"}, name.getDialectNamespace()))
      name.getCanonicalizationPatterns(patterns, context);
  (void)applyPatternsAndFoldGreedily(function, std::move(patterns));
  DominanceInfo dominance(function);
  eliminateCommonSubExpressions(rewriter, dominance, function);
  return success();
}

/// Tensors without elements have no strides LLVM's pointer convention takes;
/// nothing reads them any more.
static void replaceEmptyArguments(func::FuncOp function) {
  for (BlockArgument argument : function.getArguments()) {
    auto type = dyn_cast<MemRefType>(argument.getType());
    if (type && type.hasStaticShape() && type.getNumElements() == 0 &&
        argument.use_empty())
      argument.setType(MemRefType::get({1}, type.getElementType()));
  }
  function.setType(FunctionType::get(
      function.getContext(), function.getBody().getArgumentTypes(), {}));
}

/// Elements of the result that are worth a work item.
static constexpr int64_t itemElements = 1 << 14;

/// The loops that run over all of dim `dim` of the result, if nothing is done
/// outside of them and wherever the result is touched, its index along `dim` is
/// the variable of one of them. Elements in different places along `dim` then
/// have nothing to do with each other.
static SmallVector<scf::ForOp>
findLoopsOver(func::FuncOp function, BlockArgument result, int64_t dim) {
  int64_t size = cast<MemRefType>(result.getType()).getDimSize(dim);
  llvm::SetVector<scf::ForOp> loops;
  bool fits = true;
  auto visit = [&](ValueRange indices) {
    auto index = dyn_cast<BlockArgument>(indices[dim]);
    auto loop = index ? dyn_cast<scf::ForOp>(index.getOwner()->getParentOp())
                      : scf::ForOp();
    fits &= loop && index == loop.getInductionVar() &&
            loop.getInitArgs().empty() &&
            getConstantIntValue(loop.getLowerBound()) == 0 &&
            getConstantIntValue(loop.getUpperBound()) == size &&
            getConstantIntValue(loop.getStep()) == 1;
    if (fits)
      loops.insert(loop);
  };
  function.walk([&](Operation *op) {
    if (auto store = dyn_cast<memref::StoreOp>(op)) {
      fits &= store.getMemRef() == result;
      if (fits)
        visit(store.getIndices());
    } else if (auto load = dyn_cast<memref::LoadOp>(op)) {
      if (load.getMemRef() == result && fits)
        visit(load.getIndices());
    } else if (isa<memref::AllocOp, scf::WhileOp>(op) ||
               (llvm::is_contained(op->getOperands(), result))) {
      fits = false;
    }
  });
  if (!fits)
    return {};
  auto contains = [&](Operation *outer, Operation *inner) {
    return outer != inner && outer->isAncestor(inner);
  };
  function.walk([&](scf::ForOp loop) {
    if (loops.contains(loop)) {
      fits &= llvm::none_of(
          loops, [&](scf::ForOp other) { return contains(other, loop); });
      return;
    }
    fits &= llvm::any_of(loops, [&](scf::ForOp other) {
      return contains(other, loop) || contains(loop, other);
    });
  });
  if (!fits)
    return {};
  return llvm::to_vector(loops);
}

/// Deals the kernel out along a dim of its only result; returns the number of
/// work items, or 0 where there would be but one.
static int64_t dealOut(func::FuncOp function) {
  Block &body = function.getBody().front();
  unsigned count = body.getNumArguments();
  BlockArgument result = body.getArgument(count - 4);
  ArrayRef<int64_t> shape = cast<MemRefType>(result.getType()).getShape();
  int64_t elements = cast<MemRefType>(result.getType()).getNumElements();
  for (auto [dim, size] : llvm::enumerate(shape)) {
    if (size < 2 || elements < 2 * itemElements)
      continue;
    int64_t chunk = llvm::divideCeil(itemElements, elements / size);
    // Neighbours in memory stay together.
    if (dim + 1 == shape.size() && shape.size() > 1)
      chunk = std::max<int64_t>(chunk, 64);
    int64_t items = llvm::divideCeil(size, chunk);
    if (items < 2)
      continue;
    SmallVector<scf::ForOp> loops = findLoopsOver(function, result, dim);
    if (loops.empty())
      continue;
    Location loc = function.getLoc();
    OpBuilder b = OpBuilder::atBlockBegin(&body);
    SmallVector<Operation *> ops;
    for (Operation &op : body.without_terminator())
      ops.push_back(&op);
    Value one = b.create<arith::ConstantIndexOp>(loc, 1);
    auto item = b.create<scf::ForOp>(loc, body.getArgument(count - 2),
                                     body.getArgument(count - 1), one);
    Operation *yield = item.getBody()->getTerminator();
    for (Operation *op : ops)
      op->moveBefore(yield);
    b.setInsertionPointToStart(item.getBody());
    Value step = b.create<arith::ConstantIndexOp>(loc, chunk);
    Value begin = b.create<arith::MulIOp>(loc, item.getInductionVar(), step);
    Value end =
        b.create<arith::MinSIOp>(loc, b.create<arith::AddIOp>(loc, begin, step),
                                 b.create<arith::ConstantIndexOp>(loc, size));
    for (scf::ForOp loop : loops) {
      loop.setLowerBound(begin);
      loop.setUpperBound(end);
    }
    return items;
  }
  return 0;
}

/// All work is item 0: the body runs for the thread that has it.
static void guardFirstItem(func::FuncOp function) {
  Block &body = function.getBody().front();
  OpBuilder builder = OpBuilder::atBlockBegin(&body);
  Location loc = function.getLoc();
  SmallVector<Operation *> ops;
  for (Operation &op : body.without_terminator())
    ops.push_back(&op);
  unsigned count = body.getNumArguments();
  Value begin = body.getArgument(count - 2), end = body.getArgument(count - 1);
  Value zero = builder.create<arith::ConstantIndexOp>(loc, 0);
  Value isFirst =
      builder.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, begin, zero);
  Value hasWork =
      builder.create<arith::CmpIOp>(loc, arith::CmpIPredicate::sgt, end, begin);
  Value mine = builder.create<arith::AndIOp>(loc, isFirst, hasWork);
  auto guard = builder.create<scf::IfOp>(loc, mine, /*withElseRegion=*/false);
  Operation *yield = guard.thenBlock()->getTerminator();
  for (Operation *op : ops)
    op->moveBefore(yield);
}

FailureOr<LoweredKernel> scheduleOpaque(KernelOp kernel, ModuleOp module,
                                        StringRef symbol, const CpuFeatures &,
                                        std::string &whyNot) {
  FailureOr<func::FuncOp> function =
      buildTensorFunction(kernel, module, symbol, whyNot);
  if (failed(function))
    return failure();
  LoweredKernel lowered;
  lowered.function = *function;
  if (failed(
          bufferizeKernel(*function, getCpuArguments(kernel.getContext()))) ||
      failed(lowerToLoops(*function))) {
    whyNot = "its linalg form cannot be brought to memory";
    function->erase();
    return failure();
  }
  int64_t items = kernel->getNumResults() == 1 ? dealOut(*function) : 0;
  lowered.scratchBytes = placeBuffersInScratch(*function);
  if (items)
    lowered.workItems = items;
  else
    guardFirstItem(*function);
  replaceEmptyArguments(*function);
  return lowered;
}

} // namespace lathe::cpu
