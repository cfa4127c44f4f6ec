//===- Schedule.h - From a kernel op to loops over memory -------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_CPU_SCHEDULE_H
#define LATHE_TARGET_CPU_SCHEDULE_H

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe::cpu {

/// What multiplies bytes: nothing that is known here, pairs of 16-bit numbers
/// (pmaddwd), or four bytes at a time (vpdpbusd).
enum class ByteProducts { None, Words, Vnni };
/// What multiplies pairs of bf16: f32 arithmetic on what they are widened to,
/// or AVX512_BF16 (vdpbf16ps).
enum class BfloatProducts { Widened, Pairs };
/// AMX's tile registers, or a model of them in memory.
enum class TileRegisters { None, Amx, Emulated };

/// What code may be made for.
struct CpuFeatures {
  /// f32 lanes of the widest vector: 16 with AVX-512, 8 with AVX2, 4 else.
  int64_t vectorWidth = 8;
  /// Vector registers: 32 with AVX-512, 16 else.
  int64_t vectorRegisters = 16;
  /// Instructions that round vectors of f32 to bf16 (AVX512_BF16), and between
  /// f32 and f16 (F16C).
  bool convertsBfloat = false, convertsHalf = false;
  ByteProducts byteProducts = ByteProducts::None;
  BfloatProducts bfloatProducts = BfloatProducts::Widened;
  TileRegisters tiles = TileRegisters::None;
};

/// A kernel as a function over memory,
///   func.func @symbol(memref inputs..., memref outputs..., memref<?xi8>
///   scratch,
///                     index begin, index end)
/// All memrefs are static, row-major and in storage types (see ScalarBody.h).
/// It does the work items [begin, end) of [0, workItems); every partition gives
/// the same bits. The body is scf, arith, math, memref, vector and calls of
/// LLVM's intrinsics (no tensors).
struct LoweredKernel {
  func::FuncOp function;
  int64_t workItems = 1;
  /// Bytes of scratch a thread needs; a schedule carves it up with memref.view.
  int64_t scratchBytes = 0;
};

/// The arguments behind inputs and outputs: scratch, begin, end.
inline SmallVector<Type> getCpuArguments(MLIRContext *context) {
  Builder b(context);
  return {MemRefType::get({ShapedType::kDynamic}, b.getI8Type()),
          b.getIndexType(), b.getIndexType()};
}

/// Lowers `kernel` into `module` as a function named `symbol`, or fails with
/// the reason in `whyNot` (no diagnostics: the next schedule is tried).
using ScheduleFn = FailureOr<LoweredKernel> (*)(KernelOp kernel,
                                                ModuleOp module,
                                                StringRef symbol,
                                                const CpuFeatures &features,
                                                std::string &whyNot);

/// Attention in blocks of keys with an online softmax; one per file, tried in
/// this order. `scheduleOpaque` takes everything that lowers to linalg.
FailureOr<LoweredKernel> scheduleAttention(KernelOp, ModuleOp, StringRef,
                                           const CpuFeatures &, std::string &);
/// Its gradients from the saved log-sum-exp.
FailureOr<LoweredKernel> scheduleAttentionBackward(KernelOp, ModuleOp,
                                                   StringRef,
                                                   const CpuFeatures &,
                                                   std::string &);
FailureOr<LoweredKernel> scheduleContraction(KernelOp, ModuleOp, StringRef,
                                             const CpuFeatures &,
                                             std::string &);
FailureOr<LoweredKernel> scheduleConvolution(KernelOp, ModuleOp, StringRef,
                                             const CpuFeatures &,
                                             std::string &);
FailureOr<LoweredKernel> schedulePack(KernelOp, ModuleOp, StringRef,
                                      const CpuFeatures &, std::string &);
FailureOr<LoweredKernel> scheduleRows(KernelOp, ModuleOp, StringRef,
                                      const CpuFeatures &, std::string &);
FailureOr<LoweredKernel> scheduleOpaque(KernelOp, ModuleOp, StringRef,
                                        const CpuFeatures &, std::string &);

} // namespace lathe::cpu

#endif // LATHE_TARGET_CPU_SCHEDULE_H
