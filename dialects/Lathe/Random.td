//===- Random.td - Counter-based random numbers and dropout -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RANDOM_TD
#define LATHE_RANDOM_TD

include "dialects/Lathe/LatheBase.td"

// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011): the same inputs give the same numbers on every target.
defvar philox = [{
    `key` is tensor<2xi64>: seed and step. Element i takes word i % 4 of the Philox
    block with counter (i / 4, stream) and key seed ^ mix(step), mix being the
    finalizer of SplitMix64; ops that should differ have different `stream`s.
  }];
def RandomUniformOp : Lathe_PureOp<"random_uniform", [FusibleKindOnly]> {
  let summary = "uniform numbers in [low, high)";
  let description = philox;
  let arguments = (ins RankedTensorOf<[I64]>:$key, DenseI64ArrayAttr:$shape, TypeAttr:$dtype,
                       I64Attr:$stream, DefaultValuedAttr<F64Attr, "0.0">:$low,
                       DefaultValuedAttr<F64Attr, "1.0">:$high);
  let results = (outs Lathe_FloatTensor:$result);
  let hasVerifier = 1;
}
def RandomNormalOp : Lathe_PureOp<"random_normal", [FusibleKindOnly]> {
  let summary = "normal numbers (Box-Muller on Philox words)";
  let description = philox;
  let arguments = (ins RankedTensorOf<[I64]>:$key, DenseI64ArrayAttr:$shape, TypeAttr:$dtype,
                       I64Attr:$stream, DefaultValuedAttr<F64Attr, "0.0">:$mean,
                       DefaultValuedAttr<F64Attr, "1.0">:$stddev);
  let results = (outs Lathe_FloatTensor:$result);
  let hasVerifier = 1;
}
def DropoutOp : Lathe_PureOp<"dropout", [TrainingForm, FusibleKindOnly, Decomposable, Differentiable]> {
  let summary = "zeroes elements with probability `rate` and scales the rest by 1 / (1 - rate)";
  let description = "Keeps where `random_uniform` of the same key and stream is at least `rate`.";
  let arguments = (ins Lathe_FloatTensor:$input, RankedTensorOf<[I64]>:$key,
                       F64Attr:$rate, I64Attr:$stream);
  let results = (outs Lathe_FloatTensor:$result);
  let hasVerifier = 1;
}

#endif // LATHE_RANDOM_TD
