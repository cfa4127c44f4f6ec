//===- gemm_wgmma.cuh - Matrix products by groups of four warps -----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For f16 and bf16 on sm_90a. Strips come to shared memory as in gemm_mma.cuh,
// and stand there as wgmma wants them: the tensor cores read them without a
// way through registers. Two groups of four warps have half of the tile's rows
// each. While a strip is multiplied, the next one's copies are waited for.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/gemm_mma.cuh"
#include "lathe/wgmma.cuh"

/// Two groups of warps, 128 columns.
template <int M, int Stages> struct WgmmaTile {
  static constexpr int m = M, n = 128, stages = Stages, threads = 256;
};

/// The matrix of rows `row` on and of the step `step` of 16 k.
template <typename Strip>
LATHE_FN u64 describeStrip(const u8 *strip, int row, int step) {
  static_assert(Strip::chunks >= 8, "lines have 128 bytes");
  if constexpr (Strip::linesAreRows)
    return describeLines(strip + row * 128 + step * 32, 16, 1024);
  else
    return describeLines(strip + row / 64 * (Strip::lines * 128) + step * 2048,
                         Strip::lines * 128, 1024);
}

template <typename Shape, typename Tile, typename A, typename B,
          typename Epilogue>
LATHE_FN void gemmWgmma(const A &a, const B &b, const Epilogue &epilogue) {
  using T = typename A::Element;
  using StripA = Strip<A, Tile::m>;
  using StripB = Strip<B, Tile::n>;
  constexpr int stages = Tile::stages, depth = StripA::depth;
  constexpr int stageBytes = StripA::bytes + StripB::bytes;
  constexpr int blocks = Tile::m / 128; ///< of 64 rows that a group has
  u8 *const shared = dynamicShared();

  const TilePlace place = getTilePlace<Shape, Tile::m, Tile::n>(blockIdx.x);
  const int firstK = blockIdx.y * Shape::partDepth;
  const int kEnd = smaller(Shape::k, firstK + Shape::partDepth);
  const int steps = ceilDivide(kEnd - firstK, depth);
  const int groupRow = threadIdx.x / 128 * (Tile::m / 2);

  auto stage = [&](int step) {
    u8 *strip = shared + step % stages * stageBytes;
    const int k = firstK + step * depth;
    StripA::template stage<Shape::m, Tile::threads>(strip, a, place.batch,
                                                    place.m, k, kEnd);
    StripB::template stage<Shape::n, Tile::threads>(
        strip + StripA::bytes, b, place.batch, place.n, k, kEnd);
  };

  float sums[blocks][64] = {};
#pragma unroll
  for (int step = 0; step < stages - 2; ++step) {
    if (step < steps)
      stage(step);
    commitCopies();
  }
  for (int step = 0; step < steps; ++step) {
    waitForCopies<stages - 3>();
    showToWarpGroups();
    // This strip is complete, and the one before the last has been multiplied
    // by all: its place is free for the strip that is stages - 2 ahead.
    __syncthreads();
    if (step + stages - 2 < steps)
      stage(step + stages - 2);
    commitCopies();
    const u8 *strip = shared + step % stages * stageBytes;
    fenceSums();
#pragma unroll
    for (int inner = 0; inner < depth / 16; ++inner)
#pragma unroll
      for (int i = 0; i < blocks; ++i)
        multiplyWarpGroup<!StripA::linesAreRows, !StripB::linesAreRows>(
            sums[i], describeStrip<StripA>(strip, groupRow + i * 64, inner),
            describeStrip<StripB>(strip + StripA::bytes, 0, inner), T{});
    commitSums();
    waitForSums<1>();
  }

  // The sums go through shared memory, so that the epilogue stands here once
  // and neighbouring threads write neighbouring elements.
  waitForSums<0>();
  waitForCopies<0>();
  __syncthreads();
  constexpr int pitch = Tile::n + 4;
  float *const tile = (float *)shared;
  const int lane = threadIdx.x % 32;
  const int row = groupRow + threadIdx.x % 128 / 32 * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < blocks; ++i)
#pragma unroll
    for (int j = 0; j < 64; j += 4) {
      float *const at = tile + (row + i * 64) * pitch + j * 2 + lane % 4 * 2;
      storePack(at, Pack<float, 2>{{sums[i][j], sums[i][j + 1]}});
      storePack(at + 8 * pitch,
                Pack<float, 2>{{sums[i][j + 2], sums[i][j + 3]}});
    }
  __syncthreads();
  finishTile<Shape, Tile::m, Tile::n, Tile::threads, pitch>(
      tile, epilogue, place, [](int r) { return r; });
}
