//===- wgmma.cuh - Tensor cores, by groups of four warps ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// wgmma of sm_90a. Four warps multiply 64 rows of A with 128 columns of B over
// 16 elements of k, both read from shared memory while the warps go on. Lane
// 4 g + t of warp w holds in sums[4 j + i] row 16 w + g (i < 2) or 16 w + g +
// 8, column 8 j + 2 t + i % 2 (PTX ISA, "Register fragments for
// wgmma.mma_async.m64nNk16").
//
// Operands stand in lines of 128 bytes; eight lines are a pattern of 1024
// bytes, at a multiple of that, in which bits 4 to 6 of an address are combined
// with bits 7 to 9 ("128-byte swizzle"). A line is a row with its k, or a k
// with 64 of the rows. A descriptor names the first byte and two distances:
//
//   bits 0-13   the address, 16-29 the leading, 32-45 the stride distance, each
//   without its last 4 bits; bits 62-63: 1 for the 128-byte swizzle
//
//   lines are rows:  stride: from 8 rows to the next 8; leading: not read
//   lines are k:     stride: from 8 k to the next 8; leading: from 64 rows to
//                    the next 64
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/async.cuh"

LATHE_FN u64 describeLines(const void *first, u32 leading, u32 stride) {
  return (u64)(sharedAddress(first) >> 4) | (u64)(leading >> 4) << 16 |
         (u64)(stride >> 4) << 32 | (u64)1 << 62;
}

/// What was written to shared memory by copies and stores is seen by wgmma.
LATHE_FN void showToWarpGroups() {
#if LATHE_HOST
  lathe_sim_proxy_fence();
#else
  asm volatile("fence.proxy.async;" ::: "memory");
#endif
}
/// Before the first of some multiplications: registers are as they were left.
LATHE_FN void fenceSums() {
#if !LATHE_HOST
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
/// Closes a group of multiplications.
LATHE_FN void commitSums() {
#if LATHE_HOST
  lathe_sim_group_commit();
#else
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
/// Waits until at most `Left` groups are not done.
template <int Left> LATHE_FN void waitForSums() {
#if LATHE_HOST
  lathe_sim_group_wait(Left);
#else
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Left) : "memory");
#endif
}

#if LATHE_HOST

/// What a thread brings. Operands are read, and sums written, at the wait.
struct SimWarpGroup {
  u64 a, b;
  float *sums;
};

/// Where element (row, k) of a matrix stands that a descriptor names; lines are
/// rows or k.
LATHE_FN const u8 *simFind(u64 descriptor, int row, int k, bool linesAreK) {
  const u32 start = (u32)(descriptor & 0x3fff) << 4;
  const u32 leading = (u32)(descriptor >> 16 & 0x3fff) << 4;
  const u32 stride = (u32)(descriptor >> 32 & 0x3fff) << 4;
  if (descriptor >> 62 != 1)
    lathe_sim_fail("a matrix descriptor has another swizzle than 128 bytes");
  const int line = linesAreK ? k : row, inLine = linesAreK ? row : k;
  u32 address = start + line / 8 * stride + line % 8 * 128 +
                inLine / 64 * leading + inLine % 64 * 2;
  address ^= (address >> 7 & 7) << 4;
  return dynamicShared() + address;
}

struct SimOperands {
  float a[64][16], b[128][16];
};
LATHE_SIM_MODEL void simMultiply(const SimOperands &operands, void **mine) {
  for (int thread = 0; thread < 128; ++thread) {
    float *sums = ((SimWarpGroup *)mine[thread])->sums;
    const int lane = thread % 32;
    for (int i = 0; i < 64; ++i) {
      const int row = thread / 32 * 16 + lane / 4 + i % 4 / 2 * 8;
      const int column = i / 4 * 8 + lane % 4 * 2 + i % 2;
      double sum = sums[i];
      for (int k = 0; k < 16; ++k)
        sum += (double)operands.a[row][k] * operands.b[column][k];
      sums[i] = (float)sum;
    }
  }
}

/// Reads the matrix in pieces of 16 bytes, which the swizzle keeps together.
template <typename T, bool linesAreK, int rows>
LATHE_SIM_MODEL void simLoad(float (&to)[rows][16], u64 descriptor) {
  for (int i = 0; i < rows * 2; ++i) {
    const int row = linesAreK ? i % (rows / 8) * 8 : i / 2;
    const int k = linesAreK ? i / (rows / 8) : i % 2 * 8;
    const u8 *at = simFind(descriptor, row, k, linesAreK);
    lathe_sim_async_read(at, 16);
    for (int j = 0; j < 8; ++j)
      to[row + (linesAreK ? j : 0)][k + (linesAreK ? 0 : j)] =
          toFloat(((const T *)at)[j]);
  }
}

template <typename T, bool aLinesAreK, bool bLinesAreK>
LATHE_SIM_MODEL void simWarpGroup(void **mine) {
  const SimWarpGroup &first = *(const SimWarpGroup *)mine[0];
  for (int thread = 0; thread < 128; ++thread) {
    const SimWarpGroup &other = *(const SimWarpGroup *)mine[thread];
    if (other.a != first.a || other.b != first.b)
      lathe_sim_fail("threads of a warp group bring different descriptors");
  }
  SimOperands operands;
  simLoad<T, aLinesAreK>(operands.a, first.a);
  simLoad<T, bLinesAreK>(operands.b, first.b);
  simMultiply(operands, mine);
}

#endif // LATHE_HOST

#if LATHE_HOST
#define LATHE_WGMMA(Element, name)                                             \
  template <bool aLinesAreK, bool bLinesAreK>                                  \
  LATHE_FN void multiplyWarpGroup(float(&sums)[64], u64 a, u64 b, Element) {   \
    SimWarpGroup mine = {a, b, sums};                                          \
    lathe_sim_group_defer(128, &mine, sizeof(mine),                            \
                          simWarpGroup<Element, aLinesAreK, bLinesAreK>);      \
  }
#else
#define LATHE_SUMS8(i)                                                         \
  "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3]),      \
      "+f"(sums[i + 4]), "+f"(sums[i + 5]), "+f"(sums[i + 6]),                 \
      "+f"(sums[i + 7])
#define LATHE_WGMMA(Element, name)                                             \
  template <bool aLinesAreK, bool bLinesAreK>                                  \
  LATHE_FN void multiplyWarpGroup(float(&sums)[64], u64 a, u64 b, Element) {   \
    asm volatile(                                                              \
        "{\n"                                                                  \
        ".reg .pred p;\n"                                                      \
        "setp.eq.u32 p, 0, 0;\n"                                               \
        "wgmma.mma_async.sync.aligned.m64n128k16.f32." name "." name " "       \
        "{%0, %1, %2, %3, %4, %5, %6, %7, "                                    \
        "%8, %9, %10, %11, %12, %13, %14, %15, "                               \
        "%16, %17, %18, %19, %20, %21, %22, %23, "                             \
        "%24, %25, %26, %27, %28, %29, %30, %31, "                             \
        "%32, %33, %34, %35, %36, %37, %38, %39, "                             \
        "%40, %41, %42, %43, %44, %45, %46, %47, "                             \
        "%48, %49, %50, %51, %52, %53, %54, %55, "                             \
        "%56, %57, %58, %59, %60, %61, %62, %63}, "                            \
        "%64, %65, p, 1, 1, %66, %67;\n"                                       \
        "}"                                                                    \
        : LATHE_SUMS8(0), LATHE_SUMS8(8), LATHE_SUMS8(16), LATHE_SUMS8(24),    \
          LATHE_SUMS8(32), LATHE_SUMS8(40), LATHE_SUMS8(48), LATHE_SUMS8(56)   \
        : "l"(a), "l"(b), "n"(aLinesAreK ? 1 : 0), "n"(bLinesAreK ? 1 : 0));   \
  }
#endif
/// sums += a * b of the matrices that the descriptors name, for the element
/// type that the last argument names. Runs on until waitForSums.
LATHE_WGMMA(f16, "f16")
LATHE_WGMMA(bf16, "bf16")
#undef LATHE_WGMMA
#undef LATHE_SUMS8
