//===- IntegerKernel.h - Products of bytes on the microkernel ---*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A step is 4 bytes along the depth, which `lathe.pack` with `interleave = 4`
// puts side by side for every column. Sums are i32 and wrap, so that every way
// of adding gives the same bits.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_INTEGERKERNEL_H
#define LATHE_LIB_TARGET_CPU_INTEGERKERNEL_H

#include "MicroKernel.h"

namespace lathe::cpu {

/// Bytes of a column that lie together.
constexpr int64_t byteStep = 4;

/// The arithmetic of 8-bit operands on this processor; null where it has no
/// instruction for them.
std::unique_ptr<Arithmetic> getByteArithmetic(const CpuFeatures &features,
                                              bool lhsUnsigned,
                                              bool rhsUnsigned);

/// A call of one of LLVM's intrinsics with one result.
Value callIntrinsic(ImplicitLocOpBuilder &b, StringRef name, Type result,
                    ValueRange operands);
/// The same number in every lane of `type`.
Value splatConstant(ImplicitLocOpBuilder &b, VectorType type, int64_t value);

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_INTEGERKERNEL_H
