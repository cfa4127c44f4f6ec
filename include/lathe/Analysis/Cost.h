//===- Cost.h - Arithmetic and traffic of ops -------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_ANALYSIS_COST_H
#define LATHE_ANALYSIS_COST_H

#include "dialects/Lathe/Lathe.h"

namespace lathe {

struct Cost {
  /// Arithmetic operations; a multiply-add counts as two, exp and its kin as
  /// one. 0 for ops that only move data.
  int64_t flops = 0;
  /// Bytes read and written, every operand and result once.
  int64_t bytes = 0;

  Cost &operator+=(const Cost &other);
};

/// Bytes of a static tensor in memory (a Boolean is a byte); 0 where a size is
/// open. Saturates at INT64_MAX.
int64_t getNumBytes(Type type);

/// Elements of a static tensor, 0 where a size is open. Saturates.
int64_t getNumElements(Type type);

/// The cost of one op alone. Regions count once.
Cost getCost(Operation *op);

/// How many times as long an operation of this op takes as a plain one: 1, but
/// for functions that are polynomials of many terms.
double getTimePerFlop(Operation *op);

/// A kernel does the arithmetic of its ops, and touches only its inputs and
/// outputs: what passes between its ops costs no traffic.
Cost getCost(KernelOp kernel);

} // namespace lathe

#endif // LATHE_ANALYSIS_COST_H
