//===- Quantization.td - Quantize and dequantize -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_QUANTIZATION_TD
#define LATHE_QUANTIZATION_TD

include "dialects/Lathe/LatheBase.td"

// What these ops share: the numbers q stand for (q - zero_point) * scale.
class Lathe_QuantizationOp<string mnemonic, list<Trait> traits = []> :
    Lathe_PureOp<mnemonic, !listconcat([FusibleKindOnly, Decomposable, AdaptsToLayout], traits)> {
  dag parameters = (ins Lathe_FloatTensor:$scale, Lathe_QuantizedTensor:$zero_point,
                        DefaultValuedAttr<I64Attr, "1">:$axis,
                        DefaultValuedAttr<I64Attr, "0">:$group,
                        OptionalAttr<TypeAttr>:$storage);
  let hasVerifier = 1;
}

def QuantizeOp : Lathe_QuantizationOp<"quantize"> {
  let summary = "saturate(round_half_even(x / scale) + zero_point)";
  let description = [{
    `scale` and `zero_point` have one shape:
    - rank 0: one for all elements;
    - rank 1: one for each place along `axis`;
    - the input's rank, every dim 1 or as the input's: broadcast as in NumPy, such
      as one scale per row;
    - the input's rank with `group` above 0: as before, but along `axis` one for
      every `group` elements, the last group may be shorter.

    The zero point's type is the result's. `storage` says which of its numbers are
    used, where that is not all, and so where the result saturates:
    `!quant.any<i8<-127:127>:f32>`, `!quant.any<i4<-7:7>:f32>`. Numbers of 4 bits
    stand in bytes; packed weights hold two in one.

    With a zero point of f8E4M3FN, usually 0, the result is x / scale + zero_point
    rounded to the nearest 8-bit float, half to even, which saturates at 448; NaN
    stays NaN.

    ```mlir
    %q = lathe.quantize %w, %s, %z {axis = 1 : i64, group = 32 : i64, storage = !quant.any<i4<-7:7>:f32>}
        : (tensor<384x1536xf32>, tensor<384x48xf32>, tensor<384x48xi8>) -> tensor<384x1536xi8>
    ```
  }];
  let arguments = !con((ins Lathe_FloatTensor:$input), parameters);
  let results = (outs Lathe_QuantizedTensor:$result);
}
def DequantizeOp : Lathe_QuantizationOp<"dequantize", [
    DeclareOpInterfaceMethods<ScalableOpInterface, ["isCheapToRepeat"]>]> {
  let summary = "(q - zero_point) * scale";
  let description = "As for `quantize`; the scale's type is the result's. The difference does not wrap.";
  let arguments = !con((ins Lathe_QuantizedTensor:$input), parameters);
  let results = (outs Lathe_FloatTensor:$result);
}
def FakeQuantizeOp : Lathe_QuantizationOp<"fake_quantize", [StraightThrough]> {
  let summary = "dequantize(quantize(x)), for quantization-aware training";
  let description = [{
    Operands and attributes as for `quantize`. The gradient goes straight through
    the rounding: it is that of clamp(x), so 0 for x and not for the scale where x
    is outside of what the stored numbers reach.
  }];
  let arguments = !con((ins Lathe_FloatTensor:$input), parameters);
  let results = (outs Lathe_FloatTensor:$result);
}

#endif // LATHE_QUANTIZATION_TD
