//===- PlantFault.h - Wrong derivative rules, for tests ---------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_AUTODIFF_PLANTFAULT_H
#define LATHE_AUTODIFF_PLANTFAULT_H

#include "mlir/IR/Operation.h"

namespace lathe {
using namespace mlir;

/// The mistakes a rule may hold.
enum class FaultKind {
  Sign,           ///< a gradient is negated
  Factor,         ///< a gradient is 1.001 times too large
  Transpose,      ///< an operand of a product, or a gradient, is transposed
  NoBroadcastSum, ///< the first of what should be summed is taken
  DropTerm,       ///< one side of a sum or difference is left out
  WrongType       ///< a gradient has one dim more: refused, never compared
};

/// "sign", "factor", "transpose", "no-broadcast-sum", "drop-term",
/// "wrong-type".
StringRef faultName(FaultKind kind);
std::optional<FaultKind> faultFromName(StringRef name);

/// Makes one mistake, at place `site` of those where `kind` can be made; to be
/// called after each rule, as `GradientOptions::afterRule` is.
class FaultPlanter {
public:
  FaultPlanter(FaultKind kind, unsigned site) : kind(kind), site(site) {}
  /// Counts the places and plants nothing.
  explicit FaultPlanter(FaultKind kind) : FaultPlanter(kind, kNowhere) {}

  void operator()(Operation *op, ArrayRef<Operation *> built,
                  MutableArrayRef<Value> gradients);

  /// Whether the place was met; where not, there are no more.
  bool isPlanted() const { return planted; }

  /// Places met; all that there are, where nothing was planted.
  unsigned places() const { return seen; }

private:
  static constexpr unsigned kNowhere = ~0u;
  bool isHere() { return !planted && seen++ == site; }
  void changeGradient(unsigned index, MutableArrayRef<Value> gradients);

  FaultKind kind;
  unsigned site, seen = 0;
  bool planted = false;
};

} // namespace lathe

#endif // LATHE_AUTODIFF_PLANTFAULT_H
