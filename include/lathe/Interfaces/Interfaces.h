//===- Interfaces.h - What a pass may ask an op -----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_INTERFACES_INTERFACES_H
#define LATHE_INTERFACES_INTERFACES_H

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

namespace lathe {
using namespace mlir;

enum class FusionKind { Elementwise, Reduction, Contraction, View, Opaque };
enum class LayoutRole { Agnostic, Sensitive, View };

} // namespace lathe

#include "lathe/Interfaces/Interfaces.h.inc"

#endif // LATHE_INTERFACES_INTERFACES_H
