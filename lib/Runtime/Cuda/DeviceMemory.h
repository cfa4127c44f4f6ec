//===- DeviceMemory.h - Blocks of device and of pinned memory - -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Blocks of memory that are given back by themselves. The context must be
// current in whatever thread allocates or gives back.
#ifndef LATHE_LIB_RUNTIME_CUDA_DEVICEMEMORY_H
#define LATHE_LIB_RUNTIME_CUDA_DEVICEMEMORY_H

#include "lathe/Runtime/CudaDriver.h"

namespace lathe::cuda {

/// What cuMemAlloc aligns to, and every buffer in a block is.
inline constexpr uint64_t kDeviceAlignment = 256;

class DeviceBlock {
public:
  DeviceBlock() = default;
  DeviceBlock(DeviceBlock &&other) { *this = std::move(other); }
  DeviceBlock &operator=(DeviceBlock &&other);
  ~DeviceBlock() { reset(); }

  /// A block of no bytes has an address, too. Errors: "not enough memory on the
  /// device for WHAT: N bytes needed, M free".
  llvm::Error allocate(const Driver &driver, uint64_t bytes,
                       const llvm::Twine &what);
  void reset();
  DeviceAddress address() const { return base; }
  uint64_t size() const { return bytes; }

private:
  const Driver *driver = nullptr;
  DeviceAddress base = 0;
  uint64_t bytes = 0;
};

/// Host memory that the device reads and writes by itself.
class PinnedBlock {
public:
  PinnedBlock() = default;
  PinnedBlock(const PinnedBlock &) = delete;
  ~PinnedBlock() { reset(); }
  llvm::Error allocate(const Driver &driver, uint64_t bytes);
  void reset();
  char *data() const { return base; }

private:
  const Driver *driver = nullptr;
  char *base = nullptr;
};

/// Brings host memory of any kind to the device, through two pinned chunks:
/// while the device reads the one, the other is filled.
class Uploader {
public:
  Uploader() = default;
  Uploader(const Uploader &) = delete;
  ~Uploader();
  /// Allocates nothing before the first `upload`.
  void start(const Driver &driver, Stream stream);
  /// `from` may change as soon as this returns.
  llvm::Error upload(DeviceAddress to, const char *from, uint64_t bytes);
  /// Waits, and gives the chunks back.
  llvm::Error finish();

private:
  llvm::Error allocate();
  static constexpr uint64_t kChunk = 8 << 20;
  const Driver *driver = nullptr;
  Stream stream = nullptr;
  PinnedBlock chunks[2];
  Event events[2] = {};
  bool busy[2] = {};
  unsigned next = 0;
};

} // namespace lathe::cuda

#endif // LATHE_LIB_RUNTIME_CUDA_DEVICEMEMORY_H
