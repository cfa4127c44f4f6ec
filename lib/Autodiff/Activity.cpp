//===- Activity.cpp - Which values a gradient passes through --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activity.h"

#include "dialects/Lathe/Lathe.h"

namespace lathe {

static bool holdsFloats(Value value) {
  return isa<FloatType>(getElementTypeOrSelf(value.getType()));
}

bool isInactiveOperand(OpOperand &operand) {
  if (!holdsFloats(operand.get()))
    return true;
  auto rule = dyn_cast<DifferentiableOpInterface>(operand.getOwner());
  return rule && rule.isInactiveOperand(operand.getOperandNumber());
}

Activity::Activity(Block &block, ValueRange sources, Value loss) {
  for (Value source : sources)
    markVaried(source);
  while (forward(block)) {
  }
  markUseful(loss);
  while (backward(block)) {
  }
}

bool Activity::markVaried(Value value) {
  return holdsFloats(value) && varied.insert(value).second;
}
bool Activity::markUseful(Value value) {
  return holdsFloats(value) && useful.insert(value).second;
}

bool Activity::forward(Block &block) {
  bool changed = false;
  for (Operation &op : block)
    changed |= forward(&op);
  return changed;
}

bool Activity::backward(Block &block) {
  bool changed = false;
  for (Operation &op : llvm::reverse(block))
    changed |= backward(&op);
  return changed;
}

bool Activity::forward(Operation *op) {
  bool changed = false;
  auto follow = [&](Value from, Value to) {
    if (isVaried(from))
      changed |= markVaried(to);
  };
  if (auto scan = dyn_cast<ScanOp>(op)) {
    Block &body = scan.getBody().front();
    for (auto [from, to] : llvm::zip(scan->getOperands(), body.getArguments()))
      follow(from, to);
    Operation *yield = body.getTerminator();
    bool again = true;
    while (again) {
      again = forward(body);
      for (unsigned i = 0; i < scan.getNumCarried(); ++i)
        if (isVaried(yield->getOperand(i)))
          again |= markVaried(body.getArgument(i));
      changed |= again;
    }
    for (auto [from, to] : llvm::zip(yield->getOperands(), scan.getResults()))
      follow(from, to);
    // A loop that does not run returns what it started from.
    for (auto [from, to] : llvm::zip(scan.getInits(), scan.getResults()))
      follow(from, to);
    return changed;
  }
  if (auto branch = dyn_cast<IfOp>(op)) {
    for (Region *region : {&branch.getThenRegion(), &branch.getElseRegion()}) {
      changed |= forward(region->front());
      for (auto [from, to] :
           llvm::zip(region->front().getTerminator()->getOperands(),
                     branch.getResults()))
        follow(from, to);
    }
    return changed;
  }
  bool anyVaried = llvm::any_of(op->getOpOperands(), [&](OpOperand &operand) {
    return isVaried(operand.get()) && !isInactiveOperand(operand);
  });
  // Of regions that no rule knows, all values inside count.
  for (Region &region : op->getRegions())
    region.walk([&](Operation *inner) {
      anyVaried |= llvm::any_of(inner->getOperands(),
                                [&](Value v) { return isVaried(v); });
    });
  if (anyVaried)
    for (Value result : op->getResults())
      changed |= markVaried(result);
  return changed;
}

bool Activity::backward(Operation *op) {
  bool changed = false;
  auto follow = [&](Value from, Value to) {
    if (isUseful(from))
      changed |= markUseful(to);
  };
  if (auto scan = dyn_cast<ScanOp>(op)) {
    Block &body = scan.getBody().front();
    Operation *yield = body.getTerminator();
    for (auto [from, to] : llvm::zip(scan.getResults(), yield->getOperands()))
      follow(from, to);
    bool again = true;
    while (again) {
      again = backward(body);
      for (unsigned i = 0; i < scan.getNumCarried(); ++i)
        if (isUseful(body.getArgument(i)))
          again |= markUseful(yield->getOperand(i));
      changed |= again;
    }
    for (auto [from, to] : llvm::zip(body.getArguments(), scan->getOperands()))
      follow(from, to);
    for (auto [from, to] : llvm::zip(scan.getResults(), scan.getInits()))
      follow(from, to);
    return changed;
  }
  if (auto branch = dyn_cast<IfOp>(op)) {
    for (Region *region : {&branch.getThenRegion(), &branch.getElseRegion()}) {
      for (auto [from, to] :
           llvm::zip(branch.getResults(),
                     region->front().getTerminator()->getOperands()))
        follow(from, to);
      changed |= backward(region->front());
    }
    return changed;
  }
  bool anyUseful = llvm::any_of(op->getResults(),
                                [&](Value result) { return isUseful(result); });
  if (!anyUseful)
    return false;
  for (OpOperand &operand : op->getOpOperands())
    if (!isInactiveOperand(operand))
      changed |= markUseful(operand.get());
  for (Region &region : op->getRegions())
    region.walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        changed |= markUseful(operand);
    });
  return changed;
}

} // namespace lathe
