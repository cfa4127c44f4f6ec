//===- Functions.h - What simulated kernels may call ---------- -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_LIB_RUNTIME_SIM_FUNCTIONS_H
#define LATHE_LIB_RUNTIME_SIM_FUNCTIONS_H

#include "llvm/ADT/STLFunctionalExtras.h"

namespace lathe {
using AddFunction = llvm::function_ref<void(const char *name, void *function)>;

/// The functions sim.cuh declares, and those the compiler calls for a text.
void addSimFunctions(AddFunction add);
/// Among them, the callbacks of -fsanitize=thread.
void addSimChecks(AddFunction add);
} // namespace lathe

#endif // LATHE_LIB_RUNTIME_SIM_FUNCTIONS_H
