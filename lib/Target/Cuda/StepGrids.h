//===- StepGrids.h - Grids for the phases of a row program ------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_STEPGRIDS_H
#define LATHE_LIB_TARGET_CUDA_STEPGRIDS_H

#include "ElementText.h"

namespace lathe::cuda {

/// A phase without reductions: a thread per element or per pack.
LogicalResult emitPointwise(const RowProgram &program, const RowPhases &plan,
                            const Phase &phase, KernelFile &file,
                            std::string &whyNot);

/// Phases without reductions that need nothing of each other, in one grid: a
/// range of blocks for each.
LogicalResult emitSideBySide(const RowProgram &program, const RowPhases &plan,
                             KernelFile &file, std::string &whyNot);

/// A phase whose reductions run along rows or down columns.
LogicalResult emitReduction(const RowProgram &program, const RowPhases &plan,
                            const Phase &phase, KernelFile &file,
                            std::string &whyNot);

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_STEPGRIDS_H
