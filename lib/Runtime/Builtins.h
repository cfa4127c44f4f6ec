//===- Builtins.h - The functions kernels may call ------------ -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The functions compiled kernels may call.
#ifndef LATHE_LIB_RUNTIME_BUILTINS_H
#define LATHE_LIB_RUNTIME_BUILTINS_H

#include "llvm/ADT/StringRef.h"

namespace lathe {
/// Address of the function of this name, null if it is not on the list.
void *findBuiltin(llvm::StringRef name);
} // namespace lathe

#endif // LATHE_LIB_RUNTIME_BUILTINS_H
