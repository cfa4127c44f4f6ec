//===- KernelFunction.cpp - A kernel as a function on tensors -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/KernelFunction.h"

#include "lathe/Conversion/LatheToLinalg.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace lathe {

/// Collects the diagnostics of its scope as text instead of printing them.
class DiagnosticCollector {
public:
  DiagnosticCollector(MLIRContext *context, std::string &text)
      : handler(context, [&text](Diagnostic &diagnostic) {
          if (!text.empty())
            text += "; ";
          text += diagnostic.str();
          return success();
        }) {}

private:
  ScopedDiagnosticHandler handler;
};

/// Fuse where nothing is computed twice: the producer has one consumer, whose
/// space is not larger than the producer's.
static bool fusesForFree(OpOperand *operand) {
  auto producer = operand->get().getDefiningOp<linalg::GenericOp>();
  auto consumer = dyn_cast<linalg::GenericOp>(operand->getOwner());
  if (!producer || !consumer || !producer->hasOneUse())
    return false;
  AffineMap map = consumer.getMatchingIndexingMap(operand);
  int64_t space = 1, values = 1;
  for (int64_t size : consumer.getStaticLoopRanges())
    space *= size;
  for (int64_t size :
       cast<RankedTensorType>(operand->get().getType()).getShape())
    values *= size;
  return map.isProjectedPermutation() && space <= values;
}

static LogicalResult simplify(func::FuncOp function) {
  MLIRContext *context = function.getContext();
  RewritePatternSet patterns(context);
  linalg::populateElementwiseOpsFusionPatterns(patterns, fusesForFree);
  linalg::FillOp::getCanonicalizationPatterns(patterns, context);
  GreedyRewriteConfig config;
  config.useTopDownTraversal = true;
  (void)applyPatternsAndFoldGreedily(function, std::move(patterns), config);
  IRRewriter rewriter(context);
  DominanceInfo dominance(function);
  eliminateCommonSubExpressions(rewriter, dominance, function);
  return success();
}

/// The list's element at 0 and its steps per dim, where all its elements follow
/// from them: an iota in any shape.
static std::optional<SmallVector<int64_t>>
readProgression(DenseIntElementsAttr list) {
  ArrayRef<int64_t> shape = list.getType().getShape();
  SmallVector<int64_t> numbers, strides(shape.size(), 1);
  for (APInt number : list.getValues<APInt>())
    numbers.push_back(number.getSExtValue());
  for (int64_t d = int64_t(shape.size()) - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * shape[d + 1];
  SmallVector<int64_t> steps;
  for (auto [size, stride] : llvm::zip_equal(shape, strides))
    steps.push_back(size > 1 ? numbers[stride] - numbers[0] : 0);
  for (auto [at, number] : llvm::enumerate(numbers)) {
    int64_t expected = numbers[0];
    for (auto [d, step] : llvm::enumerate(steps))
      expected += step * int64_t(at / strides[d] % shape[d]);
    if (number != expected)
      return std::nullopt;
  }
  steps.push_back(numbers[0]);
  return steps;
}

/// Small lists of integers that are progressions are computed from the loops'
/// indices: schedules over rows read nothing but arguments from memory.
static void computeProgressions(func::FuncOp function) {
  function.walk([](linalg::GenericOp op) {
    for (OpOperand *operand : op.getDpsInputOperands()) {
      DenseIntElementsAttr list;
      BlockArgument argument = op.getMatchingBlockArgument(operand);
      if (!matchPattern(operand->get(), m_Constant(&list)) || list.isSplat() ||
          list.getNumElements() > 64 || argument.use_empty())
        continue;
      std::optional<SmallVector<int64_t>> steps = readProgression(list);
      AffineMap map = op.getMatchingIndexingMap(operand);
      if (!steps || !map.isProjectedPermutation(/*allowZeroInResults=*/true))
        continue;
      Location loc = op.getLoc();
      OpBuilder b = OpBuilder::atBlockBegin(op.getBody());
      Type type = argument.getType();
      auto number = [&](int64_t value) -> Value {
        return b.create<arith::ConstantOp>(loc, b.getIntegerAttr(type, value));
      };
      Value value = number(steps->back());
      for (auto [d, expr] : llvm::enumerate(map.getResults())) {
        auto dim = dyn_cast<AffineDimExpr>(expr);
        if (!dim || (*steps)[d] == 0)
          continue;
        Value index = b.create<arith::IndexCastOp>(
            loc, type, b.create<linalg::IndexOp>(loc, dim.getPosition()));
        if ((*steps)[d] != 1)
          index = b.create<arith::MulIOp>(loc, index, number((*steps)[d]));
        value = b.create<arith::AddIOp>(loc, value, index);
      }
      argument.replaceAllUsesWith(value);
      b.setInsertionPoint(op);
      operand->set(b.create<arith::ConstantOp>(
          loc, DenseElementsAttr::get(list.getType(), b.getZeroAttr(type))));
    }
  });
}

FailureOr<func::FuncOp> buildTensorFunction(KernelOp kernel, ModuleOp module,
                                            StringRef symbol,
                                            std::string &whyNot) {
  MLIRContext *context = kernel.getContext();
  Block &body = kernel.getBody().front();
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  auto type = builder.getFunctionType(body.getArgumentTypes(),
                                      body.getTerminator()->getOperandTypes());
  auto function = builder.create<func::FuncOp>(kernel.getLoc(), symbol, type);
  Block *entry = function.addEntryBlock();
  builder.setInsertionPointToEnd(entry);
  IRMapping mapping;
  mapping.map(body.getArguments(), entry->getArguments());
  for (Operation &op : body.without_terminator())
    builder.clone(op, mapping);
  SmallVector<Value> results;
  for (Value value : body.getTerminator()->getOperands())
    results.push_back(mapping.lookup(value));
  builder.create<func::ReturnOp>(kernel.getLoc(), results);

  DiagnosticCollector collector(context, whyNot);
  if (failed(convertToLinalg(function)) || failed(simplify(function))) {
    function.erase();
    return failure();
  }
  computeProgressions(function);
  return function;
}

FunctionType getKernelSignature(func::FuncOp tensorFunction,
                                ArrayRef<Type> extra) {
  SmallVector<Type> inputs;
  auto add = [&](Type type) {
    auto tensor = cast<RankedTensorType>(type);
    inputs.push_back(
        MemRefType::get(tensor.getShape(), tensor.getElementType()));
  };
  llvm::for_each(tensorFunction.getArgumentTypes(), add);
  llvm::for_each(tensorFunction.getResultTypes(), add);
  llvm::append_range(inputs, extra);
  return FunctionType::get(tensorFunction.getContext(), inputs, {});
}

/// Puts the memory signature around the tensor body: inputs are read with
/// to_tensor, results materialize in the output arguments.
static void moveToMemory(func::FuncOp function, ArrayRef<Type> extra) {
  FunctionType signature = getKernelSignature(function, extra);
  Block &body = function.getBody().front();
  unsigned numInputs = body.getNumArguments();
  Location loc = function.getLoc();
  OpBuilder builder = OpBuilder::atBlockBegin(&body);
  for (Type type : signature.getInputs())
    body.addArgument(type, loc);
  for (unsigned i = 0; i < numInputs; ++i) {
    Value tensor = builder.create<bufferization::ToTensorOp>(
        loc, body.getArgument(i).getType(), body.getArgument(numInputs + i),
        /*restrict=*/true, /*writable=*/false);
    body.getArgument(i).replaceAllUsesWith(tensor);
  }
  Operation *terminator = body.getTerminator();
  builder.setInsertionPoint(terminator);
  for (auto [i, value] : llvm::enumerate(terminator->getOperands()))
    builder.create<bufferization::MaterializeInDestinationOp>(
        loc, Type(), value, body.getArgument(2 * numInputs + i),
        /*restrict=*/true, /*writable=*/true);
  terminator->setOperands({});
  body.eraseArguments(0, numInputs);
  function.setType(signature);
}

LogicalResult bufferizeKernel(func::FuncOp function, ArrayRef<Type> extra) {
  unsigned numResults = function.getNumResults();
  moveToMemory(function, extra);
  IRRewriter rewriter(function.getContext());
  // Writes what leads to the result straight to where the caller wants it. With
  // several results it would put values that are still needed into the place of
  // another result.
  if (numResults == 1 &&
      failed(bufferization::eliminateEmptyTensors(rewriter, function)))
    return failure();
  bufferization::OneShotBufferizationOptions options;
  options.allowReturnAllocsFromLoops = true;
  options.memCpyFn = [](OpBuilder &builder, Location loc, Value from,
                        Value to) -> LogicalResult {
    builder.create<linalg::CopyOp>(loc, from, to);
    return success();
  };
  return bufferization::runOneShotBufferize(function, options);
}

} // namespace lathe
