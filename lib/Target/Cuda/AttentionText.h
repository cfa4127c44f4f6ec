//===- AttentionText.h - What both attention schedules write ----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_ATTENTIONTEXT_H
#define LATHE_LIB_TARGET_CUDA_ATTENTIONTEXT_H

#include "AnchorText.h"
#include "lathe/Target/AttentionSizes.h"

namespace lathe::cuda {

/// Operands of attention. Batch and head are one coordinate; heads that share
/// keys have stride 0 there.
struct AttentionAccess : AttentionSizes {
  Type elementType;
  /// Over {batch and head, row, place in the head}.
  Access q, k, v;
  /// Over {batch and head, query, key}.
  std::optional<Access> mask;
  AnchorOperand maskOperand;

  /// Reads sizes, the first three operands and the mask, which is operand
  /// `maskIndex` where there are so many; false with the reason in `whyNot`.
  bool read(const KernelViews &views, unsigned maskIndex, std::string &whyNot);

  /// Digits over {batch and head, row, k} of a [batch, head, row, k] operand,
  /// each head of which stands for `repeats` heads.
  static std::optional<Access> readOperand(const StridedView &view,
                                           int64_t repeats);

  /// Prints the struct `Score` of attention.cuh; its construction.
  void printScore(CodeWriter &writer) const;
  std::string constructScore() const;
};

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_ATTENTIONTEXT_H
