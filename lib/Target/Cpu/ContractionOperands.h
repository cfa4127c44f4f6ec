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
  int64_t batch = 1, rows = 1, columns = 1, depth = 1;
  AnchorOperand a, b;
  SmallVector<Factor> aBatch, bBatch;
  int64_t aRowStride = 0, aDepthStride = 0;
  /// Of an unpacked B.
  int64_t bDepthStride = 0, bColumnStride = 0;
  bool packed = false;

  /// Reads `linear`, `matmul` or `packed_matmul`; false with the reason in
  /// `whyNot`.
  bool read(const KernelViews &views, std::string &whyNot);
};

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_CONTRACTIONOPERANDS_H
