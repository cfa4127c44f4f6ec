//===- Autograd.h - The gradient of a function ------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_AUTODIFF_AUTOGRAD_H
#define LATHE_AUTODIFF_AUTOGRAD_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <functional>

namespace lathe {
using namespace mlir;

struct GradientOptions {
  bool parameters = true;
  bool inputs = false;
  /// Called with the function as it is differentiated: composites without a
  /// rule expanded, nothing of the backward part there yet.
  std::function<void(func::FuncOp)> beforeBackward;
  /// Called after each rule, with the op it belongs to, what it built and the
  /// gradients, which it may replace. Only tests that plant faults use it.
  std::function<void(Operation *, ArrayRef<Operation *>,
                     MutableArrayRef<Value>)>
      afterRule;
};

/// Adds `@NAME_grad` beside the specialized function `@NAME`; the pass
/// `lathe-autograd` says what it returns. Errors, as diagnostics: calls and
/// open sizes, a first result that is no rank-0 float, an op without a rule
/// where a gradient must pass, nothing to differentiate by.
/// Source: Griewank and Walther, "Evaluating Derivatives", 2008, chapter 3
/// (reverse mode); Innes, "Don't Unroll Adjoint", 2018 (control flow).
FailureOr<func::FuncOp> buildGradient(func::FuncOp loss,
                                      const GradientOptions &options);

} // namespace lathe

#endif // LATHE_AUTODIFF_AUTOGRAD_H
