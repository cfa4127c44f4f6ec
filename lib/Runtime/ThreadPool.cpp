//===- ThreadPool.cpp - Static partition over sleeping workers ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/ThreadPool.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace lathe {

namespace {
/// Denormal numbers count as zero while this lives, on this thread. The tails
/// of activations are full of them, and each costs a hundred multiplications.
struct FlushDenormals {
#if defined(__x86_64__)
  static constexpr unsigned kFlushResults = 0x8000, kZeroOperands = 0x40;
  unsigned before = _mm_getcsr();
  FlushDenormals() { _mm_setcsr(before | kFlushResults | kZeroOperands); }
  ~FlushDenormals() { _mm_setcsr(before); }
#else
  FlushDenormals() {}
#endif
  FlushDenormals(const FlushDenormals &) = delete;
};
} // namespace

// How long a thread looks for what it waits for before it sleeps. Waking a
// thread on an idle processor costs tens of microseconds, on a virtual one
// more, and a network has a hundred launches of that length: with 20 here,
// ResNet-50 took up to twice as long on two threads.
static constexpr std::chrono::microseconds kSpin(150);
// Where the other thread has no processor of its own, looking only keeps it
// from running: after so many looks in vain the next ones are left out.
static constexpr unsigned kTries = 4, kRest = 60;
// More than any machine has, and few enough to make all of them.
static constexpr unsigned kMaxThreads = 4096;

static void futexWait(std::atomic<uint32_t> &word, uint32_t value) {
  ::syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAIT_PRIVATE,
            value, nullptr, nullptr, 0);
}
static void futexWakeAll(std::atomic<uint32_t> &word) {
  ::syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAKE_PRIVATE,
            INT_MAX, nullptr, nullptr, 0);
}
static void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Looks at `done` for a bounded time, if that has been of use lately; true if
/// it came true.
template <typename Done>
static bool spin(ThreadPool::Patience &patience, Done done) {
  if (patience.rest) {
    --patience.rest;
    return done();
  }
  auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) {
        patience.failures = 0;
        return true;
      }
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  if (++patience.failures >= kTries)
    patience.rest = kRest;
  return done();
}

/// A thread that wakes may be put on the processor of the one that woke it, and
/// stay: then the two take turns. It moves to one where no other thread of the
/// pool was seen, which the scheduler may undo as it sees fit.
void ThreadPool::spreadOut(unsigned thread) {
  int here = ::sched_getcpu();
  auto isTaken = [&](int cpu) {
    for (unsigned i = 0; i < places.size(); ++i)
      if (i != thread && places[i].load(std::memory_order_relaxed) == cpu)
        return true;
    return false;
  };
  cpu_set_t allowed;
  if (here >= 0 && isTaken(here) &&
      ::sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    cpu_set_t free = allowed;
    for (unsigned i = 0; i < places.size(); ++i)
      if (int cpu = places[i]; i != thread && cpu >= 0 && cpu < CPU_SETSIZE)
        CPU_CLR(cpu, &free);
    if (CPU_COUNT(&free) != 0 &&
        ::sched_setaffinity(0, sizeof(free), &free) == 0) {
      ::sched_setaffinity(0, sizeof(allowed), &allowed);
      here = ::sched_getcpu();
    }
  }
  places[thread].store(here, std::memory_order_relaxed);
}

unsigned ThreadPool::availableThreads() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

ThreadPool::ThreadPool(unsigned threads)
    : count(std::min(threads ? threads : availableThreads(), kMaxThreads)),
      places(count) {
  for (std::atomic<int> &place : places)
    place = -1;
  workers.reserve(count - 1);
  for (unsigned i = 1; i < count; ++i) {
    try {
      workers.emplace_back([this, i] { work(i); });
    } catch (const std::system_error &) {
      // The system has no more threads to give: results do not depend on how
      // many there are.
      count = i;
      break;
    }
  }
}

ThreadPool::~ThreadPool() {
  stop = true;
  ++generation;
  futexWakeAll(generation);
  for (std::thread &worker : workers)
    worker.join();
}

void ThreadPool::doChunk(unsigned thread) {
  // 128 bits: items * thread must not overflow for any count.
  auto bound = [&](unsigned i) {
    return static_cast<int64_t>(static_cast<__int128>(items) * i / chunks);
  };
  body(thread, bound(thread), bound(thread + 1));
}

void ThreadPool::run(
    int64_t newItems,
    llvm::function_ref<void(unsigned, int64_t, int64_t)> newBody) {
  if (newItems <= 0)
    return;
  FlushDenormals flush;
  if (count == 1 || newItems == 1) {
    newBody(0, 0, newItems);
    return;
  }
  items = newItems;
  chunks = static_cast<unsigned>(std::min<int64_t>(count, newItems));
  body = newBody;
  // Every worker reports, those without a chunk too: none may still be looking
  // at this launch's fields when the next one overwrites them.
  pending.store(count - 1, std::memory_order_relaxed);
  places[0].store(::sched_getcpu(), std::memory_order_relaxed);
  generation.fetch_add(1);
  if (sleepers.load())
    futexWakeAll(generation);
  doChunk(0);
  if (spin(callerPatience,
           [&] { return pending.load(std::memory_order_acquire) == 0; }))
    return;
  callerSleeps.store(1);
  while (uint32_t left = pending.load())
    futexWait(pending, left);
  callerSleeps.store(0);
}

void ThreadPool::work(unsigned thread) {
  uint32_t seen = 0;
  Patience patience;
  FlushDenormals flush;
  while (true) {
    auto changed = [&] { return generation.load() != seen; };
    if (!spin(patience, changed)) {
      ++sleepers;
      while (!changed())
        futexWait(generation, seen);
      --sleepers;
      spreadOut(thread);
    }
    if (stop)
      return;
    // Exactly one more: the caller waits for every worker before the next.
    ++seen;
    if (thread < chunks)
      doChunk(thread);
    if (pending.fetch_sub(1) == 1 && callerSleeps.load())
      futexWakeAll(pending);
  }
}

} // namespace lathe
