//===- VerifyGrids.h - What CUDA allows of a grid ------------- -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The part of verifyExecutable that is about the targets cuda and cuda-sim.
#ifndef LATHE_LIB_EXECUTABLE_VERIFYGRIDS_H
#define LATHE_LIB_EXECUTABLE_VERIFYGRIDS_H

#include "lathe/Executable/Executable.h"

namespace lathe {

/// Grids within CUDA's limits, at least one of them where the target has any,
/// tensor maps that the driver will take, code to run.
llvm::Error verifyGrids(const exec::Executable &executable,
                        const exec::Kernel &kernel);

/// Every tensor map of the launch's kernel lies inside its argument's window.
llvm::Error verifyTensorMaps(const exec::Kernel &kernel,
                             const exec::Launch &launch);

} // namespace lathe

#endif // LATHE_LIB_EXECUTABLE_VERIFYGRIDS_H
