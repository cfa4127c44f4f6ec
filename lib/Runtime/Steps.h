//===- Steps.h - The steps of a program, interpreted ---------- -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The steps of a program, resolved once into a form that runs quickly.
#ifndef LATHE_LIB_RUNTIME_STEPS_H
#define LATHE_LIB_RUNTIME_STEPS_H

#include "lathe/Executable/Executable.h"
#include "lathe/Runtime/Session.h"
#include "llvm/ADT/DenseMap.h"

#include <chrono>

namespace lathe {

/// What the steps run on. Buffers may move between runs (inputs and outputs
/// do); everything else of a step is fixed.
struct Machine {
  std::vector<char *> buffers; // base address by buffer number
  std::vector<int64_t> loops;  // present iteration by loop slot
  std::vector<char *> scratch; // by thread, scratchBytes each
  const LoadedModel *model = nullptr;
  ThreadPool *pool = nullptr;
  Profile *profile = nullptr; // null: do not measure
  uint64_t maxWhileIterations = 0;
  bool progress = false;
};

class StepList {
public:
  using Source = google::protobuf::RepeatedPtrField<exec::Step>;
  /// `loopSlots` maps loop ids to slots in Machine::loops, growing as needed.
  static StepList resolve(const Source &steps, const exec::Executable &exe,
                          llvm::DenseMap<uint32_t, unsigned> &loopSlots);

  llvm::Error run(Machine &machine) const;
  /// One step of the list.
  llvm::Error runStep(size_t index, Machine &machine) const;
  size_t size() const { return steps.size(); }

private:
  struct Window {
    uint32_t buffer;
    uint64_t offset, bytes;
    llvm::SmallVector<std::pair<unsigned, int64_t>, 1> terms; // slot, stride
    char *at(const Machine &machine) const {
      char *address = machine.buffers[buffer] + offset;
      for (auto [slot, stride] : terms)
        address += machine.loops[slot] * stride;
      return address;
    }
  };
  struct Step {
    exec::Step::KindCase kind;
    llvm::SmallVector<Window, 4> windows;
    unsigned kernel = 0;   // launch
    bool parallel = false; // launch: worth waking the other threads
    unsigned slot = 0;     // loop
    int64_t tripCount = 0;
    bool reverse = false;
    const std::string *name = nullptr; // while
    const exec::Check *check = nullptr;
    std::vector<StepList> bodies;
  };

  static Window resolve(const exec::BufferRef &ref,
                        llvm::DenseMap<uint32_t, unsigned> &loopSlots);
  llvm::Error launch(const Step &step, Machine &machine) const;
  llvm::Error check(const Step &step, const Machine &machine) const;
  llvm::Error loop(const Step &step, Machine &machine) const;
  llvm::Error whileLoop(const Step &step, Machine &machine) const;

  std::vector<Step> steps;
  const exec::Executable *exe = nullptr;
};

/// Every buffer number a step names, nested steps included.
void collectBuffers(const exec::Step &step, std::vector<uint32_t> &buffers);

} // namespace lathe

#endif // LATHE_LIB_RUNTIME_STEPS_H
