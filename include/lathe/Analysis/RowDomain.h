//===- RowDomain.h - Ops that share the same rows ---------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel of schedule "rows" is a set of elementwise ops, reductions and views
// over one index space, the domain. Some dims of the domain may be reduced; the
// others number the rows. For every point of the rows a kernel does
// all its work alone: softmax of [b, h, s, t] over t has the domain
// [b, h, s, t], reduced dims {3}, and b * h * s rows.
//
// Fusion asks this analysis whether an op may join; a schedule asks it where
// the dims of each value stand in the domain.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_ANALYSIS_ROWDOMAIN_H
#define LATHE_ANALYSIS_ROWDOMAIN_H

#include "dialects/Lathe/Lathe.h"
#include "llvm/ADT/SmallBitVector.h"

namespace lathe {

/// What an op reads and writes at a point of its iteration space. Dims are
/// given per tensor dim as the iteration dim that indexes it, or -1 where the
/// index is the constant 0 (the dim has size 1).
struct OpAccess {
  FusionKind kind = FusionKind::Opaque;
  /// Sizes of the iteration space.
  SmallVector<int64_t> sizes;
  /// Iteration dims that appear in no result.
  llvm::SmallBitVector reduced;
  SmallVector<SmallVector<int>> operands, results;
};

/// The accesses of an op of kind elementwise, reduction or view with static
/// shapes and maps that only select dims; nullopt for every other op.
std::optional<OpAccess> getOpAccess(Operation *op);

class RowDomain {
public:
  /// Starts a domain with one op, or returns nullopt where it has no accesses.
  static std::optional<RowDomain> start(Operation *op);

  /// Adds `op`, which reads at least one value of the domain. On failure
  /// `whyNot` says why and the domain is as before.
  LogicalResult join(Operation *op, std::string &whyNot);

  /// Adds all of `other`; `via`, already in this domain, reads a value of it.
  LogicalResult merge(const RowDomain &other, Operation *via,
                      std::string &whyNot);

  /// Sizes of the domain.
  ArrayRef<int64_t> getSizes() const { return sizes; }
  /// Which dims of the domain a row contains; none in an elementwise kernel.
  const llvm::SmallBitVector &getReduced() const { return reduced; }
  /// Where the dims of a value made in the domain stand: a domain dim each, or
  /// -1 for a dim of size 1. Empty optional for values from outside.
  std::optional<ArrayRef<int>> getDims(Value value) const;
  /// Where the iteration dims of an op of the domain stand.
  ArrayRef<int> getDims(Operation *op) const;
  bool contains(Operation *op) const { return opDims.count(op); }
  unsigned getNumOps() const { return opDims.size(); }

private:
  LogicalResult checkReduced(const llvm::SmallBitVector &set,
                             std::string &whyNot) const;
  void addResults(Operation *op, const OpAccess &access);

  SmallVector<int64_t> sizes;
  llvm::SmallBitVector reduced;
  DenseMap<Operation *, SmallVector<int>> opDims;
  DenseMap<Value, SmallVector<int>> valueDims;
};

} // namespace lathe

#endif // LATHE_ANALYSIS_ROWDOMAIN_H
