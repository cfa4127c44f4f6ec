//===- Combiner.h - How two partial results of a reduction join -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_COMBINER_H
#define LATHE_LIB_TARGET_CUDA_COMBINER_H

#include "lathe/Target/RowProgram.h"

#include <string>

namespace lathe::cuda {
using namespace mlir;

/// A reduction's body as `accumulator = join(accumulator, incoming)`, with a
/// join that may be done in any order.
struct Combiner {
  /// The struct of reduce.cuh: "Sum", "Maximum".
  StringRef name;
  /// A value of the body, or one of its arguments.
  Value incoming;
  /// Ops of the body that belong to the join.
  SmallVector<Operation *> ops;
  /// A search for a value and its position: where `condition` holds, `incoming`
  /// at `position` takes the place of the accumulators.
  bool isSearch = false;
  Value position, condition;
  /// What `condition` is made of, from `incoming` and the first accumulator.
  SmallVector<Operation *> conditionOps;

  /// `sum += x`, `largest = maximum(largest, x)`.
  std::string statement(StringRef accumulator, StringRef x) const;
  /// What an accumulator is called.
  StringRef wish() const;

  /// Nothing, with the reason in `whyNot`, where the body is none, or does not
  /// start at what changes nothing.
  static std::optional<Combiner> match(const RowProgram::Step &step,
                                       std::string &whyNot);

private:
  static std::optional<Combiner> matchSearch(const RowProgram::Step &step,
                                             std::string &whyNot);
};

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_COMBINER_H
