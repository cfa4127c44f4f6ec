//===- StoredWeights.h - Weights that stay as they are stored ---*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_ANALYSIS_STOREDWEIGHTS_H
#define LATHE_ANALYSIS_STOREDWEIGHTS_H

#include "dialects/Lathe/Lathe.h"

namespace lathe {

/// Whether `op` is the `dequantize` of bytes that one `matmul` or `linear` of
/// its block alone reads, as its right-hand side, or reads as the `cast` of
/// that to 16 bits; or whether it is that cast. A kernel that dequantizes where
/// it reads moves a quarter of the bytes, so the floats are never kept.
bool isStoredWeight(Operation *op);

} // namespace lathe

#endif // LATHE_ANALYSIS_STOREDWEIGHTS_H
