//===- SimWrapper.h - The simulator's way into a kernel ---------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_SIMWRAPPER_H
#define LATHE_LIB_TARGET_CUDA_SIMWRAPPER_H

#include "lathe/Target/Cuda/Schedule.h"

namespace lathe::cuda {

/// Text to go behind a kernel's own for target cuda-sim; see docs/cuda.md.
struct SimWrapper {
  std::string symbol;
  std::string text;
  int64_t workItems = 1;
};
SimWrapper makeSimWrapper(KernelOp kernel, const KernelText &text);

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_SIMWRAPPER_H
