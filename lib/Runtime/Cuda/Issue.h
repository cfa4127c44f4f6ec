//===- Issue.h - Launches and copies into a stream ------------ -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Launches and copies into a stream, captured or not.
#ifndef LATHE_LIB_RUNTIME_CUDA_ISSUE_H
#define LATHE_LIB_RUNTIME_CUDA_ISSUE_H

#include "DeviceModel.h"
#include "Plan.h"
#include "lathe/Runtime/Profile.h"

namespace lathe::cuda {

/// Bytes of the largest value that the host reads back in a program: a
/// condition, or what a check looks at.
uint64_t largestReadBack(const exec::Program &program);

class Issuer {
public:
  Issuer(const DeviceModel &model, const exec::Executable &exe, Stream stream)
      : model(model), exe(exe), stream(stream) {}
  ~Issuer();

  std::vector<DeviceAddress> buffers;  // by buffer number
  std::vector<int64_t> loops;          // present iteration by loop slot
  std::vector<char *> inputs, outputs; // in pinned memory
  DeviceAddress scratch = 0;
  bool synchronous = false;   // wait for every launch
  Profile *profile = nullptr; // time every launch

  DeviceAddress addressOf(const Window &window) const;
  /// Errors name the kernel.
  llvm::Error issue(llvm::ArrayRef<Op> ops);
  /// Adds the times of all launches since the last call to the profile; the
  /// stream must be idle.
  llvm::Error collectProfile();

private:
  Result copy(DeviceAddress from, DeviceAddress to, uint64_t bytes);
  llvm::Error launch(const Op &op);
  llvm::Error launchGrids(const Op &op, const exec::Kernel &kernel);
  llvm::Error record(size_t index);

  const DeviceModel &model;
  const exec::Executable &exe;
  Stream stream;
  std::vector<Event> events;   // two per launch
  std::vector<uint32_t> timed; // kernel by launch
};

} // namespace lathe::cuda

#endif // LATHE_LIB_RUNTIME_CUDA_ISSUE_H
