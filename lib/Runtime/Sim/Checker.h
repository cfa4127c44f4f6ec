//===- Checker.h - Every memory access of a launch --------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The argument buffers of a kernel are copied into memory of the checker's own,
// with gaps between them and no better alignment than the text relies on, and
// outputs are copied back at the end. Each access is looked up there.
//
// Races: per 4 bytes of shared memory, outputs and scratch, the last write and
// two reads after it are kept, each with block, thread and the time of the
// block's clock, which ticks at every barrier. Two accesses by different
// threads, one of them a write, must be ordered by a barrier both took part in.
// The idea is FastTrack's (Flanagan and Freund, 2009), with clocks by warp.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_LIB_RUNTIME_SIM_CHECKER_H
#define LATHE_LIB_RUNTIME_SIM_CHECKER_H

#include "Worker.h"

namespace lathe::sim {

enum class Access : uint8_t {
  Read = 1,
  Write = 2,
  AtomicRead = 5,
  AtomicWrite = 6,
  Update = 7
};
inline bool reads(Access kind) { return static_cast<int>(kind) & 1; }
inline bool writes(Access kind) { return static_cast<int>(kind) & 2; }
inline bool isAtomic(Access kind) { return static_cast<int>(kind) & 4; }

/// An access that was: 24 bits block, 25 time, 10 thread, 1 atomic, 4 bytes. So
/// an event of the same block is older than another where its number is
/// smaller.
struct Event {
  uint64_t bits = 0;
  Event() = default;
  explicit Event(uint64_t bits) : bits(bits) {}
  static uint64_t start(uint64_t block, uint32_t time) {
    return block << 40 | uint64_t(time) << 15;
  }
  explicit operator bool() const { return bits; }
  uint64_t block() const { return bits >> 40; }
  uint32_t time() const { return bits >> 15 & 0x1ffffff; }
  unsigned thread() const { return bits >> 5 & 1023; }
  bool atomic() const { return bits >> 4 & 1; }
  unsigned mask() const { return bits & 15; }
};

struct Cell {
  Event write, reads[2];
  int32_t writeSite = 0, readSite = 0; ///< relative to the kernel's address
};

/// What outlives a launch: mapping memory anew would cost more than most
/// launches. Blocks are numbered through, so cells of earlier launches need no
/// clearing.
struct CheckerStore {
  ~CheckerStore();
  static std::unique_ptr<CheckerStore> take();
  static void giveBack(std::unique_ptr<CheckerStore> store);
  char *memory = nullptr, *cells = nullptr;
  size_t memoryBytes = 0, cellBytes = 0;
  Cell *sharedCells = nullptr;
  uint64_t nextBlock = 1;
};

class Checker {
public:
  static constexpr size_t kGap = 8192;

  Checker(const SimLaunch &launch, void **args, void *scratch);
  ~Checker();
  Checker(const Checker &) = delete;

  /// What the kernel gets in place of its arguments.
  void **arguments() { return pointers.data(); }
  void beginGrid(const SimLaunch &launch, const void *kernel);
  /// After all blocks of all grids: copies the outputs back. Returns a sentence
  /// where an output has elements nobody wrote.
  std::string finish();

  // On a fiber.
  void access(uintptr_t address, unsigned bytes, Access kind, void *site) {
    if (address - current->stackLow <= kStackBytes - bytes)
      return;
    // Most accesses are reads of inputs, and there is nothing to note of them.
    if (kind == Access::Read)
      for (const Span &input : inputSpans)
        if (address - input.begin < input.bytes &&
            bytes <= input.bytes - (address - input.begin))
          return;
    accessShared(address, bytes, kind, site);
  }
  void range(const void *address, size_t bytes, bool write, void *site);
  /// A whole access must be aligned to its size.
  void vector(const void *address, unsigned bytes, void *site) {
    if (reinterpret_cast<uintptr_t>(address) % bytes && !current->muted)
      misaligned(address, bytes, site);
  }

  // Async.cpp
  /// By wgmma: what threads wrote must have been fenced.
  void asyncRead(const void *address, unsigned bytes, void *site);
  /// A tensor that boxes are copied of must lie within an argument.
  void tensor(const TensorMap &map, void *site);
  void setInFlight(const void *to, size_t bytes, bool isInFlight);
  void noteBox(const void *to, size_t bytes);

  /// Blocks done of the present grid; the owner counts.
  int64_t blocksDone = 0;

private:
  enum class Kind { Input, Output, Scratch };
  struct Region {
    Kind kind;
    unsigned number; ///< among its kind
    uintptr_t begin, end;
    const SimArgument *argument;
    char *original;
    bool aliased;          ///< shares bytes with another argument
    Cell *cells = nullptr; ///< null: races are not looked for
    std::vector<uint64_t> written;
  };
  struct Span {
    uintptr_t begin;
    size_t bytes;
  };
  void accessShared(uintptr_t address, unsigned bytes, Access kind, void *site);
  void misaligned(const void *address, unsigned bytes, void *site);
  void touchesBox(uintptr_t offset, unsigned bytes, Access kind, void *site);
  [[noreturn]] void outOfBounds(uintptr_t address, unsigned bytes, Access kind,
                                void *site);
  void global(Region &region, uintptr_t address, unsigned bytes, Access kind,
              void *site);
  void shared(uintptr_t address, unsigned bytes, Access kind, void *site);
  /// `region` is null for shared memory.
  template <bool inShared>
  void race(Cell *cells, uintptr_t offset, unsigned bytes, Access kind,
            void *site, const Region *region);
  [[noreturn]] void reportRace(Event earlier, int32_t earlierSite,
                               bool earlierWrote, uintptr_t offset, Access kind,
                               void *site, const Region *region);
  std::string nameOf(const Region &region) const;
  std::string nameOfShared(uintptr_t offset, int64_t *inside) const;
  void layOut(void **args, void *scratch);

  const SimLaunch *launch;
  std::vector<Region> regions; // outputs first: they decide what is shared
  llvm::SmallVector<Span, 4> inputSpans; ///< those no output shares bytes with
  std::vector<void *> pointers;
  std::unique_ptr<CheckerStore> store;
  uintptr_t kernelAddress = 0;
  /// Number of the grid's block 0; blocks of earlier grids have smaller ones.
  uint64_t gridBase = 1;
  bool raceChecks = true;
};

} // namespace lathe::sim

#endif // LATHE_LIB_RUNTIME_SIM_CHECKER_H
