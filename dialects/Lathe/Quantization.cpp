//===- Quantization.cpp - Quantization ops -------------------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

#define GET_OP_CLASSES
#include "dialects/Lathe/Quantization.cpp.inc"
