//===- Collectives.cpp - Where threads of a block meet --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Async.h"
#include "CodeMap.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"

using namespace llvm;

namespace lathe::sim {

//===----------------------------------------------------------------------===//
// What threads know of each other
//===----------------------------------------------------------------------===//

// Kept by warp, not by thread: that may excuse an access of a warp's other
// lane, and never blames one.
void Worker::orderSome(ArrayRef<Thread *> from, ArrayRef<Thread *> to) {
  if (!checker)
    return;
  if (!hasKnowledge)
    knowledge.assign(kMaxThreads * kMaxWarps, 0);
  hasKnowledge = true;
  uint32_t joined[kMaxWarps] = {};
  for (const Thread *thread : from) {
    for (unsigned warp = 0; warp < knownWarps(); ++warp)
      joined[warp] = std::max(joined[warp], known(thread->number, warp));
    joined[thread->warp()] =
        std::max(joined[thread->warp()], thread->arrivedAt);
  }
  for (const Thread *thread : to)
    for (unsigned warp = 0; warp < knownWarps(); ++warp)
      known(thread->number, warp) =
          std::max(known(thread->number, warp), joined[warp]);
}

void Worker::release(const void *object) {
  if (!checker)
    return;
  std::vector<uint32_t> &facts = released[object];
  facts.resize(kMaxWarps);
  releaseTo(facts);
  letOthersArrive();
}

void Worker::releaseTo(std::vector<uint32_t> &facts) {
  ++time;
  for (unsigned warp = 0; warp < knownWarps(); ++warp)
    facts[warp] = std::max(
        {facts[warp], floor, hasKnowledge ? known(current->number, warp) : 0});
  facts[current->warp()] = time;
}

// As after an arrival at a named barrier, below.
void Worker::letOthersArrive() {
  if (launch->fibers && !current->inCall && !current->muted) {
    wake(*current);
    suspend();
  }
}

void Worker::acquire(const void *object) {
  auto found = released.find(object);
  if (checker && found != released.end())
    acquireFrom(found->second);
}

void Worker::acquireFrom(const std::vector<uint32_t> &facts) {
  if (!hasKnowledge)
    knowledge.assign(kMaxThreads * kMaxWarps, 0);
  hasKnowledge = true;
  for (unsigned warp = 0; warp < knownWarps(); ++warp)
    known(current->number, warp) =
        std::max(known(current->number, warp), facts[warp]);
}

//===----------------------------------------------------------------------===//
// Barriers of the block
//===----------------------------------------------------------------------===//

bool Worker::samePlace(void *a, void *b) {
  if (a == b)
    return true;
  auto [entry, fresh] = places.try_emplace({a, b}, false);
  if (fresh) {
    bool same = false;
    onMainStack([&] { same = placeOf(a) == placeOf(b); });
    entry->second = same;
  }
  return entry->second;
}

static inline void refuseWithoutFibers(Worker &worker, const char *what,
                                       void *site) {
  if (LLVM_UNLIKELY(!worker.launch->fibers))
    worker.fail(std::string("reaches ") + what +
                    " in a kernel that is declared to have none",
                current->here(site));
}

static const char *const kBarrierNames[] = {
    "__syncthreads", "__syncthreads_count", "__syncthreads_and",
    "__syncthreads_or"};

int Worker::syncThreads(int kind, int predicate, void *site) {
  refuseWithoutFibers(*this, "__syncthreads", site);
  Thread *self = current;
  self->site = site;
  self->what = kBarrierNames[kind & 3];
  self->predicate = predicate != 0;
  if (++atBarrier < threadCount) {
    self->wait = Wait::Barrier;
    suspend();
  } else {
    barrierCount = 0;
    for (unsigned i = 0; i < threadCount; ++i) {
      Thread &thread = threads[i];
      barrierCount += thread.predicate;
      if (!samePlace(thread.site, site))
        fail("waits at " + std::string(self->what), self->here(site),
             ", while thread " + text(thread.index) + " waits at another " +
                 thread.what,
             thread.here(thread.site));
    }
    atBarrier = 0;
    orderAll();
    for (unsigned number : order)
      if (&threads[number] != self)
        wake(threads[number]);
  }
  // Nobody can complete the next one before everybody has read this.
  switch (kind) {
  case 1:
    return barrierCount;
  case 2:
    return barrierCount == static_cast<int>(threadCount);
  default:
    return barrierCount != 0;
  }
}

void Worker::namedBarrier(int id, int count, bool wait, void *site) {
  refuseWithoutFibers(*this, "a named barrier", site);
  Thread *self = current;
  if (id < 0 || id > 15 || count <= 0 || count % kLanes ||
      unsigned(count) > (threadCount + kLanes - 1) / kLanes * kLanes)
    fail("names barrier " + std::to_string(id) + " for " +
             std::to_string(count) +
             " threads, expected 0 to 15 and whole warps of the block",
         self->here(site));
  NamedBarrier *barrier = nullptr;
  for (NamedBarrier &other : named)
    if (other.id == id)
      barrier = &other;
  if (!barrier)
    barrier = &named.emplace_back(NamedBarrier{id, count, {}, {}});
  if (barrier->arrived.empty())
    barrier->threads = count;
  else if (barrier->threads != count)
    fail("comes to barrier " + std::to_string(id) + " for " +
             std::to_string(count) + " threads",
         self->here(site),
         ", while thread " + text(barrier->arrived[0]->index) + " came for " +
             std::to_string(barrier->threads),
         barrier->arrived[0]->here(barrier->arrived[0]->site));
  self->site = site;
  self->what = "a named barrier";
  self->barrier = id;
  self->arrivedAt = ++time;
  barrier->arrived.push_back(self);
  if (wait)
    barrier->waiting.push_back(self);
  if (barrier->arrived.size() == size_t(count)) {
    orderSome(barrier->arrived, barrier->waiting);
    for (Thread *thread : barrier->waiting)
      if (thread != self)
        wake(*thread);
    barrier->arrived.clear();
    barrier->waiting.clear();
  } else if (wait) {
    self->wait = Wait::Named;
    suspend();
  }
  // Lets the other lanes arrive before this one goes on: what a warp did before
  // it arrived is told from what it did after by the time alone.
  if (!wait) {
    wake(*self);
    suspend();
  }
}

void Worker::waitFor(bool (*ready)(void *), void *state, const char *what,
                     void *site) {
  if (ready(state))
    return;
  refuseWithoutFibers(*this, "a wait", site);
  Thread *self = current;
  self->wait = Wait::Condition;
  self->ready = ready;
  self->state = state;
  self->what = what;
  self->site = site;
  ++conditions;
  suspend();
}

//===----------------------------------------------------------------------===//
// Warps and warp groups
//===----------------------------------------------------------------------===//

static const char *const kTogetherNames[] = {
    "__syncwarp", "a shuffle", "a vote", "an exchange of the warp",
    "an instruction of the warp"};
static const char *nameOf(Together kind) {
  return kTogetherNames[static_cast<int>(kind)];
}

void Worker::meet(unsigned groupThreads, uint32_t mask, Together kind,
                  void *mine, void *site, Complete complete) {
  Thread *self = current;
  refuseWithoutFibers(*this, nameOf(kind), site);
  unsigned warps = groupThreads / kLanes;
  unsigned first = self->warp() / warps * warps;
  if (first + warps > warpCount)
    fail(std::string("reaches ") + nameOf(kind) + " for " +
             std::to_string(groupThreads) + " threads in a block of " +
             std::to_string(threadCount),
         self->here(site));
  if (!(mask >> self->lane() & 1))
    fail(std::string("reaches ") + nameOf(kind) + " for the lanes 0x" +
             utohexstr(mask) + ", which leave it out",
         self->here(site));
  mask &= lanesOf(first);
  self->mine = mine;
  self->site = site;
  self->what = nameOf(kind);
  auto &present = groups[first / 4];
  Group *group = nullptr, *other = nullptr;
  for (Group &candidate : present) {
    if (!(candidate.mask & mask) || self->warp() < candidate.firstWarp ||
        self->warp() >= candidate.firstWarp + candidate.warps)
      continue;
    if (candidate.kind == kind && candidate.mask == mask &&
        candidate.warps == warps)
      group = &candidate;
    // Other warps of a larger group may be ahead; lanes of this one may not.
    else if (candidate.warpsHere >> (self->warp() - candidate.firstWarp) & 1)
      other = &candidate;
  }
  if (group && !samePlace(group->site, site))
    other = group;
  if (other) {
    Thread &thread = threads[other->first];
    auto lanes = [](uint32_t mask) {
      return " for the lanes 0x" + utohexstr(mask);
    };
    fail(std::string("reaches ") + nameOf(kind) + lanes(mask), self->here(site),
         ", while thread " + text(thread.index) + " waits at " +
             nameOf(other->kind) + lanes(other->mask),
         thread.here(other->site));
  }
  if (!group) {
    present.push_back({first, warps, mask, kind, 0, site, self->number, 0});
    group = &present.back();
  }
  group->warpsHere |= 1u << (self->warp() - first);
  unsigned wanted = popcount(mask) * warps;
  // Errands may have run other code, but never a thread: `group` still stands.
  if (++group->arrived < wanted) {
    self->wait = Wait::Group;
    suspend();
    return;
  }
  Group met = *group;
  *group = present.back();
  present.pop_back();
  void *all[kLanes * 4];
  SmallVector<Thread *, kLanes * 4> members;
  for (unsigned i = 0; i < groupThreads; ++i) {
    Thread &thread = threads[met.firstWarp * kLanes + i];
    bool takesPart = mask >> i % kLanes & 1;
    all[i] = takesPart ? thread.mine : nullptr;
    if (takesPart)
      members.push_back(&thread);
  }
  if (kind == Together::SyncWarp) {
    ++time;
    for (Thread *thread : members)
      thread->arrivedAt = time;
    orderSome(members, members);
  }
  if (complete) {
    self->inCall = true;
    complete(*this, all, met);
    self->inCall = false;
  }
  for (Thread *thread : members)
    if (thread != self)
      wake(*thread);
}

namespace {
struct DeferLane {
  const void *mine;
  size_t size;
  void (*body)(void **mine);
};
} // namespace

void Worker::defer(unsigned groupThreads, void *mine, size_t size,
                   void (*body)(void **mine), void *site) {
  if (groupThreads != 128)
    fail("defers a call for a group of " + std::to_string(groupThreads) +
             " threads, expected 128",
         current->here(site));
  DeferLane lane = {mine, size, body};
  meet(groupThreads, ~0u, Together::Call, &lane, site,
       [](Worker &worker, void **all, const Group &group) {
         auto &first = *static_cast<DeferLane *>(all[0]);
         DeferredCall &call =
             worker.deferred[group.firstWarp / 4].open.emplace_back();
         call.body = first.body;
         call.site = group.site;
         call.size = first.size;
         for (unsigned i = 0; i < group.warps * kLanes; ++i) {
           auto *bytes = static_cast<const char *>(
               static_cast<DeferLane *>(all[i])->mine);
           call.mine.insert(call.mine.end(), bytes, bytes + first.size);
         }
       });
}

void Worker::commitDeferred() {
  DeferredCalls &calls = deferred[current->warp() / 4];
  current->closed.push_back(calls.done + calls.open.size());
}

// The first of a warp group that waits runs the calls of all: reads and sums
// come late, but the wait of one does not make the others' superfluous.
void Worker::runDeferred(int groupsLeft) {
  std::vector<uint64_t> &closed = current->closed;
  if (groupsLeft < 0 || closed.size() <= size_t(groupsLeft))
    return;
  size_t groups = closed.size() - groupsLeft;
  DeferredCalls &calls = deferred[current->warp() / 4];
  size_t count = 0;
  for (; calls.done + count < closed[groups - 1]; ++count) {
    DeferredCall &call = calls.open[count];
    void *each[kLanes * 4];
    for (unsigned i = 0; i < kLanes * 4; ++i)
      each[i] = call.mine.data() + i * call.size;
    current->site = call.site;
    current->inCall = true;
    call.body(each);
    current->inCall = false;
  }
  calls.open.erase(calls.open.begin(), calls.open.begin() + count);
  calls.done += count;
  closed.erase(closed.begin(), closed.begin() + groups);
}

//===----------------------------------------------------------------------===//
// Deadlocks
//===----------------------------------------------------------------------===//

void Worker::explainDeadlock() {
  ArrayRef<Thread> all(threads.data(), threadCount);
  auto waits = [&](Wait kind) -> const Thread * {
    for (const Thread &thread : all)
      if (thread.wait == kind)
        return &thread;
    return nullptr;
  };
  // Says of `thread` that it waits, and of `other` why that is in vain.
  auto blame = [&](const Thread &thread, const Thread &other) {
    bool ended = other.wait == Wait::Exited;
    std::string why =
        ", which thread " + text(other.index) + " does not reach: it " +
        (ended ? "has ended" : "waits at ") + (ended ? "" : other.what);
    fail("waits at " + std::string(thread.what), thread.here(thread.site), why,
         ended ? Place() : other.here(other.site), &thread);
  };
  if (const Thread *thread = waits(Wait::Barrier))
    for (Wait kind : {Wait::Exited, Wait::Group, Wait::Named, Wait::Condition})
      if (const Thread *other = waits(kind))
        blame(*thread, *other);
  for (const Group &group :
       llvm::concat<Group>(groups[0], groups[1], groups[2], groups[3],
                           groups[4], groups[5], groups[6], groups[7]))
    for (unsigned i = 0; i < group.warps * kLanes; ++i) {
      const Thread &other = all[group.firstWarp * kLanes + i];
      bool came = other.wait == Wait::Group && other.site == group.site;
      if (group.mask >> i % kLanes & 1 && !came)
        blame(all[group.first], other);
    }
  if (const Thread *thread = waits(Wait::Named)) {
    size_t came = 0;
    int wanted = 0;
    for (const NamedBarrier &barrier : named)
      if (barrier.id == thread->barrier) {
        came = barrier.arrived.size();
        wanted = barrier.threads;
      }
    fail("waits at barrier " + std::to_string(thread->barrier),
         thread->here(thread->site),
         ", to which " + std::to_string(came) + " of " +
             std::to_string(wanted) + " threads have come and no others can",
         {}, thread);
  }
  // Whoever waits for bytes is nearer to the cause than who waits for it.
  const Thread *thread = waits(Wait::Condition);
  for (const Thread &other : all)
    if (other.wait == Wait::Condition && other.barrierAt &&
        barriers.find(other.barrierAt)->second->bytes) {
      thread = &other;
      break;
    }
  if (thread->barrierAt)
    fail("waits for " + std::string(thread->what), thread->here(thread->site),
         explainWait(*thread), {}, thread);
  fail("waits for " + std::string(thread->what), thread->here(thread->site),
       ", and no thread is left that could bring it about", {}, thread);
}

} // namespace lathe::sim
