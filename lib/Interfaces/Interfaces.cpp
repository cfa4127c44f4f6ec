//===- Interfaces.cpp - What a pass may ask an op -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Interfaces/Interfaces.h"

#include "lathe/Interfaces/Interfaces.cpp.inc"
