//===- RetypeFloats.h - One float type for a model --------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_RETYPEFLOATS_H
#define LATHE_TRANSFORMS_RETYPEFLOATS_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"

namespace lathe {
using namespace mlir;

/// Gives every float tensor of `module` elements of type `to`, constants (in
/// the text, rounded) and parameters included. Errors: a constant that is kept
/// outside of the text.
LogicalResult retypeFloats(ModuleOp module, FloatType to);

} // namespace lathe

#endif // LATHE_TRANSFORMS_RETYPEFLOATS_H
