//===- CompileObject.h - From a kernel over memory to object code ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_CPU_COMPILEOBJECT_H
#define LATHE_TARGET_CPU_COMPILEOBJECT_H

#include "lathe/Target/Cpu/Schedule.h"

#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace lathe::cpu {

/// The processor code is made for.
struct CpuTarget {
  std::string triple;
  std::string cpu;
  /// LLVM feature names the code may use, without sign ("avx512f").
  std::vector<std::string> features;
  CpuFeatures schedule;

  /// The machine this runs on. `isa` may ask for less: "amx", "avx512-vnni",
  /// "avx512" (without VNNI), "avx2-vnni", "avx2", "sse", or "" for the best
  /// there is; "amx-emulated" does what AMX does, in memory. An unknown one is
  /// an error, and so is a missing one, unless the code is `toLookAt` alone.
  static llvm::Expected<CpuTarget> host(StringRef isa = "",
                                        bool toLookAt = false);
  /// Any processor that has `isa`, one of getPortableIsaNames, and nothing
  /// more; code for it is not meant for this machine in particular. Errors: an
  /// unknown name, another architecture than x86-64.
  static llvm::Expected<CpuTarget> portable(StringRef isa);
  /// The names `portable` takes, from the least on.
  static std::vector<std::string> getPortableIsaNames();
  /// The names `host` takes, from the least on.
  static std::vector<std::string> getIsaNames();
};

/// Registers what the CPU target's passes need beyond the lathe dialect.
void registerCpuDialects(DialectRegistry &registry);

/// Lowers the module of one kernel to the LLVM dialect and gives it the C
/// signature of exec::Kernel: void symbol(void **args, void *scratch, int64_t
/// begin, int64_t end).
LogicalResult lowerToLLVM(ModuleOp module, const LoweredKernel &kernel,
                          StringRef symbol, const CpuFeatures &features);

/// Text a user may ask to see.
enum class CodeKind { Object, LLVM, Assembly };

/// Optimizes a module in the LLVM dialect and emits a relocatable object (or
/// the optimized LLVM IR, or assembly, as text). Safe to call from several
/// threads for different modules.
llvm::Expected<std::string> emitCode(ModuleOp module, const CpuTarget &target,
                                     CodeKind kind);

} // namespace lathe::cpu

#endif // LATHE_TARGET_CPU_COMPILEOBJECT_H
