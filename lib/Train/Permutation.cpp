//===- Permutation.cpp - A shuffle that needs no memory -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/Permutation.h"

#include <cassert>

namespace lathe::train {

uint64_t mix(uint64_t key, uint64_t counter) {
  uint64_t z = key + (counter + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

Permutation::Permutation(uint64_t size, uint64_t key) : count(size), key(key) {
  half = 1;
  while (half < 32 && (uint64_t(1) << (2 * half)) < size)
    ++half;
  mask = (uint64_t(1) << half) - 1;
}

uint64_t Permutation::operator()(uint64_t index) const {
  assert(index < count && "out of range");
  do {
    uint64_t left = index >> half, right = index & mask;
    for (unsigned round = 0; round < 6; ++round) {
      uint64_t next = left ^ (mix(mix(key, round), right) & mask);
      left = right;
      right = next;
    }
    index = left << half | right;
  } while (index >= count);
  return index;
}

} // namespace lathe::train
