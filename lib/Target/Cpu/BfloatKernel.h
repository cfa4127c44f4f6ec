//===- BfloatKernel.h - Products of pairs of bf16 ---------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A packed right-hand side of bf16 has pairs of neighbours along the depth side
// by side (`lathe.pack` with `interleave = 2`), as AMX's tiles want them. The
// other instruction sets compute in f32: a number of 32 bits holds two bf16,
// and each of them is an f32 once the other one's bits are gone, so that
// widening takes one instruction. vdpbf16ps of AVX512_BF16 is not used: it is
// slower than two multiply-adds of f32 (`kernel-bench --only=peaks`).
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_BFLOATKERNEL_H
#define LATHE_LIB_TARGET_CPU_BFLOATKERNEL_H

#include "MicroKernel.h"

namespace lathe::cpu {

/// f32 rows of A, whose neighbours along the depth lie side by side, by pairs
/// of bf16; a step is two k's.
extern const Arithmetic &pairArithmetic;

/// The f32 of `width` pairs that lie from `index` of `buffer` on: the first of
/// each, and the second.
std::pair<Value, Value> loadPairs(ImplicitLocOpBuilder &b, Value buffer,
                                  Value index, int64_t width);

/// Copies a panel of `depth` rows, in pairs, to f32 [depth][columns].
void emitPairsCopy(ImplicitLocOpBuilder &b, Value source, Value index,
                   int64_t depth, int64_t columns, int64_t width, Value panel);

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_BFLOATKERNEL_H
