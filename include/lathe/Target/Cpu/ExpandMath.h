//===- ExpandMath.h - Math functions as vector code -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_CPU_EXPANDMATH_H
#define LATHE_TARGET_CPU_EXPANDMATH_H

#include "lathe/Target/Cpu/Schedule.h"

namespace lathe::cpu {
using namespace mlir;

/// Replaces math.exp, tanh, erf, log, ... on f32 scalars and vectors by
/// polynomials, because the back end would call libm element by element. f64
/// and rare functions stay and become libm calls.
LogicalResult expandMath(func::FuncOp function);

/// Replaces casts of vectors of f32 to bytes, with the rounded division by a
/// constant that they saturate, by fewer instructions that give the same bits.
void expandBytes(func::FuncOp function);

/// Replaces conversions between f32 and 16-bit floats that `features` have no
/// instruction for.
void expandFloats(func::FuncOp function, const CpuFeatures &features);

} // namespace lathe::cpu

#endif // LATHE_TARGET_CPU_EXPANDMATH_H
