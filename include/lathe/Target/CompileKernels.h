//===- CompileKernels.h - What targets share on the way to code -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every target makes a program of the entry function, compiles each distinct
// kernel once, several at a time, and keeps the code in a cache. How a kernel
// becomes code is the target's own.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_COMPILEKERNELS_H
#define LATHE_TARGET_COMPILEKERNELS_H

#include "dialects/Lathe/Lathe.h"
#include "lathe/Executable/Executable.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <functional>

namespace lathe {
using namespace mlir;

class DiskCache;

struct KernelCompileOptions {
  /// Threads that compile kernels.
  unsigned threads = 1;
  /// Where compiled kernels are kept; null keeps nothing.
  DiskCache *cache = nullptr;
  /// Called after each kernel, with how many are done of how many.
  std::function<void(unsigned, unsigned)> progress;
};

struct BackendStatistics {
  unsigned kernels = 0;
  unsigned distinct = 0;
  unsigned fromCache = 0;
};

/// The part of a kernel's compilation that may run beside others: fills in
/// `object` and what of `info` is known only then.
using MakeObjectFn =
    std::function<llvm::Error(exec::Kernel &info, exec::Object &object)>;

/// Lowers `kernel`, whose meaning as text is `text`, as far as needs its
/// context, and describes what is launched in `info`; failure after a
/// diagnostic.
using LowerKernelFn = llvm::function_ref<FailureOr<MakeObjectFn>(
    KernelOp kernel, StringRef text, exec::Kernel &info)>;

/// Adds one program for `entry` to `executable`, and an object for each of its
/// distinct kernels. `identity` is all that the code depends on besides a
/// kernel's text: target, features, compiler. Errors are diagnostics at the op.
LogicalResult compileKernels(func::FuncOp entry,
                             const KernelCompileOptions &options,
                             StringRef identity, LowerKernelFn lower,
                             exec::Executable &executable,
                             BackendStatistics *statistics);

/// Calls `fn` for the first kernel of each meaning in `module`, in program
/// order, until it fails.
LogicalResult
forEachDistinctKernel(ModuleOp module,
                      function_ref<LogicalResult(KernelOp, StringRef text)> fn);

/// Says that none of a target's schedules takes `kernel`, and each one's
/// reason: "\n  NAME: WHY" for each.
LogicalResult refuseKernel(KernelOp kernel, StringRef target,
                           StringRef reasons);

} // namespace lathe

#endif // LATHE_TARGET_COMPILEKERNELS_H
