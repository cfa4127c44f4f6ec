//===- scan.cuh - Running sums along rows -------------------------*- CUDA
//-*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A warp or a block walks along a row in chunks of four elements a thread. A
// thread sums its four; what stands before them are the sums of the lanes
// before it (Hillis and Steele 1986), of the warps before its own, and of the
// chunks before. The order of additions depends on the sizes alone.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/device.cuh"

/// Type, rows, their length, threads for each (32, or all 64 to 1024 of a
/// block), elements that may be read and written at once (1 or 4).
template <typename Element, int Rows, int Length, int Threads, int Vector,
          bool Exclusive, bool Reverse>
struct RowScan {
  using T = Element;
  static constexpr int rows = Rows, length = Length, threads = Threads;
  static constexpr int vector = Vector, items = 4, chunk = threads * items;
  static constexpr bool exclusive = Exclusive, reverse = Reverse;
};

LATHE_FN float widenToSum(f16 x) { return toFloat(x); }
LATHE_FN float widenToSum(bf16 x) { return toFloat(x); }
LATHE_FN float widenToSum(float x) { return x; }
LATHE_FN double widenToSum(double x) { return x; }
LATHE_FN i32 widenToSum(i8 x) { return x; }
LATHE_FN i32 widenToSum(i16 x) { return x; }
LATHE_FN i32 widenToSum(i32 x) { return x; }
LATHE_FN i64 widenToSum(i64 x) { return x; }

LATHE_FN f16 narrowSum(float sum, f16) { return toF16(sum); }
LATHE_FN bf16 narrowSum(float sum, bf16) { return toBF16(sum); }
template <typename S, typename T> LATHE_FN T narrowSum(S sum, T) {
  return (T)sum;
}

LATHE_FN float addUp(float a, float b) { return a + b; }
LATHE_FN double addUp(double a, double b) { return a + b; }
LATHE_FN i32 addUp(i32 a, i32 b) { return wrapAdd(a, b); }
LATHE_FN i64 addUp(i64 a, i64 b) { return wrapAdd(a, b); }

/// Where the elements `place` to `place + vector - 1` of the walk begin.
template <typename Scan> LATHE_FN int walkPlace(int place) {
  return Scan::reverse ? Scan::length - Scan::vector - place : place;
}

template <typename Scan>
LATHE_FN void scanRow(const typename Scan::T *__restrict__ from,
                      typename Scan::T *__restrict__ to) {
  using T = typename Scan::T;
  using Sum = decltype(widenToSum(T{}));
  constexpr int items = Scan::items, vector = Scan::vector;
  constexpr int warps = Scan::threads / 32;
  const int thread = threadIdx.x % Scan::threads, lane = thread % 32;
  Sum before = 0;
  for (int first = 0; first < Scan::length; first += Scan::chunk) {
    const int mine = first + thread * items;
    Sum own[items];
#pragma unroll
    for (int i = 0; i < items; i += vector) {
      Pack<T, vector> pack = {};
      if (mine + i < Scan::length)
        pack = loadPack<vector>(from + walkPlace<Scan>(mine + i));
#pragma unroll
      for (int j = 0; j < vector; ++j)
        own[i + j] = widenToSum(pack.at[Scan::reverse ? vector - 1 - j : j]);
    }
    Sum total = own[0];
#pragma unroll
    for (int i = 1; i < items; ++i)
      total = addUp(total, own[i]);
    Sum upTo = total; // this lane and all before it
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const Sum other = __shfl_up_sync(0xffffffffu, upTo, distance);
      if (lane >= distance)
        upTo = addUp(other, upTo);
    }
    Sum sum = __shfl_up_sync(0xffffffffu, upTo, 1);
    if (lane == 0)
      sum = 0;
    Sum ofChunk;
    if constexpr (warps == 1) {
      ofChunk = __shfl_sync(0xffffffffu, upTo, 31);
    } else {
      __shared__ Sum ofWarp[warps];
      if (lane == 31)
        ofWarp[thread / 32] = upTo;
      __syncthreads();
      ofChunk = 0;
      Sum ofWarps = 0;
      for (int warp = 0; warp < warps; ++warp) {
        if (warp == thread / 32)
          ofWarps = ofChunk;
        ofChunk = addUp(ofChunk, ofWarp[warp]);
      }
      sum = addUp(ofWarps, sum);
      // The next chunk writes to the same place.
      __syncthreads();
    }
    sum = addUp(before, sum);
    before = addUp(before, ofChunk);
#pragma unroll
    for (int i = 0; i < items; i += vector) {
      Pack<T, vector> pack = {};
#pragma unroll
      for (int j = 0; j < vector; ++j) {
        const Sum next = addUp(sum, own[i + j]);
        pack.at[Scan::reverse ? vector - 1 - j : j] =
            narrowSum(Scan::exclusive ? sum : next, T{});
        sum = next;
      }
      if (mine + i < Scan::length)
        storePack(to + walkPlace<Scan>(mine + i), pack);
    }
  }
}

/// A block per row, or in blocks of 256 a warp per row.
template <typename Scan>
LATHE_FN void scanRows(const typename Scan::T *__restrict__ from,
                       typename Scan::T *__restrict__ to) {
  constexpr int together = Scan::threads == 32 ? 8 : 1;
  const int row =
      (int)blockIdx.x * together + (together == 1 ? 0 : (int)threadIdx.x / 32);
  if (row >= Scan::rows)
    return;
  scanRow<Scan>(from + (i64)row * Scan::length, to + (i64)row * Scan::length);
}
