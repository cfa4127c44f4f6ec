//===- CudaBackend.h - A module of kernels to an Executable of CUDA text --===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_CUDA_CUDABACKEND_H
#define LATHE_TARGET_CUDA_CUDABACKEND_H

#include "lathe/Target/CompileKernels.h"
#include "lathe/Target/Cuda/Schedule.h"
#include "llvm/ADT/StringMap.h"

#include <functional>

namespace lathe::cuda {

/// A header that texts include, part of this binary.
struct DeviceHeader {
  llvm::StringLiteral name; ///< "lathe/device.cuh"
  llvm::StringLiteral text;
};
ArrayRef<DeviceHeader> getDeviceHeaders();

/// A cubin, or object code for the host.
struct KernelCode {
  std::string bytes;
  std::vector<std::string> warnings;
  /// What a grid takes, by its symbol; empty for the host.
  struct Resources {
    unsigned registers = 0;
    uint64_t sharedBytes = 0, spillBytes = 0;
  };
  llvm::StringMap<Resources> resources;
};

/// Makes code of a kernel's text. Called by several threads at once.
using MakeCodeFn =
    std::function<llvm::Expected<KernelCode>(StringRef name, StringRef text)>;

struct BackendOptions : KernelCompileOptions {
  /// Target cuda-sim: texts get the wrapper that the simulator calls.
  bool simulate = false;
  GpuFeatures features;
  /// "sm_90a"; empty for cuda-sim.
  std::string arch;
  MakeCodeFn makeCode;
  /// Everything besides the text that decides what makeCode makes: versions,
  /// options.
  std::string codeIdentity;
  /// A folder with edited texts, NAME.cu, that stand in for generated ones.
  std::string sourceFolder;
};

/// Adds one program for `entry` to `executable`, as compileForCpu does. Errors
/// are diagnostics at the op.
LogicalResult compileForCuda(func::FuncOp entry, const BackendOptions &options,
                             exec::Executable &executable,
                             BackendStatistics *statistics = nullptr);

/// A distinct kernel of a module as text.
struct NamedText {
  std::string name; ///< its first grid's symbol; the file is called NAME.cu
  std::string schedule;
  KernelText kernel;
};

/// The text of every distinct kernel of `module`, in program order, or the
/// edited one in `sourceFolder`; failure after a diagnostic.
FailureOr<std::vector<NamedText>> getKernelTexts(ModuleOp module,
                                                 const GpuFeatures &features,
                                                 StringRef sourceFolder = "");

} // namespace lathe::cuda

#endif // LATHE_TARGET_CUDA_CUDABACKEND_H
