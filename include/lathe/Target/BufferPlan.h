//===- BufferPlan.h - One arena by lifetime -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_BUFFERPLAN_H
#define LATHE_TARGET_BUFFERPLAN_H

#include <cstdint>
#include <vector>

namespace lathe {

/// A block of memory that is needed from time `first` to time `last`,
/// inclusive.
struct Lifetime {
  uint64_t bytes = 0;
  int64_t first = 0;
  int64_t last = 0;
  /// Set by planArena, a multiple of 64.
  uint64_t offset = 0;
};

/// Gives every block an offset so that blocks alive at the same time do not
/// overlap, and returns the arena's size. Greedy by size: the largest block
/// first, each in the lowest gap that fits (Pisarchyk and Lee, "Efficient
/// memory management for deep neural net inference", arXiv 2001.03288).
uint64_t planArena(std::vector<Lifetime> &blocks);

} // namespace lathe

#endif // LATHE_TARGET_BUFFERPLAN_H
