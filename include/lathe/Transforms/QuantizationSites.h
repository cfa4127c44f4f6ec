//===- QuantizationSites.h - Where ranges are needed ------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Calibration and lathe-quantize see a model at different times, maybe for
// other shapes; what they have in common are these names, and nothing else
// makes them.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_QUANTIZATIONSITES_H
#define LATHE_TRANSFORMS_QUANTIZATIONSITES_H

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <string>

namespace lathe {
using namespace mlir;

/// An operand of a quantizable op that is not known when weights are loaded.
struct QuantizationSite {
  /// "OP#OPERAND": what op is called by its location (the name of an ONNX node,
  /// or "model.mlir:53:9", without folders), and the operand's number. Of
  /// several ops of one location, copies of a function that is called more than
  /// once, the second is "model.mlir:53:9@2", in program order.
  std::string name;
  Operation *op;
  unsigned operand;
  Value value; ///< the operand
  /// The scans around the op that have ranges of their own in each iteration,
  /// the outermost first: those over layers, which slice something known at
  /// load. Steps of time share a range, since their number may be another one
  /// tomorrow.
  SmallVector<ScanOp> scans;

  StringRef opName() const { return StringRef(name).rsplit('#').first; }
  /// The product of the trip counts, row-major in `scans`.
  int64_t numRanges() const;
};

/// The sites of a specialized function after recognition, in program order.
SmallVector<QuantizationSite> listQuantizationSites(func::FuncOp function);

/// The scans around `value` that have ranges of their own, and the number of
/// ranges of a value in so many.
SmallVector<ScanOp> findLayerScans(Value value);
int64_t countRanges(ArrayRef<ScanOp> scans);

/// How users call an op, as in the names of its sites: its location. Not
/// unique.
std::string getQuantizationName(Operation *op);

} // namespace lathe

#endif // LATHE_TRANSFORMS_QUANTIZATIONSITES_H
