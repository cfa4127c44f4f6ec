//===- LatheOps.td - All op families -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

include "dialects/Lathe/Elementwise.td"
include "dialects/Lathe/Reduction.td"
include "dialects/Lathe/Contraction.td"
include "dialects/Lathe/Attention.td"
include "dialects/Lathe/Convolution.td"
include "dialects/Lathe/Shape.td"
include "dialects/Lathe/Indexing.td"
include "dialects/Lathe/Normalization.td"
include "dialects/Lathe/Loss.td"
include "dialects/Lathe/Random.td"
include "dialects/Lathe/Quantization.td"
include "dialects/Lathe/Parameter.td"
include "dialects/Lathe/Control.td"
include "dialects/Lathe/Gradient.td"
