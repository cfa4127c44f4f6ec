//===- SharedMemory.cpp - Memory of a block -------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Worker.h"

#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MathExtras.h"

#include <atomic>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace lathe::sim {

/// Between two variables, so that an index one too large meets nothing.
static constexpr size_t kGap = 128;

SharedMemory::SharedMemory() {
  void *memory = ::mmap(nullptr, kArena, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    llvm::report_bad_alloc_error("no memory for a simulated block");
  base = static_cast<char *>(memory);
}
SharedMemory::~SharedMemory() { ::munmap(base, kArena); }

void SharedMemory::beginLaunch(size_t newDynamicBytes, bool newChecked) {
  for (uintptr_t index : touched)
    variables[index] = nullptr;
  touched.clear();
  ranges.clear();
  staticBytes = 0;
  dynamicBytes = newDynamicBytes;
  checked = newChecked;
  if (checked) {
    valid.assign(kArena / 64 + 1, 0);
    written.assign(kArena / 64 + 1, 0);
    inFlight.assign(kArena / 64 + 1, 0);
  }
  used = kDynamicBegin;
  if (dynamicBytes) {
    ranges.push_back({used, dynamicBytes, nullptr});
    mark(ranges.back());
    used += dynamicBytes;
  }
}

void SharedMemory::mark(const Range &range) {
  if (checked)
    for (size_t at = range.begin; at < range.begin + range.bytes; ++at)
      valid[at / 64] |= uint64_t(1) << at % 64;
}

// Memory nobody wrote is NaN in every float format, and differs from what a
// neighbouring block left there.
void SharedMemory::beginBlock() {
  for (const Range &range : ranges)
    std::memset(base + range.begin, 0xff, range.bytes);
  if (checked)
    std::memset(written.data(), 0, llvm::divideCeil(used, 64) * 8);
}

void *SharedMemory::place(Control *control) {
  static std::atomic<uintptr_t> next{1};
  uintptr_t index = __atomic_load_n(&control->index, __ATOMIC_RELAXED);
  if (!index) {
    uintptr_t fresh = next++;
    // Another worker may have been quicker; then its number counts.
    if (__atomic_compare_exchange_n(&control->index, &index, fresh, false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      index = fresh;
  }
  if (variables.size() <= index)
    variables.resize(index + 1);
  staticBytes += control->size;
  Worker &worker = Worker::get();
  if (staticBytes > kMaxStatic)
    worker.fail("declares " + std::to_string(staticBytes) +
                    " bytes of __shared__ variables, expected at most " +
                    std::to_string(kMaxStatic),
                {});
  if (staticBytes + dynamicBytes > kMaxBytes)
    worker.fail("uses " + std::to_string(staticBytes + dynamicBytes) +
                    " bytes of shared memory, expected at most " +
                    std::to_string(kMaxBytes),
                {});
  size_t begin =
      llvm::alignTo(used + kGap, std::max<size_t>(control->alignment, 16));
  if (begin + control->size > kArena)
    worker.fail("declares too many __shared__ variables", {});
  ranges.push_back({begin, control->size, control});
  mark(ranges.back());
  used = begin + control->size;
  std::memset(base + begin, 0xff, control->size);
  touched.push_back(index);
  return variables[index] = base + begin;
}

} // namespace lathe::sim
