//===- Checker.cpp - Every memory access of a launch ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Checker.h"

#include "CodeMap.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>
#include <sys/mman.h>

using namespace llvm;

namespace lathe::sim {

/// Between two arguments, so that an index a row too large meets nothing.
static constexpr size_t kGap = 8192;
/// The cells take eight times the memory they watch.
static constexpr size_t kMaxWatched = 16 << 20;
static constexpr uint64_t kMaxBlocks = (1 << 24) - 1;
static constexpr uint32_t kMaxTime = (1 << 25) - 1;

static char *reserve(size_t bytes) {
  void *memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    report_bad_alloc_error("no memory for the checks of a launch");
  return static_cast<char *>(memory);
}

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

Checker::Checker(const SimLaunch &launch, void **args, void *scratch)
    : launch(&launch) {
  layOut(args, scratch);
  sharedCells = reinterpret_cast<Cell *>(
      reserve(SharedMemory::kArena / 4 * sizeof(Cell)));
}

Checker::~Checker() {
  ::munmap(memory, memoryBytes);
  ::munmap(sharedCells, SharedMemory::kArena / 4 * sizeof(Cell));
  if (globalCells)
    ::munmap(globalCells, globalCellBytes);
}

// Arguments that overlap (an output in the place of an input that dies) keep
// doing so: such a kernel must be right with them.
void Checker::layOut(void **args, void *scratch) {
  unsigned inputs = 0, outputs = 0;
  for (unsigned i = 0; i < launch->argumentCount; ++i) {
    const SimArgument &argument = launch->arguments[i];
    auto begin = reinterpret_cast<uintptr_t>(args[i]);
    Kind kind = argument.output ? Kind::Output : Kind::Input;
    unsigned number = argument.output ? outputs++ : inputs++;
    regions.push_back({kind,
                       number,
                       begin,
                       begin + argument.bytes,
                       &argument,
                       static_cast<char *>(args[i]),
                       false,
                       nullptr,
                       {}});
  }
  std::vector<Region *> sorted;
  for (Region &region : regions)
    sorted.push_back(&region);
  llvm::sort(sorted, [](Region *a, Region *b) {
    return std::tie(a->begin, a) < std::tie(b->begin, b);
  });
  size_t at = kGap;
  std::vector<std::pair<Region *, size_t>> places;
  for (size_t i = 0; i < sorted.size();) {
    uintptr_t begin = sorted[i]->begin, end = sorted[i]->end;
    size_t next = i + 1;
    for (; next < sorted.size() && sorted[next]->begin < end; ++next)
      end = std::max(end, sorted[next]->end);
    // Aligned to what the text may rely on, and to nothing larger.
    size_t alignment = sorted[i]->argument->alignment;
    alignment =
        alignment ? std::min<size_t>(PowerOf2Ceil(alignment), 256) : 256;
    at = alignTo(at, 2 * alignment) + alignment;
    for (; i < next; ++i) {
      sorted[i]->aliased =
          end - begin > sorted[i]->end - sorted[i]->begin ||
          (next - 1 > i && sorted[i + 1]->begin < end) ||
          (i && sorted[i - 1]->end > begin && sorted[i - 1]->begin >= begin);
      places.push_back({sorted[i], at + (sorted[i]->begin - begin)});
    }
    at = alignTo(at + (end - begin), 256) + kGap;
  }
  size_t scratchAt = at += kGap;
  if (launch->scratchBytes)
    at += alignTo(launch->scratchBytes, 256) + kGap;
  memoryBytes = alignTo(at, 4096);
  memory = reserve(memoryBytes);
  for (auto [region, place] : places) {
    size_t bytes = region->end - region->begin;
    region->begin = reinterpret_cast<uintptr_t>(memory + place);
    region->end = region->begin + bytes;
  }
  for (Region &region : regions)
    pointers.push_back(reinterpret_cast<void *>(region.begin));
  if (launch->scratchBytes) {
    pointers.push_back(memory + scratchAt);
    auto begin = reinterpret_cast<uintptr_t>(memory + scratchAt);
    regions.push_back({Kind::Scratch,
                       0,
                       begin,
                       begin + launch->scratchBytes,
                       nullptr,
                       nullptr,
                       false,
                       nullptr,
                       {}});
  }
  // Outputs hold garbage; NaN shows best. Inputs that share their bytes win.
  size_t watched = 0;
  for (Region &region : regions)
    if (region.kind != Kind::Input) {
      size_t bytes = region.end - region.begin;
      std::memset(reinterpret_cast<void *>(region.begin), 0xff, bytes);
      region.written.assign(divideCeil(bytes, 64) + 1, 0);
      watched += alignTo(bytes, 4) + 8;
    }
  for (Region &region : regions)
    if (region.kind == Kind::Input && region.end != region.begin)
      std::memcpy(reinterpret_cast<void *>(region.begin), region.original,
                  region.end - region.begin);
  if (watched && watched <= kMaxWatched) {
    globalCellBytes = watched / 4 * sizeof(Cell);
    globalCells = reinterpret_cast<Cell *>(reserve(globalCellBytes));
    Cell *next = globalCells;
    for (Region &region : regions)
      if (region.kind != Kind::Input) {
        region.cells = next;
        next += (region.end - region.begin + 3) / 4 + 1;
      }
  }
  llvm::sort(regions, [](const Region &a, const Region &b) {
    return std::pair(a.kind == Kind::Input, a.begin) <
           std::pair(b.kind == Kind::Input, b.begin);
  });
}

void Checker::beginGrid(const SimLaunch &newLaunch, const void *kernel) {
  launch = &newLaunch;
  kernelAddress = reinterpret_cast<uintptr_t>(kernel);
  blocksDone = 0;
  uint64_t blocks =
      uint64_t(launch->grid[0]) * launch->grid[1] * launch->grid[2];
  gridBase = nextBase;
  nextBase += blocks;
  raceChecks = nextBase <= kMaxBlocks;
}

std::string Checker::finish() {
  for (Region &region : regions) {
    if (region.kind != Kind::Output)
      continue;
    size_t bytes = region.end - region.begin;
    if (!bytes)
      continue;
    std::memcpy(region.original, reinterpret_cast<void *>(region.begin), bytes);
    if (region.argument->partial)
      continue;
    size_t missing = 0, first = 0;
    for (size_t at = 0; at < bytes; ++at)
      if (!(region.written[at / 64] >> at % 64 & 1) && missing++ == 0)
        first = at;
    if (missing) {
      size_t size = std::max<size_t>(1, region.argument->elementBytes);
      return "leaves " + std::to_string(missing / size) + " of the " +
             std::to_string(bytes / size) + " elements of " + nameOf(region) +
             " unwritten, the first is number " + std::to_string(first / size);
    }
  }
  return "";
}

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

void Checker::access(uintptr_t address, unsigned bytes, Access kind,
                     void *site) {
  Thread *self = current;
  if (address - reinterpret_cast<uintptr_t>(self->stackLow) <
      size_t(self->stackHigh - self->stackLow))
    return;
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

void Checker::vector(const void *pointer, unsigned bytes, void *site) {
  auto address = reinterpret_cast<uintptr_t>(pointer);
  if (address % bytes == 0 || current->muted)
    return;
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
// Bytes that were written
//===----------------------------------------------------------------------===//

namespace {
/// Bits [at, at + count) of a bitmap, count up to 16.
bool allSet(const std::vector<uint64_t> &bits, size_t at, unsigned count) {
  uint64_t wanted = (uint64_t(1) << count) - 1;
  uint64_t low = bits[at / 64] >> at % 64;
  if (at % 64 + count > 64)
    low |= bits[at / 64 + 1] << (64 - at % 64);
  return (low & wanted) == wanted;
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
    race(region.cells, offset, bytes, kind, site, &region);
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
  SharedMemory &memory = Worker::get().shared;
  if (!allSet(memory.valid, offset, bytes)) {
    int64_t inside = 0;
    Place place = current->here(site);
    std::string name = nameOfShared(offset, &inside);
    Worker::get().fail(verb(kind, bytes) + " beyond the end of " + name +
                           " (at byte " + std::to_string(inside) + ")",
                       place);
  }
  if (reads(kind) && !allSet(memory.written, offset, bytes)) {
    int64_t inside = 0;
    std::string name = nameOfShared(offset, &inside);
    Worker::get().fail(verb(kind, bytes) + " of " + name + " (at byte " +
                           std::to_string(inside) + ") that nobody wrote",
                       current->here(site));
  }
  if (writes(kind))
    setAll(memory.written, offset, bytes);
  race(sharedCells, offset, bytes, kind, site, nullptr);
}

//===----------------------------------------------------------------------===//
// Races
//===----------------------------------------------------------------------===//

bool Checker::ordered(Event event, bool inShared) const {
  Worker &worker = Worker::get();
  if (!event || event.block() < gridBase)
    return true;
  if (event.block() != gridBase + worker.blockNumber)
    return inShared; // of a block whose memory this once was
  if (event.thread() == current->number || event.time() < worker.floor)
    return true;
  return worker.hasKnowledge &&
         event.time() < worker.known(current->number, event.thread() / kLanes);
}

void Checker::race(Cell *cells, uintptr_t offset, unsigned bytes, Access kind,
                   void *site, const Region *region) {
  Worker &worker = Worker::get();
  if (worker.time > kMaxTime)
    return;
  bool inShared = !region;
  auto relative =
      static_cast<int32_t>(reinterpret_cast<uintptr_t>(site) - kernelAddress);
  uintptr_t end = offset + bytes;
  for (uintptr_t at = offset & ~uintptr_t(3); at < end; at += 4) {
    unsigned mask = 15;
    if (at < offset)
      mask &= 15u << (offset - at);
    if (at + 4 > end)
      mask &= 15u >> (at + 4 - end);
    Cell &cell = cells[at / 4];
    Event mine(gridBase + worker.blockNumber, current->number, worker.time,
               isAtomic(kind), mask);
    auto conflicts = [&](Event earlier) {
      return earlier.mask() & mask && !(isAtomic(kind) && earlier.atomic()) &&
             !ordered(earlier, inShared);
    };
    if (conflicts(cell.write))
      reportRace(cell.write, cell.writeSite, true, at, kind, site, region);
    auto same = [&](Event event) { return event.bits >> 4 == mine.bits >> 4; };
    if (!writes(kind)) {
      Event &slot =
          ordered(cell.reads[0], inShared) ? cell.reads[0] : cell.reads[1];
      slot = same(slot) ? Event{slot.bits | mask} : mine;
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
    cell.write = same(cell.write) ? Event{cell.write.bits | mask} : mine;
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
      "thread " + text({thread % size[0], thread / size[0] % size[1],
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

} // namespace lathe::sim
