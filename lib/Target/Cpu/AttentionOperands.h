//===- AttentionOperands.h - What both attention schedules read -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_ATTENTIONOPERANDS_H
#define LATHE_LIB_TARGET_CPU_ATTENTIONOPERANDS_H

#include "KernelFrame.h"
#include "lathe/Target/AttentionSizes.h"

namespace lathe::cpu {

/// A [batch, head, row, column] operand; the strides of its last two dims are
/// single numbers, but a mask's columns may be digits.
struct HeadOperand {
  unsigned argument = 0;
  int64_t offset = 0;
  SmallVector<Factor> batch, head, row, column;

  /// Reads `from`, stretched to `sizes`; false with the reason in `whyNot`.
  bool read(const AnchorOperand &from, ArrayRef<int64_t> sizes,
            std::string &whyNot);
  int64_t rowStride() const { return row.empty() ? 0 : row[0].stride; }
  int64_t columnStride() const { return column.empty() ? 0 : column[0].stride; }
  /// Whether vectors along a head can be loaded.
  bool isContiguous() const { return column.empty() || columnStride() == 1; }
  /// The element at row 0, column 0 of a head.
  Value emitBase(ImplicitLocOpBuilder &b, Value atBatch, Value atHead) const;
};

struct AttentionOperands : AttentionSizes {
  HeadOperand q, k, v;
  std::optional<HeadOperand> mask;
  bool floatMask = false;

  /// Reads sizes, the first three operands and the mask, which is operand
  /// `maskIndex` where there are so many.
  bool read(const KernelViews &views, unsigned maskIndex, std::string &whyNot);
};

/// Queries of one head in the lanes of vectors, from `firstQuery` on.
struct QueryLanes {
  Value batch, head, firstQuery, numQueries;
  /// A mask per vector.
  SmallVector<Value> valid;
};

/// `score` of `key` and the queries in vector `v`, with mask and causal limit
/// applied: -infinity where hidden.
Value emitVisible(ImplicitLocOpBuilder &b, const KernelFrame &frame,
                  const AttentionOperands &a, const QueryLanes &queries,
                  Value score, Value key, int64_t v);

/// The blocks of queries that stand in lanes: of up to two vectors.
struct QueryBlocks {
  int64_t lanes, vectors;
  Tiling tiling;

  QueryBlocks(int64_t queries, int64_t lanes)
      : lanes(lanes), vectors(queries <= lanes ? 1 : 2),
        tiling(Tiling::balanced(queries, vectors * lanes)) {}

  int64_t getColumns() const { return vectors * lanes; }
  QueryLanes emitLanes(ImplicitLocOpBuilder &b, Value batch, Value head,
                       Value block) const;
};

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_ATTENTIONOPERANDS_H
