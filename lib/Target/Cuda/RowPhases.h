//===- RowPhases.h - A row program cut into grids ---------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Roots are the reductions and the steps that make outputs. A phase is a set of
// roots that one grid can do: they run over the same items, and their
// reductions along the same classes. Everything else is cheap and computed
// again in every phase that needs it. What a later phase reads of an earlier
// one goes through an output or through scratch.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_ROWPHASES_H
#define LATHE_LIB_TARGET_CUDA_ROWPHASES_H

#include "Combiner.h"

#include <map>

namespace lathe::cuda {

struct Phase {
  /// Steps, in the order of the program: roots and what they are made of.
  SmallVector<unsigned> roots, steps;
  /// Per step: how many reductions of this phase must be done before it, one
  /// after the other.
  std::map<unsigned, unsigned> level;
  /// Classes that number the items, and those inside of an item, each
  /// outermost first.
  SmallVector<int> items, inner;
  /// The class neighbours in memory differ in, last of its list, or -1.
  int unitClass = -1;
  /// Neighbours in memory belong to different items.
  bool isColumns = false;
  /// Parts of the inner space that different blocks reduce; 1: all by one.
  int64_t chunks = 1, chunkSize = 0;
  int64_t numItems = 1, innerSize = 1;

  bool isReduction() const { return !inner.empty(); }
  bool has(unsigned step) const { return llvm::is_contained(steps, step); }
};

/// Where a phase finds a value of an earlier one.
struct Place {
  enum Kind { None, Output, Scratch } kind = None;
  unsigned output = 0;
  /// In bytes.
  int64_t offset = 0;
  LinearForm form;
};

struct RowPhases {
  SmallVector<Phase, 0> phases;
  /// Per value of the program.
  SmallVector<Place> places;
  /// Per reduction: how its partial results join.
  std::map<unsigned, Combiner> combiners;
  /// Where the partial results of a reduction in chunks stand, in bytes.
  std::map<unsigned, int64_t> partials;
  int64_t scratchBytes = 0;

  static std::optional<RowPhases> plan(const RowProgram &program,
                                       std::string &whyNot);
};

/// Whether `step` has more than one element to reduce.
bool reduces(const RowProgram &program, unsigned step);

/// Bytes of an element in memory.
int64_t getBytes(Type element);

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_ROWPHASES_H
