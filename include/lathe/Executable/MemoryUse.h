//===- MemoryUse.h - Where the memory of a program goes ---------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_EXECUTABLE_MEMORYUSE_H
#define LATHE_EXECUTABLE_MEMORYUSE_H

#include "lathe/Executable/Executable.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

/// All sizes are in bytes. What the machine code and the process take is not
/// counted.
struct MemoryUse {
  uint64_t arena = 0;     ///< values in between, placed by lifetime
  uint64_t states = 0;    ///< parameters that change, state of optimizers
  uint64_t weights = 0;   ///< parameters that do not, and what load makes
  uint64_t signature = 0; ///< inputs and outputs
  uint64_t scratch = 0;   ///< workspace of kernels, for all threads
  uint64_t total() const {
    return arena + states + weights + signature + scratch;
  }

  /// Bytes of the arena that hold something, step by step; steps of a loop
  /// once.
  std::vector<uint64_t> live;
  /// The step at which most is alive.
  size_t peak = 0;
  struct Value {
    uint64_t bytes = 0;
    size_t first = 0, last = 0; ///< steps
    std::string maker;          ///< "gelu at model.mlir:7:3", "copy"
  };
  /// What is alive at the peak, the largest first.
  std::vector<Value> atPeak;
};

/// Reads it off the steps and buffers of a verified program.
MemoryUse measureMemory(const exec::Executable &executable, size_t program,
                        unsigned threads);

/// "1.5 GiB", "312.0 MiB"
std::string formatBytes(uint64_t bytes);

/// The live bytes over the steps as a chart of text, and the largest `count`
/// values at the peak.
void printMemoryTimeline(const MemoryUse &use, llvm::StringRef program,
                         unsigned count, llvm::raw_ostream &os);

} // namespace lathe

#endif // LATHE_EXECUTABLE_MEMORYUSE_H
