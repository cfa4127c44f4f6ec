//===- Loss.td - Training losses (composites) -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOSS_TD
#define LATHE_LOSS_TD

include "dialects/Lathe/LatheBase.td"

def CrossEntropyOp : Lathe_PureOp<"cross_entropy", [FusibleKindOnly, Decomposable, Differentiable]> {
  let summary = "-log softmax(logits)[label]";
  let description = [{
    Logits `[..., classes]`, labels `[...]`; the result has the labels' shape with
    `reduce none`, else rank 0. A row labelled `ignore_index` gives 0 and does not
    count in the divisor of `mean` (the default; NaN where no row counts). With
    `label_smoothing` s the loss is `(1 - s) * -log p[label] + s * mean(-log p)`.

    ```mlir
    %0 = lathe.cross_entropy %logits, %labels reduce sum {ignore_index = -100 : i64}
        : (tensor<8x10xf32>, tensor<8xi64>) -> tensor<f32>
    ```
  }];
  let arguments = (ins Lathe_FloatTensor:$logits, Lathe_IndexTensor:$labels,
                       DefaultValuedAttr<Lathe_LossReduction, "LossReduction::mean">:$reduction,
                       OptionalAttr<I64Attr>:$ignore_index,
                       DefaultValuedAttr<F64Attr, "0.0">:$label_smoothing);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = [{
    operands (`reduce` $reduction^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}
def LinearCrossEntropyOp : Lathe_PureOp<"linear_cross_entropy",
    [FusibleKindOnly, Decomposable, Differentiable]> {
  let summary = "cross_entropy of linear(input, weight, bias), in chunks of rows";
  let description = [{
    The loss is that of `cross_entropy %logits, %labels reduce mean` with
    `%logits = linear %input, %weight, %bias`; of the logits there are never more
    than those of `chunk` rows. Made by `lathe-chunk-losses`.

    Where they are used, the same loop over chunks also computes the loss's
    gradients by input, weight and bias (`d_...`; all results are f32 where
    operands are 16-bit floats). The rule of the loss hands them on, so that the
    logits are computed once (as Liger does: Hsu et al., arXiv 2410.10989; Wijmans
    et al., "Cut your losses", arXiv 2411.09009, does without the logits of even
    one chunk). Second derivatives, of the gradients themselves, take all logits
    at once. Where no row counts, or there is none, the loss is NaN and the
    gradients are 0.

    ```mlir
    %loss, %dx, %dw = lathe.linear_cross_entropy %x, %w, %labels {chunk = 64 : i64}
        : (tensor<8x64x768xf32>, tensor<50257x768xf32>, tensor<8x64xi64>)
        -> (tensor<f32>, tensor<8x64x768xf32>, tensor<50257x768xf32>)
    ```
  }];
  let arguments = (ins Lathe_FloatTensor:$input, Lathe_FloatTensor:$weight,
                       Lathe_IndexTensor:$labels, Optional<Lathe_FloatTensor>:$bias,
                       I64Attr:$chunk, OptionalAttr<I64Attr>:$ignore_index,
                       DefaultValuedAttr<F64Attr, "0.0">:$label_smoothing);
  let results = (outs Lathe_FloatTensor:$loss, Lathe_FloatTensor:$d_input,
                      Lathe_FloatTensor:$d_weight, Optional<Lathe_FloatTensor>:$d_bias);
  let hasVerifier = 1;
}
def MseOp : Lathe_PureOp<"mse", [FusibleKindOnly, Decomposable, Differentiable]> {
  let summary = "squared difference";
  let description = "Mean over all elements; `reduce sum` adds them up, `reduce none` keeps the shape.";
  let arguments = (ins Lathe_FloatTensor:$prediction, Lathe_FloatTensor:$target,
                       DefaultValuedAttr<Lathe_LossReduction, "LossReduction::mean">:$reduction);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = [{
    operands (`reduce` $reduction^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

#endif // LATHE_LOSS_TD
