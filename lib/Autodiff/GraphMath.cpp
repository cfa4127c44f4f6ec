//===- GraphMath.cpp - Arithmetic as ops ----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GraphMath.h"

namespace lathe {

/// Reduces the dims from `from` on, the last in a step of its own where there
/// are others: rows are then summed side by side, and few numbers are left.
template <typename ReduceOp>
static Value reduceFrom(GraphMath &math, Value value, int64_t from) {
  int64_t rank = GraphMath::typeOf(value).getRank();
  bool keepDims = from != 0;
  SmallVector<int64_t> axes;
  for (int64_t axis = from; axis < rank; ++axis)
    axes.push_back(axis);
  if (axes.empty())
    return value;
  auto reduce = [&](Value input, ArrayRef<int64_t> over) {
    return math.make<ReduceOp>(input, math.builder.getDenseI64ArrayAttr(over),
                               math.builder.getBoolAttr(keepDims));
  };
  if (axes.size() == 1)
    return reduce(value, axes);
  value = reduce(value, axes.back());
  axes.pop_back();
  return reduce(value, axes);
}

Value GraphMath::sum(Value value, int64_t from) {
  return reduceFrom<ReduceSumOp>(*this, value, from);
}

Value GraphMath::largest(Value value) {
  return reduceFrom<ReduceMaxOp>(*this, make<AbsOp>(value), 0);
}

} // namespace lathe
