//===- Activity.h - Which values a gradient passes through ------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_AUTODIFF_ACTIVITY_H
#define LATHE_AUTODIFF_ACTIVITY_H

#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseSet.h"

namespace lathe {
using namespace mlir;

/// Of the floats of a function, nested regions included: those that depend on
/// what we differentiate by (varied), and those that the loss depends on
/// (useful). Loops are followed to a fixpoint.
class Activity {
public:
  /// `block` is the function's, `sources` are values it can see.
  Activity(Block &block, ValueRange sources, Value loss);

  bool isVaried(Value value) const { return varied.contains(value); }
  bool isUseful(Value value) const { return useful.contains(value); }
  bool isActive(Value value) const {
    return isVaried(value) && isUseful(value);
  }

private:
  bool markVaried(Value value);
  bool markUseful(Value value);
  /// Each returns whether anything was marked.
  bool forward(Block &block);
  bool backward(Block &block);
  bool forward(Operation *op);
  bool backward(Operation *op);

  llvm::DenseSet<Value> varied, useful;
};

/// Whether no gradient ever flows to the operand: it holds no floats, or the
/// op's rule says so.
bool isInactiveOperand(OpOperand &operand);

} // namespace lathe

#endif // LATHE_AUTODIFF_ACTIVITY_H
