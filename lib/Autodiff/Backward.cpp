//===- Backward.cpp - The backward part of a block ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Backward.h"

namespace lathe {

namespace {
struct Created : OpBuilder::Listener {
  void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
    ops.push_back(op);
  }
  SmallVector<Operation *> ops;
};
} // namespace

void Cotangents::add(OpBuilder &builder, Value value, Value cotangent) {
  Value &sum = map[value];
  sum = sum ? builder.create<AddOp>(cotangent.getLoc(), sum, cotangent)
            : cotangent;
}

Backward::~Backward() {
  for (Operation *op : llvm::reverse(replaced))
    op->erase();
}

void Backward::replace(Operation *op, ValueRange results) {
  for (auto [old, now] : llvm::zip(op->getResults(), results))
    old.replaceAllUsesWith(now);
  replaced.push_back(op);
}

static LogicalResult boundLoops(func::FuncOp function,
                                function_ref<Activity()> findActivity) {
  while (true) {
    Activity activity = findActivity();
    WhileOp next;
    function.walk([&](WhileOp loop) {
      if (llvm::any_of(loop->getResults(),
                       [&](Value v) { return activity.isActive(v); }))
        next = loop;
    });
    if (!next)
      return success();
    if (failed(boundLoop(next)))
      return failure();
  }
}

/// A decomposition may hold composites in turn.
static LogicalResult expandComposites(func::FuncOp function,
                                      function_ref<Activity()> findActivity) {
  while (true) {
    Activity activity = findActivity();
    SmallVector<DecomposableOpInterface> composites;
    function.walk([&](DecomposableOpInterface op) {
      if (!isa<DifferentiableOpInterface>(*op) &&
          llvm::any_of(op->getResults(),
                       [&](Value v) { return activity.isActive(v); }))
        composites.push_back(op);
    });
    if (composites.empty())
      return success();
    for (DecomposableOpInterface op : composites) {
      OpBuilder builder(op);
      FailureOr<SmallVector<Value>> values = op.decomposeForGradient(builder);
      if (failed(values) ||
          TypeRange(ValueRange(*values)) != op->getResultTypes())
        return op->emitOpError("has no derivative rule and cannot be expanded, "
                               "and the gradient of the loss must pass "
                               "through it");
      op->replaceAllUsesWith(*values);
      op->erase();
    }
  }
}

LogicalResult prepareForGradients(func::FuncOp function,
                                  function_ref<Activity()> findActivity) {
  if (failed(boundLoops(function, findActivity)))
    return failure();
  return expandComposites(function, findActivity);
}

LogicalResult Backward::run(Block &block, Cotangents &cotangents,
                            OpBuilder &builder) {
  // The builder may stand in the same block.
  SmallVector<Operation *> ops;
  for (Operation &op : block.without_terminator())
    ops.push_back(&op);
  for (Operation *op : llvm::reverse(ops)) {
    if (llvm::none_of(op->getResults(), [&](Value result) {
          return cotangents.get(result) && activity.isVaried(result);
        }))
      continue;
    LogicalResult done = success();
    if (auto scan = dyn_cast<ScanOp>(op))
      done = differentiate(scan, cotangents, builder);
    else if (auto branch = dyn_cast<IfOp>(op))
      done = differentiate(branch, cotangents, builder);
    else
      done = differentiate(op, cotangents, builder);
    if (failed(done))
      return failure();
  }
  return success();
}

LogicalResult Backward::differentiate(Operation *op, Cotangents &cotangents,
                                      OpBuilder &builder) {
  // What we differentiate by may itself be the result of an op.
  if (op->getNumRegions() == 0 &&
      llvm::none_of(op->getOpOperands(), [&](OpOperand &operand) {
        return activity.isVaried(operand.get()) && !isInactiveOperand(operand);
      }))
    return success();
  auto rule = dyn_cast<DifferentiableOpInterface>(op);
  if (!rule)
    return op->emitOpError("has no derivative rule, and the gradient of the "
                           "loss must pass through it");
  SmallVector<Value> given;
  for (Value result : op->getResults())
    given.push_back(cotangents.get(result));
  Created created;
  OpBuilder ruleBuilder(builder);
  ruleBuilder.setListener(&created);
  FailureOr<SmallVector<Value>> gradients = rule.buildVjp(ruleBuilder, given);
  if (failed(gradients))
    return failure();
  if (gradients->size() != op->getNumOperands())
    return op->emitOpError("expected a rule with ")
           << op->getNumOperands() << " gradients, got " << gradients->size();
  for (auto [operand, gradient] :
       llvm::zip_equal(op->getOpOperands(), *gradients))
    if (!activity.isVaried(operand.get()) || isInactiveOperand(operand))
      gradient = Value();
  if (options.afterRule)
    options.afterRule(op, created.ops, *gradients);
  for (auto [operand, gradient] :
       llvm::zip_equal(op->getOpOperands(), *gradients)) {
    Value value = operand.get();
    if (!gradient)
      continue;
    if (gradient.getType() != value.getType())
      return op->emitOpError("expected a rule with a gradient of type ")
             << value.getType() << " for operand " << operand.getOperandNumber()
             << ", got " << gradient.getType();
    cotangents.add(builder, value, gradient);
  }
  return success();
}

} // namespace lathe
