//===- ObjectLoader.h - Machine code into this process ----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_RUNTIME_OBJECTLOADER_H
#define LATHE_RUNTIME_OBJECTLOADER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>

namespace lathe {

/// Relocatable ELF objects in executable memory. Each object is a world of its
/// own: equal symbols of two objects do not meet, and undefined ones are
/// resolved from a fixed list of C, math and compiler-support functions, never
/// from the process at large.
class ObjectLoader {
public:
  ObjectLoader();
  ~ObjectLoader(); ///< unmaps the code
  ObjectLoader(const ObjectLoader &) = delete;
  ObjectLoader &operator=(const ObjectLoader &) = delete;

  /// Links `object`; `name` is what errors call it. The bytes are not needed
  /// afterwards. Errors: not an object for this machine, a symbol that is not
  /// on the list.
  llvm::Error add(llvm::StringRef object, llvm::StringRef name);
  /// Address of a global symbol of the object added as number `index`; null
  /// where it has none of that name.
  void *lookup(size_t index, llvm::StringRef symbol) const;

  /// The functions objects may call.
  static bool provides(llvm::StringRef symbol);

private:
  struct Impl;
  std::unique_ptr<Impl> impl;
};

/// Checks that this processor has every one of `features` (LLVM's names, with
/// or without a leading "+"), and asks the system for those it hands out only
/// on request (AMX tiles). The error names all that are missing.
llvm::Error checkCpuFeatures(llvm::ArrayRef<std::string> features);

} // namespace lathe

#endif // LATHE_RUNTIME_OBJECTLOADER_H
