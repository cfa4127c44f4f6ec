//===- ContractionOperands.h - What a product reads, as strides -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_CONTRACTIONOPERANDS_H
#define LATHE_LIB_TARGET_CPU_CONTRACTIONOPERANDS_H

#include "KernelFrame.h"

namespace lathe::cpu {

/// A product as sizes and strides; `batch` counts what neither A's rows nor the
/// columns cover.
struct Contraction {
  /// What the operands hold: f32, bytes, or an f32 left-hand side and weights
  /// of 8 or 4 bits with scales.
  enum class Kind { Float, Bytes, Weights8, Weights4 };
  Kind kind = Kind::Float;
  int64_t batch = 1, rows = 1, columns = 1, depth = 1;
  AnchorOperand a, b;
  SmallVector<Factor> aBatch, bBatch;
  int64_t aRowStride = 0, aDepthStride = 0;
  /// Of an unpacked B.
  int64_t bDepthStride = 0, bColumnStride = 0;
  bool packed = false;
  /// Of a packed B, in elements of its buffer: those of a column that lie
  /// together, and those of a panel.
  int64_t interleave = 1, panelSize = 0;
  /// Of weights with scales: one for every `group` rows.
  AnchorOperand scale;
  int64_t group = 0;

  bool hasScales() const {
    return kind == Kind::Weights8 || kind == Kind::Weights4;
  }
  /// Pairs of bf16 along the depth lie together in B.
  bool hasPairs() const { return kind == Kind::Float && interleave == 2; }
  /// Bytes of an element of A, and of B.
  int64_t getABytes() const {
    return a.elementType.getIntOrFloatBitWidth() / 8;
  }
  int64_t getBBytes() const {
    return b.elementType.getIntOrFloatBitWidth() / 8;
  }

  /// Reads `linear`, `matmul` or `packed_matmul`; false with the reason in
  /// `whyNot`.
  bool read(const KernelViews &views, std::string &whyNot);
};

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_CONTRACTIONOPERANDS_H
