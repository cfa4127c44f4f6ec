//===- Vjp.cpp - Builds derivative rules ----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {

Value VjpBuilder::reshape(Value a, ArrayRef<int64_t> shape) {
  if (getTensorType(a).getShape() == shape)
    return a;
  return make<ReshapeOp>(a, shape, /*allow_zero=*/true);
}

Value VjpBuilder::transpose(Value a, ArrayRef<int64_t> permutation) {
  if (llvm::equal(permutation, llvm::seq<int64_t>(0, permutation.size())))
    return a;
  return make<TransposeOp>(a, permutation);
}

Value VjpBuilder::moveAxis(Value a, int64_t from, int64_t to) {
  auto permutation =
      llvm::to_vector(llvm::seq<int64_t>(0, getTensorType(a).getRank()));
  permutation.erase(permutation.begin() + from);
  permutation.insert(permutation.begin() + to, from);
  return transpose(a, permutation);
}

Value VjpBuilder::broadcast(Value a, ArrayRef<int64_t> shape) {
  if (getTensorType(a).getShape() == shape)
    return a;
  return make<BroadcastOp>(a, shape);
}

Value VjpBuilder::splat(Type element, ArrayRef<int64_t> shape, double value) {
  return broadcast(constant(element, value), shape);
}

Value VjpBuilder::sumTo(Value a, ArrayRef<int64_t> shape) {
  ArrayRef<int64_t> from = getTensorType(a).getShape();
  int64_t leading = from.size() - shape.size();
  SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(0, leading));
  for (auto [i, size] : llvm::enumerate(shape))
    if (size == 1 && from[leading + i] != 1)
      axes.push_back(leading + i);
  return reshape(sum(a, axes), shape);
}

Value VjpBuilder::gradientOf(Value like, Value a) {
  auto type = getTensorType(like);
  return cast(sumTo(a, type.getShape()), type.getElementType());
}

} // namespace lathe
