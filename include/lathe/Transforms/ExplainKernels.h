//===- ExplainKernels.h - Why the kernels are what they are -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// lathe-form-kernels with `explain` leaves on every kernel
//   lathe.left_out = [{op, kernel, where = "before" | "after", why}, ...]
// with one entry per neighbour that is not in the kernel (`kernel` is absent
// for ops that stay outside of kernels). These functions show it. Whoever
// compares kernels must not look at the attribute.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_EXPLAINKERNELS_H
#define LATHE_TRANSFORMS_EXPLAINKERNELS_H

#include "mlir/IR/Operation.h"

namespace lathe {

/// Every kernel below `root`: name, schedule, ops with their place in the
/// model, and each neighbour left out with the reason.
void printKernelsAsText(mlir::Operation *root, llvm::raw_ostream &os);

/// The same as a JSON array of objects {name, schedule, function, ops,
/// left_out}.
void printKernelsAsJson(mlir::Operation *root, llvm::raw_ostream &os);

} // namespace lathe

#endif // LATHE_TRANSFORMS_EXPLAINKERNELS_H
