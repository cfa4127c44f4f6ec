//===- Functions.cpp - What sim.cuh declares ------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Functions.h"

#include "Async.h"
#include "Checker.h"

#include "llvm/ADT/bit.h"

#include <cstring>

using namespace lathe::sim;

#define SITE __builtin_return_address(0)

extern "C" {

static Dim3 threadIndex() { return current->index; }
static Dim3 blockIndex() { return Worker::get().block; }
static Dim3 blockSize() {
  const uint32_t *size = Worker::get().launch->block;
  return {size[0], size[1], size[2]};
}
static Dim3 gridSize() {
  const uint32_t *size = Worker::get().launch->grid;
  return {size[0], size[1], size[2]};
}
static void *dynamicShared() { return Worker::get().shared.dynamic(); }

static int syncThreads(int kind, int predicate) {
  return Worker::get().syncThreads(kind, predicate, SITE);
}
static void namedBarrier(int id, int threads, int wait) {
  Worker::get().namedBarrier(id, threads, wait, SITE);
}
static void syncWarp(unsigned mask) {
  Worker::get().meet(kLanes, mask, Together::SyncWarp, nullptr, SITE, nullptr);
}

namespace {
struct ShuffleLane {
  unsigned source;
  uint64_t value, result;
};
} // namespace

static uint64_t shuffle(int kind, unsigned mask, uint64_t value, int by,
                        int width) {
  Worker &worker = Worker::get();
  if (width < 1 || width > 32 || (width & (width - 1)))
    worker.fail("shuffles over a width of " + std::to_string(width) +
                    ", expected a power of two up to 32",
                current->here(SITE));
  int lane = static_cast<int>(current->lane());
  int low = lane & ~(width - 1), high = low + width;
  int source = lane;
  switch (kind) {
  case 0:
    source = low + (by & (width - 1));
    break;
  case 1:
    source = lane - by < low ? lane : lane - by;
    break;
  case 2:
    source = lane + by >= high ? lane : lane + by;
    break;
  case 3:
    source = (lane ^ by) >= high ? lane : lane ^ by;
    break;
  }
  if (!((mask & worker.lanesOf(current->warp())) >> source & 1))
    worker.fail("shuffles from lane " + std::to_string(source) +
                    ", which takes no part",
                current->here(SITE));
  ShuffleLane mine = {static_cast<unsigned>(source), value, 0};
  worker.meet(kLanes, mask, Together::Shuffle, &mine, SITE,
              [](Worker &, void **all, const Group &group) {
                for (unsigned i = 0; i < kLanes; ++i)
                  if (auto *lane = static_cast<ShuffleLane *>(all[i]))
                    lane->result =
                        static_cast<ShuffleLane *>(all[lane->source])->value;
              });
  return mine.result;
}

namespace {
struct BallotLane {
  bool predicate;
  unsigned result;
};
} // namespace

static unsigned ballot(unsigned mask, int predicate) {
  BallotLane mine = {predicate != 0, 0};
  Worker::get().meet(kLanes, mask, Together::Ballot, &mine, SITE,
                     [](Worker &, void **all, const Group &group) {
                       unsigned result = 0;
                       for (unsigned i = 0; i < kLanes; ++i)
                         if (auto *lane = static_cast<BallotLane *>(all[i]))
                           result |= unsigned(lane->predicate) << i;
                       for (unsigned i = 0; i < kLanes; ++i)
                         if (auto *lane = static_cast<BallotLane *>(all[i]))
                           lane->result = result;
                     });
  return mine.result;
}

// Threads run at their own pace here, so any that has not ended is active.
static unsigned activeMask() {
  Worker &worker = Worker::get();
  unsigned first = current->warp() * kLanes, mask = 0;
  for (unsigned i = 0; i < kLanes && first + i < worker.threadCount; ++i)
    mask |= unsigned(worker.threads[first + i].wait != Wait::Exited) << i;
  return mask;
}

namespace {
struct ExchangeLane {
  const void *mine;
  char *all;
  int size;
};
struct CallLane {
  void *mine;
  void (*body)(void **mine);
};
} // namespace

static void warpExchange(void *mine, int size, void *all) {
  Worker &worker = Worker::get();
  constexpr int kMaxSize = 256;
  if (size < 1 || size > kMaxSize)
    worker.fail("exchanges " + std::to_string(size) +
                    " bytes per lane, expected 1 to 256",
                current->here(SITE));
  ExchangeLane lane = {mine, static_cast<char *>(all), size};
  worker.meet(kLanes, ~0u, Together::Exchange, &lane, SITE,
              [](Worker &worker, void **all, const Group &group) {
                char bytes[kLanes * kMaxSize];
                unsigned lanes = llvm::popcount(group.mask);
                size_t size = static_cast<ExchangeLane *>(all[0])->size;
                for (unsigned i = 0; i < lanes; ++i)
                  std::memcpy(bytes + i * size,
                              static_cast<ExchangeLane *>(all[i])->mine, size);
                for (unsigned i = 0; i < lanes; ++i)
                  std::memcpy(static_cast<ExchangeLane *>(all[i])->all, bytes,
                              lanes * size);
              });
}

static void groupCall(int threads, void *mine, void (*body)(void **mine)) {
  Worker &worker = Worker::get();
  if (threads != 32 && threads != 64 && threads != 128)
    worker.fail("calls for a group of " + std::to_string(threads) +
                    " threads, expected 32, 64 or 128",
                current->here(SITE));
  CallLane lane = {mine, body};
  worker.meet(threads, ~0u, Together::Call, &lane, SITE,
              [](Worker &, void **all, const Group &group) {
                void *each[128] = {};
                void (*body)(void **mine) = nullptr;
                for (unsigned i = 0; i < group.warps * kLanes; ++i)
                  if (auto *lane = static_cast<CallLane *>(all[i])) {
                    each[i] = lane->mine;
                    body = lane->body;
                  }
                body(each);
              });
}

static void groupDefer(int threads, void *mine, int size,
                       void (*body)(void **mine)) {
  Worker::get().defer(threads, mine, size, body, SITE);
}
static void groupCommit() { Worker::get().commitDeferred(); }
static void groupWait(int left) { Worker::get().runDeferred(left); }
static void wait(bool (*ready)(void *), void *state, const char *what) {
  Worker::get().waitFor(ready, state, what, SITE);
}
static void release(const void *object) { Worker::get().release(object); }
static void acquire(const void *object) { Worker::get().acquire(object); }

//===----------------------------------------------------------------------===//
// cp.async
//===----------------------------------------------------------------------===//

static void copyAsync(void *to, const void *from, int bytes, int sourceBytes) {
  Worker &worker = Worker::get();
  if ((bytes != 4 && bytes != 8 && bytes != 16) || sourceBytes < 0 ||
      sourceBytes > bytes)
    worker.fail("copies " + std::to_string(sourceBytes) + " of " +
                    std::to_string(bytes) +
                    " bytes with cp.async, expected 4, 8 or 16",
                current->here(SITE));
  if (worker.checker) {
    worker.checker->vector(to, bytes, SITE);
    if (sourceBytes) {
      worker.checker->vector(from, bytes, SITE);
      worker.checker->range(from, sourceBytes, /*write=*/false, SITE);
    }
  }
  current->copies.push_back({to, from, bytes, sourceBytes});
}
static void copyCommit() {
  current->committed.push_back(current->copies.size());
}
static void copyWait(int groupsLeft) {
  Worker &worker = Worker::get();
  std::vector<size_t> &committed = current->committed;
  if (groupsLeft < 0 || committed.size() <= size_t(groupsLeft))
    return;
  size_t groups = committed.size() - groupsLeft;
  size_t count = committed[groups - 1];
  std::vector<Copy> &copies = current->copies;
  for (size_t i = 0; i < count; ++i) {
    const Copy &copy = copies[i];
    if (worker.checker)
      worker.checker->range(copy.to, copy.bytes, /*write=*/true, SITE);
    std::memcpy(copy.to, copy.from, copy.sourceBytes);
    std::memset(static_cast<char *>(copy.to) + copy.sourceBytes, 0,
                copy.bytes - copy.sourceBytes);
  }
  copies.erase(copies.begin(), copies.begin() + count);
  committed.erase(committed.begin(), committed.begin() + groups);
  for (size_t &end : committed)
    end -= count;
}

//===----------------------------------------------------------------------===//
// mbarriers, boxes of tensors, the asynchronous proxy
//===----------------------------------------------------------------------===//

static void barrierInit(void *at, unsigned count) {
  Worker::get().initBarrier(at, count, SITE);
}
static void barrierArrive(void *at, unsigned count, unsigned bytes) {
  Worker::get().arrive(at, count, bytes, SITE);
}
static void barrierWait(void *at, unsigned parity) {
  Worker::get().waitForPhase(at, parity, SITE);
}
static void barrierFence() { Worker::get().showBarriers(); }
static void proxyFence() {
  Worker &worker = Worker::get();
  worker.showBarriers();
  current->fencedAt = ++worker.time;
}
static void copyBox(void *to, const TensorMap *map, const int *place,
                    void *barrier) {
  Worker::get().startBox(to, *map, place, barrier, SITE);
}
static void asyncRead(const void *at, int bytes) {
  if (Checker *checker = Worker::get().checker)
    checker->asyncRead(at, bytes, current->site);
}

static void vectorAccess(const void *at, int bytes) {
  if (Checker *checker = Worker::get().checker)
    checker->vector(at, bytes, SITE);
}
static void failWith(const char *sentence) {
  Worker::get().fail(sentence, current->here(SITE));
}
static void *sharedVariable(SharedMemory::Control *control) {
  return Worker::get().shared.get(control);
}

} // extern "C"

void lathe::addSimFunctions(AddFunction add) {
  auto put = [&](const char *name, auto *function) {
    add(name, reinterpret_cast<void *>(function));
  };
  put("lathe_sim_launch", &lathe_sim_launch);
  put("lathe_sim_thread_idx", &threadIndex);
  put("lathe_sim_block_idx", &blockIndex);
  put("lathe_sim_block_dim", &blockSize);
  put("lathe_sim_grid_dim", &gridSize);
  put("lathe_sim_dynamic_shared", &dynamicShared);
  put("lathe_sim_syncthreads", &syncThreads);
  put("lathe_sim_named_barrier", &namedBarrier);
  put("lathe_sim_syncwarp", &syncWarp);
  put("lathe_sim_shfl", &shuffle);
  put("lathe_sim_ballot", &ballot);
  put("lathe_sim_activemask", &activeMask);
  put("lathe_sim_warp_exchange", &warpExchange);
  put("lathe_sim_group_call", &groupCall);
  put("lathe_sim_group_defer", &groupDefer);
  put("lathe_sim_group_commit", &groupCommit);
  put("lathe_sim_group_wait", &groupWait);
  put("lathe_sim_wait", &wait);
  put("lathe_sim_release", &release);
  put("lathe_sim_acquire", &acquire);
  put("lathe_sim_cp_async", &copyAsync);
  put("lathe_sim_cp_async_commit", &copyCommit);
  put("lathe_sim_cp_async_wait", &copyWait);
  put("lathe_sim_mbarrier_init", &barrierInit);
  put("lathe_sim_mbarrier_arrive", &barrierArrive);
  put("lathe_sim_mbarrier_wait", &barrierWait);
  put("lathe_sim_mbarrier_fence", &barrierFence);
  put("lathe_sim_proxy_fence", &proxyFence);
  put("lathe_sim_copy_box", &copyBox);
  put("lathe_sim_async_read", &asyncRead);
  put("lathe_sim_vector_access", &vectorAccess);
  put("lathe_sim_fail", &failWith);
  put("__emutls_get_address", &sharedVariable);
  addSimChecks(add);
}
