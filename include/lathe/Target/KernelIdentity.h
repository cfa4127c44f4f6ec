//===- KernelIdentity.h - What makes two kernels the same -------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_KERNELIDENTITY_H
#define LATHE_TARGET_KERNELIDENTITY_H

#include "dialects/Lathe/Lathe.h"
#include "lathe/Executable/Executable.h"

namespace lathe {
using namespace mlir;

/// The kernel's meaning as text: body, types and schedule, without its name and
/// without locations. Equal texts are compiled once.
std::string getKernelText(KernelOp kernel);

/// Identifies this very compiler, so that a cache never serves what another
/// build of it made.
std::string getCompilerIdentity();

/// Fills in the name, the cost and the source ops of `kernel`.
void describeKernel(KernelOp kernel, exec::Kernel &info);

} // namespace lathe

#endif // LATHE_TARGET_KERNELIDENTITY_H
