//===- Permutation.h - A shuffle that needs no memory -*- C++ -* ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_PERMUTATION_H
#define LATHE_TRAIN_PERMUTATION_H

#include <cstdint>

namespace lathe::train {

/// A number that depends on both in no simple way: SplitMix64's finalizer
/// (Steele, Lea and Flood, 2014) over `key` and `counter`.
uint64_t mix(uint64_t key, uint64_t counter);

/// A permutation of [0, size), chosen by `key`, any value of which costs the
/// same few operations: a balanced Feistel network of six rounds over the next
/// power of four, walked along its cycle back into the range (Black and
/// Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). So a shuffled pass
/// over data can begin anywhere.
class Permutation {
public:
  Permutation(uint64_t size, uint64_t key);
  /// `index` must be below `size()`.
  uint64_t operator()(uint64_t index) const;
  uint64_t size() const { return count; }

private:
  uint64_t count, key, mask;
  unsigned half; ///< bits of half a value
};

} // namespace lathe::train

#endif // LATHE_TRAIN_PERMUTATION_H
