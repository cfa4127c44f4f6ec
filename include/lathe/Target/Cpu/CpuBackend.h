//===- CpuBackend.h - A module of kernels to an Executable for the CPU -*- C++
//-*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_CPU_CPUBACKEND_H
#define LATHE_TARGET_CPU_CPUBACKEND_H

#include "lathe/Executable/Executable.h"
#include "lathe/Target/Cpu/CompileObject.h"

#include <functional>

namespace lathe {
class DiskCache;
}

namespace lathe::cpu {

struct BackendOptions {
  CpuTarget target;
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

/// Adds one program for `entry` to `executable`: lowers each distinct kernel by
/// the first schedule that takes it, compiles it (or finds it in the cache) and
/// lays out the steps. Errors are diagnostics at the op.
LogicalResult compileForCpu(func::FuncOp entry, const BackendOptions &options,
                            exec::Executable &executable,
                            BackendStatistics *statistics = nullptr);

/// The code of every distinct kernel of `module` as text: "memref" (after its
/// schedule), "llvm" or "asm".
LogicalResult printKernelCode(ModuleOp module, const BackendOptions &options,
                              StringRef stage, raw_ostream &os);

} // namespace lathe::cpu

#endif // LATHE_TARGET_CPU_CPUBACKEND_H
