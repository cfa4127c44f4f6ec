//===- Worker.cpp - The blocks one thread of the host runs ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Worker.h"

#include "Async.h"
#include "CodeMap.h"

#include <numeric>
#include <sys/mman.h>

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

namespace lathe::sim {

__thread Thread *current = nullptr;

static constexpr size_t kPage = 4096;

std::string text(Dim3 index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," +
         std::to_string(index.z) + ")";
}

Place Thread::here(void *site) const {
  Place place;
  place.addresses.push_back(site);
  for (unsigned i = std::min(depth, kFrames); i-- > 0;)
    place.addresses.push_back(frames[i]);
  return place;
}

Worker::Worker() : threads(kMaxThreads), queue(kMaxThreads) {}
Worker::~Worker() {
  for (char *top : stacks)
    ::munmap(top - kStackBytes - kPage, kStackBytes + kPage);
}

__thread Worker *Worker::active = nullptr;

Worker &Worker::create() {
  static thread_local std::unique_ptr<Worker> worker =
      std::make_unique<Worker>();
  active = worker.get();
  return *worker;
}

//===----------------------------------------------------------------------===//
// Switching
//===----------------------------------------------------------------------===//

namespace {
/// Every jump tells the other side who jumped, and it notes where to return.
void arrive(transfer_t transfer) {
  static_cast<Thread *>(transfer.data)->context = transfer.fctx;
}
void switchTo(Thread &from, Thread &to) {
  arrive(jump_fcontext(to.context, &from));
}
} // namespace

// Lowest page of a stack is a guard. Tops differ in their low bits: otherwise
// the hot words of a thousand stacks would share one set of the cache.
char *Worker::stack(unsigned number) {
  while (stacks.size() <= number) {
    void *memory = ::mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
      return nullptr;
    ::mprotect(memory, kPage, PROT_NONE);
    stacks.push_back(static_cast<char *>(memory) + kPage + kStackBytes);
  }
  return stacks[number];
}

struct Entry {
  static void thread(transfer_t transfer) {
    arrive(transfer);
    Worker &worker = Worker::get();
    worker.kernel(worker.args);
    current->wait = Wait::Exited;
    ++worker.exited;
    worker.suspend();
    __builtin_unreachable();
  }
  static void loop(transfer_t transfer) {
    arrive(transfer);
    Worker &worker = Worker::get();
    for (int64_t at = worker.loopBegin; at < worker.loopEnd; ++at) {
      worker.beginBlock(at, worker.loopTotal, worker.loopSeed);
      for (unsigned number : worker.order) {
        worker.setThread(*current, number);
        worker.kernel(worker.args);
      }
    }
    worker.toMain();
    __builtin_unreachable();
  }
};

static void prepare(Thread &thread, char *top, void (*entry)(transfer_t),
                    unsigned number) {
  thread.stackLow = reinterpret_cast<uintptr_t>(top) - kStackBytes;
  size_t colour = size_t(number * 7 % 64) * 64;
  thread.context = make_fcontext(top - colour, kStackBytes - colour, entry);
}

bool Worker::onAnyStack(uintptr_t address) const {
  for (char *top : stacks)
    if (reinterpret_cast<uintptr_t>(top) - address <= kStackBytes)
      return true;
  return false;
}

void Worker::resumeFromMain(Thread &thread) {
  current = &thread;
  switchTo(mainThread, thread);
  // Back on this stack, perhaps for an errand only.
  while (errand) {
    Thread *waiting = current;
    current = nullptr;
    (*errand)();
    errand = nullptr;
    current = waiting;
    switchTo(mainThread, *waiting);
  }
  current = nullptr;
}

void Worker::toMain() { switchTo(*current, mainThread); }

void Worker::onMainStack(llvm::function_ref<void()> function) {
  errand = &function;
  toMain();
}

void Worker::fail(std::string before, Place place, std::string middle,
                  Place second, const Thread *about) {
  fault = Fault{std::move(before),
                std::move(place),
                std::move(middle),
                std::move(second),
                block,
                (about ? about : current)->index};
  toMain();
  __builtin_unreachable();
}

void Worker::wake(Thread &thread) {
  thread.wait = Wait::None;
  queue[(queueHead + queueLength++) % kMaxThreads] = &thread;
}

Thread *Worker::nextReady() {
  while (!queueLength && conditions) {
    current->muted = true;
    for (unsigned i = 0; i < threadCount; ++i)
      if (threads[i].wait == Wait::Condition &&
          threads[i].ready(threads[i].state)) {
        --conditions;
        wake(threads[i]);
      }
    current->muted = false;
    if (!queueLength && !finishBox())
      break;
  }
  if (!queueLength)
    return nullptr;
  Thread *next = queue[queueHead];
  queueHead = (queueHead + 1) % kMaxThreads;
  --queueLength;
  return next;
}

void Worker::suspend() {
  Thread *self = current;
  Thread *next = nextReady();
  if (next == self)
    return;
  if (!next) {
    if (exited != threadCount)
      explainDeadlock();
    if (!boxes.empty())
      fail("ends, and a box is still on its way that it started",
           boxes.front().from, "", {}, &threads[boxes.front().thread]);
    toMain();
    __builtin_unreachable();
  }
  current = next;
  switchTo(*self, *next);
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

// i -> (a i + b) mod n is a permutation where a and n have no common divisor.
static uint64_t shuffled(uint64_t i, uint64_t n, uint64_t seed) {
  if (seed == 0 || n < 2)
    return i;
  // splitmix64
  auto mix = [](uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
  };
  uint64_t a = mix(seed) % n, b = mix(seed + 0x9e3779b97f4a7c15) % n;
  while (std::gcd(a, n) != 1)
    a = (a + 1) % n;
  return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * i + b) % n);
}

void Worker::setThread(Thread &thread, unsigned number) {
  thread.number = number;
  const uint32_t *size = launch->block;
  thread.index = {number % size[0], number / size[0] % size[1],
                  number / (size[0] * size[1])};
  thread.checker = checker;
  thread.wait = Wait::None;
  thread.depth = 0;
  thread.fencedAt = 0;
  thread.barrierAt = nullptr;
  thread.inCall = thread.muted = false;
  thread.copies.clear();
  thread.committed.clear();
  thread.closed.clear();
}

void Worker::beginBlock(int64_t position, int64_t total, uint64_t seed) {
  blockNumber = static_cast<int64_t>(shuffled(position, total, seed));
  block = {
      static_cast<unsigned>(blockNumber % launch->grid[0]),
      static_cast<unsigned>(blockNumber / launch->grid[0] % launch->grid[1]),
      static_cast<unsigned>(blockNumber / launch->grid[0] / launch->grid[1])};
  time = floor = 1;
  hasKnowledge = false;
  shared.beginBlock();
}

void Worker::runFibers() {
  queueHead = queueLength = exited = conditions = atBarrier = 0;
  barrierCount = 0;
  for (auto &list : groups)
    list.clear();
  for (DeferredCalls &calls : deferred)
    calls = {};
  named.clear();
  released.clear();
  barriers.clear();
  boxes.clear();
  boxChoice = runSeed + static_cast<uint64_t>(blockNumber);
  for (unsigned i = 0; i < threadCount; ++i) {
    Thread &thread = threads[i];
    setThread(thread, i);
    prepare(thread, stack(i), &Entry::thread, i);
  }
  for (unsigned number : order)
    wake(threads[number]);
  resumeFromMain(*nextReady());
}

bool Worker::run(const SimLaunch &newLaunch, void (*newKernel)(void **args),
                 void **newArgs, Checker *newChecker, int64_t begin,
                 int64_t end, uint64_t seed) {
  launch = &newLaunch;
  kernel = newKernel;
  args = newArgs;
  checker = newChecker;
  runSeed = seed;
  fault.reset();
  threadCount = launch->block[0] * launch->block[1] * launch->block[2];
  warpCount = (threadCount + kLanes - 1) / kLanes;
  shared.beginLaunch(launch->dynamicShared, checker);
  // Warps in some order, and in each its lanes in some order: lanes meet often,
  // and then their stacks are still in the cache.
  order.clear();
  for (unsigned warp = 0; warp < warpCount; ++warp)
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      uint64_t number = shuffled(warp, warpCount, seed) * kLanes +
                        shuffled(lane, kLanes, seed);
      if (number < threadCount)
        order.push_back(static_cast<unsigned>(number));
    }
  if (!stack(launch->fibers ? threadCount - 1 : 0)) {
    fault = Fault{"there is not enough memory for the stacks of its threads",
                  {},
                  "",
                  {},
                  {0, 0, 0},
                  {0, 0, 0}};
    return false;
  }
  int64_t total = int64_t(launch->grid[0]) * launch->grid[1] * launch->grid[2];
  if (!launch->fibers) {
    loopBegin = begin, loopEnd = end, loopTotal = total, loopSeed = seed;
    prepare(threads[0], stack(0), &Entry::loop, 0);
    resumeFromMain(threads[0]);
    return !fault;
  }
  for (int64_t at = begin; at < end && !fault; ++at) {
    beginBlock(at, total, seed);
    runFibers();
  }
  return !fault;
}

} // namespace lathe::sim
