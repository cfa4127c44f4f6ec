//===- MicroKernel.h - The outer-product microkernel ------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A tile of the product stays in registers while k advances: for every k, a few
// vectors of B and one broadcast element of A per row. With AVX-512, 14 rows by
// two vectors take 28 accumulators, 2 vectors of B and one broadcast. What the
// elements are is said by an Arithmetic; IntegerKernel.cpp and WeightKernel.cpp
// have those of bytes and of 4 bits.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_MICROKERNEL_H
#define LATHE_LIB_TARGET_CPU_MICROKERNEL_H

#include "KernelFrame.h"

namespace lathe::cpu {

/// Columns in a panel of packed right-hand sides (`lathe.pack`'s default).
constexpr int64_t panelColumns = 32;

/// How a product reads and multiplies its operands in one step, which is one k
/// or several that lie together. Here: f32 and 16-bit floats, a step is one
/// k.
class Arithmetic {
public:
  virtual ~Arithmetic() = default;
  /// Registers a step needs beside the sums, with `vectors` vectors of B.
  virtual int64_t getRegisters(int64_t vectors) const { return vectors + 1; }
  /// k's in a step.
  virtual int64_t getStep() const { return 1; }
  virtual Type getSumType(Builder &b) const { return b.getF32Type(); }
  /// B's vector of `width` columns at `index`, in the form that multiplyAdd
  /// takes; `mask` may be null.
  virtual SmallVector<Value> loadB(ImplicitLocOpBuilder &b, int64_t width,
                                   Value buffer, Value index, Value mask) const;
  /// A's elements of a step at `index`, in all lanes. `valid` of them exist.
  virtual SmallVector<Value> loadA(ImplicitLocOpBuilder &b, int64_t width,
                                   Value buffer, Value index,
                                   int64_t valid) const;
  virtual Value multiplyAdd(ImplicitLocOpBuilder &b, ArrayRef<Value> lhs,
                            ArrayRef<Value> rhs, Value sum) const;

  /// Where B is read as if moved by a number, what makes up for it is a
  /// multiple of the sum of a row of A: the factor, or 0.
  virtual int64_t getRowSumFactor() const { return 0; }
  /// Adds the A elements that lie in `index` and behind, a vector of sums'
  /// worth of steps, to the lanes of `sum`.
  virtual Value addElements(ImplicitLocOpBuilder &b, Value buffer, Value index,
                            Value sum) const {
    return sum;
  }
  /// Adds A's elements of one step to the first lane of `sum`.
  virtual Value addStep(ImplicitLocOpBuilder &b, Value buffer, Value index,
                        int64_t valid, Value sum) const {
    return sum;
  }
};
extern const Arithmetic floatArithmetic;

/// Rows that keep all accumulators of a tile of `vectors` vectors in registers.
int64_t getLargestRows(const CpuFeatures &features, int64_t vectors = 2,
                       const Arithmetic &arithmetic = floatArithmetic);

/// Whether so many of A's rows, which stand at `rowOffsets`, in bytes, lie in
/// the same places of a first-level cache (64 sets) that it cannot keep a line
/// of each while k advances: more than 8, where processors have 8 ways or 12.
/// Rows that are a multiple of 4 KiB apart do.
bool rowsCollide(ArrayRef<int64_t> rowOffsets);

/// From this depth on what the epilogue will read and write is fetched before
/// the sums are made.
constexpr int64_t kDepthToFetch = 32;

/// sum over k of A[row, k] * B[k, column], for constant sizes. All distances
/// are in elements of the buffers; where a step is several k's, `k` counts
/// steps. 16-bit floats of A and B are widened where they are read; for many
/// uses of each element a copy in f32 is faster.
struct Product {
  const Arithmetic *arithmetic = &floatArithmetic;
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
  /// Elements of A in one more step behind the depth, which is not whole.
  int64_t tail = 0;
  /// The depth where it is known in the kernel alone, a multiple of 4 if
  /// `depth` is one; null where it is `depth`.
  Value depthValue;
  int64_t width = 16;
  /// Cache lines fetched ahead per k, from element `aheadIndex` of
  /// `aheadSource` (null: of `b`) on.
  Value aheadIndex, aheadSource;
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
  /// Adds the elements of every row of A, in lanes, to one vector per row.
  SmallVector<Value> emitRowSums(ImplicitLocOpBuilder &builder,
                                 ArrayRef<Value> sums) const;
  /// The accumulators to start with: zeros, or what makes up for a moved B.
  /// `loop` goes over the depth with its argument, such as over a window.
  using Inner = function_ref<SmallVector<Value>(const Product &product,
                                                ArrayRef<Value> sums)>;
  using Loop = function_ref<SmallVector<Value>(ArrayRef<Value> sums, Inner)>;
  SmallVector<Value> emitStarts(ImplicitLocOpBuilder &builder, Loop loop) const;
  /// What makes up for a moved B in a row whose elements `lanes` add up to.
  Value emitMakeUp(ImplicitLocOpBuilder &builder, Value lanes) const;
  /// The accumulators to start with, from what makes up for every row.
  SmallVector<Value> emitStarts(ImplicitLocOpBuilder &builder,
                                ArrayRef<Value> makeUps) const;
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
