//===- BufferPlan.cpp - One arena by lifetime -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/BufferPlan.h"

#include <algorithm>
#include <numeric>

namespace lathe {

static constexpr uint64_t alignment = 64;

static uint64_t alignUp(uint64_t value) {
  return (value + alignment - 1) / alignment * alignment;
}

uint64_t planArena(std::vector<Lifetime> &blocks) {
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return blocks[a].bytes > blocks[b].bytes;
  });
  // Placed blocks, sorted by offset.
  std::vector<size_t> placed;
  uint64_t total = 0;
  for (size_t index : order) {
    Lifetime &block = blocks[index];
    uint64_t size = alignUp(std::max<uint64_t>(block.bytes, 1));
    uint64_t offset = 0;
    for (size_t other : placed) {
      const Lifetime &neighbour = blocks[other];
      if (neighbour.last < block.first || block.last < neighbour.first)
        continue;
      if (offset + size <= neighbour.offset)
        break;
      offset =
          std::max(offset, neighbour.offset +
                               alignUp(std::max<uint64_t>(neighbour.bytes, 1)));
    }
    block.offset = offset;
    total = std::max(total, offset + size);
    auto position = std::upper_bound(
        placed.begin(), placed.end(), index, [&](size_t a, size_t b) {
          return blocks[a].offset < blocks[b].offset;
        });
    placed.insert(position, index);
  }
  return total;
}

} // namespace lathe
