//===- Session.h - Running a compiled model ---------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   auto model = LoadedModel::load(executable);
//   auto session = Session::create(*model, /*program=*/0, weights, {});
//   auto outputs = (*session)->run(inputs);
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_RUNTIME_SESSION_H
#define LATHE_RUNTIME_SESSION_H

#include "lathe/Executable/EmbeddedData.h"
#include "lathe/Runtime/Profile.h"
#include "lathe/Runtime/StateStore.h"
#include "lathe/Runtime/WeightSource.h"
#include "lathe/Support/Tensor.h"

namespace lathe {

namespace exec {
class Executable;
class Program;
} // namespace exec

class ThreadPool;
struct SessionBackend;
namespace cuda {
class DeviceModel;
}

/// A kernel's machine code; see `Kernel` in Executable.proto.
using KernelFunction = void (*)(void **args, void *scratch, int64_t begin,
                                int64_t end);

/// Leaves only the code that this machine is to run: for the most demanding
/// instruction set that it has, or for `isa`. Errors: no code for `isa`, or
/// this processor does not run it.
llvm::Error chooseCode(exec::Executable &executable, llvm::StringRef isa = "");

/// An Executable whose code is in memory, shared by the sessions of all its
/// programs.
class LoadedModel {
public:
  /// The executable must have passed verifyExecutable. Target cuda: on device 0
  /// (the system's CUDA_VISIBLE_DEVICES chooses it); what is compiled for
  /// another architecture is compiled again, where NVRTC is there. Target cpu:
  /// chooseCode chooses, where there is a choice. Errors: made
  /// for another processor, code that does not link, no driver or device.
  /// `data`: the weights in the executable's file, from readExecutable.
  static llvm::Expected<std::shared_ptr<LoadedModel>>
  load(std::shared_ptr<const exec::Executable> executable,
       EmbeddedData data = {});
  ~LoadedModel();

  const exec::Executable &executable() const { return *exe; }
  KernelFunction kernel(size_t index) const { return kernels[index]; }
  /// The constants, 64-byte aligned.
  char *constants() const { return static_cast<char *>(constantBytes.data()); }
  const EmbeddedData &data() const { return embedded; }
  /// Where the code of target cuda is; null for the others.
  cuda::DeviceModel *onDevice() const { return device.get(); }

private:
  LoadedModel();
  std::shared_ptr<const exec::Executable> exe;
  std::unique_ptr<class ObjectLoader> loader;
  std::vector<KernelFunction> kernels;
  Tensor constantBytes;
  EmbeddedData embedded;
  std::shared_ptr<cuda::DeviceModel> device;
};

struct SessionOptions {
  unsigned threads = 0; ///< 0: as many as the process may use
  uint64_t seed = 0;    ///< of parameters made by their initializers
  bool profile = false; ///< measure every launch
  /// Where weights files are given, a parameter that is in none of them is an
  /// error unless this says to start it from its initializer.
  bool initializeMissing = false;
  /// A `while` that runs longer is given up with an error; a loop that is known
  /// to run longer is not begun.
  uint64_t maxWhileIterations = 100'000'000;
  /// Say on stderr how far a `while` is that has run for two seconds.
  bool progress = false;
  /// To share between sessions; null makes one of `threads` threads.
  std::shared_ptr<ThreadPool> pool;
  /// The mutable parameters, to share between sessions; null makes a store that
  /// is this session's own.
  std::shared_ptr<StateStore> states;
};

/// One program of a model with its weights and memory, on the processor or on a
/// CUDA device. Not for several threads at once.
class Session {
public:
  /// Binds the weights and runs the program's load steps. Every parameter that
  /// is missing or does not fit is in the one error that comes back.
  static llvm::Expected<std::unique_ptr<Session>>
  create(std::shared_ptr<LoadedModel> model, unsigned program,
         WeightSource &weights, const SessionOptions &options);
  ~Session();

  llvm::ArrayRef<TensorSpec> inputs() const;
  llvm::ArrayRef<TensorSpec> outputs() const;

  /// Inputs in the order of `inputs()`; results likewise. Errors: number, type
  /// or shape of an input, a failed check of the program.
  llvm::Expected<std::vector<Tensor>> run(llvm::ArrayRef<TensorView> inputs);
  /// The same into tensors of the caller, which must not overlap the inputs.
  llvm::Error run(llvm::ArrayRef<TensorView> inputs,
                  llvm::ArrayRef<TensorView> outputs);

  /// The mutable parameters that the session's runs read and write.
  const std::shared_ptr<StateStore> &states() const;

  /// Empty kernels unless asked for in the options.
  Profile &profile();
  /// What the user may want to know: "all keys carry the prefix 'bert.'".
  llvm::ArrayRef<std::string> notes() const;

  struct Memory {
    uint64_t arena = 0;      ///< intermediate values
    uint64_t persistent = 0; ///< made by the load steps
    uint64_t weights = 0;    ///< read from files while running
    uint64_t scratch = 0;    ///< of all threads
    uint64_t states = 0;     ///< mutable parameters of this program
  };
  Memory memory() const;

  /// Changes `program`, a copy of this session's, so that it takes what was
  /// prepared and the weights that runs read from the executable's data, which
  /// is to be `pieces`, in this order. They live as long as the session. States
  /// stay bound by name.
  llvm::Error embedWeights(exec::Program &program,
                           std::vector<llvm::StringRef> &pieces);

private:
  Session();
  std::unique_ptr<SessionBackend> backend;
};

} // namespace lathe

#endif // LATHE_RUNTIME_SESSION_H
