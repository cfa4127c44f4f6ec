//===- Passes.h - Passes of training ----------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_AUTODIFF_PASSES_H
#define LATHE_AUTODIFF_PASSES_H

#include "mlir/Pass/Pass.h"

namespace lathe {
using namespace mlir;

#define GEN_PASS_DECL
#include "lathe/Autodiff/Passes.h.inc"

/// Declares registerLatheAutodiffPasses() and one function per pass.
#define GEN_PASS_REGISTRATION
#include "lathe/Autodiff/Passes.h.inc"

} // namespace lathe

#endif // LATHE_AUTODIFF_PASSES_H
