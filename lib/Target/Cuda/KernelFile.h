//===- KernelFile.h - The frame of a kernel's text --------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_KERNELFILE_H
#define LATHE_LIB_TARGET_CUDA_KERNELFILE_H

#include "CodeWriter.h"
#include "lathe/Target/Cuda/Schedule.h"

namespace lathe::cuda {

/// The text of one kernel in the making: a headline with the ops it came from,
/// then its grids.
class KernelFile {
public:
  /// `headers` beside device.cuh: "gemm.cuh".
  KernelFile(KernelOp kernel, StringRef symbol,
             ArrayRef<StringRef> headers = {});

  /// Opens the function of the next grid; the launch's symbol is filled in.
  /// `comment` says in a line what the grid does. With `minBlocks` a thread
  /// gets no more registers than let so many blocks run on a multiprocessor.
  void openGrid(GridLaunch launch, StringRef comment, int64_t minBlocks = 0);
  void closeGrid();

  /// Names of the buffers: "in0", "out0".
  static std::string input(unsigned index) {
    return "in" + std::to_string(index);
  }
  static std::string output(unsigned index) {
    return "out" + std::to_string(index);
  }

  KernelText take(int64_t scratchBytes);

  CodeWriter writer;

private:
  KernelOp kernel;
  std::string symbol;
  std::vector<GridLaunch> grids;
  /// Where the scratch argument of each grid belongs.
  static constexpr const char *scratchMark = "/*scratch*/";
};

/// Bytes that the buffer of an argument of this type is aligned to. The
/// device's buffers begin at multiples of 256, but an argument may be a layer
/// of a stacked tensor: what divides its size divides where it begins.
int64_t getArgumentAlignment(RankedTensorType type);

/// Blocks of `threads` for `items` threads in all.
GridLaunch flatLaunch(int64_t items, int64_t threads = 256);

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_KERNELFILE_H
