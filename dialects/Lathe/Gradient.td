//===- Gradient.td - Derivatives inside of a model -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_GRADIENT_TD
#define LATHE_GRADIENT_TD

include "dialects/Lathe/LatheBase.td"

def GradientOp : Lathe_PureOp<"gradient"> {
  let summary = "the derivative of a value by others it was computed from";
  let description = [{
    One result per tensor of `by`, of its type: the derivative of `value`, which has
    one element, by it. Of the ops between them, those that `value` depends on
    count; where it does not depend on a tensor, that result is zeros.
    `lathe-expand-gradients` puts the backward part in its place. Stands in the
    block where `value` is computed.

    ```mlir
    %y = lathe.mul %a, %b : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %da, %db = lathe.gradient %y, %a, %b
        : (tensor<f32>, tensor<f32>, tensor<f32>) -> (tensor<f32>, tensor<f32>)
    ```
  }];
  let arguments = (ins Lathe_FloatTensor:$value, Variadic<Lathe_FloatTensor>:$by);
  let results = (outs Variadic<Lathe_FloatTensor>:$results);
  let hasVerifier = 1;
}

#endif // LATHE_GRADIENT_TD
