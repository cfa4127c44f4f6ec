//===- ElementwiseFold.cpp - Folding of elementwise ops -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/ElementwiseOps.h"
#include "dialects/Lathe/Inference.h"

namespace lathe {

#define LATHE_ELEMENTWISE_FOLD(OP)                                             \
  OpFoldResult OP::fold(FoldAdaptor adaptor) { return {}; }
LATHE_ELEMENTWISE_OPS(LATHE_ELEMENTWISE_FOLD)
#undef LATHE_ELEMENTWISE_FOLD

} // namespace lathe
