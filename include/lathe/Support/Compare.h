//===- Compare.h - Tensor comparison within a tolerance ---------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_COMPARE_H
#define LATHE_SUPPORT_COMPARE_H

#include "lathe/Support/Tensor.h"

namespace lathe {

struct Comparison {
  bool ok = false;
  double maxAbsError = 0; ///< over finite pairs; infinity if an Inf/NaN differs
  double maxRelError = 0; ///< |a - e| / |e| over pairs with e != 0
  Shape worstIndex;       ///< where |a - e| exceeds its tolerance the most
  double worstActual = 0, worstExpected = 0;
  int64_t mismatches = 0;
  int64_t elements = 0;
  /// One line: "f32[2,3] agrees, largest error 1e-7", or what differs where.
  std::string message;
};

/// NumPy's rule: |actual - expected| <= atol + rtol * |expected|. NaN equals
/// NaN, an infinity equals itself. Integers and booleans must be equal. Types
/// and shapes must be equal; if not, `mismatches` is -1.
Comparison compareTensors(const TensorView &actual, const TensorView &expected,
                          double rtol, double atol);

/// How far numbers are from what they should be, over many tensors.
struct SignalToNoise {
  double signal = 0; ///< sum of squares of what is expected
  double noise = 0;  ///< sum of squares of the differences

  /// Two tensors of floats, of one type and size. A difference that is not
  /// finite is infinite noise, unless both are the same infinity or NaN.
  void add(const TensorView &actual, const TensorView &expected);
  /// 10 log10(signal / noise): infinity without noise, negative where there is
  /// more noise than signal.
  double decibels() const;
};

} // namespace lathe

#endif // LATHE_SUPPORT_COMPARE_H
