//===- IndexText.h - Threads, items and positions as text -------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_INDEXTEXT_H
#define LATHE_LIB_TARGET_CUDA_INDEXTEXT_H

#include "Printer.h"

#include "lathe/Target/Cuda/Schedule.h"

namespace lathe::cuda {

/// `int item = ...; if (item >= items) return;`, a thread per item. Returns the
/// item's name, or "0" where there is one only.
std::string openItem(CodeWriter &writer, int64_t items,
                     const GridLaunch &launch);

/// `blockIdx.x` as a number that may be multiplied.
std::string blockNumber(const CodeWriter &writer, StringRef axis = "x");

/// Declares the indices of a space of `sizes` from the flat position `flat`,
/// called `names` where those are given.
SmallVector<std::string> unflatten(CodeWriter &writer, StringRef flat,
                                   ArrayRef<int64_t> sizes,
                                   ArrayRef<std::string> names = {});

/// `expr` over dims with these names.
std::string affineText(AffineExpr expr, ArrayRef<std::string> dims);

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_INDEXTEXT_H
