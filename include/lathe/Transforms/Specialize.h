//===- Specialize.h - A model for the shapes it meets -----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_SPECIALIZE_H
#define LATHE_TRANSFORMS_SPECIALIZE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"

namespace lathe {
using namespace mlir;

/// Gives the entry function's arguments their static shapes (one per argument,
/// sizes in elements) and works out what follows: calls are inlined, constants
/// folded, every type inferred again, branches with a constant condition taken,
/// dead ops dropped. Linear in the number of ops.
///
/// Errors, as diagnostics: a shape that contradicts an argument's declaration
/// or the size of a dim of the same name; what inference refuses; a size that
/// depends on data (one error that lists the ops). The function may be half
/// done then.
LogicalResult specialize(func::FuncOp entry,
                         ArrayRef<SmallVector<int64_t>> argShapes);

/// Inlines every call below `entry` and drops private functions that nothing
/// calls any more. Recursion, functions without a body or with more than one
/// block, and calls that come to more than 200,000 ops are errors.
LogicalResult inlineCalls(func::FuncOp entry);

/// Refuses shapes that contradict the arguments' declared types, or each other
/// in the size of a dim of one name; the sentence names the argument.
LogicalResult checkArgumentShapes(func::FuncOp entry,
                                  ArrayRef<SmallVector<int64_t>> shapes);

/// The shapes that the declared arguments take where dims of these names
/// (`lathe.dims`) have these sizes, and `given` (by argument index, kDynamic
/// for a size not given) are fixed by hand. Sizes that stay open, and names
/// that no argument has, are errors.
FailureOr<SmallVector<SmallVector<int64_t>>>
resolveShapes(func::FuncOp entry, const llvm::StringMap<int64_t> &dims,
              const DenseMap<unsigned, SmallVector<int64_t>> &given);

} // namespace lathe

#endif // LATHE_TRANSFORMS_SPECIALIZE_H
