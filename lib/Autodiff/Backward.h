//===- Backward.h - The backward part of a block ----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_AUTODIFF_BACKWARD_H
#define LATHE_AUTODIFF_BACKWARD_H

#include "Activity.h"
#include "dialects/Lathe/Lathe.h"
#include "lathe/Autodiff/Autograd.h"

namespace lathe {

/// What is known of the derivative of the loss by each value.
class Cotangents {
public:
  /// Null where nothing has flowed to `value` yet.
  Value get(Value value) const { return map.lookup(value); }
  /// Adds `cotangent`, of the type of `value`.
  void add(OpBuilder &builder, Value value, Value cotangent);

private:
  DenseMap<Value, Value> map;
};

/// Builds backward parts. Rules refer to the values of the forward block as
/// they are; for a region, `ControlFlow.cpp` then brings those values along.
class Backward {
public:
  Backward(const Activity &activity, const GradientOptions &options)
      : activity(activity), options(options) {}
  ~Backward();

  /// Goes over the ops of `block` from the last to the first: turns the
  /// cotangents of results into those of operands, at `builder`.
  LogicalResult run(Block &block, Cotangents &cotangents, OpBuilder &builder);

private:
  LogicalResult differentiate(Operation *op, Cotangents &cotangents,
                              OpBuilder &builder);
  LogicalResult differentiate(ScanOp op, Cotangents &cotangents,
                              OpBuilder &builder);
  LogicalResult differentiate(IfOp op, Cotangents &cotangents,
                              OpBuilder &builder);
  /// The values from outside that `region` uses and a gradient may flow to.
  SmallVector<Value> activeCaptures(Region &region) const;
  /// Takes the place of `op`, which stays, empty, until the end: activity is
  /// known of its results by their address.
  void replace(Operation *op, ValueRange results);

  const Activity &activity;
  const GradientOptions &options;
  SmallVector<Operation *> replaced;
};

/// Turns a loop that is known to end into a `scan` of as many iterations; an
/// error where no bound is found.
LogicalResult boundLoop(WhileOp loop);

/// Bounds the loops of `function` that a gradient must pass through, and
/// expands the composites without a rule. `findActivity` looks at the function
/// as it is.
LogicalResult prepareForGradients(func::FuncOp function,
                                  function_ref<Activity()> findActivity);

} // namespace lathe

#endif // LATHE_AUTODIFF_BACKWARD_H
