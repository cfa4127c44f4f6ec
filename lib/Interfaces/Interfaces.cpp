//===- Interfaces.cpp - What a pass may ask an op -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Interfaces/Interfaces.h"

namespace lathe {

StringRef stringifyFusionKind(FusionKind kind) {
  switch (kind) {
  case FusionKind::Elementwise:
    return "elementwise";
  case FusionKind::Reduction:
    return "reduction";
  case FusionKind::Contraction:
    return "contraction";
  case FusionKind::View:
    return "view";
  case FusionKind::Opaque:
    return "opaque";
  }
  return "opaque";
}

} // namespace lathe

#include "lathe/Interfaces/Interfaces.cpp.inc"
