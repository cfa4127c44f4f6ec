//===- Profile.h - Where the time and memory go -----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_RUNTIME_PROFILE_H
#define LATHE_RUNTIME_PROFILE_H

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <vector>

namespace lathe {

/// Launches and time per kernel of an Executable, in its order.
struct Profile {
  struct Entry {
    uint64_t launches = 0;
    double seconds = 0;
  };
  std::vector<Entry> kernels;
  uint64_t runs = 0;
  double seconds = 0; ///< of the runs as a whole
  void clear();
};

/// Of some latencies in seconds. All 0 for an empty list.
struct LatencyStatistics {
  double min = 0, median = 0, mean = 0, p90 = 0, max = 0;
  static LatencyStatistics of(llvm::ArrayRef<double> seconds);
};

/// Highest resident size of this process so far, in bytes; 0 where the system
/// does not tell.
uint64_t peakMemoryBytes();
/// Resident size now, in bytes.
uint64_t residentMemoryBytes();
/// Lets the highest size start over from the present one; false where the
/// system does not allow it.
bool resetPeakMemory();

} // namespace lathe

#endif // LATHE_RUNTIME_PROFILE_H
