//===- gemm_tma.cuh - Matrix products of boxes that arrive by themselves --===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For f16 and bf16 on sm_90a, where A and B are tensors that TMA can read. A
// block has three warp groups. One thread of the last starts the copies of
// strips, as far ahead as there are stages; the others multiply them with
// wgmma, half of the tile's rows each. For every stage there are two mbarriers:
// `full` says that the strips have arrived, `empty` that all eight warps have
// read them. A block does several tiles one after the other, and the first
// strips of the next tile arrive while the epilogue of this one runs.
//
// Strips stand as in gemm_wgmma.cuh. Boxes are lines of 128 bytes; what lies
// beyond the edges of a tensor arrives as zeros.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/gemm_wgmma.cuh"
#include "lathe/tma.cuh"

/// 128 columns; two groups of warps that multiply, one that copies.
template <int M, int Stages> struct TmaTile {
  static constexpr int m = M, n = 128, stages = Stages, threads = 384;
  static constexpr int multiplying = 256;
};

/// Starts the boxes of a strip: one where lines are rows, else one per 64 rows.
template <typename Strip, typename Operand>
LATHE_FN void copyStrip(u8 *strip, const Operand &from, Mbarrier *full,
                        int batch, int row, int k) {
  constexpr int boxBytes = Strip::lines * 128;
#pragma unroll
  for (int i = 0; i < Strip::bytes / boxBytes; ++i) {
    const int x = Strip::linesAreRows ? k : row + i * 64;
    const int y = Strip::linesAreRows ? row : k;
    if constexpr (Operand::hasBatch)
      copyBox(strip + i * boxBytes, from.tensor, full, x, y, batch);
    else
      copyBox(strip + i * boxBytes, from.tensor, full, x, y);
  }
}

/// A warp hands its 16 rows of each 64 to the epilogue, 64 columns at a time,
/// by way of `rows` in shared memory, which are its own.
template <typename Shape, int blocks, int pitch, typename Epilogue>
LATHE_FN void finishRows(float *rows, const float (&sums)[blocks][64],
                         const Epilogue &epilogue, int batch, int m, int n) {
  constexpr int lanes = Epilogue::lanes, packs = 64 / lanes;
  const int lane = threadIdx.x % 32;
#pragma unroll 1
  for (int part = 0; part < blocks * 2; ++part) {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < blocks * 2; ++i)
      if (i == part) {
#pragma unroll
        for (int j = 0; j < 32; j += 4) {
          const float *const from = sums[i / 2] + i % 2 * 32 + j;
          float *const at = rows + lane / 4 * pitch + j * 2 + lane % 4 * 2;
          storePack(at, Pack<float, 2>{{from[0], from[1]}});
          storePack(at + 8 * pitch, Pack<float, 2>{{from[2], from[3]}});
        }
      }
    __syncwarp();
#pragma unroll 1
    for (int item = lane; item < 16 * packs; item += 32) {
      const int row = item / packs, column = item % packs * lanes;
      const int toM = m + part / 2 * 64 + row, toN = n + part % 2 * 64 + column;
      if (toM < Shape::m && toN < Shape::n)
        epilogue(batch, toM, toN, loadWide<lanes>(rows + row * pitch + column));
    }
  }
}

template <typename Shape, typename Tile, typename A, typename B,
          typename Epilogue>
LATHE_FN void gemmTma(const A &a, const B &b, const Epilogue &epilogue) {
  using T = typename A::Element;
  using StripA = Strip<A, Tile::m>;
  using StripB = Strip<B, Tile::n>;
  constexpr int stages = Tile::stages, depth = StripA::depth;
  constexpr int stageBytes = StripA::bytes + StripB::bytes;
  constexpr int blocks = Tile::m / 128; ///< of 64 rows that a group has
  constexpr int warps = Tile::multiplying / 32, pitch = 64 + 4;
  constexpr int tiles = Shape::batch * ceilDivide(Shape::m, Tile::m) *
                        ceilDivide(Shape::n, Tile::n);
  u8 *const shared = dynamicShared();
  float *const rows = (float *)(shared + stages * stageBytes);
  Mbarrier *const full = (Mbarrier *)(rows + warps * 16 * pitch);
  Mbarrier *const empty = full + stages;

  if (threadIdx.x == 0) {
    for (int stage = 0; stage < stages; ++stage) {
      initBarrier(full + stage, 1);
      initBarrier(empty + stage, warps);
    }
    showBarriers();
  }
  __syncthreads();
  const int firstK = blockIdx.y * Shape::partDepth;
  const int kEnd = smaller(Shape::k, firstK + Shape::partDepth);
  const int steps = ceilDivide(kEnd - firstK, depth);

  if (threadIdx.x >= Tile::multiplying) {
    giveRegisters<40>();
    if (threadIdx.x != Tile::multiplying)
      return;
    int stage = 0;
    u32 parity = 1; // all stages are empty from the beginning
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
      const TilePlace place = getTilePlace<Shape, Tile::m, Tile::n>(tile);
      for (int step = 0; step < steps; ++step) {
        waitForPhase(empty + stage, parity);
        arriveAndExpect(full + stage, stageBytes);
        u8 *const strip = shared + stage * stageBytes;
        const int k = firstK + step * depth;
        copyStrip<StripA>(strip, a, full + stage, place.batch, place.m, k);
        copyStrip<StripB>(strip + StripA::bytes, b, full + stage, place.batch,
                          place.n, k);
        if (++stage == stages) {
          stage = 0;
          parity ^= 1;
        }
      }
    }
    return;
  }

  takeRegisters<232>();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int groupRow = threadIdx.x / 128 * (Tile::m / 2);
  int stage = 0;
  u32 parity = 0;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const TilePlace place = getTilePlace<Shape, Tile::m, Tile::n>(tile);
    float sums[blocks][64] = {};
    int before = 0;
    for (int step = 0; step < steps; ++step) {
      waitForPhase(full + stage, parity);
      const u8 *const strip = shared + stage * stageBytes;
      fenceSums();
#pragma unroll
      for (int inner = 0; inner < depth / 16; ++inner)
#pragma unroll
        for (int i = 0; i < blocks; ++i)
          multiplyWarpGroup<!StripA::linesAreRows, !StripB::linesAreRows>(
              sums[i], describeStrip<StripA>(strip, groupRow + i * 64, inner),
              describeStrip<StripB>(strip + StripA::bytes, 0, inner), T{});
      commitSums();
      // The strips before these have been read.
      waitForSums<1>();
      if (step > 0 && lane == 0)
        arriveAt(empty + before);
      before = stage;
      if (++stage == stages) {
        stage = 0;
        parity ^= 1;
      }
    }
    waitForSums<0>();
    if (lane == 0)
      arriveAt(empty + before);
    finishRows<Shape, blocks, pitch>(
        rows + warp * 16 * pitch, sums, epilogue, place.batch,
        place.m + groupRow + warp % 4 * 16, place.n);
  }
}
