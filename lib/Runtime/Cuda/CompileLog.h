//===- CompileLog.h - What NVRTC says ------------------------- -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// NVRTC's log, for people.
#ifndef LATHE_LIB_RUNTIME_CUDA_COMPILELOG_H
#define LATHE_LIB_RUNTIME_CUDA_COMPILELOG_H

#include "lathe/Runtime/CudaNvrtc.h"

namespace lathe::cuda {

/// The first errors of a log, each with the lines of the request's text or of
/// its headers around it; what is not about a line comes as it stands.
std::string explainErrors(llvm::StringRef log, const CubinRequest &request);

} // namespace lathe::cuda

#endif // LATHE_LIB_RUNTIME_CUDA_COMPILELOG_H
