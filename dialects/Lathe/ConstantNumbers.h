//===- ConstantNumbers.h - Constants as plain numbers -----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What folding computes with; used by the family files only.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_CONSTANTNUMBERS_H
#define LATHE_DIALECT_CONSTANTNUMBERS_H

#include "dialects/Lathe/Lathe.h"

namespace lathe {

/// Results of up to this many elements are computed at compile time.
constexpr int64_t kFoldLimit = 4096;

/// One element: a float as a double, an integer as 64 bits, sign-extended, or
/// zero-extended for unsigned types and i1.
struct Number {
  double f = 0.0;
  int64_t i = 0;
};

/// What an element type means for the arithmetic of a Number.
struct NumberKind {
  explicit NumberKind(Type element);

  /// `value` cut to the type's width and extended again.
  int64_t wrap(int64_t value) const;
  int64_t lowest() const;
  int64_t highest() const;
  bool less(int64_t a, int64_t b) const {
    return isUnsigned ? uint64_t(a) < uint64_t(b) : a < b;
  }

  bool isFloat;
  bool isUnsigned;
  unsigned width;
};

/// The elements of a dense constant, a single one for a splat; nullopt for
/// anything else, and above `limit` elements.
std::optional<SmallVector<Number>> readNumbers(Attribute attribute,
                                               int64_t limit = kFoldLimit);

/// The constant with these elements (or a splat of the single one), rounded or
/// wrapped to the element type. `type` is static.
DenseElementsAttr writeNumbers(RankedTensorType type, ArrayRef<Number> numbers);

/// Whether all elements are 0, of a constant or of what views make of one.
bool isZeroConstant(Value value);

/// Row-major strides of a tensor of shape `shape`, static, that is broadcast to
/// `result`: 0 in the dims that stretch.
SmallVector<int64_t> broadcastStrides(ArrayRef<int64_t> shape,
                                      ArrayRef<int64_t> result);

} // namespace lathe

#endif // LATHE_DIALECT_CONSTANTNUMBERS_H
