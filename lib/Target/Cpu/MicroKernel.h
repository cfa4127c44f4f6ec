//===- MicroKernel.h - The outer-product microkernel ------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A tile of the product stays in registers while k advances: for every k, a few
// vectors of B and one broadcast element of A per row. With AVX-512, 14 rows by
// two vectors take 28 accumulators, 2 vectors of B and one broadcast.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_MICROKERNEL_H
#define LATHE_LIB_TARGET_CPU_MICROKERNEL_H

#include "KernelFrame.h"

namespace lathe::cpu {

/// Columns in a panel of packed right-hand sides (`lathe.pack`'s default).
constexpr int64_t panelColumns = 32;

/// Rows that keep all accumulators of a tile of `vectors` vectors in registers.
int64_t getLargestRows(const CpuFeatures &features, int64_t vectors = 2);

/// sum over k of A[row, k] * B[k, column], for constant sizes. All distances
/// are in elements.
struct Product {
  /// A's element (r, k) is a[aIndex + rowOffsets[r] + k * aStep].
  Value a, aIndex;
  SmallVector<int64_t> rowOffsets;
  int64_t aStep = 1;
  /// B's vector (k, v) starts at b[bIndex + vectorOffsets[v] + k * bStep].
  Value b, bIndex;
  SmallVector<int64_t> vectorOffsets;
  int64_t bStep = panelColumns;
  /// One mask per vector of B, where it may not be read in full; else empty.
  SmallVector<Value> masks;
  int64_t depth = 0;
  /// The depth where it is known in the kernel alone, a multiple of 4 if
  /// `depth` is one; null where it is `depth`.
  Value depthValue;
  int64_t width = 16;
  /// Cache lines fetched ahead per k, from element `aheadIndex` of `b` on.
  Value aheadIndex;
  double aheadLines = 0;

  /// Elements by which `aheadIndex` advances per k.
  int64_t getAheadStep() const;

  /// Offsets of `rows` rows, `rowStride` apart, and `vectors` adjacent vectors.
  void setUniform(int64_t rows, int64_t rowStride, int64_t vectors);
  /// Accumulators at zero, row by row.
  SmallVector<Value> emitZeros(ImplicitLocOpBuilder &builder) const;
  /// Adds the product to `accumulators` (rows x vectors, row by row).
  SmallVector<Value> emit(ImplicitLocOpBuilder &builder,
                          ArrayRef<Value> accumulators) const;
};

/// Copies `depth` x `columns` elements to `panel[k * panelStride + column]`:
/// source element (k, c) is source[index + k * kStride + c * columnStride] for
/// c < `validColumns`. Columns beyond are filled with anything finite or not:
/// nothing may be read from what they give. Multiplies by `scale` where given.
struct PanelCopy {
  Value source, index;
  int64_t kStride, columnStride;
  int64_t depth, columns, width;
  /// The depth where it is known in the kernel alone, at least `width`; null
  /// where it is `depth`.
  Value depthValue;
  Value validColumns;
  Value panel;
  int64_t panelStride;
  Value scale;

  void emit(ImplicitLocOpBuilder &builder) const;
};

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_MICROKERNEL_H
