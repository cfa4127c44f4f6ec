//===- attention_backward.cuh - What both backward skeletons share --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The gradients of attention without ever holding all weights (Dao:
// "FlashAttention-2", 2023). With P = exp(scores - log_sum_exp) and
// S = P * (G V^T - delta), where G is the cotangent,
//
//   dQ = scale * S K,  dK = scale * S^T Q,  dV = P^T G.
//
// No two blocks add to one gradient: one pass is by queries and gives dQ, the
// other by keys and gives dK and dV; each makes the weights again. A block
// keeps 64 rows (queries, or keys) and walks over blocks of columns (keys, or
// queries of every head that shares the keys). The passes are one text, with
// operands in other roles:
//
//   of queries  X1 = Q, X2 = G, Y1 = K, Y2 = V:  S Y1
//   of keys     X1 = K, X2 = V, Y1 = Q, Y2 = G:  S^T Y1 and P^T Y2
//
// Operands are (batch and head, query or key, place in the head), see
// attention.cuh, which also has Score. Beside it there is
//
//   Saved  struct {
//            float logSumExp(int batch, int query) const;
//            float delta(int batch, int query) const;
//          }
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/attention.cuh"

/// `Repeats` heads share a key head.
template <int Batch, int Repeats, int Queries, int Keys, int Depth, int Width,
          bool Causal>
struct BackwardShape
    : AttentionShape<Batch, Queries, Keys, Depth, Width, Causal> {
  static constexpr int repeats = Repeats;
};

constexpr int kRows = 64; ///< of a block

/// A result as a product's, for the epilogue.
template <int M, int N> struct BackwardResult {
  static constexpr int m = M, n = N;
};

template <typename Shape, bool ofKeys> struct BackwardPass {
  static constexpr int rows = ofKeys ? Shape::keys : Shape::queries;
  static constexpr int columns = ofKeys ? Shape::queries : Shape::keys;
  /// Heads whose columns the rows meet.
  static constexpr int heads = ofKeys ? Shape::repeats : 1;
  static constexpr int blocks = ceilDivide(rows, kRows);

  /// The block's rows; `batch` counts heads, or heads of keys.
  static LATHE_MEMBER TilePlace place() {
    const int block = (int)blockIdx.x % blocks;
    // Those with much to do (causal: the last queries) come first.
    return {(int)blockIdx.x / blocks,
            (ofKeys ? block : blocks - 1 - block) * kRows, 0};
  }
  /// The columns from begin on, up to end, that any of the rows meets.
  template <int step> static LATHE_MEMBER int begin(int firstRow) {
    if (!ofKeys || !Shape::causal)
      return 0;
    return larger(0, firstRow + Shape::queries - Shape::keys) / step * step;
  }
  static LATHE_MEMBER int end(int firstRow) {
    if (ofKeys || !Shape::causal)
      return columns;
    const int last = smaller(firstRow + kRows, rows) - 1;
    return larger(
        0, smaller(Shape::keys, last + Shape::keys - Shape::queries + 1));
  }

  /// The weight at (row, column), 0 where there is none.
  template <typename Score>
  static LATHE_MEMBER float weigh(const Score &score, int batch, int row,
                                  int column, float value, float logSumExp) {
    const int query = ofKeys ? column : row, key = ofKeys ? row : column;
    const float masked = getScore<Shape>(score, batch, query, key, value);
    return masked == hiddenScore() ? 0.0f : expf(masked - logSumExp);
  }
};

/// What is saved of a query, 0 where there is none.
template <typename Shape, typename Saved>
LATHE_FN float getLogSumExp(const Saved &saved, int batch, int query) {
  return query < Shape::queries ? saved.logSumExp(batch, query) : 0.0f;
}
template <typename Shape, typename Saved>
LATHE_FN float getDelta(const Saved &saved, int batch, int query) {
  return query < Shape::queries ? saved.delta(batch, query) : 0.0f;
}
