//===- ProgramBuilder.h - The entry function as steps over buffers --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_PROGRAMBUILDER_H
#define LATHE_TARGET_PROGRAMBUILDER_H

#include "dialects/Lathe/Lathe.h"
#include "lathe/Executable/Executable.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {

struct ResolvedKernel {
  uint32_t number = 0; ///< in Executable.kernels
  /// The schedule that made it. Of results that overwrite inputs
  /// (`lathe.in_place`), "rows", "pointwise" and "contraction" read each
  /// element before they write it.
  std::string schedule;
};

/// Compiles a kernel, or finds its twin; failure after a diagnostic.
using KernelResolver = llvm::function_ref<FailureOr<ResolvedKernel>(KernelOp)>;

/// Adds a program for `entry` (and its load function, if any) to `executable`:
/// steps, buffers, weights, the arena plan, constants. `entry` has only what
/// docs/architecture.md allows outside of kernels; everything is static.
LogicalResult buildProgram(func::FuncOp entry, exec::Executable &executable,
                           KernelResolver resolveKernel);

/// The schema's type of a tensor type; failure for other element types.
FailureOr<exec::TensorType> toExecutableType(RankedTensorType type);

/// Bytes of one element in memory (i1 takes one).
int64_t getStorageBytes(Type elementType);

} // namespace lathe

#endif // LATHE_TARGET_PROGRAMBUILDER_H
