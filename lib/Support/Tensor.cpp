//===- Tensor.cpp - Host tensors ------------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Tensor.h"

#include "lathe/Support/Error.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <cstring>

using namespace llvm;

namespace lathe {

Expected<uint64_t> checkedBytes(ArrayRef<int64_t> shape, DType type) {
  // An extent of 0 must not hide an overflow of the others: kernels multiply
  // them in any order.
  uint64_t nonZero = 1;
  bool empty = false;
  for (int64_t extent : shape) {
    if (extent < 0)
      return makeError("the shape has a negative extent {0}", extent);
    if (extent == 0)
      empty = true;
    else if (__builtin_mul_overflow(nonZero, static_cast<uint64_t>(extent),
                                    &nonZero))
      return makeError("a tensor of type {0} is too large for any memory",
                       formatType(type, shape));
  }
  uint64_t bytes;
  if (__builtin_mul_overflow(nonZero, uint64_t(dtypeSize(type)), &bytes) ||
      bytes > static_cast<uint64_t>(INT64_MAX))
    return makeError("a tensor of type {0} is too large for any memory",
                     formatType(type, shape));
  return empty ? 0 : bytes;
}

std::string formatType(DType type, ArrayRef<int64_t> shape) {
  std::string text;
  raw_string_ostream os(text);
  os << dtypeName(type) << '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i == 16) {
      os << ",...";
      break;
    }
    os << (i ? "," : "") << shape[i];
  }
  os << ']';
  return text;
}

int64_t TensorView::numElements() const {
  int64_t count = 1;
  for (int64_t extent : dims)
    count *= extent;
  return count;
}

Expected<Tensor> Tensor::create(DType type, ArrayRef<int64_t> shape) {
  Expected<uint64_t> bytes = checkedBytes(shape, type);
  if (!bytes)
    return bytes.takeError();
  // Rounded up so that a vector load of the tail stays inside.
  uint64_t rounded = alignTo(std::max<uint64_t>(*bytes, 1), 64);
  void *memory = std::aligned_alloc(64, rounded);
  if (!memory)
    return makeError("not enough memory for a tensor of type {0}, {1} bytes",
                     formatType(type, shape), *bytes);
  Tensor tensor;
  tensor.storage.reset(memory);
  tensor.tensorView = TensorView(type, shape, memory);
  return tensor;
}

Expected<Tensor> Tensor::zeros(DType type, ArrayRef<int64_t> shape) {
  Expected<Tensor> tensor = create(type, shape);
  if (tensor)
    std::memset(tensor->data(), 0, tensor->numBytes());
  return tensor;
}

Expected<Tensor> Tensor::clone(const TensorView &view) {
  Expected<Tensor> tensor = create(view.dtype(), view.shape());
  if (tensor && tensor->numBytes())
    std::memcpy(tensor->data(), view.data(), tensor->numBytes());
  return tensor;
}

} // namespace lathe
