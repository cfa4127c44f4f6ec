//===- attention_backward_mma.cuh - Backward attention on tensor cores ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For f16 and bf16 on sm_80 and newer. Each of 4 warps has 16 rows and all
// columns of a block. Weights and the scores' gradients never leave a warp's
// registers: the sums of the first products lie there as the words of A for the
// second ones (mma.cuh). The strips of Y1 and Y2 serve both: in the second
// products their rows are k, which is a matter of how ldmatrix reads them.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/attention_backward.cuh"
#include "lathe/gemm_mma.cuh"

/// `Columns` at a time; `Depth` and `Width` filled up to a power of two.
template <int Columns, int Depth, int Width> struct MmaBackwardTile {
  static constexpr int columns = Columns, depth = Depth, width = Width;
  static constexpr int threads = 128;
};

/// An operand with rows and k exchanged: its strip holds the same bytes.
template <typename Operand> struct Turned {
  using Element = typename Operand::Element;
  static constexpr bool alongK = !Operand::alongK;
  static constexpr int vector = Operand::vector;
};

/// sums[j] += 16 rows of X, from `row` on, times 8 columns j of Y.
template <typename StripX, typename StripY, int steps, int blocks, typename T>
LATHE_FN void multiplyStrips(float (&sums)[blocks][4], const u8 *x, const u8 *y,
                             int row, T) {
  // All steps at once would keep all their addresses in registers.
#pragma unroll 2
  for (int step = 0; step < steps; ++step) {
    u32 a[4];
    StripX::template load<true>(a, x, row, step);
    multiplyColumns<StripY>(sums, a, y, step, T{});
  }
}

/// sums[j] += the warp's 16 rows of `values`, rounded, times columns j of the
/// turned strip, whose k are the columns of `values`.
template <typename StripY, int valueBlocks, int blocks, typename T>
LATHE_FN void multiplyValues(float (&sums)[blocks][4],
                             const float (&values)[valueBlocks][4], const u8 *y,
                             T) {
#pragma unroll
  for (int step = 0; step < valueBlocks / 2; ++step) {
    const float(&low)[4] = values[2 * step], (&high)[4] = values[2 * step + 1];
    const u32 a[4] = {
        packPair(low[0], low[1], T{}), packPair(low[2], low[3], T{}),
        packPair(high[0], high[1], T{}), packPair(high[2], high[3], T{})};
    multiplyColumns<StripY>(sums, a, y, step, T{});
  }
}

/// Hands the sums of all warps to the epilogue, through shared memory.
template <typename Result, typename Tile, int filled, int blocks,
          typename Epilogue>
LATHE_FN void finishSums(float *tile, const float (&sums)[blocks][4],
                         float scale, const TilePlace &place, int row,
                         const Epilogue &epilogue) {
  constexpr int pitch = filled + 4;
  const int lane = threadIdx.x % 32;
  __syncthreads();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float *const at = tile + (row + lane / 4 + half * 8) * pitch + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < blocks; ++j)
      storePack(at + j * 8, Pack<float, 2>{{sums[j][2 * half] * scale,
                                            sums[j][2 * half + 1] * scale}});
  }
  __syncthreads();
  finishTile<Result, kRows, filled, Tile::threads, pitch>(
      tile, epilogue, place, [](int row) { return row; });
}

template <typename Shape, typename Tile, bool ofKeys, typename X1, typename X2,
          typename Y1, typename Y2, typename Saved, typename Score,
          typename First, typename Second>
LATHE_FN void attentionBackwardMma(const X1 &x1, const X2 &x2, const Y1 &y1,
                                   const Y2 &y2, float scale,
                                   const Saved &saved, const Score &score,
                                   const First &first, const Second &second) {
  using T = typename X1::Element;
  using Pass = BackwardPass<Shape, ofKeys>;
  constexpr int columns = Tile::columns;
  using StripX1 = Strip<X1, kRows, Tile::depth>;
  using StripX2 = Strip<X2, kRows, Tile::width>;
  using StripY1 = Strip<Y1, columns, Tile::depth>;
  using StripY2 = Strip<Y2, columns, Tile::width>;
  using TurnedY1 = Strip<Turned<Y1>, Tile::depth, columns>;
  using TurnedY2 = Strip<Turned<Y2>, Tile::width, columns>;
  constexpr int depthSteps = ceilDivide(Shape::depth, 16);
  constexpr int widthSteps = ceilDivide(Shape::width, 16);
  constexpr int columnBlocks = columns / 8;
  u8 *const rows1 = dynamicShared();
  u8 *const rows2 = rows1 + StripX1::bytes;
  u8 *const columns1 = rows2 + StripX2::bytes;
  u8 *const columns2 = columns1 + StripY1::bytes;
  // Of the columns where these are queries.
  float *const savedHere = (float *)(columns2 + StripY2::bytes);

  const TilePlace place = Pass::place();
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;
  const int rowHead = ofKeys ? place.batch * Shape::repeats : place.batch;
  StripX1::template stage<Pass::rows, Tile::threads>(rows1, x1, rowHead,
                                                     place.m, 0, Shape::depth);
  StripX2::template stage<Pass::rows, Tile::threads>(rows2, x2, rowHead,
                                                     place.m, 0, Shape::width);
  commitCopies();

  // Of rows lane / 4 and lane / 4 + 8 of the warp's 16, where they are queries.
  float logSumExp[2] = {}, delta[2] = {};
  if constexpr (!ofKeys)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = place.m + row + lane / 4 + half * 8;
      logSumExp[half] = getLogSumExp<Shape>(saved, rowHead, query);
      delta[half] = getDelta<Shape>(saved, rowHead, query);
    }

  float sums1[depthSteps * 2][4] = {}, sums2[widthSteps * 2][4] = {};
  const int begin = Pass::template begin<columns>(place.m),
            end = Pass::end(place.m);
#pragma unroll 1
  for (int head = 0; head < Pass::heads; ++head) {
    const int batch = rowHead + head;
#pragma unroll 1
    for (int firstColumn = begin; firstColumn < end; firstColumn += columns) {
      // Nobody reads the columns before any more.
      __syncthreads();
      StripY1::template stage<Pass::columns, Tile::threads>(
          columns1, y1, batch, firstColumn, 0, Shape::depth);
      StripY2::template stage<Pass::columns, Tile::threads>(
          columns2, y2, batch, firstColumn, 0, Shape::width);
      commitCopies();
      if constexpr (ofKeys)
        if (threadIdx.x < columns) {
          const int query = firstColumn + threadIdx.x;
          savedHere[threadIdx.x] = getLogSumExp<Shape>(saved, batch, query);
          savedHere[columns + threadIdx.x] =
              getDelta<Shape>(saved, batch, query);
        }
      waitForCopies<0>();
      __syncthreads();

      float weights[columnBlocks][4] = {}, inner[columnBlocks][4] = {};
      multiplyStrips<StripX1, StripY1, depthSteps>(weights, rows1, columns1,
                                                   row, T{});
      multiplyStrips<StripX2, StripY2, widthSteps>(inner, rows2, columns2, row,
                                                   T{});
#pragma unroll
      for (int j = 0; j < columnBlocks; ++j)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int column = j * 8 + lane % 4 * 2 + i % 2;
          const float here = ofKeys ? savedHere[column] : logSumExp[i / 2];
          const float less =
              ofKeys ? savedHere[columns + column] : delta[i / 2];
          weights[j][i] =
              Pass::weigh(score, batch, place.m + row + lane / 4 + i / 2 * 8,
                          firstColumn + column, weights[j][i] * scale, here);
          inner[j][i] = weights[j][i] * (inner[j][i] - less);
        }
      multiplyValues<TurnedY1>(sums1, inner, columns1, T{});
      if constexpr (ofKeys)
        multiplyValues<TurnedY2>(sums2, weights, columns2, T{});
    }
  }

  waitForCopies<0>();
  float *const tile = (float *)rows1;
  finishSums<BackwardResult<Pass::rows, Shape::depth>, Tile, Tile::depth>(
      tile, sums1, scale, place, row, first);
  if constexpr (ofKeys)
    finishSums<BackwardResult<Pass::rows, Shape::width>, Tile, Tile::width>(
        tile, sums2, 1.0f, place, row, second);
}
