//===- CodeMap.h - From addresses to lines of kernels -----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Where the simulated kernels are in memory, so that messages name lines.
#ifndef LATHE_LIB_RUNTIME_SIM_CODEMAP_H
#define LATHE_LIB_RUNTIME_SIM_CODEMAP_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <memory>
#include <string>
#include <vector>

namespace lathe::sim {

/// A section of an object, where it was loaded.
struct LoadedSection {
  std::string name;
  uintptr_t begin, end;
  bool code;
};

/// An object with simulated kernels is known as long as this lives.
class CodeRegistration {
public:
  CodeRegistration(llvm::StringRef object, std::vector<LoadedSection> sections);
  ~CodeRegistration();
  CodeRegistration(const CodeRegistration &) = delete;

  std::string object;
  std::vector<LoadedSection> sections;
};

/// "layer_norm.cu:23" for the innermost of the return addresses that is in the
/// text itself rather than in a header; empty where there is no line.
std::string lineOf(llvm::ArrayRef<void *> returnAddresses);
/// Every line of an address, the inlined calls around it included; two copies
/// of one place in the text have the same.
std::string placeOf(void *returnAddress);
/// Whether an address is in the data (constants, tables) of a loaded kernel.
bool isModuleData(uintptr_t address);
/// "tile" for the control variable of a __shared__ variable.
std::string nameOfVariable(const void *control);

} // namespace lathe::sim

#endif // LATHE_LIB_RUNTIME_SIM_CODEMAP_H
