//===- Loops.h - Building lathe.scan --------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_ONNX_LOOPS_H
#define LATHE_IMPORT_ONNX_LOOPS_H

#include "Node.h"

namespace lathe::onnx_import {

/// A lathe.scan over the leading dim of `inputs` (at least one). `step` gets
/// the carried values and the slices, and gives the next carried values and
/// what is stacked. Returns the last carried values, then the stacks; nothing
/// after a failure.
SmallVector<Value>
scanLoop(Node &n, ValueRange inits, ValueRange inputs, bool reverse,
         function_ref<SmallVector<Value>(ArrayRef<Val>)> step);

} // namespace lathe::onnx_import

#endif // LATHE_IMPORT_ONNX_LOOPS_H
