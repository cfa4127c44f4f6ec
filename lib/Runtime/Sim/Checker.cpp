//===- Checker.cpp - Every memory access of a launch ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Checker.h"

#include "Async.h"
#include "CodeMap.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;

namespace lathe::sim {

static constexpr uint32_t kMaxTime = (1 << 25) - 1;

std::string Checker::nameOf(const Region &region) const {
  switch (region.kind) {
  case Kind::Input:
    return "input " + std::to_string(region.number);
  case Kind::Output:
    return "output " + std::to_string(region.number);
  case Kind::Scratch:
    return "scratch";
  }
  llvm_unreachable("a kind of region");
}

//===----------------------------------------------------------------------===//
// Bounds
//===----------------------------------------------------------------------===//

static std::string verb(Access kind) {
  return !writes(kind) ? "reads" : reads(kind) ? "updates" : "writes";
}
static std::string verb(Access kind, unsigned bytes) {
  return verb(kind) + " " + std::to_string(bytes) +
         (bytes == 1 ? " byte" : " bytes");
}

void Checker::accessShared(uintptr_t address, unsigned bytes, Access kind,
                           void *site) {
  Thread *self = current;
  if (self->muted)
    return;
  uintptr_t offset =
      address - reinterpret_cast<uintptr_t>(Worker::get().shared.base);
  if (offset < SharedMemory::kArena)
    return shared(offset, bytes, kind, site);
  for (Region &region : regions)
    if (address >= region.begin && address < region.end) {
      if (address + bytes > region.end)
        break;
      return global(region, address, bytes, kind, site);
    }
  // The arguments themselves, tables of the kernel, and stacks of threads that
  // meet in a collective.
  uintptr_t argument = address - reinterpret_cast<uintptr_t>(pointers.data());
  if (!writes(kind) && argument < pointers.size() * sizeof(void *))
    return;
  if (self->inCall && Worker::get().onAnyStack(address))
    return;
  if (!writes(kind) && isModuleData(address))
    return;
  outOfBounds(address, bytes, kind, site);
}

void Checker::outOfBounds(uintptr_t address, unsigned bytes, Access kind,
                          void *site) {
  Worker &worker = Worker::get();
  Place place = current->here(site);
  std::string what = verb(kind, bytes);
  uintptr_t nearest = ~uintptr_t(0);
  std::string where;
  for (const Region &region : regions) {
    std::string size =
        " (" + std::to_string(region.end - region.begin) + " bytes)";
    auto consider = [&](uintptr_t distance, const std::string &text) {
      if (distance < nearest && distance <= kGap) {
        nearest = distance;
        where = text;
      }
    };
    if (address >= region.begin) {
      uintptr_t beyond = address + bytes - region.end;
      consider(beyond, beyond <= bytes
                           ? " beyond the end of " + nameOf(region) + size
                           : " " + std::to_string(beyond - bytes) +
                                 " bytes beyond the end of " + nameOf(region) +
                                 size);
    } else {
      uintptr_t before = region.begin - address;
      consider(before, " " + std::to_string(before) +
                           " bytes before the start of " + nameOf(region));
    }
  }
  if (where.empty() && worker.onAnyStack(address))
    where = " of another thread's local memory";
  if (where.empty())
    where = " at an address that belongs to none of its arguments";
  worker.fail(what + where, place);
}

void Checker::misaligned(const void *pointer, unsigned bytes, void *site) {
  auto address = reinterpret_cast<uintptr_t>(pointer);
  Worker &worker = Worker::get();
  std::string what = "accesses " + std::to_string(bytes) + " bytes at once at ";
  for (const Region &region : regions)
    if (address >= region.begin && address < region.end)
      worker.fail(what + "byte " + std::to_string(address - region.begin) +
                      " of " + nameOf(region) +
                      ", which is not a multiple of " + std::to_string(bytes) +
                      (region.argument && region.argument->alignment
                           ? " (the buffer is aligned to " +
                                 std::to_string(region.argument->alignment) +
                                 " bytes)"
                           : ""),
                  current->here(site));
  uintptr_t offset = address - reinterpret_cast<uintptr_t>(worker.shared.base);
  if (offset < SharedMemory::kArena) {
    int64_t inside = 0;
    std::string name = nameOfShared(offset, &inside);
    worker.fail(what + "byte " + std::to_string(inside) + " of " + name +
                    ", which is not a multiple of " + std::to_string(bytes),
                current->here(site));
  }
}

void Checker::range(const void *pointer, size_t bytes, bool write, void *site) {
  auto address = reinterpret_cast<uintptr_t>(pointer);
  while (bytes) {
    // Up to 16 bytes that end where a cell ends.
    unsigned part =
        static_cast<unsigned>(std::min<size_t>(bytes, 16 - address % 4));
    access(address, part, write ? Access::Write : Access::Read, site);
    address += part;
    bytes -= part;
  }
}

//===----------------------------------------------------------------------===//
// Races
//===----------------------------------------------------------------------===//

template <bool inShared>
void Checker::race(Cell *cells, uintptr_t offset, unsigned bytes, Access kind,
                   void *site, const Region *region) {
  Worker &worker = Worker::get();
  if (worker.time > kMaxTime)
    return;
  const unsigned thread = current->number;
  const uint64_t block = gridBase + worker.blockNumber;
  const uint64_t begin = Event::start(block, 0);
  const uint64_t floor = Event::start(block, worker.floor);
  const uint64_t mine = Event::start(block, worker.time) |
                        uint64_t(thread) << 5 | uint64_t(isAtomic(kind)) << 4;
  const auto relative =
      static_cast<int32_t>(reinterpret_cast<uintptr_t>(site) - kernelAddress);

  // Whether an earlier event is over, as this thread knows.
  auto ordered = [&](Event event) {
    // In shared memory, blocks that ran before left what they left.
    if (event.bits < floor && (inShared || event.bits >= begin))
      return true;
    if (event.block() != block)
      return inShared || event.block() < gridBase;
    return event.thread() == thread ||
           (worker.hasKnowledge &&
            event.time() < worker.known(thread, event.thread() / kLanes));
  };

  const uintptr_t end = offset + bytes;
  for (uintptr_t at = offset & ~uintptr_t(3); at < end; at += 4) {
    unsigned mask = 15;
    if (at < offset)
      mask &= 15u << (offset - at);
    if (at + 4 > end)
      mask &= 15u >> (at + 4 - end);
    Cell &cell = cells[at / 4];
    auto conflicts = [&](Event earlier) {
      return !ordered(earlier) && earlier.mask() & mask &&
             !(isAtomic(kind) && earlier.atomic());
    };
    auto note = [&](Event &slot) {
      bool same = slot.bits >> 4 == mine >> 4;
      slot.bits = (same ? slot.bits : mine) | mask;
    };
    if (conflicts(cell.write))
      reportRace(cell.write, cell.writeSite, true, at, kind, site, region);
    if (!writes(kind)) {
      note(ordered(cell.reads[0]) ? cell.reads[0] : cell.reads[1]);
      cell.readSite = relative;
      continue;
    }
    for (Event &read : cell.reads) {
      if (conflicts(read))
        reportRace(
            read, &read == &cell.reads[1] || !cell.reads[1] ? cell.readSite : 0,
            false, at, kind, site, region);
      if ((read.mask() & ~mask) == 0)
        read = {};
    }
    note(cell.write);
    cell.writeSite = relative;
  }
}

void Checker::reportRace(Event earlier, int32_t earlierSite, bool earlierWrote,
                         uintptr_t offset, Access kind, void *site,
                         const Region *region) {
  Worker &worker = Worker::get();
  uint64_t block = earlier.block() - gridBase;
  unsigned thread = earlier.thread();
  const uint32_t *grid = launch->grid, *size = launch->block;
  std::string who =
      thread >= worker.threadCount
          ? "a box"
          : "thread " + text({thread % size[0], thread / size[0] % size[1],
                              thread / (size[0] * size[1])});
  bool otherBlock = block != uint64_t(worker.blockNumber);
  if (otherBlock)
    who += " of block " +
           text({unsigned(block % grid[0]), unsigned(block / grid[0] % grid[1]),
                 unsigned(block / grid[0] / grid[1])});
  int64_t inside = static_cast<int64_t>(offset);
  std::string where = region ? nameOf(*region) : nameOfShared(offset, &inside);
  Place second;
  if (earlierSite)
    second.addresses.push_back(
        reinterpret_cast<void *>(kernelAddress + earlierSite));
  std::string middle =
      std::string(otherBlock ? ", which "
                             : ", and without a barrier between ") +
      who + (earlierWrote ? " wrote" : " read");
  worker.fail(verb(kind) + " byte " + std::to_string(inside) + " of " + where,
              current->here(site), middle, second);
}

//===----------------------------------------------------------------------===//
// Bytes that were written
//===----------------------------------------------------------------------===//

namespace {
/// Bits [at, at + count) of a bitmap, count up to 16.
uint64_t getBits(const std::vector<uint64_t> &bits, size_t at, unsigned count) {
  uint64_t low = bits[at / 64] >> at % 64;
  if (at % 64 + count > 64)
    low |= bits[at / 64 + 1] << (64 - at % 64);
  return low & ((uint64_t(1) << count) - 1);
}
bool allSet(const std::vector<uint64_t> &bits, size_t at, unsigned count) {
  return getBits(bits, at, count) == (uint64_t(1) << count) - 1;
}
void setAll(std::vector<uint64_t> &bits, size_t at, unsigned count) {
  uint64_t wanted = (uint64_t(1) << count) - 1;
  bits[at / 64] |= wanted << at % 64;
  if (at % 64 + count > 64)
    bits[at / 64 + 1] |= wanted >> (64 - at % 64);
}
} // namespace

void Checker::global(Region &region, uintptr_t address, unsigned bytes,
                     Access kind, void *site) {
  if (region.kind == Kind::Input) {
    if (writes(kind))
      Worker::get().fail(verb(kind, bytes) + " of " + nameOf(region) +
                             ", which is no output",
                         current->here(site));
    return;
  }
  uintptr_t offset = address - region.begin;
  if (reads(kind) && !region.aliased && !allSet(region.written, offset, bytes))
    Worker::get().fail(verb(kind, bytes) + " of " + nameOf(region) +
                           " that nobody wrote",
                       current->here(site));
  if (writes(kind))
    setAll(region.written, offset, bytes);
  if (region.cells && raceChecks)
    race<false>(region.cells, offset, bytes, kind, site, &region);
}

std::string Checker::nameOfShared(uintptr_t offset, int64_t *inside) const {
  // The variable that ends last before the address, or holds it.
  const SharedMemory::Range *best = nullptr;
  for (const SharedMemory::Range &range : Worker::get().shared.ranges)
    if (range.begin <= offset && (!best || range.begin > best->begin))
      best = &range;
  if (!best)
    return "shared memory";
  *inside = static_cast<int64_t>(offset - best->begin);
  if (!best->control)
    return "dynamic shared memory";
  std::string name = nameOfVariable(best->control);
  return name.empty() ? "shared memory" : "shared '" + name + "'";
}

void Checker::shared(uintptr_t offset, unsigned bytes, Access kind,
                     void *site) {
  Worker &worker = Worker::get();
  SharedMemory &memory = worker.shared;
  if (LLVM_UNLIKELY(!worker.boxes.empty()) &&
      getBits(memory.inFlight, offset, bytes))
    touchesBox(offset, bytes, kind, site);
  // What was written is valid, too.
  bool isWritten = allSet(memory.written, offset, bytes);
  if (!isWritten && !allSet(memory.valid, offset, bytes)) {
    int64_t inside = 0;
    Place place = current->here(site);
    std::string name = nameOfShared(offset, &inside);
    Worker::get().fail(verb(kind, bytes) + " beyond the end of " + name +
                           " (at byte " + std::to_string(inside) + ")",
                       place);
  }
  if (reads(kind) && !isWritten) {
    int64_t inside = 0;
    std::string name = nameOfShared(offset, &inside);
    Worker::get().fail(verb(kind, bytes) + " of " + name + " (at byte " +
                           std::to_string(inside) + ") that nobody wrote",
                       current->here(site));
  }
  if (!isWritten)
    setAll(memory.written, offset, bytes);
  race<true>(store->sharedCells, offset, bytes, kind, site, nullptr);
}

} // namespace lathe::sim
