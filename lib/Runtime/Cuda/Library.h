//===- Library.h - Shared libraries opened at run time -------- -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Shared libraries opened at run time, and where NVIDIA's may be.
#ifndef LATHE_LIB_RUNTIME_CUDA_LIBRARY_H
#define LATHE_LIB_RUNTIME_CUDA_LIBRARY_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace lathe::cuda {

/// A library that stays open for the life of the process: neither NVRTC nor the
/// driver survives being closed while a thread is still in it.
class Library {
public:
  /// Errors: what the loader says.
  static llvm::Expected<Library> open(const std::string &path);
  /// Null where it is not there.
  void *find(const char *symbol) const;
  /// Sets `function`; false where it is not there.
  template <typename T> bool get(const char *symbol, T &function) const {
    function = reinterpret_cast<T>(find(symbol));
    return function != nullptr;
  }
  /// The file that was opened.
  std::string path(const char *anySymbol) const;

private:
  void *handle = nullptr;
};

/// Files to try for a library of the toolkit, in order; a plain name means the
/// system's search path. `names`: "libnvrtc.so.13", "libnvrtc.so.12".
std::vector<std::string> toolkitCandidates(llvm::ArrayRef<const char *> names);

/// An environment variable, "" where it is not set.
std::string environment(const char *name);

} // namespace lathe::cuda

#endif // LATHE_LIB_RUNTIME_CUDA_LIBRARY_H
