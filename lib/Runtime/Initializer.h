//===- Initializer.h - Starting values of parameters ---------- -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Starting values of parameters, from (seed, name) alone.
#ifndef LATHE_LIB_RUNTIME_INITIALIZER_H
#define LATHE_LIB_RUNTIME_INITIALIZER_H

#include "lathe/Support/Tensor.h"

#include <array>

namespace lathe {
class ThreadPool;

/// Philox 4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As
/// Easy as 1, 2, 3", SC 2011.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter,
                               std::array<uint32_t, 2> key);

/// Fills `tensor`. Element i takes word i % 4 of the block with the key `seed`
/// and the counter (i / 4, hash), hash being the first eight bytes of the
/// name's SHA-256; so the values depend on nothing else, threads included.
///   zeros, ones, constant (a)
///   uniform         [a, b)
///   normal          mean a, standard deviation b
///   truncated_normal   the same, within two standard deviations
///   xavier_*, kaiming_*  a range or deviation from the extents: the first dim
///                   counts outputs, the second inputs, the rest the receptive
///                   field; `a` scales xavier's (0: 1) and is the negative
///                   slope for kaiming's
/// `stacked`: the first dim counts layers and is left out of the extents.
/// Errors: an unknown kind.
llvm::Error initialize(const TensorView &tensor, llvm::StringRef name,
                       llvm::StringRef kind, double a, double b, bool stacked,
                       uint64_t seed, ThreadPool &pool);

} // namespace lathe

#endif // LATHE_LIB_RUNTIME_INITIALIZER_H
