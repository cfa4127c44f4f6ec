//===- Normalization.td - Softmax and normalization layers (composites) -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_NORMALIZATION_TD
#define LATHE_NORMALIZATION_TD

include "dialects/Lathe/LatheBase.td"

class Lathe_SoftmaxOp<string mnemonic, string what> :
    Lathe_PureOp<mnemonic, [FusibleKindOnly, Decomposable, Differentiable, SameOperandsAndResultElementType]> {
  let summary = what;
  let arguments = (ins Lathe_FloatTensor:$input, DefaultValuedAttr<I64Attr, "-1">:$axis);
  let results = (outs Lathe_FloatTensor:$result);
}
def SoftmaxOp : Lathe_SoftmaxOp<"softmax", "exp(x - max) / sum, along an axis">;
def LogSoftmaxOp : Lathe_SoftmaxOp<"log_softmax", "x - max - log(sum(exp(x - max))), along an axis">;

def LayerNormOp : Lathe_PureOp<"layer_norm", [FusibleKindOnly, Decomposable, Differentiable, AttrSizedOperandSegments]> {
  let summary = "(x - mean) / sqrt(var + epsilon) * scale + bias over the dims from `axis` on";
  let description = "`scale` and `bias` have (or broadcast to) the shape of the normalized dims. 16-bit floats compute in f32.";
  let arguments = (ins Lathe_FloatTensor:$input, Optional<Lathe_FloatTensor>:$scale,
                       Optional<Lathe_FloatTensor>:$bias,
                       DefaultValuedAttr<I64Attr, "-1">:$axis,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$epsilon);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = [{
    $input (`scale` $scale^)? (`bias` $bias^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}
def RmsNormOp : Lathe_PureOp<"rms_norm", [FusibleKindOnly, Decomposable, Differentiable]> {
  let summary = "x / sqrt(mean(x^2) + epsilon) * scale over the last dim";
  let description = "`scale` broadcasts to the last dim. 16-bit floats compute in f32.";
  let arguments = (ins Lathe_FloatTensor:$input, Optional<Lathe_FloatTensor>:$scale,
                       DefaultValuedAttr<F64Attr, "1.0e-6">:$epsilon);
  let results = (outs Lathe_FloatTensor:$result);
  let hasVerifier = 1;
}
def BatchNormOp : Lathe_PureOp<"batch_norm", [FusibleKindOnly, Decomposable, Differentiable, AdaptsToLayout]> {
  let summary = "(x - mean) / sqrt(variance + epsilon) * scale + bias per channel, with given statistics";
  let description = "Scale, bias, mean and variance have rank 1, the size of `axis`. 16-bit floats compute in f32.";
  let arguments = (ins Lathe_FloatTensor:$input, Lathe_FloatTensor:$scale, Lathe_FloatTensor:$bias,
                       Lathe_FloatTensor:$mean, Lathe_FloatTensor:$variance,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$epsilon,
                       DefaultValuedAttr<I64Attr, "1">:$axis);
  let results = (outs Lathe_FloatTensor:$result);
  let hasVerifier = 1;
}
def BatchNormTrainingOp : Lathe_PureOp<"batch_norm_training", [FusibleKindOnly, Decomposable, Differentiable, TrainingForm]> {
  let summary = "batch norm with the batch's own statistics, and running ones for inference";
  let description = [{
    `(x - mean) / sqrt(variance + epsilon) * scale + bias` per channel of `axis`,
    where mean and variance are those of `input` over all other dims. The other
    two results are the statistics that inference uses: `(1 - momentum) * old +
    momentum * new`, the new variance times n / (n - 1) for n elements per channel
    unless `biased` (PyTorch's BatchNorm; ONNX counts its momentum from the other
    end and is `biased`). Scale, bias and statistics have rank 1, the size of
    `axis`. 16-bit floats compute in f32. `lathe-inference-mode` makes a
    `batch_norm` with the old statistics of it.

    ```mlir
    %y, %m, %v = lathe.batch_norm_training %x, %scale, %bias, %mean, %var {momentum = 0.1}
        : (tensor<8x16x4x4xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>)
        -> (tensor<8x16x4x4xf32>, tensor<16xf32>, tensor<16xf32>)
    lathe.set_parameter @mean, %m : tensor<16xf32>
    lathe.set_parameter @var, %v : tensor<16xf32>
    ```
  }];
  let arguments = (ins Lathe_FloatTensor:$input, Lathe_FloatTensor:$scale, Lathe_FloatTensor:$bias,
                       Lathe_FloatTensor:$mean, Lathe_FloatTensor:$variance,
                       DefaultValuedAttr<F64Attr, "0.1">:$momentum,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$epsilon,
                       DefaultValuedAttr<I64Attr, "1">:$axis, UnitAttr:$biased);
  let results = (outs Lathe_FloatTensor:$result, Lathe_FloatTensor:$new_mean,
                      Lathe_FloatTensor:$new_variance);
  let hasVerifier = 1;
}

#endif // LATHE_NORMALIZATION_TD
