//===- OpaqueSchedule.cpp - The schedule that takes everything ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// linalg on tensors -> buffers (one-shot bufferization, results written where
// the caller wants them, temporaries in the scratch) -> loops.
//
//===----------------------------------------------------------------------===//

#include "ScratchPlan.h"

#include "lathe/Target/Cpu/Schedule.h"
#include "lathe/Target/KernelFunction.h"

#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/MemRef/Transforms/Transforms.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

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
  lowered.scratchBytes = placeBuffersInScratch(*function);
  guardFirstItem(*function);
  replaceEmptyArguments(*function);
  return lowered;
}

} // namespace lathe::cpu
