//===- EmbeddedData.h - Weights in a compiled model -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_EXECUTABLE_EMBEDDEDDATA_H
#define LATHE_EXECUTABLE_EMBEDDEDDATA_H

#include "lathe/Support/MappedFile.h"

namespace lathe {

/// The weights that stand in a compiled model's file.
struct EmbeddedData {
  std::shared_ptr<MappedFile> file; ///< null: there are none
  uint64_t offset = 0;              ///< of the data in the file
};

} // namespace lathe

#endif // LATHE_EXECUTABLE_EMBEDDEDDATA_H
