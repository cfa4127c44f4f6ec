//===- Schedule.h - From a kernel op to CUDA C++ text -----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_CUDA_SCHEDULE_H
#define LATHE_TARGET_CUDA_SCHEDULE_H

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace lathe::cuda {

/// What text is made for.
struct GpuFeatures {
  /// 80, 90, 100, ...: 10 * major + minor.
  unsigned architecture = 90;
  /// wgmma, which sm_90a alone has.
  bool hasWarpGroupMma = false;

  /// Of "sm_80", "sm_90a". Errors: another form, older than 80.
  static llvm::Expected<GpuFeatures> forArchitecture(StringRef name);
};

/// A tensor that TMA copies boxes of, the innermost dim first. See TensorMap in
/// Executable.proto.
struct GridTensorMap {
  std::string name; ///< of the parameter: "tensorA"
  unsigned argument = 0;
  Type elementType;             ///< f16 or bf16
  int64_t offset = 0;           ///< bytes
  SmallVector<int64_t> dims;    ///< elements
  SmallVector<int64_t> strides; ///< bytes, of dims 1 and up
  SmallVector<int64_t> box;     ///< elements
  int64_t swizzle = 128;        ///< bytes
};

/// One `__global__` function and how it is launched. See Grid in
/// Executable.proto.
struct GridLaunch {
  std::string symbol;
  int64_t grid[3] = {1, 1, 1};
  int64_t block[3] = {1, 1, 1};
  int64_t dynamicSharedBytes = 0;
  int64_t cluster = 1;
  /// Uses barriers or exchanges values between threads.
  bool isCooperative = false;
  /// Taken by value behind the pointers.
  std::vector<GridTensorMap> tensorMaps;
};

/// A kernel as text. Every grid takes
///   (const T *__restrict__ in0, ..., T *__restrict__ out0, ..., u8 *scratch)
/// the last only where `scratchBytes` is not 0, and then its tensor maps; grids
/// run in order.
struct KernelText {
  std::string text;
  std::vector<GridLaunch> grids;
  /// Bytes of device memory that live from the first grid to the last.
  int64_t scratchBytes = 0;
  /// How it was made, where the schedule has several ways: "rows+pointwise".
  std::string schedule;
};

/// Writes `kernel` as text whose first grid is called `symbol`, or fails with
/// the reason in `whyNot` (no diagnostics: the next schedule is tried).
using ScheduleFn = FailureOr<KernelText> (*)(KernelOp kernel, StringRef symbol,
                                             const GpuFeatures &features,
                                             std::string &whyNot);

/// Scaled dot-product attention in f32, f16 or bf16 with views before it and
/// elementwise ops behind it.
FailureOr<KernelText> scheduleAttention(KernelOp, StringRef,
                                        const GpuFeatures &, std::string &);

/// Its gradients from the saved log-sum-exp: a grid by queries, one by keys.
FailureOr<KernelText> scheduleAttentionBackward(KernelOp, StringRef,
                                                const GpuFeatures &,
                                                std::string &);

/// A matrix product with views before it and elementwise ops behind it.
FailureOr<KernelText> scheduleContraction(KernelOp, StringRef,
                                          const GpuFeatures &, std::string &);

/// A channels-first convolution, as a product whose second side is found in the
/// image when it is read.
FailureOr<KernelText> scheduleConvolution(KernelOp, StringRef,
                                          const GpuFeatures &, std::string &);

/// Pointwise ops and reductions: threads per pack of elements, rows reduced by
/// warps or blocks, columns by several rows of threads.
FailureOr<KernelText> scheduleSteps(KernelOp, StringRef, const GpuFeatures &,
                                    std::string &);

/// A running sum along long rows: a warp or a block per row.
FailureOr<KernelText> scheduleScan(KernelOp, StringRef, const GpuFeatures &,
                                   std::string &);

/// Everything that lowers to linalg: a thread per element of each op.
FailureOr<KernelText> scheduleLoops(KernelOp, StringRef, const GpuFeatures &,
                                    std::string &);

} // namespace lathe::cuda

#endif // LATHE_TARGET_CUDA_SCHEDULE_H
