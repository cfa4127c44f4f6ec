//===- BfloatKernel.h - Products of pairs of bf16 ---------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A packed right-hand side of bf16 has pairs of neighbours along the depth side
// by side (`lathe.pack` with `interleave = 2`), as AMX's tiles and vdpbf16ps of
// AVX512_BF16 want them. Where that is slow or missing (see
// `isFastHere` in HostCpu.h) products compute in f32: a number of 32 bits holds
// two bf16, and each of them is an f32 once the other one's bits are gone, so
// that widening takes one instruction.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_BFLOATKERNEL_H
#define LATHE_LIB_TARGET_CPU_BFLOATKERNEL_H

#include "MicroKernel.h"

namespace lathe::cpu {

/// f32 rows of A, whose neighbours along the depth lie side by side, by pairs
/// of bf16; a step is two k's.
extern const Arithmetic &pairArithmetic;

/// Rows of A in bf16, whose neighbours along the depth lie side by side, by
/// pairs of bf16, with vdpbf16ps; a step is two k's. The two products of a pair
/// are added one after the other, with a rounding to nearest each; numbers too
/// small for a normal f32 are 0 (Intel's Architecture Instruction Set
/// Extensions Programming Reference, VDPBF16PS).
extern const Arithmetic &dotArithmetic;

/// The f32 of `width` pairs that lie from `index` of `buffer` on: the first of
/// each, and the second.
std::pair<Value, Value> loadPairs(ImplicitLocOpBuilder &b, Value buffer,
                                  Value index, int64_t width);

/// Copies a panel of `depth` rows, in pairs, to f32 [depth][columns].
void emitPairsCopy(ImplicitLocOpBuilder &b, Value source, Value index,
                   int64_t depth, int64_t columns, int64_t width, Value panel);

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_BFLOATKERNEL_H
