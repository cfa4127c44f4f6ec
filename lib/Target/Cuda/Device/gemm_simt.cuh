//===- gemm_simt.cuh - Matrix products on CUDA cores ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For types without tensor cores, and for f32, which stays exact. A block
// computes a tile of C from strips of A and B in shared memory, a thread some
// rows by columns of it in registers. Strips lie with their rows side by side,
// so that a thread reads its operands of one k as vectors. While one strip is
// computed with, the next ones are on their way. See gemm.cuh for the types.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/gemm.cuh"

/// Threads compute ThreadM x ThreadN each, in fragments of 16 bytes.
template <int M, int N, int Depth, int ThreadM, int ThreadN, int Stages>
struct SimtTile {
  static constexpr int m = M, n = N, depth = Depth, stages = Stages;
  static constexpr int threadM = ThreadM, threadN = ThreadN;
  static constexpr int threads = M / ThreadM * (N / ThreadN);
};

LATHE_FN float multiplyAdd(float a, float b, float sum) {
  return fmaf(a, b, sum);
}
LATHE_FN double multiplyAdd(double a, double b, double sum) {
  return fma(a, b, sum);
}
LATHE_FN i32 multiplyAdd(i32 a, i32 b, i32 sum) {
  return wrapAdd(sum, wrapMul(a, b));
}
LATHE_FN i64 multiplyAdd(i64 a, i64 b, i64 sum) {
  return wrapAdd(sum, wrapMul(a, b));
}

/// An element in the type it is summed in.
template <typename Sum, typename T> LATHE_FN Sum widen(T x) {
  if constexpr (isSame<T, f16> || isSame<T, bf16>)
    return (Sum)toFloat(x);
  else
    return (Sum)x;
}

/// Brings `rows` x `depth` elements from (firstRow, firstK) on into a strip
/// whose element (row, k) is at k * pitch + row.
template <int limit, int rows, int depth, int pitch, int threads, typename Sum,
          typename Operand>
LATHE_FN void stageStrip(Sum *strip, const Operand &from, int batch,
                         int firstRow, int firstK, int kEnd) {
  using T = typename Operand::Element;
  constexpr bool keepsType = isSame<T, Sum>;
  constexpr int widest = 16 / sizeof(Sum);
  constexpr int vector = Operand::alongK || !keepsType ? 1
                         : Operand::vector < widest    ? Operand::vector
                                                       : widest;
  constexpr int packs = rows * depth / vector;
  constexpr int items = ceilDivide(packs, threads);
  // Unrolled, each copy keeps an address in registers over all steps; next to
  // the 64 sums of a thread of the largest tiles there is no room for that.
#pragma unroll(rows < 128 ? items : 1)
  for (int i = 0; i < items; ++i) {
    const int pack = threadIdx.x + i * threads;
    if (packs % threads != 0 && pack >= packs)
      break;
    int row, k;
    if (Operand::alongK) {
      // Eight neighbours of k by four rows in a warp: with the pitch a multiple
      // of four banks but not of eight, each lane writes to a bank of its own.
      row = pack / 8 % rows;
      k = pack / (8 * rows) * 8 + pack % 8;
    } else {
      row = pack % (rows / vector) * vector;
      k = pack / (rows / vector);
    }
    const T *at =
        findElement<limit>(from, batch, firstRow + row, firstK + k, kEnd);
    Sum *to = strip + k * pitch + row;
    if constexpr (keepsType)
      copyAsync<vector * sizeof(T)>(to, at ? at : from.base, at != nullptr);
    else
      *to = at ? widen<Sum>(*at) : (Sum)0;
  }
}

/// The same for an operand that is computed when it is read, which then passes
/// registers: neighbours are read at once, and written one by one where they
/// are neighbours along k.
template <int limit, int rows, int depth, int pitch, int threads, typename Sum,
          typename Operand>
LATHE_FN void computeStrip(Sum *strip, const Operand &from, int batch,
                           int firstRow, int firstK, int kEnd) {
  constexpr int vector = Operand::vector, packs = rows * depth / vector;
  constexpr int items = ceilDivide(packs, threads);
#pragma unroll(rows < 128 && vector > 1 ? items : 1)
  for (int i = 0; i < items; ++i) {
    const int pack = threadIdx.x + i * threads;
    if (packs % threads != 0 && pack >= packs)
      break;
    constexpr int inLine = (Operand::alongK ? depth : rows) / vector;
    const int line = pack / inLine, first = pack % inLine * vector;
    const int row = Operand::alongK ? line : first;
    const int k = Operand::alongK ? first : line;
    Pack<Sum, vector> elements = {};
    if (firstRow + row < limit && firstK + k < kEnd)
      elements = from.template get<vector>(batch, firstRow + row, firstK + k);
#pragma unroll
    for (int j = 0; j < vector; ++j)
      strip[(Operand::alongK ? (k + j) * pitch : k * pitch + j) + row] =
          elements.at[j];
  }
}

template <typename Shape, typename Tile, typename A, typename B,
          typename Epilogue>
LATHE_FN void gemmSimt(const A &a, const B &b, const Epilogue &epilogue) {
  using Sum = typename Epilogue::Sum;
  constexpr int vector = 16 / sizeof(Sum), stages = Tile::stages;
  constexpr int pitchA = Tile::m + vector, pitchB = Tile::n + vector;
  constexpr int stageSize = Tile::depth * (pitchA + pitchB);
  constexpr int fragmentsM = Tile::threadM / vector,
                fragmentsN = Tile::threadN / vector;
  constexpr int passRows = Tile::m / fragmentsM;
  constexpr int strips = stages * stageSize, pass = passRows * pitchB;
  __shared__ __align__(16) Sum shared[strips > pass ? strips : pass];

  const TilePlace place = getTilePlace<Shape, Tile::m, Tile::n>(blockIdx.x);
  const int firstK = blockIdx.y * Shape::partDepth;
  const int kEnd = smaller(Shape::k, firstK + Shape::partDepth);
  const int steps = ceilDivide(kEnd - firstK, Tile::depth);
  const int row = threadIdx.x / (Tile::n / Tile::threadN) * vector;
  const int column = threadIdx.x % (Tile::n / Tile::threadN) * vector;

  auto stage = [&](int step) {
    Sum *strip = shared + step % stages * stageSize;
    const int k = firstK + step * Tile::depth;
    stageStrip<Shape::m, Tile::m, Tile::depth, pitchA, Tile::threads>(
        strip, a, place.batch, place.m, k, kEnd);
    if constexpr (isComputed<B>)
      computeStrip<Shape::n, Tile::n, Tile::depth, pitchB, Tile::threads>(
          strip + Tile::depth * pitchA, b, place.batch, place.n, k, kEnd);
    else
      stageStrip<Shape::n, Tile::n, Tile::depth, pitchB, Tile::threads>(
          strip + Tile::depth * pitchA, b, place.batch, place.n, k, kEnd);
  };

  Sum sums[Tile::threadM][Tile::threadN] = {};
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
    const Sum *strip = shared + step % stages * stageSize;
#pragma unroll
    for (int k = 0; k < Tile::depth; ++k) {
      Pack<Sum, vector> x[fragmentsM], y[fragmentsN];
#pragma unroll
      for (int i = 0; i < fragmentsM; ++i)
        x[i] = loadPack<vector>(strip + k * pitchA + i * passRows + row);
#pragma unroll
      for (int j = 0; j < fragmentsN; ++j)
        y[j] = loadPack<vector>(strip + Tile::depth * pitchA + k * pitchB +
                                j * (Tile::n / fragmentsN) + column);
#pragma unroll
      for (int i = 0; i < Tile::threadM; ++i)
#pragma unroll
        for (int j = 0; j < Tile::threadN; ++j)
          sums[i][j] = multiplyAdd(x[i / vector].at[i % vector],
                                   y[j / vector].at[j % vector], sums[i][j]);
    }
  }

  // The sums go through shared memory, so that the epilogue stands here once
  // and neighbouring threads write neighbouring elements.
  waitForCopies<0>();
#pragma unroll
  for (int i = 0; i < fragmentsM; ++i) {
    __syncthreads();
#pragma unroll
    for (int r = 0; r < vector; ++r)
#pragma unroll
      for (int j = 0; j < fragmentsN; ++j) {
        Pack<Sum, vector> pack;
#pragma unroll
        for (int c = 0; c < vector; ++c)
          pack.at[c] = sums[i * vector + r][j * vector + c];
        storePack(shared + (row + r) * pitchB + j * (Tile::n / fragmentsN) +
                      column,
                  pack);
      }
    __syncthreads();
    finishTile<Shape, passRows, Tile::n, Tile::threads, pitchB>(
        shared, epilogue, place, [=](int r) { return i * passRows + r; });
  }
}
