//===- ScratchPlan.h - Buffers of a kernel in its scratch -------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_CPU_SCRATCHPLAN_H
#define LATHE_TARGET_CPU_SCRATCHPLAN_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe::cpu {
using namespace mlir;

/// Replaces every memref.alloc in `function` by a view of its scratch argument
/// (the third from the end); buffers whose lives do not meet share bytes. All
/// allocations must be static. Returns the bytes needed.
int64_t placeBuffersInScratch(func::FuncOp function);

} // namespace lathe::cpu

#endif // LATHE_TARGET_CPU_SCRATCHPLAN_H
