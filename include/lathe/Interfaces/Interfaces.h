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

#include <string>

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

/// An operand that an op can take in few bits. A lookup in a table sums nothing
/// up; its axes are those of a row, which has one scale.
struct QuantizableOperand {
  unsigned index;
  /// Whether it usually is a parameter.
  bool isWeight;
  /// The axes that the op sums over. A scale that is the same along them can be
  /// taken out of the sum, so scales may differ along all other axes; along a
  /// single one they may also differ from group to group, if the op is not to
  /// sum up in integers.
  SmallVector<int64_t> reducedAxes;
  /// What is smaller takes as much room: no packed form of it is read.
  unsigned leastBits = 4;
};

/// A quantized operand: integers, and what makes them numbers again, as
/// operands and attributes of `dequantize` have it.
struct QuantizedOperand {
  Value quantized, scale, zeroPoint;
  int64_t axis = 0, group = 0;
};

/// Every float of the results is one of an operand's, if with another sign, or
/// a zero: rounding before the op gives the same as rounding behind it. Ops of
/// kind View are such, too, and need not say so.
template <typename ConcreteType>
class KeepsElements : public OpTrait::TraitBase<ConcreteType, KeepsElements> {};

} // namespace lathe

#include "lathe/Interfaces/Interfaces.h.inc"

#endif // LATHE_INTERFACES_INTERFACES_H
