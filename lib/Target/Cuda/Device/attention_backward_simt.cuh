//===- attention_backward_simt.cuh - Backward attention on CUDA cores -----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For f32. 256 threads in 16 rows of 16: a thread holds 4 rows, of the weights
// 2 columns and of the results every 16th column. Weights and the scores'
// gradients pass through shared memory, because the second products need them
// for all columns.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/attention_backward.cuh"
#include "lathe/gemm_simt.cuh"

/// `Depth` and `Width`: those of the shape, filled up to multiples of 16.
template <int Depth, int Width> struct SimtBackwardTile {
  static constexpr int columns = 32, depth = Depth, width = Width;
  static constexpr int threads = 256;
};

/// sums[i][j] += row y + i of X times column x * 2 + j of Y, both as strips
/// [k][row].
template <int depth, int pitchX, int pitchY>
LATHE_FN void multiplyStrips(float (&sums)[4][2], const float *x,
                             const float *y, int row, int column) {
#pragma unroll 8
  for (int k = 0; k < depth; ++k) {
    const Pack<float, 4> a = loadPack<4>(x + k * pitchX + row);
    const Pack<float, 2> b = loadPack<2>(y + k * pitchY + column);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        sums[i][j] = multiplyAdd(a.at[i], b.at[j], sums[i][j]);
  }
}

/// sums[i][c] += row y + i of `values` [column][row] times place x + 16 c of Y,
/// a strip [place][column].
template <int columns, int pitchValues, int pitchY, int places>
LATHE_FN void multiplyValues(float (&sums)[4][places], const float *values,
                             const float *y, int row, int x) {
#pragma unroll 1
  for (int column = 0; column < columns; column += 4) {
    Pack<float, 4> a[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      a[i] = loadPack<4>(values + (column + i) * pitchValues + row);
#pragma unroll
    for (int c = 0; c < places; ++c) {
      const Pack<float, 4> b = loadPack<4>(y + (x + 16 * c) * pitchY + column);
#pragma unroll
      for (int k = 0; k < 4; ++k)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          sums[i][c] = multiplyAdd(a[k].at[i], b.at[k], sums[i][c]);
    }
  }
}

/// Hands the sums of all threads to the epilogue, through shared memory.
template <typename Result, typename Tile, int places, typename Epilogue>
LATHE_FN void finishSums(float *tile, const float (&sums)[4][places],
                         float scale, const TilePlace &place, int row, int x,
                         const Epilogue &epilogue) {
  constexpr int pitch = places * 16 + 4;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int c = 0; c < places; ++c)
      tile[(row + i) * pitch + x + 16 * c] = sums[i][c] * scale;
  __syncthreads();
  finishTile<Result, kRows, places * 16, Tile::threads, pitch>(
      tile, epilogue, place, [](int row) { return row; });
}

template <typename Shape, typename Tile, bool ofKeys, typename X1, typename X2,
          typename Y1, typename Y2, typename Saved, typename Score,
          typename First, typename Second>
LATHE_FN void attentionBackwardSimt(const X1 &x1, const X2 &x2, const Y1 &y1,
                                    const Y2 &y2, float scale,
                                    const Saved &saved, const Score &score,
                                    const First &first, const Second &second) {
  using Pass = BackwardPass<Shape, ofKeys>;
  constexpr int columns = Tile::columns;
  constexpr int rowPitch = kRows + 4, columnPitch = columns + 4;
  // [depth][row], [width][row], [depth][column], [width][column], and twice
  // [column][row].
  float *const rows1 = (float *)dynamicShared();
  float *const rows2 = rows1 + Tile::depth * rowPitch;
  float *const columns1 = rows2 + Tile::width * rowPitch;
  float *const columns2 = columns1 + Tile::depth * columnPitch;
  float *const gradients = columns2 + Tile::width * columnPitch;
  float *const allWeights = gradients + columns * rowPitch;

  const TilePlace place = Pass::place();
  const int x = threadIdx.x % 16, row = threadIdx.x / 16 * 4;
  const int rowHead = ofKeys ? place.batch * Shape::repeats : place.batch;
  stageStrip<Pass::rows, kRows, Tile::depth, rowPitch, Tile::threads>(
      rows1, x1, rowHead, place.m, 0, Shape::depth);
  stageStrip<Pass::rows, kRows, Tile::width, rowPitch, Tile::threads>(
      rows2, x2, rowHead, place.m, 0, Shape::width);
  commitCopies();

  float sums1[4][Tile::depth / 16] = {}, sums2[4][Tile::width / 16] = {};
  const int begin = Pass::template begin<columns>(place.m),
            end = Pass::end(place.m);
#pragma unroll 1
  for (int head = 0; head < Pass::heads; ++head) {
    const int batch = rowHead + head;
#pragma unroll 1
    for (int firstColumn = begin; firstColumn < end; firstColumn += columns) {
      // Nobody reads the columns before any more.
      __syncthreads();
      stageStrip<Pass::columns, columns, Tile::depth, columnPitch,
                 Tile::threads>(columns1, y1, batch, firstColumn, 0,
                                Shape::depth);
      stageStrip<Pass::columns, columns, Tile::width, columnPitch,
                 Tile::threads>(columns2, y2, batch, firstColumn, 0,
                                Shape::width);
      commitCopies();
      waitForCopies<0>();
      __syncthreads();

      float weights[4][2] = {}, inner[4][2] = {};
      multiplyStrips<Tile::depth, rowPitch, columnPitch>(weights, rows1,
                                                         columns1, row, x * 2);
      multiplyStrips<Tile::width, rowPitch, columnPitch>(inner, rows2, columns2,
                                                         row, x * 2);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int column = firstColumn + x * 2 + j;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int query = ofKeys ? column : place.m + row + i;
          weights[i][j] = Pass::weigh(score, batch, place.m + row + i, column,
                                      weights[i][j] * scale,
                                      getLogSumExp<Shape>(saved, batch, query));
          inner[i][j] = weights[i][j] *
                        (inner[i][j] - getDelta<Shape>(saved, batch, query));
        }
        storePack(gradients + (x * 2 + j) * rowPitch + row,
                  Pack<float, 4>{
                      {inner[0][j], inner[1][j], inner[2][j], inner[3][j]}});
        if constexpr (ofKeys)
          storePack(allWeights + (x * 2 + j) * rowPitch + row,
                    Pack<float, 4>{{weights[0][j], weights[1][j], weights[2][j],
                                    weights[3][j]}});
      }
      __syncthreads();
      multiplyValues<columns, rowPitch, columnPitch>(sums1, gradients, columns1,
                                                     row, x);
      if constexpr (ofKeys)
        multiplyValues<columns, rowPitch, columnPitch>(sums2, allWeights,
                                                       columns2, row, x);
    }
  }

  waitForCopies<0>();
  finishSums<BackwardResult<Pass::rows, Shape::depth>, Tile>(
      rows1, sums1, scale, place, row, x, first);
  if constexpr (ofKeys)
    finishSums<BackwardResult<Pass::rows, Shape::width>, Tile>(
        rows1, sums2, 1.0f, place, row, x, second);
}
