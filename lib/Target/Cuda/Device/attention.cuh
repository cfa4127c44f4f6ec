//===- attention.cuh - What both attention skeletons share ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// softmax(scale * Q K^T + mask) V without ever holding all scores (Dao:
// "FlashAttention-2", 2023; Milakov, Gimelshein: "Online normalizer calculation
// for softmax", 2018). A block keeps 64 queries and walks over blocks of keys.
// For each query it holds the largest score so far, and sums of weights and of
// weighted values relative to it; a larger score scales both down.
//
// Q, K and V are operands as in gemm.cuh: (batch and head, query, place in the
// head), (.., key, place), (.., place in the value, key). Beside the epilogue
// there is
//
//   Score  struct {
//            // The scaled score with mask and causal limit; -infinity hides
//            it. float operator()(int batch, int query, int key, float score)
//            const;
//          }
//   LogSumExp  the epilogue of a query's log-sum-exp, one lane, or NoLogSumExp
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/gemm.cuh"

/// `Causal`: a query sees keys up to its own number + keys - queries.
template <int Batch, int Queries, int Keys, int Depth, int Width, bool Causal>
struct AttentionShape {
  static constexpr int batch = Batch, queries = Queries, keys = Keys;
  static constexpr int depth = Depth, width = Width;
  static constexpr bool causal = Causal;
  // The result, as a product's: its tile is 64 queries by all of the value.
  static constexpr int m = Queries, n = Width;
};

constexpr int kQueries = 64; ///< of a block

/// The block's queries; blocks with much to do (causal: the last) come first.
template <typename Shape> LATHE_FN TilePlace getQueryPlace() {
  constexpr int blocks = ceilDivide(Shape::queries, kQueries);
  const int block = blocks - 1 - (int)blockIdx.x % blocks;
  return {(int)blockIdx.x / blocks, block * kQueries, 0};
}

/// Keys that any query of the block sees.
template <typename Shape> LATHE_FN int countKeys(int firstQuery) {
  if (!Shape::causal)
    return Shape::keys;
  const int last = smaller(firstQuery + kQueries, Shape::queries) - 1;
  return larger(0,
                smaller(Shape::keys, last + Shape::keys - Shape::queries + 1));
}

LATHE_FN float hiddenScore() { return floatFromBits(0xff800000u); }

/// The score of (query, key), or hidden where there is no such query or key.
template <typename Shape, typename Score>
LATHE_FN float getScore(const Score &score, int batch, int query, int key,
                        float value) {
  if (query >= Shape::queries || key >= Shape::keys ||
      (Shape::causal && key > query + Shape::keys - Shape::queries))
    return hiddenScore();
  return score(batch, query, key, value);
}

/// What a query knows of the keys so far.
struct OnlineSoftmax {
  float largest = hiddenScore(), total = 0.0f;

  /// Takes a larger maximum; returns what earlier sums are multiplied with.
  __device__ __forceinline__ float raise(float newLargest) {
    newLargest = maxNumber(largest, newLargest);
    // Before the first score that is not hidden there is nothing to scale.
    const float factor =
        largest == hiddenScore() ? 0.0f : expf(largest - newLargest);
    largest = newLargest;
    total *= factor;
    return factor;
  }
  /// The weight of a score that is no larger than the largest.
  __device__ __forceinline__ float weigh(float score) {
    const float weight = score == hiddenScore() ? 0.0f : expf(score - largest);
    total += weight;
    return weight;
  }
};

/// A query that sees nothing gives zeros.
LATHE_FN float invertTotal(float total) {
  return total == 0.0f ? 0.0f : 1.0f / total;
}

/// For a softmax that nobody differentiates.
struct NoLogSumExp {};
LATHE_FN void keepLogSumExp(const NoLogSumExp &, int, int, float, float) {}

/// The logarithm of the sum of exponentials; 0 for a query that sees nothing.
template <typename LogSumExp>
LATHE_FN void keepLogSumExp(const LogSumExp &rows, int batch, int query,
                            float largest, float total) {
  rows(batch, query,
       Pack<float, 1>{{total == 0.0f ? 0.0f : largest + logf(total)}});
}
