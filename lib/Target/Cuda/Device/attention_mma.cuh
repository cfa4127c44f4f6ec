//===- attention_mma.cuh - Attention on tensor cores, by warps ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For f16 and bf16 on sm_80 and newer. Each of 4 warps has 16 queries and all
// keys of a block: its scores never leave its registers, because the sums of
// the first product lie in a warp as the words of A for the second (mma.cuh).
// The four lanes that share a query agree by shuffles. See attention.cuh.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/attention.cuh"
#include "lathe/gemm_mma.cuh"

/// `Depth` and `Width`: those of the shape, filled up to a power of two.
template <int Keys, int Depth, int Width> struct MmaAttentionTile {
  static constexpr int keys = Keys, depth = Depth, width = Width;
  static constexpr int threads = 128;
};

template <typename Shape, typename Tile, typename Q, typename K, typename V,
          typename Score, typename Epilogue, typename LogSumExp>
LATHE_FN void attentionMma(const Q &q, const K &k, const V &v, float scale,
                           const Score &score, const Epilogue &epilogue,
                           const LogSumExp &rows) {
  using T = typename Q::Element;
  using StripQ = Strip<Q, kQueries, Tile::depth>;
  using StripK = Strip<K, Tile::keys, Tile::depth>;
  using StripV = Strip<V, Tile::width, Tile::keys>;
  constexpr int depthSteps = ceilDivide(Shape::depth, 16);
  constexpr int keyBlocks = Tile::keys / 8;
  constexpr int columnBlocks = ceilDivide(Shape::width, 16) * 2;
  u8 *const queries = dynamicShared();
  u8 *const keys = queries + StripQ::bytes;
  u8 *const values = keys + StripK::bytes;

  const TilePlace place = getQueryPlace<Shape>();
  const int keyCount = countKeys<Shape>(place.m);
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;

  auto stageKeys = [&](int firstKey) {
    StripK::template stage<Shape::keys, Tile::threads>(
        keys, k, place.batch, firstKey, 0, Shape::depth);
  };
  StripQ::template stage<Shape::queries, Tile::threads>(
      queries, q, place.batch, place.m, 0, Shape::depth);
  if (keyCount > 0)
    stageKeys(0);
  commitCopies();
  waitForCopies<0>();
  __syncthreads();
  u32 x[depthSteps][4];
#pragma unroll
  for (int step = 0; step < depthSteps; ++step)
    StripQ::template load<true>(x[step], queries, row, step);

  // Of rows lane / 4 and lane / 4 + 8 of the warp's 16.
  OnlineSoftmax state[2];
  float sums[columnBlocks][4] = {};
  for (int firstKey = 0; firstKey < keyCount; firstKey += Tile::keys) {
    // These keys have arrived, and nobody reads the values before any more.
    waitForCopies<0>();
    __syncthreads();
    StripV::template stage<Shape::width, Tile::threads>(
        values, v, place.batch, 0, firstKey, Shape::keys);
    commitCopies();

    float scores[keyBlocks][4] = {};
#pragma unroll
    for (int step = 0; step < depthSteps; ++step)
#pragma unroll
      for (int j = 0; j < keyBlocks; j += 2) {
        u32 y[4];
        StripK::template load<false>(y, keys, j * 8, step);
        multiplyAdd(scores[j], x[step], y[0], y[1], T{}, T{});
        multiplyAdd(scores[j + 1], x[step], y[2], y[3], T{}, T{});
      }

#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float largest = hiddenScore();
#pragma unroll
      for (int j = 0; j < keyBlocks; ++j)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[j][i] = getScore<Shape>(
              score, place.batch, place.m + row + lane / 4 + half * 8,
              firstKey + j * 8 + lane % 4 * 2 + i % 2, scores[j][i] * scale);
          largest = maxNumber(largest, scores[j][i]);
        }
      largest = maxNumber(largest, __shfl_xor_sync(0xffffffff, largest, 1, 4));
      largest = maxNumber(largest, __shfl_xor_sync(0xffffffff, largest, 2, 4));
      const float factor = state[half].raise(largest);
#pragma unroll
      for (int c = 0; c < columnBlocks; ++c) {
        sums[c][2 * half] *= factor;
        sums[c][2 * half + 1] *= factor;
      }
#pragma unroll
      for (int j = 0; j < keyBlocks; ++j)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i)
          scores[j][i] = state[half].weigh(scores[j][i]);
    }

    // The values have arrived, and nobody reads the keys any more.
    waitForCopies<0>();
    __syncthreads();
    if (firstKey + Tile::keys < keyCount)
      stageKeys(firstKey + Tile::keys);
    commitCopies();
#pragma unroll
    for (int step = 0; step < Tile::keys / 16; ++step) {
      const float(&low)[4] = scores[2 * step],
            (&high)[4] = scores[2 * step + 1];
      const u32 weights[4] = {
          packPair(low[0], low[1], T{}), packPair(low[2], low[3], T{}),
          packPair(high[0], high[1], T{}), packPair(high[2], high[3], T{})};
      multiplyColumns<StripV>(sums, weights, values, step, T{});
    }
  }

  // The result goes through shared memory.
  waitForCopies<0>();
  __syncthreads();
  constexpr int pitch = Tile::width + 4;
  float *const tile = (float *)queries;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float total = state[half].total;
    total += __shfl_xor_sync(0xffffffff, total, 1, 4);
    total += __shfl_xor_sync(0xffffffff, total, 2, 4);
    const float inverse = invertTotal(total);
    const int query = place.m + row + lane / 4 + half * 8;
    if (lane % 4 == 0 && query < Shape::queries)
      keepLogSumExp(rows, place.batch, query, state[half].largest, total);
    float *const at = tile + (row + lane / 4 + half * 8) * pitch + lane % 4 * 2;
#pragma unroll
    for (int c = 0; c < columnBlocks; ++c)
      storePack(at + c * 8, Pack<float, 2>{{sums[c][2 * half] * inverse,
                                            sums[c][2 * half + 1] * inverse}});
  }
  __syncthreads();
  finishTile<Shape, kQueries, Tile::width, Tile::threads, pitch>(
      tile, epilogue, place, [](int row) { return row; });
}
