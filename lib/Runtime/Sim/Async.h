//===- Async.h - What runs beside the threads of a block --------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// mbarriers and the boxes of tensors that TMA copies to shared memory (PTX ISA,
// "mbarrier" and "cp.async.bulk.tensor"). A box arrives as late as it may: when
// no thread of the block can go on without it; of several on their way, any may
// be the next. Until then its bytes are in flight, and with checks whoever
// touches them is at fault.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_LIB_RUNTIME_SIM_ASYNC_H
#define LATHE_LIB_RUNTIME_SIM_ASYNC_H

#include "Worker.h"

namespace lathe::sim {

/// LatheSimTensorMap in sim.cuh.
struct TensorMap {
  const char *base;
  uint32_t elementBytes, rank;
  uint64_t dims[5];    ///< elements, the innermost first
  uint64_t strides[4]; ///< bytes, of dims 1 and up
  uint32_t box[5];
  uint32_t swizzle; ///< bytes: 0, 32, 64 or 128

  uint64_t boxBytes() const;
};

/// What a TMA instruction started.
struct Box {
  char *to;
  TensorMap map;
  int32_t place[5];
  const void *barrier;
  Place from;
  unsigned thread; ///< who started it
  /// Calls fn(bytes of shared memory, where they come from or null for zeros)
  /// for every 16 bytes of shared memory, which the swizzle keeps together.
  void forEachUnit(llvm::function_ref<void(char *, const char *)> fn) const;
};

struct Mbarrier {
  /// Stands in the 8 bytes of the object, so that a store into it is noticed.
  static constexpr uint64_t kMark = 0x6d626172'72696572;
  uint32_t expected, pending;
  int64_t bytes = 0; ///< the transaction count: bytes that are waited for
  uint32_t phase = 0;
  unsigned initialized; ///< by this thread
  bool shown = false;   ///< to the asynchronous proxy
  /// What those who arrived know, by warp, up to the phase before.
  std::vector<uint32_t> gathered, known;
};

} // namespace lathe::sim

#endif // LATHE_LIB_RUNTIME_SIM_ASYNC_H
