//===- Buffers.cpp - The memory a checked launch runs on ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Checker.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>
#include <mutex>
#include <sys/mman.h>

using namespace llvm;

namespace lathe::sim {

/// Larger inputs stay where they are: copying them would take longer than the
/// launch.
static constexpr size_t kMaxCopied = 4 << 20;
/// The cells take eight times the memory they watch.
static constexpr size_t kMaxWatched = 16 << 20;
static constexpr uint64_t kMaxBlocks = (1 << 24) - 1;
/// What a store keeps for the next launch.
static constexpr size_t kMaxKept = 128 << 20;
static constexpr size_t kSharedCellBytes =
    SharedMemory::kArena / 4 * sizeof(Cell);

//===----------------------------------------------------------------------===//
// Memory that launches take after each other
//===----------------------------------------------------------------------===//

namespace {
std::mutex storeMutex;
std::vector<std::unique_ptr<CheckerStore>> &freeStores() {
  static std::vector<std::unique_ptr<CheckerStore>> list;
  return list;
}
static char *reserve(size_t bytes) {
  void *memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    report_bad_alloc_error("no memory for the checks of a launch");
  return static_cast<char *>(memory);
}

/// At least `bytes`, whatever was there.
void grow(char *&memory, size_t &size, size_t bytes) {
  if (bytes <= size)
    return;
  if (memory)
    ::munmap(memory, size);
  size = alignTo(bytes + bytes / 4, 4096);
  memory = reserve(size);
}
} // namespace

CheckerStore::~CheckerStore() {
  if (memory)
    ::munmap(memory, memoryBytes);
  if (cells)
    ::munmap(cells, cellBytes);
  if (sharedCells)
    ::munmap(sharedCells, kSharedCellBytes);
}

std::unique_ptr<CheckerStore> CheckerStore::take() {
  std::lock_guard<std::mutex> lock(storeMutex);
  if (!freeStores().empty()) {
    std::unique_ptr<CheckerStore> store = std::move(freeStores().back());
    freeStores().pop_back();
    return store;
  }
  auto store = std::make_unique<CheckerStore>();
  store->sharedCells = reinterpret_cast<Cell *>(reserve(kSharedCellBytes));
  return store;
}

void CheckerStore::giveBack(std::unique_ptr<CheckerStore> store) {
  if (store->memoryBytes + store->cellBytes > kMaxKept)
    return;
  std::lock_guard<std::mutex> lock(storeMutex);
  freeStores().push_back(std::move(store));
}

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

Checker::Checker(const SimLaunch &launch, void **args, void *scratch)
    : launch(&launch), store(CheckerStore::take()) {
  layOut(args, scratch);
}

Checker::~Checker() { CheckerStore::giveBack(std::move(store)); }

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
    if (next == i + 1 && sorted[i]->kind == Kind::Input &&
        end - begin > kMaxCopied && begin % 16 == 0) {
      i = next;
      continue;
    }
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
  grow(store->memory, store->memoryBytes, at);
  char *memory = store->memory;
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
    if (region.kind == Kind::Input && region.end != region.begin &&
        region.begin != reinterpret_cast<uintptr_t>(region.original))
      std::memcpy(reinterpret_cast<void *>(region.begin), region.original,
                  region.end - region.begin);
  if (watched && watched <= kMaxWatched) {
    // Old cells tell of blocks before this launch, which are over.
    grow(store->cells, store->cellBytes, watched / 4 * sizeof(Cell));
    auto *next = reinterpret_cast<Cell *>(store->cells);
    for (Region &region : regions)
      if (region.kind != Kind::Input) {
        region.cells = next;
        next += (region.end - region.begin + 3) / 4 + 1;
      }
  }
  for (const Region &region : regions)
    if (region.kind == Kind::Input && !region.aliased)
      inputSpans.push_back({region.begin, region.end - region.begin});
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
  raceChecks = blocks < kMaxBlocks;
  if (store->nextBlock + blocks > kMaxBlocks) {
    // The numbers begin anew, and so must the cells. (Within a kernel of
    // several grids that forgets the earlier ones, which are over as well.)
    store->nextBlock = 1;
    ::madvise(store->sharedCells, kSharedCellBytes, MADV_DONTNEED);
    if (store->cells)
      ::madvise(store->cells, store->cellBytes, MADV_DONTNEED);
  }
  gridBase = store->nextBlock;
  store->nextBlock += blocks;
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
    for (size_t at = 0; at < bytes; at += 64) {
      uint64_t left = ~region.written[at / 64];
      if (bytes - at < 64)
        left &= (uint64_t(1) << (bytes - at)) - 1;
      if (left && !missing)
        first = at + countr_zero(left);
      missing += popcount(left);
    }
    if (missing) {
      size_t size = std::max<size_t>(1, region.argument->elementBytes);
      return "leaves " + std::to_string(missing / size) + " of the " +
             std::to_string(bytes / size) + " elements of " + nameOf(region) +
             " unwritten, the first is number " + std::to_string(first / size);
    }
  }
  return "";
}

} // namespace lathe::sim
