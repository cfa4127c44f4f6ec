//===- ShapeLayout.cpp - What layouts mean to ops that move data ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/LayoutRules.h"

namespace lathe {

//===----------------------------------------------------------------------===//
// Reshape: nothing moves where dims that are joined, or that one dim becomes,
// lie side by side
//===----------------------------------------------------------------------===//

/// The layout in which `to` has the elements in the order of `from` stored in
/// `layout`, where there is one. Dims are compared in groups of equal products.
static AffineMap reshapeLayout(ArrayRef<int64_t> from, ArrayRef<int64_t> to,
                               AffineMap layout) {
  struct Group {
    SmallVector<int64_t> from, to;
  };
  SmallVector<Group> groups;
  for (size_t i = 0, j = 0; i < from.size() || j < to.size();) {
    Group group;
    int64_t left = 1, right = 1;
    auto takeLeft = [&] { left *= from[i], group.from.push_back(i++); };
    auto takeRight = [&] { right *= to[j], group.to.push_back(j++); };
    if (i < from.size())
      takeLeft();
    if (j < to.size())
      takeRight();
    while (left != right) {
      if (left < right ? i == from.size() : j == to.size())
        return {};
      left < right ? takeLeft() : takeRight();
    }
    groups.push_back(std::move(group));
  }
  SmallVector<int64_t> stored;
  for (int64_t dim : getOrder(layout))
    if (from[dim] != 1)
      stored.push_back(dim);
  SmallVector<unsigned> result;
  llvm::SmallBitVector placed(groups.size());
  // Groups of single elements take no place; they go in front.
  for (auto [index, group] : llvm::enumerate(groups))
    if (llvm::all_of(group.from, [&](int64_t dim) { return from[dim] == 1; })) {
      placed.set(index);
      llvm::append_range(result, group.to);
    }
  for (size_t next = 0; next < stored.size();) {
    size_t index = 0;
    while (!llvm::is_contained(groups[index].from, stored[next]))
      ++index;
    if (placed.test(index))
      return {};
    placed.set(index);
    for (int64_t dim : groups[index].from)
      if (from[dim] != 1 && (next == stored.size() || stored[next++] != dim))
        return {};
    llvm::append_range(result, groups[index].to);
  }
  return AffineMap::getPermutationMap(result, layout.getContext());
}

FailureOr<ValueLayouts> ReshapeOp::getLayouts(Value value, AffineMap layout) {
  ArrayRef<int64_t> from = getTensorType(getInput()).getShape(),
                    to = getTensorType(getResult()).getShape();
  bool isInput = value == getInput();
  if (llvm::is_contained(from, 0) ||
      layout.getNumDims() != (isInput ? from : to).size())
    return failure();
  AffineMap other = isInput ? reshapeLayout(from, to, layout)
                            : reshapeLayout(to, from, layout);
  if (!other)
    return failure();
  if (!isInput)
    std::swap(other, layout);
  return ValueLayouts{{orNull(layout)}, {orNull(other)}};
}

void ReshapeOp::applyLayouts(const ValueLayouts &) {
  setShape(getType().getShape());
  setAllowZero(false);
}

//===----------------------------------------------------------------------===//
// Concat, pad, slice: entries per dim move with the dims
//===----------------------------------------------------------------------===//

FailureOr<ValueLayouts> ConcatOp::getLayouts(Value, AffineMap layout) {
  return sameLayouts(*this, getNumOperands(), layout);
}
void ConcatOp::applyLayouts(const ValueLayouts &layouts) {
  setAxis(storedAxis(layouts.results[0], getAxis()));
}

FailureOr<ValueLayouts> PadOp::getLayouts(Value value, AffineMap layout) {
  if (value == getValue())
    return failure();
  return sameLayouts(*this, 1, layout);
}
void PadOp::applyLayouts(const ValueLayouts &layouts) {
  setLow(applyPermutationMap(layouts.results[0], getLow()));
  setHigh(applyPermutationMap(layouts.results[0], getHigh()));
}

FailureOr<ValueLayouts> SliceOp::getLayouts(Value, AffineMap layout) {
  return sameLayouts(*this, 1, layout);
}
void SliceOp::applyLayouts(const ValueLayouts &layouts) {
  SmallVector<int64_t> axes(getAxes());
  if (axes.empty())
    llvm::append_range(axes, llvm::seq<int64_t>(0, getStarts().size()));
  for (int64_t &axis : axes)
    axis = storedAxis(layouts.results[0], axis);
  setAxes(axes);
}

} // namespace lathe
