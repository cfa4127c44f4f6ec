//===- Worker.h - The blocks one thread of the host runs --------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A worker runs one block at a time. The threads of the block are fibers that
// switch to each other where they wait; a kernel that never waits runs in one
// fiber, thread after thread. Nothing here is shared between workers.
//
// A fault ends the launch: its fiber switches to the worker's own stack and is
// never resumed. So nothing that fibers call may hold memory or a lock while it
// can fault.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_LIB_RUNTIME_SIM_WORKER_H
#define LATHE_LIB_RUNTIME_SIM_WORKER_H

#include "lathe/Runtime/Sim.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"

#include <boost/context/detail/fcontext.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lathe::sim {

constexpr unsigned kLanes = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kMaxWarps = kMaxThreads / kLanes;
/// What boxes write counts as written by this thread, which few blocks have.
constexpr unsigned kAsyncThread = kMaxThreads - 1;
constexpr unsigned kAsyncWarp = kAsyncThread / kLanes;

struct Dim3 {
  unsigned x, y, z;
};

class Checker;
class Worker;
struct Box;
struct Mbarrier;
struct TensorMap;
constexpr size_t kStackBytes = 64 << 10;

/// Where in the text something happens: return addresses, the innermost first.
struct Place {
  llvm::SmallVector<void *, 4> addresses;
};

/// A sentence about the current thread, with up to two places in it:
///   before, " at PLACE", middle, " at PLACE"
struct Fault {
  std::string before;
  Place place;
  std::string middle;
  Place second;
  Dim3 block, thread;
};

enum class Wait : uint8_t {
  None,    ///< runs, or may run
  Barrier, ///< __syncthreads
  Named,
  Group, ///< a warp collective, or one of a warp group
  Condition,
  Exited,
};

/// What the members of a group do together.
enum class Together : uint8_t { SyncWarp, Shuffle, Ballot, Exchange, Call };

struct Copy { // cp.async
  void *to;
  const void *from;
  int bytes, sourceBytes;
};

/// One simulated thread.
struct Thread {
  boost::context::detail::fcontext_t context = nullptr;
  // What every checked access looks at comes first.
  uintptr_t stackLow = 0;
  Checker *checker = nullptr; ///< null without checks
  Dim3 index = {0, 0, 0};
  unsigned number = 0; ///< in the block
  Wait wait = Wait::None;
  bool inCall = false; ///< runs the body of a collective for others
  bool muted = false;  ///< what it does now is not its own: no checks
  int predicate = 0;
  void *site = nullptr;   ///< return address of what it waits at
  void *mine = nullptr;   ///< what it brings to a collective
  int barrier = 0;        ///< id of a named barrier
  uint32_t arrivedAt = 0; ///< what it did before this time, its partners know
  uint32_t fencedAt = 0;  ///< ... and the asynchronous proxy
  const void *barrierAt = nullptr; ///< the mbarrier it waits at
  const char *what = nullptr;
  bool (*ready)(void *state) = nullptr;
  void *state = nullptr;
  // Return addresses of the calls it is in; with checks only.
  static constexpr unsigned kFrames = 16;
  unsigned depth = 0;
  void *frames[kFrames];
  // cp.async: [0, committed[i]) of `copies` belong to the groups up to i.
  std::vector<Copy> copies;
  std::vector<size_t> committed;
  // wgmma: numbers of calls of its warp group, one per group that it closed.
  std::vector<uint64_t> closed;

  unsigned warp() const { return number / kLanes; }
  unsigned lane() const { return number % kLanes; }
  Place here(void *site) const;
};

/// Members of a warp or of a warp group on their way to meet.
struct Group {
  unsigned firstWarp, warps;
  uint32_t mask; ///< of lanes, the same for each warp
  Together kind;
  unsigned arrived = 0;
  void *site = nullptr;   ///< where the first one waits
  unsigned first = 0;     ///< its number
  unsigned warpsHere = 0; ///< bit i: a lane of warp firstWarp + i has arrived
};

/// A call that a warp group made, to be run when one of it waits.
struct DeferredCall {
  void (*body)(void **mine);
  void *site;
  size_t size;
  std::vector<char> mine; ///< `size` bytes of each thread
};
struct DeferredCalls {
  std::vector<DeferredCall> open;
  uint64_t done = 0; ///< those before `open`
};

struct NamedBarrier {
  int id, threads;
  llvm::SmallVector<Thread *> waiting;
  llvm::SmallVector<Thread *> arrived; ///< all, those that do not wait too
};

/// Memory of a block. __shared__ variables get a place when they are first
/// asked for, in every block of a launch the same.
class SharedMemory {
public:
  static constexpr size_t kMaxStatic = 48 << 10, kMaxBytes = 227 << 10;
  static constexpr size_t kArena = 512 << 10;
  /// There is a gap below it, too.
  static constexpr size_t kDynamicBegin = 1024;
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory &) = delete;

  void beginLaunch(size_t dynamicBytes, bool checked);
  void beginBlock();
  struct Control { // __emutls_v.NAME, as compilers lay it out
    size_t size, alignment;
    uintptr_t index;
    void *initial;
  };
  void *get(Control *control) {
    uintptr_t index = __atomic_load_n(&control->index, __ATOMIC_RELAXED);
    if (index && index < variables.size() && variables[index])
      return variables[index];
    return place(control);
  }

  void *dynamic() const { return base + kDynamicBegin; }

  struct Range {
    size_t begin, bytes;
    Control *control; ///< null: dynamic shared memory
  };
  char *base = nullptr;
  std::vector<Range> ranges;
  size_t used = 0;
  // One bit per byte; with checks only.
  std::vector<uint64_t> valid, written, inFlight;

private:
  void *place(Control *control);
  void mark(const Range &range);
  std::vector<char *> variables; // by Control::index
  std::vector<uintptr_t> touched;
  size_t staticBytes = 0, dynamicBytes = 0;
  bool checked = false;
};

class Worker {
public:
  Worker();
  ~Worker();
  /// Of the calling thread of the host.
  static Worker &get() { return active ? *active : create(); }

  /// Runs blocks until the end or a fault. `checker` is null without checks.
  bool run(const SimLaunch &launch, void (*kernel)(void **args), void **args,
           Checker *checker, int64_t begin, int64_t end, uint64_t seed);

  /// Ends the launch; the sentence is about the current thread or `about`.
  [[noreturn]] void fail(std::string before, Place place,
                         std::string middle = "", Place second = {},
                         const Thread *about = nullptr);

  // Collectives.cpp
  int syncThreads(int kind, int predicate, void *site);
  /// Arrives at a group and returns when all members have; the last one runs
  /// complete(mine of each member in order, members).
  using Complete = void (*)(Worker &, void **mine, const Group &);
  void meet(unsigned groupThreads, uint32_t mask, Together kind, void *mine,
            void *site, Complete complete);
  void defer(unsigned groupThreads, void *mine, size_t size,
             void (*body)(void **mine), void *site);
  void commitDeferred();
  void runDeferred(int groupsLeft);
  void namedBarrier(int id, int threads, bool wait, void *site);
  void waitFor(bool (*ready)(void *), void *state, const char *what,
               void *site);

  // Async.cpp
  void initBarrier(void *address, uint32_t count, void *site);
  /// What this thread initialized is known to the asynchronous proxy.
  void showBarriers();
  void arrive(void *address, uint32_t count, uint32_t bytes, void *site);
  void waitForPhase(void *address, uint32_t parity, void *site);
  void startBox(void *to, const TensorMap &map, const int32_t *place,
                void *barrier, void *site);

  /// A sentence of two threads: why nothing can go on.
  [[noreturn]] void explainDeadlock();

  bool onAnyStack(uintptr_t address) const;
  /// Of a warp, those the block has.
  uint32_t lanesOf(unsigned warp) const {
    unsigned count = std::min(kLanes, threadCount - warp * kLanes);
    return count == kLanes ? ~0u : (1u << count) - 1;
  }

  // The launch.
  const SimLaunch *launch = nullptr;
  void (*kernel)(void **args) = nullptr;
  void **args = nullptr;
  Checker *checker = nullptr;
  std::optional<Fault> fault;

  // The block.
  Dim3 block = {0, 0, 0};
  int64_t blockNumber = 0;
  unsigned threadCount = 0, warpCount = 0;
  std::vector<Thread> threads;
  SharedMemory shared;
  // What threads know of each other: an access stamped with a time before
  // `floor`, or before known[thread][warp of the access], is over.
  uint32_t time = 1, floor = 1;
  bool hasKnowledge = false;
  uint32_t &known(unsigned thread, unsigned warp) {
    return knowledge[thread * kMaxWarps + warp];
  }
  /// Those that something may be known of.
  unsigned knownWarps() const {
    return barriers.empty() ? warpCount : kMaxWarps;
  }
  void orderAll() { floor = ++time; }
  /// What `from` did is over for `to`.
  void orderSome(llvm::ArrayRef<Thread *> from, llvm::ArrayRef<Thread *> to);
  void release(const void *object);
  void acquire(const void *object);
  /// On their way, in the order they were started.
  std::vector<Box> boxes;

private:
  friend struct Entry;
  static Worker &create();
  static __thread Worker *active;
  void beginBlock(int64_t position, int64_t total, uint64_t seed);
  void setThread(Thread &thread, unsigned number);
  void runFibers();
  char *stack(unsigned number);
  void resumeFromMain(Thread &thread);
  void toMain();
  void suspend();
  void wake(Thread &thread);
  Thread *nextReady();
  void releaseTo(std::vector<uint32_t> &facts);
  void acquireFrom(const std::vector<uint32_t> &facts);
  void letOthersArrive();
  Mbarrier &findBarrier(const void *address, const char *verb, void *site);
  void completePhase(Mbarrier &barrier);
  std::string nameOfShared(const void *address) const;
  std::string explainWait(const Thread &thread) const;
  /// Lets one box arrive; false where none is on its way.
  bool finishBox();
  bool samePlace(void *a, void *b);
  /// Runs a function that needs more stack than a fiber has.
  void onMainStack(llvm::function_ref<void()> function);

  Thread mainThread;
  std::vector<char *> stacks; // top of each
  std::vector<unsigned> order;
  // A ring: a thread is in it at most once.
  std::vector<Thread *> queue;
  unsigned queueHead = 0, queueLength = 0;
  unsigned exited = 0, conditions = 0;
  llvm::function_ref<void()> *errand = nullptr;
  // __syncthreads
  unsigned atBarrier = 0;
  int barrierCount = 0;
  /// By the four warps a warp group has.
  llvm::SmallVector<Group, 8> groups[kMaxWarps / 4];
  DeferredCalls deferred[kMaxWarps / 4];
  std::vector<NamedBarrier> named;
  std::vector<uint32_t> knowledge;
  llvm::DenseMap<const void *, std::vector<uint32_t>> released;
  llvm::DenseMap<const void *, std::unique_ptr<Mbarrier>> barriers;
  uint64_t boxChoice = 0, runSeed = 0;
  llvm::DenseMap<std::pair<void *, void *>, bool> places;
  int64_t loopBegin = 0, loopEnd = 0, loopTotal = 0;
  uint64_t loopSeed = 0;
};

/// The simulated thread that runs now; null outside of a block.
extern __thread Thread *current;

/// "(3,0,0)"
std::string text(Dim3 index);

} // namespace lathe::sim

#endif // LATHE_LIB_RUNTIME_SIM_WORKER_H
