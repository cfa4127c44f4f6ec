//===- mma.cuh - Tensor cores, by warps -----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// mma.sync and ldmatrix of sm_80 and newer. A warp multiplies 16 rows of A with
// 8 columns of B over 32 bytes of k: 16 elements of 16 bits, 32 of 8 bits
// (integers, signed or not, as each side likes; from sm_89 on floats), or 8
// floats, of which it takes sign, exponent and the first 10 bits behind the
// leading one (tf32). With lane = 4 g
// + t, and words of 4 bytes along k:
//
//   A, 4 words a lane:  word t of row g, of row g + 8; word t + 4 of both
//   B, 2 words a lane:  word t of column g; word t + 4
//   C, 4 sums a lane:   row g, columns 2 t and 2 t + 1; row g + 8, the same
//
// (PTX ISA, "Matrix fragments for mma.m16n8k8", "... mma.m16n8k16" and
// "... mma.m16n8k32".) On the host the lanes of a warp show each other what
// they hold, and each computes its own sums.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/async.cuh"

#if LATHE_HOST

LATHE_FN int simLane() { return (int)(threadIdx.x % 32); }

/// Element `e` of a word.
LATHE_FN double simElement(u32 word, int e, f16) {
  return toFloat(f16{(u16)(word >> 16 * e)});
}
LATHE_FN double simElement(u32 word, int e, bf16) {
  return toFloat(bf16{(u16)(word >> 16 * e)});
}
LATHE_FN double simElement(u32 word, int e, e4m3) {
  return toFloat(e4m3{(u8)(word >> 8 * e)});
}
LATHE_FN i32 simElement(u32 word, int e, i8) { return (i8)(word >> 8 * e); }
LATHE_FN i32 simElement(u32 word, int e, u8) { return (u8)(word >> 8 * e); }
/// The lower 13 bits are not looked at.
LATHE_FN double simElement(u32 word, int, float) {
  return floatFromBits(word & 0xffffe000u);
}

/// Products are exact; a float sum is rounded once for all of k.
LATHE_FN double simAdd(double sum, double a, double b) { return sum + a * b; }
LATHE_FN i32 simAdd(i32 sum, i32 a, i32 b) {
  return wrapAdd(sum, wrapMul(a, b));
}

template <typename A, typename B, typename Sum>
LATHE_SIM_MODEL void simMma(Sum (&sums)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  struct Lane {
    u32 a[4], b[2];
  } mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}}, all[32];
  lathe_sim_warp_exchange(&mine, sizeof(mine), all);
  constexpr int perWord = 4 / sizeof(A);
  for (int i = 0; i < 4; ++i) {
    const int row = simLane() / 4 + i / 2 * 8;
    const int column = simLane() % 4 * 2 + i % 2;
    auto sum = simElement(0, 0, A{}) + sums[i];
    for (int word = 0; word < 8; ++word) {
      const u32 x = all[row % 8 * 4 + word % 4].a[word / 4 * 2 + row / 8];
      const u32 y = all[column * 4 + word % 4].b[word / 4];
      for (int e = 0; e < perWord; ++e)
        sum = simAdd(sum, simElement(x, e, A{}), simElement(y, e, B{}));
    }
    sums[i] = (Sum)sum;
  }
}

static void simLoadMatrices(u32 (&words)[4], const void *line,
                            bool transposed) {
  lathe_sim_vector_access(line, 16);
  const u16 *lines[32];
  lathe_sim_warp_exchange(&line, sizeof(line), lines);
  const int g = simLane() / 4, t = simLane() % 4;
  for (int matrix = 0; matrix < 4; ++matrix) {
    const u16 *const *at = lines + 8 * matrix;
    const u16 low = transposed ? at[2 * t][g] : at[g][2 * t];
    const u16 high = transposed ? at[2 * t + 1][g] : at[g][2 * t + 1];
    words[matrix] = low | (u32)high << 16;
  }
}

#endif // LATHE_HOST

/// Four 8 x 8 matrices of 16-bit elements (or 8 lines of 16 bytes of any) from
/// shared memory: lane l brings the address of line l % 8 of matrix l / 8, and
/// gets in words[i] the elements 2 t and 2 t + 1 of line g of matrix i.
LATHE_FN void loadMatrices(u32 (&words)[4], const void *line) {
#if LATHE_HOST
  simLoadMatrices(words, line, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, "
               "[%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(sharedAddress(line))
               : "memory");
#endif
}

/// The same with each matrix transposed: element g of lines 2 t and 2 t + 1.
LATHE_FN void loadMatricesTransposed(u32 (&words)[4], const void *line) {
#if LATHE_HOST
  simLoadMatrices(words, line, true);
#else
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, "
      "[%4];"
      : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
      : "r"(sharedAddress(line))
      : "memory");
#endif
}

/// Two sums as a word of 16-bit elements, the first in the lower half.
LATHE_FN u32 packPair(float low, float high, f16) {
#if LATHE_HOST
  return toF16(low).bits | (u32)toF16(high).bits << 16;
#else
  u32 word;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
#endif
}
LATHE_FN u32 packPair(float low, float high, bf16) {
#if LATHE_HOST
  return toBF16(low).bits | (u32)toBF16(high).bits << 16;
#else
  u32 word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
#endif
}

/// A word of a fragment as tensor cores take it: a float rounded to the nearest
/// tf32, ties away from zero.
LATHE_FN u32 roundWord(u32 word, float) {
#if LATHE_HOST
  if ((word & 0x7f800000u) == 0x7f800000u)
    return word & 0x7fffffu ? 0x7fffffffu : word;
  return (word + 0x1000u) & 0xffffe000u;
#else
  u32 rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(word)));
  return rounded;
#endif
}
template <typename T> LATHE_FN u32 roundWord(u32 word, T) { return word; }

#if LATHE_HOST
#define LATHE_MMA(A, B, Sum, constraint, instruction)                          \
  LATHE_FN void multiplyAdd(Sum(&sums)[4], const u32(&a)[4], u32 b0, u32 b1,   \
                            A, B) {                                            \
    simMma<A, B>(sums, a, b0, b1);                                             \
  }
#else
#define LATHE_MMA(A, B, Sum, constraint, instruction)                          \
  LATHE_FN void multiplyAdd(Sum(&sums)[4], const u32(&a)[4], u32 b0, u32 b1,   \
                            A, B) {                                            \
    asm("mma.sync.aligned." instruction " {%0, %1, %2, %3}, "                  \
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                        \
        : "+" constraint(sums[0]), "+" constraint(sums[1]),                    \
          "+" constraint(sums[2]), "+" constraint(sums[3])                     \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));       \
  }
#endif
/// sums += a * b, for the element types that the last arguments name.
LATHE_MMA(f16, f16, float, "f", "m16n8k16.row.col.f32.f16.f16.f32")
LATHE_MMA(bf16, bf16, float, "f", "m16n8k16.row.col.f32.bf16.bf16.f32")
LATHE_MMA(float, float, float, "f", "m16n8k8.row.col.f32.tf32.tf32.f32")
#if LATHE_HOST || __CUDA_ARCH__ >= 890
LATHE_MMA(e4m3, e4m3, float, "f", "m16n8k32.row.col.f32.e4m3.e4m3.f32")
#endif
LATHE_MMA(i8, i8, i32, "r", "m16n8k32.row.col.s32.s8.s8.s32")
LATHE_MMA(i8, u8, i32, "r", "m16n8k32.row.col.s32.s8.u8.s32")
LATHE_MMA(u8, i8, i32, "r", "m16n8k32.row.col.s32.u8.s8.s32")
LATHE_MMA(u8, u8, i32, "r", "m16n8k32.row.col.s32.u8.u8.s32")
#undef LATHE_MMA

/// sums[j] += the fragment `a` times columns j of Y, for the 16 k of one step.
template <typename StripY, int blocks, typename T>
LATHE_FN void multiplyColumns(float (&sums)[blocks][4], const u32 (&a)[4],
                              const u8 *y, int step, T) {
#pragma unroll
  for (int j = 0; j < blocks; j += 2) {
    u32 b[4];
    StripY::template load<false>(b, y, j * 8, step);
    multiplyAdd(sums[j], a, b[0], b[1], T{}, T{});
    multiplyAdd(sums[j + 1], a, b[2], b[3], T{}, T{});
  }
}
