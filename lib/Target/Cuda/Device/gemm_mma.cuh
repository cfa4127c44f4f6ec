//===- gemm_mma.cuh - Matrix products on tensor cores, by warps -----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For f16, bf16, i8 and u8, and f32 as tf32, on sm_80 and newer, and for e4m3
// on sm_89 and newer. A block
// computes a tile of C from strips of A and B that are 128 bytes of k deep; a
// warp computes some rows by columns of it with mma.sync. `stages` strips are
// in shared memory: one is computed with, the others are on their way
// (cp.async). See gemm.cuh for the types.
//
// A strip is lines of 16-byte chunks. Its lines are rows of the operand where
// neighbours in memory are neighbours along k; else they are the k (of 16-bit
// elements, because ldmatrix can turn those around). ldmatrix reads one chunk
// of each of 8 lines at once, which must stand in different banks: chunks of a
// line change places with its number ("swizzle").
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/gemm.cuh"
#include "lathe/mma.cuh"

template <int M, int N, int WarpM, int WarpN, int Stages> struct MmaTile {
  static constexpr int m = M, n = N, warpM = WarpM, warpN = WarpN;
  static constexpr int stages = Stages;
  static constexpr int threads = M / WarpM * (N / WarpN) * 32;
};

/// `rows` rows of an operand, `stripDepth` of k deep, as they stand in shared
/// memory; both are powers of two.
template <typename Operand, int rows,
          int stripDepth = 128 / sizeof(typename Operand::Element)>
struct Strip {
  using T = typename Operand::Element;
  static constexpr int depth = stripDepth, bytes = rows * depth * sizeof(T);
  static constexpr int perChunk = 16 / sizeof(T);
  static constexpr bool linesAreRows = Operand::alongK || sizeof(T) != 2;
  static constexpr int lines = linesAreRows ? rows : depth;
  static constexpr int chunks = bytes / 16 / lines; ///< of a line
  /// Elements of a line that are read at once.
  static constexpr int vector = linesAreRows != Operand::alongK ? 1
                                : Operand::vector < perChunk ? Operand::vector
                                                             : perChunk;

  /// Where a chunk stands, in bytes. Any 8 lines that follow each other have
  /// their chunks of one number in 8 different 16-byte columns of the banks.
  /// Lines of more than 128 bytes are cut: all lines' first 128 bytes, then all
  /// lines' second.
  static LATHE_MEMBER int place(int line, int chunk) {
    constexpr int columns = chunks < 8 ? chunks : 8;
    const int column = (chunk % columns) ^ (line / (8 / columns) % columns);
    return ((chunk / columns * lines + line) * columns + column) * 16;
  }

  /// Brings the rows and the k from firstRow and firstK on; zeros beyond
  /// `limit` rows and beyond kEnd.
  template <int limit, int threads>
  static LATHE_MEMBER void stage(u8 *strip, const Operand &from, int batch,
                                 int firstRow, int firstK, int kEnd) {
    if constexpr (isComputed<Operand>)
      compute<limit, threads>(strip, from, batch, firstRow, firstK, kEnd);
    else
      copy<limit, threads>(strip, from, batch, firstRow, firstK, kEnd);
  }

  /// Through registers: what is read is narrower than what is multiplied.
  template <int limit, int threads>
  static LATHE_MEMBER void compute(u8 *strip, const Operand &from, int batch,
                                   int firstRow, int firstK, int kEnd) {
    constexpr int items = ceilDivide(lines * chunks, threads);
#pragma unroll(vector >= 4 ? items : 1)
    for (int i = 0; i < items; ++i) {
      const int item = threadIdx.x + i * threads;
      if (lines * chunks % threads != 0 && item >= lines * chunks)
        break;
      const int line = item / chunks, chunk = item % chunks;
      T *const to = (T *)(strip + place(line, chunk));
#pragma unroll
      for (int e = 0; e < perChunk; e += vector) {
        const int inLine = chunk * perChunk + e;
        const int row = firstRow + (linesAreRows ? line : inLine);
        const int k = firstK + (linesAreRows ? inLine : line);
        Pack<T, vector> elements = {};
        if (row < limit && k < kEnd)
          elements = from.template get<vector>(batch, row, k);
        storePack(to + e, elements);
      }
    }
  }

  template <int limit, int threads>
  static LATHE_MEMBER void copy(u8 *strip, const Operand &from, int batch,
                                int firstRow, int firstK, int kEnd) {
    constexpr int items = ceilDivide(lines * chunks, threads);
    constexpr bool isCopied = vector * sizeof(T) >= 4;
    // Elements that are collected one by one would fill the registers.
#pragma unroll(isCopied ? items : 1)
    for (int i = 0; i < items; ++i) {
      const int item = threadIdx.x + i * threads;
      if (lines * chunks % threads != 0 && item >= lines * chunks)
        break;
      const int line = item / chunks, chunk = item % chunks;
      u8 *const to = strip + place(line, chunk);
      auto find = [&](int inChunk) {
        const int inLine = chunk * perChunk + inChunk;
        const int row = firstRow + (linesAreRows ? line : inLine);
        const int k = firstK + (linesAreRows ? inLine : line);
        return findElement<limit>(from, batch, row, k, kEnd);
      };
      if constexpr (isCopied) {
#pragma unroll
        for (int e = 0; e < perChunk; e += vector) {
          const T *at = find(e);
          copyAsync<vector * sizeof(T)>(to + e * sizeof(T), at ? at : from.base,
                                        at != nullptr);
        }
      } else {
        Pack<T, perChunk> elements;
#pragma unroll
        for (int e = 0; e < perChunk; ++e) {
          const T *at = find(e);
          elements.at[e] = at ? *at : T{};
        }
        storePack((T *)to, elements);
      }
    }
  }

  /// 16 rows by 32 bytes of k, from `row` and the step `step` of 32 bytes on.
  /// The four matrices of 8 rows by 16 bytes come in the order of A's words
  /// (the next rows first) or of two of B's pairs (the next k first).
  template <bool isA>
  static LATHE_MEMBER void load(u32 (&words)[4], const u8 *strip, int row,
                                int step) {
    const int lane = threadIdx.x % 32, matrix = lane / 8;
    const int nextRows = isA ? matrix % 2 : matrix / 2;
    const int nextK = isA ? matrix / 2 : matrix % 2;
    if constexpr (linesAreRows)
      loadMatrices(words, strip + place(row + nextRows * 8 + lane % 8,
                                        step * 2 + nextK));
    else
      loadMatricesTransposed(
          words,
          strip + place(step * 16 + nextK * 8 + lane % 8, row / 8 + nextRows));
  }
};

template <typename T> LATHE_FN void roundWords(u32 (&words)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
    words[i] = roundWord(words[i], T{});
}

template <typename Shape, typename Tile, typename A, typename B,
          typename Epilogue>
LATHE_FN void gemmMma(const A &a, const B &b, const Epilogue &epilogue) {
  using ElementA = typename A::Element;
  using ElementB = typename B::Element;
  using Sum = typename Epilogue::Sum;
  using StripA = Strip<A, Tile::m>;
  using StripB = Strip<B, Tile::n>;
  constexpr int stages = Tile::stages, depth = StripA::depth;
  constexpr int stageBytes = StripA::bytes + StripB::bytes;
  constexpr int blocksM = Tile::warpM / 16, blocksN = Tile::warpN / 8;
  static_assert(sizeof(ElementA) == sizeof(ElementB),
                "strips are equally deep");
  static_assert(Tile::warpM % 16 == 0 && Tile::warpN % 16 == 0,
                "warps load 16 rows and columns at once");
  u8 *const shared = dynamicShared();

  const TilePlace place = getTilePlace<Shape, Tile::m, Tile::n>(blockIdx.x);
  const int firstK = blockIdx.y * Shape::partDepth;
  const int kEnd = smaller(Shape::k, firstK + Shape::partDepth);
  const int steps = ceilDivide(kEnd - firstK, depth);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warpRow = warp / (Tile::n / Tile::warpN) * Tile::warpM;
  const int warpColumn = warp % (Tile::n / Tile::warpN) * Tile::warpN;

  auto stage = [&](int step) {
    u8 *strip = shared + step % stages * stageBytes;
    const int k = firstK + step * depth;
    StripA::template stage<Shape::m, Tile::threads>(strip, a, place.batch,
                                                    place.m, k, kEnd);
    StripB::template stage<Shape::n, Tile::threads>(
        strip + StripA::bytes, b, place.batch, place.n, k, kEnd);
  };

  Sum sums[blocksM][blocksN][4] = {};
#pragma unroll
  for (int step = 0; step < stages - 1; ++step) {
    if (step < steps)
      stage(step);
    commitCopies();
  }
  for (int step = 0; step < steps; ++step) {
    waitForCopies<stages - 2>();
    // This strip is complete, and nobody reads the one before any more: its
    // place is free for the strip that is stages - 1 ahead.
    __syncthreads();
    if (step + stages - 1 < steps)
      stage(step + stages - 1);
    commitCopies();
    const u8 *strip = shared + step % stages * stageBytes;
    // From sm_90 on mma converts 8-bit floats in registers, of which four steps
    // at once take too many.
#pragma unroll(isSame<ElementA, e4m3> ? 1 : 4)
    for (int inner = 0; inner < 4; ++inner) {
      u32 x[blocksM][4], y[blocksN / 2][4];
#pragma unroll
      for (int i = 0; i < blocksM; ++i) {
        StripA::template load<true>(x[i], strip, warpRow + i * 16, inner);
        roundWords<ElementA>(x[i]);
      }
#pragma unroll
      for (int j = 0; j < blocksN / 2; ++j) {
        StripB::template load<false>(y[j], strip + StripA::bytes,
                                     warpColumn + j * 16, inner);
        roundWords<ElementB>(y[j]);
      }
#pragma unroll
      for (int i = 0; i < blocksM; ++i)
#pragma unroll
        for (int j = 0; j < blocksN; ++j)
          multiplyAdd(sums[i][j], x[i], y[j / 2][j % 2 * 2],
                      y[j / 2][j % 2 * 2 + 1], ElementA{}, ElementB{});
    }
  }

  // The sums go through shared memory, so that the epilogue stands here once
  // and neighbouring threads write neighbouring elements.
  waitForCopies<0>();
  __syncthreads();
  constexpr int pitch = Tile::n + 4;
  Sum *const tile = (Sum *)shared;
#pragma unroll
  for (int i = 0; i < blocksM; ++i)
#pragma unroll
    for (int j = 0; j < blocksN; ++j) {
      const int row = warpRow + i * 16 + lane / 4;
      Sum *const at = tile + row * pitch + warpColumn + j * 8 + lane % 4 * 2;
      storePack(at, Pack<Sum, 2>{{sums[i][j][0], sums[i][j][1]}});
      storePack(at + 8 * pitch, Pack<Sum, 2>{{sums[i][j][2], sums[i][j][3]}});
    }
  __syncthreads();
  finishTile<Shape, Tile::m, Tile::n, Tile::threads, pitch>(
      tile, epilogue, place, [](int row) { return row; });
}
