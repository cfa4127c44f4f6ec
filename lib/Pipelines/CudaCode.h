//===- CudaCode.h - From CUDA text to code, by target -----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_PIPELINES_CUDACODE_H
#define LATHE_LIB_PIPELINES_CUDACODE_H

#include "lathe/Pipelines/Compiler.h"
#include "lathe/Target/Cuda/CudaBackend.h"

namespace lathe {

/// What brings texts to code: NVRTC for the target cuda, the host's compiler
/// for cuda-sim.
struct CudaCodeMaker {
  cuda::GpuFeatures features;
  std::string arch;     ///< empty for cuda-sim
  std::string identity; ///< everything besides the text the code depends on
  cuda::MakeCodeFn make;

  /// Errors: no NVRTC, no host compiler, not an architecture.
  static llvm::Expected<CudaCodeMaker> create(const CompileOptions &options);
};

} // namespace lathe

#endif // LATHE_LIB_PIPELINES_CUDACODE_H
