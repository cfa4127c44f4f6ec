//===- Profile.cpp - Where the time and memory go -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Profile.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

namespace lathe {

void Profile::clear() {
  std::fill(kernels.begin(), kernels.end(), Entry());
  runs = 0;
  seconds = 0;
}

LatencyStatistics LatencyStatistics::of(llvm::ArrayRef<double> seconds) {
  LatencyStatistics result;
  if (seconds.empty())
    return result;
  std::vector<double> sorted(seconds.begin(), seconds.end());
  std::sort(sorted.begin(), sorted.end());
  size_t n = sorted.size();
  result.min = sorted.front();
  result.max = sorted.back();
  result.median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
  result.mean = std::accumulate(sorted.begin(), sorted.end(), 0.0) / n;
  result.p90 = sorted[std::min(n - 1, n * 9 / 10)];
  return result;
}

static uint64_t statusLine(const char *name) {
  std::FILE *file = std::fopen("/proc/self/status", "r");
  if (!file)
    return 0;
  char line[256];
  unsigned long long kib = 0;
  size_t length = std::strlen(name);
  while (std::fgets(line, sizeof(line), file))
    if (!std::strncmp(line, name, length) && line[length] == ':')
      std::sscanf(line + length + 1, "%llu", &kib);
  std::fclose(file);
  return kib * 1024;
}

uint64_t peakMemoryBytes() { return statusLine("VmHWM"); }
uint64_t residentMemoryBytes() { return statusLine("VmRSS"); }

bool resetPeakMemory() {
  std::FILE *file = std::fopen("/proc/self/clear_refs", "w");
  if (!file)
    return false;
  bool written = std::fputs("5\n", file) >= 0;
  return std::fclose(file) == 0 && written;
}

} // namespace lathe
