//===- KernelRules.h - What an op is to a kernel ----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Questions about one op and its neighbours that KernelGroups.cpp asks.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_KERNELRULES_H
#define LATHE_TRANSFORMS_KERNELRULES_H

#include "lathe/Analysis/RowDomain.h"

namespace lathe {

/// Whether `op` becomes part of a kernel; the rest (parameters, constants,
/// reshapes, control flow, terminators) stays outside.
bool belongsInKernel(Operation *op);

/// Whether a use of `value` inside a kernel can be served by a copy of the
/// constant inside that kernel: splats, and at most 16 integers.
bool isSmallConstant(Value value);

/// Ops with a schedule that reads and writes through transposes.
bool isAttention(Operation *op);

/// Opaque where the op has none.
FusionKind getFusionKindOf(Operation *op);

/// A transpose that only `reader` reads: a schedule reads its input in place.
TransposeOp getTransposeFor(Value value, Operation *reader);

/// The schedule family a contraction is made for. It is a hint to people and to
/// the target, which tries its schedules in turn.
StringRef getContractionSchedule(Operation *op);

/// Whether kernels of rows read the f32 form of a 16-bit value: they can read
/// the value itself, which is half the bytes, and widen it.
bool isWidenedByReaders(Operation *op);

/// Whether `reader` alone reads `op`, which makes more bytes than it reads: the
/// product of a number per row and one per column, bytes as floats. `ops` gets
/// what it takes, `room` at most, in order; some may be there more than once.
bool isExpansion(Operation *op, Operation *reader,
                 SmallVectorImpl<Operation *> &ops, unsigned &room);

/// Whether `op` gives bytes where it reads floats.
bool isRounding(Operation *op);

} // namespace lathe

#endif // LATHE_TRANSFORMS_KERNELRULES_H
