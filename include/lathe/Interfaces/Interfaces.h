//===- Interfaces.h - What a pass may ask an op -----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_INTERFACES_INTERFACES_H
#define LATHE_INTERFACES_INTERFACES_H

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

namespace lathe {
using namespace mlir;

enum class FusionKind { Elementwise, Reduction, Contraction, View, Opaque };

/// Whose schedules the ops will meet.
enum class LayoutTarget { Cpu, Cuda };

/// Layouts of an op's operands and results: permutation maps from the logical
/// dims to the stored ones, stored dim i being logical dim result i (the
/// `permutation` of a transpose). Null where a value stays as it is. An operand
/// of lower rank than its map is aligned at the last dim first, as in
/// broadcasting.
struct ValueLayouts {
  SmallVector<AffineMap> operands, results;
};

/// A layout of an op's first operand in which the op moves `gain` bytes less
/// (or saves as much time as moving them takes).
struct LayoutPreference {
  AffineMap layout;
  int64_t gain;
};

} // namespace lathe

#include "lathe/Interfaces/Interfaces.h.inc"

#endif // LATHE_INTERFACES_INTERFACES_H
