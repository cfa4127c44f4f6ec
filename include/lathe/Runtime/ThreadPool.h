//===- ThreadPool.h - Static partition over sleeping workers ----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_RUNTIME_THREADPOOL_H
#define LATHE_RUNTIME_THREADPOOL_H

#include "llvm/ADT/STLFunctionalExtras.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace lathe {

/// A fixed number of threads, the caller among them. Work is cut into one
/// contiguous chunk per thread, the same way every time. Idle workers sleep in
/// the kernel after a few microseconds of looking for work.
class ThreadPool {
public:
  /// 0: as many as the process may run on.
  explicit ThreadPool(unsigned threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  unsigned size() const { return count; }

  /// Calls body(thread, begin, end) once per non-empty chunk of [0, items) and
  /// returns when all are done. Chunks differ by at most one item. Not
  /// reentrant: one `run` at a time. In `body` floats below the smallest normal
  /// one count as zero, on every thread.
  void run(int64_t items,
           llvm::function_ref<void(unsigned, int64_t, int64_t)> body);

  /// The processors this process may use.
  static unsigned availableThreads();

  /// Whether looking before sleeping has paid off lately; of one thread.
  struct Patience {
    unsigned failures = 0, rest = 0;
  };

private:
  void work(unsigned thread);
  void doChunk(unsigned thread);
  void spreadOut(unsigned thread);

  unsigned count;
  std::vector<std::thread> workers;
  // Written by the caller before it bumps `generation`, read by workers after.
  int64_t items = 0;
  unsigned chunks = 0;
  llvm::function_ref<void(unsigned, int64_t, int64_t)> body;
  alignas(64) std::atomic<uint32_t> generation{0};
  alignas(64) std::atomic<uint32_t> pending{0};
  alignas(64) std::atomic<uint32_t> sleepers{0};
  std::atomic<uint32_t> callerSleeps{0};
  Patience callerPatience;
  /// The processor each thread was last seen on, or -1.
  std::vector<std::atomic<int>> places;
  std::atomic<bool> stop{false};
};

} // namespace lathe

#endif // LATHE_RUNTIME_THREADPOOL_H
