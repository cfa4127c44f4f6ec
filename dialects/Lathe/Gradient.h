//===- Gradient.h - Derivatives inside of a model ---------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_GRADIENT_H
#define LATHE_DIALECT_GRADIENT_H

#include "dialects/Lathe/Lathe.h"

#define GET_OP_CLASSES
#include "dialects/Lathe/Gradient.h.inc"

#endif // LATHE_DIALECT_GRADIENT_H
