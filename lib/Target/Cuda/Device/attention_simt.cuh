//===- attention_simt.cuh - Attention in f32 on CUDA cores ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// 256 threads in 16 rows of 16: a thread holds 4 queries, of the scores some
// keys and of the result some columns. The 16 threads of a row are half a warp
// and agree on maxima and sums by shuffles. Weights pass through shared memory,
// because the second product needs them for all keys. See attention.cuh.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/attention.cuh"
#include "lathe/gemm_simt.cuh"

/// `Depth` and `Width`: those of the shape, filled up to what threads share.
template <int Keys, int Depth, int Width> struct SimtAttentionTile {
  static constexpr int keys = Keys, depth = Depth, width = Width;
  static constexpr int threads = 256;
};

/// The pack of `count` columns that thread `x` of 16 has: fragment j of
/// `vector` columns.
template <int count, int vector>
LATHE_FN Pack<float, count> loadColumns(const float *line, int x) {
  Pack<float, count> result;
#pragma unroll
  for (int j = 0; j < count; j += vector) {
    const Pack<float, vector> part =
        loadPack<vector>(line + j * 16 + x * vector);
#pragma unroll
    for (int i = 0; i < vector; ++i)
      result.at[j + i] = part.at[i];
  }
  return result;
}

template <typename Shape, typename Tile, typename Q, typename K, typename V,
          typename Score, typename Epilogue, typename LogSumExp>
LATHE_FN void attentionSimt(const Q &q, const K &k, const V &v, float scale,
                            const Score &score, const Epilogue &epilogue,
                            const LogSumExp &rows) {
  constexpr int keysOfThread = Tile::keys / 16, columns = Tile::width / 16;
  constexpr int keyVector = keysOfThread < 4 ? keysOfThread : 4;
  constexpr int vector = columns < 4 ? columns : 4;
  constexpr int queryPitch = kQueries + 4, keyPitch = Tile::keys + 4,
                valuePitch = Tile::width + 4;
  // [depth][query], [depth][key], [key][column], [key][query]
  float *const queries = (float *)dynamicShared();
  float *const keys = queries + Tile::depth * queryPitch;
  float *const values = keys + Tile::depth * keyPitch;
  float *const weights = values + Tile::keys * valuePitch;

  const TilePlace place = getQueryPlace<Shape>();
  const int keyCount = countKeys<Shape>(place.m);
  const int x = threadIdx.x % 16, y = threadIdx.x / 16 * 4;

  auto stageKeys = [&](int firstKey) {
    stageStrip<Shape::keys, Tile::keys, Tile::depth, keyPitch, Tile::threads>(
        keys, k, place.batch, firstKey, 0, Shape::depth);
  };
  stageStrip<Shape::queries, kQueries, Tile::depth, queryPitch, Tile::threads>(
      queries, q, place.batch, place.m, 0, Shape::depth);
  if (keyCount > 0)
    stageKeys(0);
  commitCopies();

  OnlineSoftmax state[4];
  float sums[4][columns] = {};
  for (int firstKey = 0; firstKey < keyCount; firstKey += Tile::keys) {
    // These keys have arrived, and nobody reads the values before any more.
    waitForCopies<0>();
    __syncthreads();
    stageStrip<Shape::width, Tile::width, Tile::keys, valuePitch,
               Tile::threads>(values, v, place.batch, 0, firstKey, Shape::keys);
    commitCopies();

    float scores[4][keysOfThread] = {};
#pragma unroll 8
    for (int d = 0; d < Tile::depth; ++d) {
      const Pack<float, 4> a = loadPack<4>(queries + d * queryPitch + y);
      const Pack<float, keysOfThread> b =
          loadColumns<keysOfThread, keyVector>(keys + d * keyPitch, x);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < keysOfThread; ++j)
          scores[i][j] = multiplyAdd(a.at[i], b.at[j], scores[i][j]);
    }

#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float largest = hiddenScore();
#pragma unroll
      for (int j = 0; j < keysOfThread; ++j) {
        const int key =
            j / keyVector * 16 * keyVector + x * keyVector + j % keyVector;
        scores[i][j] = getScore<Shape>(score, place.batch, place.m + y + i,
                                       firstKey + key, scores[i][j] * scale);
        largest = maxNumber(largest, scores[i][j]);
      }
#pragma unroll
      for (int step = 8; step > 0; step /= 2)
        largest =
            maxNumber(largest, __shfl_xor_sync(0xffffffff, largest, step, 16));
      const float factor = state[i].raise(largest);
#pragma unroll
      for (int c = 0; c < columns; ++c)
        sums[i][c] *= factor;
#pragma unroll
      for (int j = 0; j < keysOfThread; ++j)
        scores[i][j] = state[i].weigh(scores[i][j]);
    }
#pragma unroll
    for (int j = 0; j < keysOfThread; ++j) {
      const int key =
          j / keyVector * 16 * keyVector + x * keyVector + j % keyVector;
      storePack(weights + key * queryPitch + y,
                Pack<float, 4>{
                    {scores[0][j], scores[1][j], scores[2][j], scores[3][j]}});
    }

    // The values have arrived, the weights are there, and nobody reads the keys
    // any more.
    waitForCopies<0>();
    __syncthreads();
    if (firstKey + Tile::keys < keyCount)
      stageKeys(firstKey + Tile::keys);
    commitCopies();
#pragma unroll 4
    for (int key = 0; key < Tile::keys; ++key) {
      const Pack<float, 4> a = loadPack<4>(weights + key * queryPitch + y);
      const Pack<float, columns> b =
          loadColumns<columns, vector>(values + key * valuePitch, x);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int c = 0; c < columns; ++c)
          sums[i][c] = multiplyAdd(a.at[i], b.at[c], sums[i][c]);
    }
  }

  // The result goes through shared memory, where queries and keys were.
  waitForCopies<0>();
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float total = state[i].total;
#pragma unroll
    for (int step = 8; step > 0; step /= 2)
      total += __shfl_xor_sync(0xffffffff, total, step, 16);
    const float inverse = invertTotal(total);
    if (x == 0 && place.m + y + i < Shape::queries)
      keepLogSumExp(rows, place.batch, place.m + y + i, state[i].largest,
                    total);
#pragma unroll
    for (int c = 0; c < columns; c += vector) {
      Pack<float, vector> pack;
#pragma unroll
      for (int j = 0; j < vector; ++j)
        pack.at[j] = sums[i][c + j] * inverse;
      storePack(queries + (y + i) * valuePitch + c * 16 + x * vector, pack);
    }
  }
  __syncthreads();
  finishTile<Shape, kQueries, Tile::width, Tile::threads, valuePitch>(
      queries, epilogue, place, [](int row) { return row; });
}
