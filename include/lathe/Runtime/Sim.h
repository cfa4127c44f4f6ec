//===- Sim.h - CUDA kernels on the host -------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The target cuda-sim: the text of a CUDA kernel is compiled by the host's
// clang and run block by block; docs/cuda.md describes what is simulated and
// checked.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_RUNTIME_SIM_H
#define LATHE_RUNTIME_SIM_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>

namespace lathe {

/// A header a text may include as "lathe/NAME".
struct SimHeader {
  llvm::StringRef name; ///< "device.cuh"
  llvm::StringRef text;
};

struct SimText {
  llvm::StringRef name; ///< what messages call it: "layer_norm.cu"
  llvm::StringRef text;
  llvm::ArrayRef<SimHeader> headers;
  bool checked = true; ///< instrument memory accesses
};

/// Compiles a text and its wrapper to a relocatable ELF object for this
/// machine. May run in several threads at once. Errors: no clang (the sentence
/// says what to install), an unknown header, the compiler's own messages, with
/// the lines of `text`.
llvm::Expected<std::string> compileForHost(const SimText &text);

/// The clang that compileForHost calls: $LATHE_HOST_CXX, the compiler Lathe was
/// built with, clang++-19 or clang++ in $PATH.
llvm::Expected<std::string> findHostCompiler();

/// Blocks and threads start in an order made from this number; 0 is the natural
/// order. The default is $LATHE_SIM_SEED, or 1.
void setSimSeed(uint64_t seed);

/// What went wrong in a launch with these arguments since the last call, or, of
/// null, in any launch. A launch that met an error does nothing more.
llvm::Error takeSimError(const void *args = nullptr);

/// One pointer argument; LatheSimArgument in sim.cuh.
struct SimArgument {
  int64_t bytes;
  uint32_t elementBytes;
  uint32_t alignment; ///< what the text relies on; 0: 256 bytes
  uint32_t output;
  uint32_t partial; ///< an output that may keep elements nobody wrote
};

/// A launch as the wrapper of a kernel describes it; LatheSimLaunch in sim.cuh.
struct SimLaunch {
  uint32_t structBytes;
  uint32_t checked;
  const char *kernel;
  uint32_t grid[3], block[3], cluster[3];
  uint32_t dynamicShared;
  uint32_t fibers;
  uint32_t number, grids;
  uint32_t argumentCount;
  const SimArgument *arguments;
  int64_t scratchBytes;
};

} // namespace lathe

/// Runs the blocks [begin, end) of a grid. Wrappers call it.
extern "C" void lathe_sim_launch(const lathe::SimLaunch *launch,
                                 void (*kernel)(void **args), void **args,
                                 void *scratch, int64_t begin, int64_t end);

#endif // LATHE_RUNTIME_SIM_H
