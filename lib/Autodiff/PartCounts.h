//===- PartCounts.h - What parts of a batch must know of it -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_AUTODIFF_PARTCOUNTS_H
#define LATHE_LIB_AUTODIFF_PARTCOUNTS_H

#include "GraphMath.h"
#include "mlir/IR/IRMapping.h"

namespace lathe {

/// Result "label_count.K" of the loss is how many labels of the part the K-th
/// mean counts; argument "label_total.K" takes how many of the batch.
inline constexpr llvm::StringLiteral countResult = "label_count.";
inline constexpr llvm::StringLiteral totalArgument = "label_total.";

/// The parts of a batch as the step has them, by argument of the gradient.
struct BatchParts {
  int64_t count;
  DenseMap<unsigned, Value> whole;   ///< the same in each part
  DenseMap<unsigned, Value> stacked; ///< [count, ...]
  std::optional<unsigned> key;       ///< of `whole`: plus (0, i) in part i
};

/// A loop over the parts that carries `inits`, the key's value in the first
/// part last where there is a key. Maps the arguments of `gradient` to what a
/// part has of them. The body is to be filled.
ScanOp buildPartLoop(GraphMath &math, func::FuncOp gradient,
                     ArrayRef<Value> inits, const BatchParts &parts,
                     IRMapping &mapping);

/// The key of the part after the one whose is `key`.
Value buildNextKey(GraphMath &math, Value key);

/// The sums over the parts of rank-0 `results` of `gradient`, by a loop that
/// holds no more than they need. Errors, as diagnostics: they need a state that
/// a part changes.
FailureOr<SmallVector<Value>> sumOverParts(GraphMath &math,
                                           func::FuncOp gradient,
                                           ArrayRef<unsigned> results,
                                           const BatchParts &parts);

} // namespace lathe

#endif // LATHE_LIB_AUTODIFF_PARTCOUNTS_H
