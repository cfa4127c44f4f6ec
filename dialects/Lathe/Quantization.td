//===- Quantization.td - Quantize and dequantize -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_QUANTIZATION_TD
#define LATHE_QUANTIZATION_TD

include "dialects/Lathe/LatheBase.td"

def QuantizeOp : Lathe_PureOp<"quantize", [FusibleKindOnly, Decomposable]> {
  let summary = "saturate(round_half_even(x / scale) + zero_point)";
  let description = "`scale` and `zero_point` are rank 0, or rank 1 along `axis`. The zero point's type is the result's and says where it saturates.";
  let arguments = (ins Lathe_FloatTensor:$input, Lathe_FloatTensor:$scale, Lathe_IntTensor:$zero_point,
                       DefaultValuedAttr<I64Attr, "1">:$axis);
  let results = (outs Lathe_IntTensor:$result);
  let hasVerifier = 1;
}
def DequantizeOp : Lathe_PureOp<"dequantize", [FusibleKindOnly, Decomposable]> {
  let summary = "(q - zero_point) * scale";
  let description = "As for `quantize`; the scale's type is the result's. The difference does not wrap.";
  let arguments = (ins Lathe_IntTensor:$input, Lathe_FloatTensor:$scale, Lathe_IntTensor:$zero_point,
                       DefaultValuedAttr<I64Attr, "1">:$axis);
  let results = (outs Lathe_FloatTensor:$result);
  let hasVerifier = 1;
}

#endif // LATHE_QUANTIZATION_TD
