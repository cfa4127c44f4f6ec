//===- ReductionFold.cpp - Folding of reductions --------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/ConstantNumbers.h"
#include "dialects/Lathe/Inference.h"

#include <cmath>
#include <limits>

namespace lathe {
namespace {

/// What a reduction starts from, how it takes one more element, and what it
/// makes of the total of `count` elements.
template <typename OpTy> Number neutral(NumberKind kind) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if constexpr (std::is_same_v<OpTy, ReduceMaxOp>)
    return {-infinity, kind.lowest()};
  else if constexpr (std::is_same_v<OpTy, ReduceMinOp>)
    return {infinity, kind.highest()};
  else if constexpr (std::is_same_v<OpTy, ReduceProdOp>)
    return {1.0, 1};
  else
    return {};
}

template <typename OpTy>
void accumulate(Number &total, Number x, NumberKind kind) {
  if constexpr (std::is_same_v<OpTy, ReduceMaxOp>) {
    if (std::isnan(x.f) || x.f > total.f)
      total.f = x.f;
    if (kind.less(total.i, x.i))
      total.i = x.i;
  } else if constexpr (std::is_same_v<OpTy, ReduceMinOp>) {
    if (std::isnan(x.f) || x.f < total.f)
      total.f = x.f;
    if (kind.less(x.i, total.i))
      total.i = x.i;
  } else if constexpr (std::is_same_v<OpTy, ReduceProdOp>) {
    total.f *= x.f;
    total.i = kind.wrap(uint64_t(total.i) * uint64_t(x.i));
  } else {
    total.f += x.f;
    total.i = kind.wrap(uint64_t(total.i) + uint64_t(x.i));
  }
}

template <typename OpTy>
Number finish(Number total, int64_t count, NumberKind kind) {
  if constexpr (std::is_same_v<OpTy, ReduceMeanOp>) {
    total.f /= count;
    if (count == 0)
      total.i = 0;
    else if (kind.isUnsigned)
      total.i = uint64_t(total.i) / uint64_t(count);
    else
      total.i /= count;
  }
  return total;
}

template <typename OpTy>
OpFoldResult foldReduction(OpTy op, Attribute operand) {
  auto input = getTensorType(op.getInput()),
       type = getTensorType(op.getResult());
  FailureOr<SmallVector<int64_t>> axes =
      normalizeAxes(op.getAxes(), input.getRank());
  if (failed(axes))
    return {};
  // Over single elements there is nothing to do.
  if (input == type && llvm::all_of(*axes, [&](int64_t axis) {
        return input.getDimSize(axis) == 1;
      }))
    return op.getInput();
  FailureOr<int64_t> count = elementCount(input.getShape());
  FailureOr<int64_t> resultCount = elementCount(type.getShape());
  if (!input.hasStaticShape() || !type.hasStaticShape() || failed(count) ||
      failed(resultCount) || *count > kFoldLimit || *resultCount > kFoldLimit)
    return {};
  std::optional<SmallVector<Number>> numbers = readNumbers(operand);
  if (!numbers)
    return {};

  // Strides of the result for each input dim: 0 where it is reduced.
  SmallVector<int64_t> strides(input.getRank(), 0);
  int64_t stride = 1, reduced = 1;
  for (int64_t dim = input.getRank() - 1; dim >= 0; --dim) {
    if (llvm::is_contained(*axes, dim)) {
      reduced *= input.getDimSize(dim);
      continue;
    }
    strides[dim] = stride;
    stride *= input.getDimSize(dim);
  }
  NumberKind kind(input.getElementType());
  SmallVector<Number> totals(*resultCount, neutral<OpTy>(kind));
  SmallVector<int64_t> index(input.getRank(), 0);
  for (int64_t i = 0; i < *count; ++i) {
    int64_t flat = 0;
    for (auto [position, step] : llvm::zip_equal(index, strides))
      flat += position * step;
    accumulate<OpTy>(totals[flat], (*numbers)[numbers->size() == 1 ? 0 : i],
                     kind);
    for (int64_t dim = input.getRank() - 1; dim >= 0; --dim) {
      if (++index[dim] < input.getDimSize(dim))
        break;
      index[dim] = 0;
    }
  }
  for (Number &total : totals)
    total = finish<OpTy>(total, reduced, kind);
  return writeNumbers(type, totals);
}

} // namespace

#define LATHE_REDUCTION_FOLD(OP)                                               \
  OpFoldResult OP::fold(FoldAdaptor adaptor) {                                 \
    return foldReduction(*this, adaptor.getInput());                           \
  }
LATHE_REDUCTION_FOLD(ReduceSumOp)
LATHE_REDUCTION_FOLD(ReduceMeanOp)
LATHE_REDUCTION_FOLD(ReduceMaxOp)
LATHE_REDUCTION_FOLD(ReduceMinOp)
LATHE_REDUCTION_FOLD(ReduceProdOp)
#undef LATHE_REDUCTION_FOLD

} // namespace lathe
