//===- SessionBackend.h - What a session does on a device ----- -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What is the same for every device, and the two things that are not.
#ifndef LATHE_LIB_RUNTIME_SESSIONBACKEND_H
#define LATHE_LIB_RUNTIME_SESSIONBACKEND_H

#include "WeightBinder.h"
#include "lathe/Runtime/Session.h"
#include "lathe/Runtime/StateStore.h"

namespace lathe {

struct SessionBackend {
  virtual ~SessionBackend();
  /// Places the buffers and runs the load steps; called once, when all of the
  /// members below are set.
  virtual llvm::Error prepare() = 0;
  /// Inputs and outputs have been checked.
  virtual llvm::Error run(llvm::ArrayRef<TensorView> inputs,
                          llvm::ArrayRef<TensorView> outputs) = 0;

  /// The bytes of a buffer of the kind PERSISTENT; they stay where they are as
  /// long as the session.
  virtual llvm::Expected<llvm::StringRef> readPersistent(uint32_t buffer) = 0;

  const exec::Executable &executable() const;
  /// What the model's file holds for a buffer. Errors: other bytes than were
  /// written.
  llvm::Expected<llvm::StringRef>
  preparedBytes(const exec::Prepared &prepared) const;
  /// Where a buffer of the kind STATE lies.
  uint64_t addressOfState(const exec::Buffer &buffer) const;

  std::shared_ptr<LoadedModel> model;
  const exec::Program *program = nullptr;
  std::vector<TensorSpec> inputs, outputs;
  std::shared_ptr<ThreadPool> pool;
  WeightBinder weights;
  std::shared_ptr<StateStore> states;
  Profile profile;
  bool profiling = false;
  uint64_t maxWhileIterations = 0;
  bool progress = false;
  Session::Memory memory;
  std::vector<std::string> notes;
};

std::unique_ptr<SessionBackend> makeCpuBackend();
/// On the model's CUDA device.
std::unique_ptr<SessionBackend> makeCudaBackend();

/// States in the memory of the model's CUDA device.
std::shared_ptr<StateStore>
makeDeviceStates(std::shared_ptr<LoadedModel> model);

/// When each weight of a program is read: each is in memory from the first load
/// step that reads it to the last, so that preparing a model's weights takes
/// little more than the prepared copy.
struct WeightUses {
  static constexpr int kNever = -1;
  explicit WeightUses(const exec::Program &program);

  /// Buffers that load step i names, and that the steps of a run name.
  std::vector<std::vector<uint32_t>> loadSteps;
  std::vector<uint32_t> run;
  /// By weight: the last load step that reads it, their number if a run does,
  /// kNever.
  std::vector<int> lastUse;
};

/// The error of a check that fails for a window of integers in host memory.
llvm::Error checkWindow(const char *data, uint64_t bytes,
                        const exec::Check &check);
llvm::Error tooManyIterations(int64_t tripCount, uint64_t limit);
llvm::Error givenUpAfter(uint64_t iterations, llvm::StringRef loop = "");

} // namespace lathe

#endif // LATHE_LIB_RUNTIME_SESSIONBACKEND_H
