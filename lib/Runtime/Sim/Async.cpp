//===- Async.cpp - What runs beside the threads of a block ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Async.h"

#include "Checker.h"

#include <cstring>

using namespace llvm;

namespace lathe::sim {

/// The largest count of an mbarrier, of arrivals and of bytes.
static constexpr int64_t kMaxCount = (1 << 20) - 1;

static std::string counted(int64_t count, const char *what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

//===----------------------------------------------------------------------===//
// mbarriers
//===----------------------------------------------------------------------===//

std::string Worker::nameOfShared(const void *address) const {
  auto offset = static_cast<const char *>(address) - shared.base;
  return "the mbarrier at byte " +
         std::to_string(offset - int64_t(SharedMemory::kDynamicBegin)) +
         " of shared memory";
}

/// The mbarrier at an address that an instruction names.
Mbarrier &Worker::findBarrier(const void *address, const char *verb,
                              void *site) {
  auto found = barriers.find(address);
  uint64_t mark = 0;
  if (found != barriers.end())
    std::memcpy(&mark, address, sizeof(mark));
  if (mark != Mbarrier::kMark)
    fail(std::string(verb) + " an mbarrier " +
             (found == barriers.end() ? "that nobody initialized"
                                      : "that was written over"),
         current->here(site));
  // An arrival or a wait races with what initialized the mbarrier, and with no
  // other arrival.
  if (checker)
    checker->access(reinterpret_cast<uintptr_t>(address), sizeof(mark),
                    Access::Update, site);
  return *found->second;
}

void Worker::initBarrier(void *address, uint32_t count, void *site) {
  auto offset = static_cast<char *>(address) - shared.base;
  if (offset < 0 || size_t(offset) >= SharedMemory::kArena || offset % 8)
    fail("initializes an mbarrier at an address that is not one of 8 aligned "
         "bytes of shared memory",
         current->here(site));
  if (count < 1 || count > kMaxCount)
    fail("initializes an mbarrier for " + std::to_string(count) +
             " arrivals, expected 1 to " + std::to_string(kMaxCount),
         current->here(site));
  if (checker)
    checker->access(reinterpret_cast<uintptr_t>(address), 8, Access::Write,
                    site);
  std::memcpy(address, &Mbarrier::kMark, sizeof(Mbarrier::kMark));
  auto &barrier = barriers[address];
  barrier = std::make_unique<Mbarrier>();
  barrier->expected = barrier->pending = count;
  barrier->initialized = current->number;
  if (checker) {
    barrier->gathered.assign(kMaxWarps, 0);
    barrier->known.assign(kMaxWarps, 0);
  }
}

void Worker::showBarriers() {
  for (auto &entry : barriers)
    if (entry.second->initialized == current->number)
      entry.second->shown = true;
}

void Worker::completePhase(Mbarrier &barrier) {
  if (barrier.pending || barrier.bytes)
    return;
  ++barrier.phase;
  barrier.pending = barrier.expected;
  barrier.known = barrier.gathered;
}

void Worker::arrive(void *address, uint32_t count, uint32_t bytes, void *site) {
  Mbarrier &barrier = findBarrier(address, "arrives at", site);
  if (count < 1 || count > barrier.pending)
    fail("arrives " + counted(count, "time") + " at " + nameOfShared(address) +
             ", which waits for " + counted(barrier.pending, "arrival") +
             " more",
         current->here(site));
  if (barrier.bytes + bytes > kMaxCount)
    fail("makes " + nameOfShared(address) + " expect " +
             std::to_string(barrier.bytes + bytes) + " bytes, more than " +
             std::to_string(kMaxCount),
         current->here(site));
  if (checker)
    releaseTo(barrier.gathered);
  barrier.bytes += bytes;
  barrier.pending -= count;
  if (barrier.pending == 0 && barrier.bytes < 0)
    fail("expects " + std::to_string(-barrier.bytes) + " bytes less of " +
             nameOfShared(address) + " than boxes have brought",
         current->here(site));
  completePhase(barrier);
  if (checker)
    letOthersArrive();
}

namespace {
struct PhaseWait {
  Mbarrier *barrier;
  uint32_t parity;
  static bool isOver(void *state) {
    auto &wait = *static_cast<PhaseWait *>(state);
    return (wait.barrier->phase & 1) != wait.parity;
  }
};
} // namespace

void Worker::waitForPhase(void *address, uint32_t parity, void *site) {
  Mbarrier &barrier = findBarrier(address, "waits at", site);
  if (parity > 1)
    fail("waits for a phase of parity " + std::to_string(parity) +
             ", expected 0 or 1",
         current->here(site));
  PhaseWait wait = {&barrier, parity};
  current->barrierAt = address;
  waitFor(PhaseWait::isOver, &wait, "a phase of an mbarrier", site);
  current->barrierAt = nullptr;
  if (checker)
    acquireFrom(barrier.known);
}

std::string Worker::explainWait(const Thread &thread) const {
  const Mbarrier &barrier = *barriers.find(thread.barrierAt)->second;
  std::string missing;
  if (barrier.pending)
    missing = counted(barrier.pending, "arrival");
  if (barrier.bytes)
    missing += (missing.empty() ? "" : " and ") +
               counted(barrier.bytes, "byte") + " of boxes";
  return ", phase " + std::to_string(barrier.phase) + " of " +
         nameOfShared(thread.barrierAt) + ", of which " + missing +
         " will not come";
}

//===----------------------------------------------------------------------===//
// Boxes
//===----------------------------------------------------------------------===//

uint64_t TensorMap::boxBytes() const {
  uint64_t bytes = elementBytes;
  for (uint32_t i = 0; i < rank; ++i)
    bytes *= box[i];
  return bytes;
}

void Box::forEachUnit(function_ref<void(char *, const char *)> fn) const {
  const uint64_t row = uint64_t(map.box[0]) * map.elementBytes;
  const uint64_t rows = map.boxBytes() / row;
  const int64_t perUnit = 16 / map.elementBytes;
  for (uint64_t r = 0; r < rows; ++r) {
    const char *line = map.base;
    bool isInside = true;
    uint64_t rest = r;
    for (uint32_t i = 1; i < map.rank; ++i) {
      int64_t at = int64_t(place[i]) + int64_t(rest % map.box[i]);
      rest /= map.box[i];
      isInside &= at >= 0 && uint64_t(at) < map.dims[i];
      line += at * int64_t(map.strides[i - 1]);
    }
    for (uint64_t unit = 0; unit < row / 16; ++unit) {
      auto address = reinterpret_cast<uintptr_t>(to) + r * row + unit * 16;
      if (map.swizzle)
        address ^= (address >> 7 & (map.swizzle / 16 - 1)) << 4;
      // Whole units, or elements of one, may lie outside.
      int64_t first = place[0] + int64_t(unit) * perUnit;
      char bytes[16] = {};
      const char *from = nullptr;
      if (isInside) {
        int64_t low = std::max<int64_t>(0, -first);
        int64_t high = std::min<int64_t>(perUnit, int64_t(map.dims[0]) - first);
        if (low == 0 && high == perUnit) {
          from = line + first * map.elementBytes;
        } else if (low < high) {
          std::memcpy(bytes + low * map.elementBytes,
                      line + (first + low) * map.elementBytes,
                      (high - low) * map.elementBytes);
          from = bytes;
        }
      }
      fn(reinterpret_cast<char *>(address), from);
    }
  }
}

/// Why the instruction does not take this map and this place, or nothing.
static std::string refuse(const TensorMap &map, const void *to) {
  const uint64_t row = uint64_t(map.box[0]) * map.elementBytes;
  if (map.rank < 1 || map.rank > 5)
    return "of " + std::to_string(map.rank) + " dims";
  for (uint32_t i = 0; i < map.rank; ++i)
    if (map.box[i] < 1 || map.box[i] > 256 || map.dims[i] < 1)
      return "with a side of " + std::to_string(map.box[i]) +
             ", expected 1 to 256";
  for (uint32_t i = 0; i + 1 < map.rank; ++i)
    if (map.strides[i] % 16)
      return "from lines " + std::to_string(map.strides[i]) +
             " bytes apart, expected a multiple of 16";
  if (map.swizzle != 0 && map.swizzle != 32 && map.swizzle != 64 &&
      map.swizzle != 128)
    return "with a swizzle of " + std::to_string(map.swizzle) + " bytes";
  if (row % 16 || (map.swizzle && row != map.swizzle))
    return "whose lines have " + std::to_string(row) +
           " bytes, expected a multiple of 16, or as many as its swizzle has";
  if (reinterpret_cast<uintptr_t>(to) % 128)
    return "to an address that is not a multiple of 128";
  return "";
}

void Worker::startBox(void *to, const TensorMap &map, const int32_t *place,
                      void *address, void *site) {
  if (std::string why = refuse(map, to); !why.empty())
    fail("copies a box " + why, current->here(site));
  auto offset = static_cast<char *>(to) - shared.base;
  if (offset < 0 || offset + map.boxBytes() > SharedMemory::kArena)
    fail("copies a box to an address outside of shared memory",
         current->here(site));
  Mbarrier &barrier = findBarrier(address, "names", site);
  if (!barrier.shown)
    fail("copies a box for an mbarrier that no fence has shown to the "
         "asynchronous proxy since it was initialized",
         current->here(site));
  Box box = {static_cast<char *>(to), map, {}, address, current->here(site),
             current->number};
  std::memcpy(box.place, place, map.rank * sizeof(*place));
  if (checker) {
    // As if it were done now: nobody may still read what stands there, and the
    // tensor must be one. What is read later is the same.
    checker->tensor(map, site);
    checker->range(to, map.boxBytes(), /*write=*/true, site);
    checker->setInFlight(to, map.boxBytes(), true);
  }
  boxes.push_back(std::move(box));
}

bool Worker::finishBox() {
  if (boxes.empty())
    return false;
  // Any of them, the same for the same seed.
  boxChoice = boxChoice * 6364136223846793005u + 1442695040888963407u;
  size_t at = runSeed ? (boxChoice >> 33) % boxes.size() : 0;
  Box box = std::move(boxes[at]);
  boxes.erase(boxes.begin() + at);
  box.forEachUnit([](char *to, const char *from) {
    if (from)
      std::memcpy(to, from, 16);
    else
      std::memset(to, 0, 16);
  });
  Mbarrier &barrier = *barriers.find(box.barrier)->second;
  int64_t bytes = box.map.boxBytes();
  if (checker) {
    checker->setInFlight(box.to, bytes, false);
    ++time;
    checker->noteBox(box.to, bytes);
    barrier.gathered[kAsyncWarp] =
        std::max(barrier.gathered[kAsyncWarp], ++time);
  }
  barrier.bytes -= bytes;
  if (barrier.bytes < -kMaxCount || (!barrier.pending && barrier.bytes < 0))
    fail("copies a box of " + counted(bytes, "byte"), box.from,
         ", " + std::to_string(-barrier.bytes) + " more than " +
             nameOfShared(box.barrier) + " expects",
         {}, &threads[box.thread]);
  completePhase(barrier);
  return true;
}

//===----------------------------------------------------------------------===//
// What checks see of it
//===----------------------------------------------------------------------===//

void Checker::asyncRead(const void *pointer, unsigned bytes, void *site) {
  auto address = reinterpret_cast<uintptr_t>(pointer);
  access(address, bytes, Access::Read, site);
  Worker &worker = Worker::get();
  uintptr_t offset = address - reinterpret_cast<uintptr_t>(worker.shared.base);
  if (current->muted || offset >= SharedMemory::kArena)
    return;
  const uint64_t block = gridBase + worker.blockNumber;
  for (uintptr_t at = offset & ~uintptr_t(3); at < offset + bytes; at += 4) {
    Event write = store->sharedCells[at / 4].write;
    if (!write || write.block() != block || write.thread() == kAsyncThread)
      continue;
    // A fence by who wrote, or by one of the warp group that reads.
    auto isFenced = [&](unsigned thread) {
      return write.time() < worker.threads[thread].fencedAt;
    };
    bool fenced = isFenced(write.thread());
    unsigned first = current->number / 128 * 128;
    for (unsigned i = first; !fenced && i < first + 128; ++i)
      fenced = isFenced(i);
    if (fenced)
      continue;
    int64_t inside = 0;
    std::string name = nameOfShared(at, &inside);
    Place second;
    if (int32_t wrote = store->sharedCells[at / 4].writeSite)
      second.addresses.push_back(
          reinterpret_cast<void *>(kernelAddress + wrote));
    const Thread &writer = worker.threads[write.thread()];
    worker.fail("reads byte " + std::to_string(inside) + " of " + name +
                    " by the asynchronous proxy",
                current->here(site),
                ", and without fence.proxy.async between thread " +
                    text(writer.index) + " wrote",
                second);
  }
}

void Checker::setInFlight(const void *to, size_t bytes, bool isInFlight) {
  SharedMemory &memory = Worker::get().shared;
  size_t begin = static_cast<const char *>(to) - memory.base;
  for (size_t at = begin; at < begin + bytes; at += 16) {
    uint64_t bits = uint64_t(0xffff) << at % 64;
    if (isInFlight)
      memory.inFlight[at / 64] |= bits;
    else
      memory.inFlight[at / 64] &= ~bits;
  }
}

void Checker::noteBox(const void *to, size_t bytes) {
  Worker &worker = Worker::get();
  size_t begin = static_cast<const char *>(to) - worker.shared.base;
  uint64_t event = Event::start(gridBase + worker.blockNumber, worker.time) |
                   uint64_t(kAsyncThread) << 5 | 15;
  for (size_t at = begin; at < begin + bytes; at += 4) {
    Cell &cell = store->sharedCells[at / 4];
    cell.write.bits = event;
    cell.reads[0] = cell.reads[1] = {};
  }
}

void Checker::tensor(const TensorMap &map, void *site) {
  auto begin = reinterpret_cast<uintptr_t>(map.base);
  uint64_t bytes = map.dims[0] * map.elementBytes;
  for (uint32_t i = 1; i < map.rank; ++i)
    bytes += (map.dims[i] - 1) * map.strides[i - 1];
  Worker &worker = Worker::get();
  for (const Region &region : regions)
    if (begin >= region.begin && begin < region.end) {
      if (begin % 16)
        worker.fail("copies a box of a tensor that begins at byte " +
                        std::to_string(begin - region.begin) + " of " +
                        nameOf(region) + ", expected a multiple of 16",
                    current->here(site));
      if (bytes > region.end - begin)
        worker.fail("copies a box of a tensor that ends " +
                        std::to_string(bytes - (region.end - begin)) +
                        " bytes beyond the end of " + nameOf(region),
                    current->here(site));
      return;
    }
  worker.fail("copies a box of a tensor that is none of its arguments",
              current->here(site));
}

void Checker::touchesBox(uintptr_t offset, unsigned bytes, Access kind,
                         void *site) {
  Worker &worker = Worker::get();
  const char *address = worker.shared.base + offset;
  for (const Box &box : worker.boxes)
    if (address + bytes > box.to && address < box.to + box.map.boxBytes()) {
      int64_t inside = 0;
      std::string name = nameOfShared(offset, &inside);
      worker.fail((writes(kind) ? "writes byte " : "reads byte ") +
                      std::to_string(inside) + " of " + name,
                  current->here(site),
                  ", where a box is still on its way that thread " +
                      text(worker.threads[box.thread].index) + " started",
                  box.from);
    }
}

} // namespace lathe::sim
