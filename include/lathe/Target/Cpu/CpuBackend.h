//===- CpuBackend.h - A module of kernels to an Executable for the CPU ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_CPU_CPUBACKEND_H
#define LATHE_TARGET_CPU_CPUBACKEND_H

#include "lathe/Target/CompileKernels.h"
#include "lathe/Target/Cpu/CompileObject.h"

namespace lathe::cpu {

struct BackendOptions : KernelCompileOptions {
  CpuTarget target;
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
