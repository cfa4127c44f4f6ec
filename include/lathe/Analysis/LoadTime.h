//===- LoadTime.h - What is known once weights are loaded -------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_ANALYSIS_LOADTIME_H
#define LATHE_ANALYSIS_LOADTIME_H

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSet.h"

namespace lathe {

/// Which values of a function depend on constants and parameters that are not
/// mutable alone. Inside the body of a scan, the slices of such values are
/// known per iteration.
class LoadTime {
public:
  explicit LoadTime(func::FuncOp function);

  /// Parameters, constants, and what pure ops make of them.
  bool isKnown(Value value) const { return known.contains(value); }

  /// The scan over whose iterations `value` differs, but is known for each of
  /// them; null for values that are known as such, or not at all.
  ScanOp getSlicingScan(Value value) const { return slices.lookup(value); }

  /// Either of the two: work on it alone can be done when weights are loaded.
  bool isKnownOrSlice(Value value) const {
    return isKnown(value) || getSlicingScan(value);
  }

  /// Bytes of the parameters and constants a known value, or one slice, is made
  /// from (those read twice count twice; saturates).
  int64_t getSourceBytes(Value value) const { return sources.lookup(value); }

  /// Whether the value is a parameter, constant or slice, or a reshape of one:
  /// making it costs nothing.
  bool isFree(Value value) const { return free.contains(value); }

private:
  void visit(Operation *op);

  llvm::StringSet<> mutableParameters;
  DenseSet<Value> known, free;
  DenseMap<Value, ScanOp> slices;
  DenseMap<Value, int64_t> sources;
};

} // namespace lathe

#endif // LATHE_ANALYSIS_LOADTIME_H
