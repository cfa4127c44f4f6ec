//===- Composer.h - Builds decompositions of composite ops ------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Used by the family files only.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_COMPOSER_H
#define LATHE_DIALECT_COMPOSER_H

#include "dialects/Lathe/Inference.h"

namespace lathe {

/// A builder at one location. Constants are rank 0 and broadcast.
class Composer {
public:
  Composer(OpBuilder &builder, Operation *op)
      : builder(builder), location(op->getLoc()) {}
  Composer(OpBuilder &builder, Location location)
      : builder(builder), location(location) {}

  template <typename OpTy, typename... Args> Value make(Args &&...args) {
    return builder.create<OpTy>(location, std::forward<Args>(args)...);
  }

  /// `value` as a rank-0 tensor, rounded to `element`.
  Value constant(Type element, double value);
  Value constant(Type element, int64_t value);

  /// `value` with elements of type `element`; itself where it has them.
  Value cast(Value value, Type element);

  /// `value` in the type its float elements compute in: f32 for 16-bit floats.
  Value widen(Value value);

  /// `value` (rank 1) with dims of size 1 appended, so that it lies along
  /// `axis` of a tensor of rank `rank`.
  Value alongAxis(Value value, int64_t axis, int64_t rank);

private:
  OpBuilder &builder;
  Location location;
};

} // namespace lathe

#endif // LATHE_DIALECT_COMPOSER_H
