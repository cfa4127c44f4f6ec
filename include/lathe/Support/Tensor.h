//===- Tensor.h - Host tensors ----------------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Dense row-major tensors in host memory: one that owns its bytes, one that
// only looks at somebody else's.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_TENSOR_H
#define LATHE_SUPPORT_TENSOR_H

#include "lathe/Support/DType.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

#include <cassert>
#include <cstdlib>
#include <memory>
#include <string>

namespace lathe {

using Shape = llvm::SmallVector<int64_t, 6>;

/// Bytes a tensor needs; an error where an extent is negative or the product
/// does not fit in 63 bits. A rank-0 tensor has one element.
llvm::Expected<uint64_t> checkedBytes(llvm::ArrayRef<int64_t> shape,
                                      DType type);

/// "f32[2,3]"; "f32[]" for rank 0.
std::string formatType(DType type, llvm::ArrayRef<int64_t> shape);

/// A tensor somebody else owns. Cheap to copy, shape included.
class TensorView {
public:
  TensorView() = default;
  /// `data` must hold the tensor; the caller has checked the size.
  TensorView(DType type, llvm::ArrayRef<int64_t> shape, void *data)
      : type(type), dims(shape.begin(), shape.end()), bytes(data) {}

  DType dtype() const { return type; }
  llvm::ArrayRef<int64_t> shape() const { return dims; }
  int64_t numElements() const;
  uint64_t numBytes() const { return numElements() * dtypeSize(type); }
  void *data() const { return bytes; }
  template <typename T> llvm::MutableArrayRef<T> as() const {
    assert(sizeof(T) == dtypeSize(type) && "element size differs");
    return {static_cast<T *>(bytes), static_cast<size_t>(numElements())};
  }
  llvm::StringRef rawBytes() const {
    return {static_cast<const char *>(bytes), static_cast<size_t>(numBytes())};
  }

private:
  DType type = DType::F32;
  Shape dims;
  void *bytes = nullptr;
};

/// An owning tensor; its bytes are 64-byte aligned. Movable, not copyable
/// (`clone` says what it costs).
class Tensor {
public:
  Tensor() = default;

  /// Memory is not initialised. Errors: bad shape, not enough memory.
  static llvm::Expected<Tensor> create(DType type,
                                       llvm::ArrayRef<int64_t> shape);
  static llvm::Expected<Tensor> zeros(DType type,
                                      llvm::ArrayRef<int64_t> shape);
  /// Copies `values` (row-major) in. For tests and small constants.
  template <typename T>
  static llvm::Expected<Tensor> from(DType type, llvm::ArrayRef<int64_t> shape,
                                     llvm::ArrayRef<T> values);
  static llvm::Expected<Tensor> clone(const TensorView &view);

  DType dtype() const { return tensorView.dtype(); }
  llvm::ArrayRef<int64_t> shape() const { return tensorView.shape(); }
  int64_t numElements() const { return tensorView.numElements(); }
  uint64_t numBytes() const { return tensorView.numBytes(); }
  void *data() const { return tensorView.data(); }
  template <typename T> llvm::MutableArrayRef<T> as() const {
    return tensorView.as<T>();
  }
  const TensorView &view() const { return tensorView; }
  operator const TensorView &() const { return tensorView; }

private:
  struct Free {
    void operator()(void *p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> storage;
  TensorView tensorView;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

struct NamedView {
  std::string name;
  TensorView tensor;
};

template <typename T>
llvm::Expected<Tensor> Tensor::from(DType type, llvm::ArrayRef<int64_t> shape,
                                    llvm::ArrayRef<T> values) {
  llvm::Expected<Tensor> result = create(type, shape);
  if (!result)
    return result.takeError();
  assert(static_cast<size_t>(result->numElements()) == values.size());
  char *out = static_cast<char *>(result->data());
  for (T value : values) {
    storeFromDouble(type, out, static_cast<double>(value));
    out += dtypeSize(type);
  }
  return result;
}

} // namespace lathe

#endif // LATHE_SUPPORT_TENSOR_H
