//===- Precision.h - What products compute on -------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_SUPPORT_PRECISION_H
#define LATHE_SUPPORT_PRECISION_H

#include "llvm/ADT/StringRef.h"

#include <optional>

namespace lathe {

/// What products, convolutions and attention of f32 compute on; their sums, and
/// everything else, are f32.
///   F32   as the model says
///   TF32  on tensor cores of the CUDA targets, 11 bits of each operand
///   BF16  operands and results of 16 bits, with f32's range
///   F16   the same with more digits and a small range: up to 65504
enum class Precision { F32, TF32, BF16, F16 };

/// "f32", "tf32", "bf16", "f16".
llvm::StringRef precisionName(Precision precision);
/// By these names, or by PyTorch's: "float32", "bfloat16", "float16".
std::optional<Precision> precisionFromName(llvm::StringRef name);
/// Whether lathe-precision makes it.
constexpr bool is16Bit(Precision precision) {
  return precision == Precision::BF16 || precision == Precision::F16;
}

} // namespace lathe

#endif // LATHE_SUPPORT_PRECISION_H
