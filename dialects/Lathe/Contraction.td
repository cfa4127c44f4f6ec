//===- Contraction.td - Matrix products -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CONTRACTION_TD
#define LATHE_CONTRACTION_TD

include "dialects/Lathe/LatheBase.td"

def MatmulOp : Lathe_PureOp<"matmul", [Fusible, Differentiable, SameOperandsAndResultElementType]> {
  let summary = "batched matrix product";
  let description = [{
    `[..., m, k] x [..., k, n] -> [..., m, n]`; leading dims broadcast as in
    NumPy. `transpose_lhs` and `transpose_rhs` swap the last two dims first.
    16-bit floats accumulate in f32; integers in their own type, wrapping.
  }];
  let arguments = (ins Lathe_NumericTensor:$lhs, Lathe_NumericTensor:$rhs,
                       UnitAttr:$transpose_lhs, UnitAttr:$transpose_rhs);
  let results = (outs Lathe_NumericTensor:$result);
}

def LinearOp : Lathe_PureOp<"linear", [Fusible, Differentiable, SameOperandsAndResultElementType]> {
  let summary = "x W^T + b, as in a dense layer";
  let description = [{
    `[..., k]`, weight `[n, k]` (the layout of public checkpoints), optional bias
    `[n]` -> `[..., n]`.
  }];
  let arguments = (ins Lathe_NumericTensor:$input, Lathe_NumericTensor:$weight,
                       Optional<Lathe_NumericTensor>:$bias);
  let results = (outs Lathe_NumericTensor:$result);
}

def PackOp : Lathe_PureOp<"pack", [FusibleKindOnly]> {
  let summary = "the right-hand matrix of a contraction in panels of columns";
  let description = [{
    `[..., k, n] -> [..., ceil(n / panel), k, panel]`, zeros beyond column n;
    with `transposed` the input is `[..., n, k]`. Made by `lathe-pack-weights`
    and run once, when weights are loaded.
  }];
  let arguments = (ins Lathe_FloatTensor:$input, UnitAttr:$transposed,
                       DefaultValuedAttr<I64Attr, "32">:$panel);
  let results = (outs Lathe_FloatTensor:$result);
}

def PackedMatmulOp : Lathe_PureOp<"packed_matmul", [FusibleKindOnly]> {
  let summary = "matrix product with a packed right-hand side";
  let description = [{
    `[..., m, k] x pack([k, n]) -> [..., m, n]`, where `n` is given because the
    last panel may be padded. The packed side has no batch dims.
  }];
  let arguments = (ins Lathe_FloatTensor:$lhs, Lathe_FloatTensor:$packed, I64Attr:$n);
  let results = (outs Lathe_FloatTensor:$result);
  let hasVerifier = 1;
}

#endif // LATHE_CONTRACTION_TD
