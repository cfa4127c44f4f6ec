//===- CudaNvrtc.h - CUDA C++ to machine code in place ----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// NVRTC, opened at run time: nothing here needs it to build, and a machine
// without it gets a sentence that says so.
//
//   auto nvrtc = cuda::Nvrtc::load();
//   auto cubins = (*nvrtc)->compileAll(requests, threads, &cache);
//
// The text gets no default include path: it sees the headers of its request
// and nothing else.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_RUNTIME_CUDANVRTC_H
#define LATHE_RUNTIME_CUDANVRTC_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace lathe {
class DiskCache;
}

namespace lathe::cuda {

/// A header by the name that texts include it by. Views: the caller keeps the
/// characters alive.
struct TextHeader {
  llvm::StringRef name; ///< "lathe/device.cuh"
  llvm::StringRef text;
};

struct CubinRequest {
  std::string text;
  std::string name;   ///< what errors call the text: "fused_softmax.cu"
  std::string origin; ///< for errors: "lathe.softmax at model.mlir:7"; or ""
  std::vector<TextHeader> headers;
  std::string arch = "sm_90a";
  /// Further options of NVRTC, such as "--maxrregcount=128".
  std::vector<std::string> options;
  /// Lines of the text in the machine code, for profilers and
  /// compute-sanitizer; costs no registers.
  bool lineInfo = true;
};

/// What one function of the machine code takes, as ptxas reports it.
struct KernelResources {
  std::string symbol;
  bool entry = false;         ///< a __global__ function
  unsigned registers = 0;     ///< per thread; 0 unless `entry`
  unsigned barriers = 0;      ///< of the 16 of a block
  uint64_t sharedBytes = 0;   ///< static, per block
  uint64_t constantBytes = 0; ///< constant banks, parameters included
  uint64_t stackBytes = 0;    ///< local memory per thread
  uint64_t spillStoreBytes = 0, spillLoadBytes = 0;
  double milliseconds = 0; ///< that ptxas took for it
};

/// One thing NVRTC or ptxas had to say.
struct CubinWarning {
  enum class Kind {
    Source,     ///< about the text
    Assembler,  ///< a warning of ptxas
    Serialized, ///< C7508, C7510, C7511 and their like: wgmma one at a time
    Spill       ///< registers that went to memory
  };
  Kind kind;
  std::string text; ///< one line
};

struct Cubin {
  std::string bytes; ///< an ELF file for exactly the architecture asked for
  std::string log;   ///< as NVRTC wrote it
  std::vector<KernelResources> functions;
  std::vector<CubinWarning> warnings;
  double seconds = 0; ///< of this call, looking into the cache included
  bool fromCache = false;
};

/// Reads what `--ptxas-options=-v` and the front end wrote. Lines it does not
/// know are left alone.
void parseCompileLog(llvm::StringRef log,
                     std::vector<KernelResources> &functions,
                     std::vector<CubinWarning> &warnings);

class Nvrtc {
public:
  /// Opens the library once per process. Looks, in this order, at
  ///   LATHE_NVRTC   a file or a folder; nothing else is tried where it is set
  ///   CUDA_HOME, CUDA_PATH   and their folders lib64 and lib
  ///   /usr/local/cuda, then /usr/local/cuda-*, the newest first
  ///   the system's search path
  ///   .venv of the source tree that the program was built in
  /// for libnvrtc.so.13 and .12. Errors: a sentence with every place.
  static llvm::Expected<std::shared_ptr<Nvrtc>> load();
  ~Nvrtc();

  /// "13.0".
  std::string version() const;
  const std::string &path() const { return file; }
  /// "sm_75", "sm_80", ...: without the forms that end in a letter.
  std::vector<std::string> architectures() const;

  /// Not limited to one thread at a time. `cache` may be null. Errors: an
  /// architecture NVRTC does not know, and what it finds wrong with the text,
  /// with the lines around it.
  llvm::Expected<Cubin> compile(const CubinRequest &request, DiskCache *cache);

  /// One program per request, `threads` at a time (0: as many as the process
  /// may use). Every request that fails is in the one error that comes back.
  /// `progress` gets (done, all) and is called by one thread at a time.
  llvm::Expected<std::vector<Cubin>>
  compileAll(llvm::ArrayRef<CubinRequest> requests, unsigned threads,
             DiskCache *cache,
             llvm::function_ref<void(unsigned, unsigned)> progress = nullptr);

private:
  Nvrtc();
  llvm::Error open(const std::string &path);
  llvm::Expected<Cubin> build(const CubinRequest &request);
  std::vector<std::string> optionsFor(const CubinRequest &request) const;
  std::string cacheKey(const CubinRequest &request) const;

  struct Table;
  std::unique_ptr<Table> table;
  std::string file;
  uint64_t fileBytes = 0; // tells builds of one version apart
  int major = 0, minor = 0;
  std::mutex cacheMutex; // DiskCache::put is for one thread at a time
};

} // namespace lathe::cuda

#endif // LATHE_RUNTIME_CUDANVRTC_H
