//===- gemm.cuh - What all matrix products share --------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel's text describes a product C(batch, m, n) = sum over k of
// A(batch, m, k) * B(batch, n, k) by four types, and a skeleton computes it:
//
//   Shape     ProductShape, the sizes
//   Tile      what one block computes
//   A, B      struct {
//               using Element = float;
//               // Neighbours in memory are neighbours along k, else along the
//               // rows (m, or n for B) ...
//               static constexpr bool alongK = true;
//               // ... and so many may be read at once from a multiple of it.
//               static constexpr int vector = 4;
//               const float *base;
//               // Where an element is; null stands for a zero.
//               const float *at(int batch, int row, int k) const;
//             }
//             Instead of `at`, an operand may have
//               // N neighbours, which are computed when they are read.
//               template <int N>
//               Pack<float, N> get(int batch, int row, int k) const;
//   Epilogue  struct {
//               using Sum = float;
//               static constexpr int lanes = 4;
//               // Takes the sums of columns n, ..., n + lanes - 1.
//               void operator()(int batch, int m, int n,
//                               const Pack<float, 4> &sums) const;
//             }
//
// Where there are fewer tiles than a device has room for, k is cut into parts:
// the first grid writes the sums of each part with PartialSums, the second adds
// them in their order with joinParts.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/async.cuh"

LATHE_FN constexpr int ceilDivide(int a, int b) { return (a + b - 1) / b; }

template <typename A, typename B> constexpr bool isSame = false;
template <typename A> constexpr bool isSame<A, A> = true;

/// Whether the elements of an operand are computed when they are read.
template <typename Operand, typename = void> constexpr bool isComputed = false;
template <typename Operand>
constexpr bool isComputed<Operand, decltype((void)&Operand::template get<1>)> =
    true;

/// `Parts` equal parts of k, each of `PartDepth` but the last.
template <int Batch, int M, int N, int K, int Parts = 1, int PartDepth = K>
struct ProductShape {
  static constexpr int batch = Batch, m = M, n = N, k = K;
  static constexpr int parts = Parts, partDepth = PartDepth;
  static_assert((long long)Parts * PartDepth >= K, "the parts cover k");
};

/// The tile of a block. Blocks that run at a time should read the same rows and
/// columns, so that these are in the L2 cache: tiles are counted down the
/// columns of bands that are 8 tiles high.
struct TilePlace {
  int batch, m, n;
};
template <typename Shape, int tileM, int tileN>
LATHE_FN TilePlace getTilePlace(unsigned number) {
  constexpr int rows = ceilDivide(Shape::m, tileM),
                columns = ceilDivide(Shape::n, tileN), band = 8;
  const int batch = number / (rows * columns);
  const int tile = number % (rows * columns);
  const int first = tile / (band * columns) * band;
  const int height = smaller(band, rows - first);
  const int inBand = tile - first * columns;
  return {batch, (first + inBand % height) * tileM, inBand / height * tileN};
}

/// Where the element is, or null beyond the edges.
template <int rows, typename Operand>
LATHE_FN const typename Operand::Element *
findElement(const Operand &from, int batch, int row, int k, int kEnd) {
  return row < rows && k < kEnd ? from.at(batch, row, k) : nullptr;
}

/// `N` neighbours in shared memory, read 16 bytes at a time.
template <int N, typename T> LATHE_FN Pack<T, N> loadWide(const T *from) {
  constexpr int step = N * sizeof(T) > 16 ? 16 / sizeof(T) : N;
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; i += step) {
    const Pack<T, step> part = loadPack<step>(from + i);
#pragma unroll
    for (int j = 0; j < step; ++j)
      pack.at[i + j] = part.at[j];
  }
  return pack;
}

/// Hands the sums of a tile in shared memory to the epilogue. Row r of the tile
/// is row m0 + rowOf(r) of the product; rows are `pitch` elements apart.
template <typename Shape, int rows, int columns, int threads, int pitch,
          typename Epilogue, typename RowOf>
LATHE_FN void finishTile(const typename Epilogue::Sum *tile,
                         const Epilogue &epilogue, const TilePlace &place,
                         RowOf rowOf) {
  constexpr int lanes = Epilogue::lanes, packs = columns / lanes;
#pragma unroll 1
  for (int i = threadIdx.x; i < rows * packs; i += threads) {
    const int row = i / packs, column = i % packs * lanes;
    const int m = place.m + rowOf(row), n = place.n + column;
    if (m < Shape::m && n < Shape::n)
      epilogue(place.batch, m, n, loadWide<lanes>(tile + row * pitch + column));
  }
}

/// The epilogue of a part of k: keeps its sums in scratch.
template <typename Shape, typename T> struct PartialSums {
  using Sum = T;
  static constexpr int lanes =
      Shape::n % (16 / sizeof(T)) == 0 ? 16 / sizeof(T) : 1;
  T *scratch;
  __device__ __forceinline__ void operator()(int batch, int m, int n,
                                             const Pack<T, lanes> &sums) const {
    const i64 row = ((i64)blockIdx.y * Shape::batch + batch) * Shape::m + m;
    storePack(scratch + row * Shape::n + n, sums);
  }
};

template <typename T> LATHE_FN T addSums(T a, T b) { return a + b; }
LATHE_FN i32 addSums(i32 a, i32 b) { return wrapAdd(a, b); }
LATHE_FN i64 addSums(i64 a, i64 b) { return wrapAdd(a, b); }

/// The second grid: a thread per pack of the result adds the parts.
template <typename Shape, typename Epilogue>
LATHE_FN void joinParts(const typename Epilogue::Sum *scratch,
                        const Epilogue &epilogue) {
  using T = typename Epilogue::Sum;
  constexpr int lanes = Epilogue::lanes, packs = Shape::n / lanes;
  constexpr i64 partSize = (i64)Shape::batch * Shape::m * Shape::n;
  const int item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= Shape::batch * Shape::m * packs)
    return;
  const int n = item % packs * lanes, row = item / packs;
  const T *from = scratch + (i64)row * Shape::n + n;
  Pack<T, lanes> sums = loadWide<lanes>(from);
  for (int part = 1; part < Shape::parts; ++part) {
    const Pack<T, lanes> more = loadWide<lanes>(from + part * partSize);
#pragma unroll
    for (int i = 0; i < lanes; ++i)
      sums.at[i] = addSums(sums.at[i], more.at[i]);
  }
  epilogue(row / Shape::m, row % Shape::m, n, sums);
}
