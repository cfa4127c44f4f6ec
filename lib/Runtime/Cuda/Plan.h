//===- Plan.h - The steps of a program, for a device ---------- -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The steps of a program, cut where the host has to look at a value: between
// the cuts are segments of launches and copies, which run one after the other
// without the host. A program without `if`, `while` and checks of computed
// values is one segment, and so one CUDA graph.
#ifndef LATHE_LIB_RUNTIME_CUDA_PLAN_H
#define LATHE_LIB_RUNTIME_CUDA_PLAN_H

#include "lathe/Executable/Executable.h"
#include "lathe/Runtime/CudaDriver.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"

namespace lathe::cuda {

struct Window {
  uint32_t buffer = 0;
  uint64_t offset = 0, bytes = 0;
  /// Slot and stride of the loops around it that are not unrolled.
  llvm::SmallVector<std::pair<unsigned, int64_t>, 1> terms;
};

struct Op {
  enum Kind { Launch, Copy, Upload, Download } kind;
  uint32_t kernel = 0; // Launch
  uint32_t tensor = 0; // Upload: of an input; Download: of an output
  llvm::SmallVector<Window, 4> windows;
};

struct Node {
  enum Kind { Segment, Loop, If, While, Check } kind;
  std::vector<Op> ops;       // Segment
  GraphExec graph = nullptr; // Segment, once it is captured
  Window window;             // If, While: condition; Check: values
  const exec::Check *check = nullptr;
  unsigned slot = 0; // Loop
  int64_t tripCount = 0;
  bool reverse = false;
  std::vector<std::vector<Node>> bodies; // Loop, If, While: as in the steps

  /// A segment whose addresses are the same every time.
  bool isFixed() const;
};

struct Plan {
  using Steps = google::protobuf::RepeatedPtrField<exec::Step>;

  std::vector<Node> nodes;
  unsigned loopSlots = 0;
  /// Checks of inputs and constants, which the host makes before it starts.
  std::vector<std::pair<Window, const exec::Check *>> hostChecks;
  /// How often the host waits for the device by itself: nodes by kind.
  unsigned ifs = 0, whiles = 0, checks = 0;

  /// Loops are unrolled where they hold launches and copies alone and the plan
  /// stays under `maxUnrolled` ops; a loop of more than `maxIterations` stays,
  /// so that running it refuses.
  static Plan make(const exec::Program &program, const Steps &steps,
                   uint64_t maxIterations, uint64_t maxUnrolled = 8192);
  /// Copies of every input before, of every output after the rest.
  void addTransfers(const exec::Program &program);
};

} // namespace lathe::cuda

#endif // LATHE_LIB_RUNTIME_CUDA_PLAN_H
