//===- Contraction.td - Matrix products -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CONTRACTION_TD
#define LATHE_CONTRACTION_TD

include "dialects/Lathe/LatheBase.td"

def MatmulOp : Lathe_PureOp<"matmul", [Fusible, Differentiable, Quantizable]> {
  let summary = "batched matrix product";
  let description = [{
    `[..., m, k] x [..., k, n] -> [..., m, n]`; leading dims broadcast as in
    NumPy. `transpose_lhs` and `transpose_rhs` swap the last two dims first.
    16-bit floats accumulate in f32; integers in their own type, wrapping.
    Operands of 8-bit integers, signed or not, give i32, 8-bit floats f32.
  }];
  let arguments = (ins Lathe_FactorTensor:$lhs, Lathe_FactorTensor:$rhs,
                       UnitAttr:$transpose_lhs, UnitAttr:$transpose_rhs);
  let results = (outs Lathe_NumericTensor:$result);
}

def LinearOp : Lathe_PureOp<"linear", [Fusible, Differentiable, Quantizable]> {
  let summary = "x W^T + b, as in a dense layer";
  let description = [{
    `[..., k]`, weight `[n, k]` (the layout of public checkpoints), optional bias
    `[n]` -> `[..., n]`. Element types as for `matmul`; the bias has the result's.
  }];
  let arguments = (ins Lathe_FactorTensor:$input, Lathe_FactorTensor:$weight,
                       Optional<Lathe_NumericTensor>:$bias);
  let results = (outs Lathe_NumericTensor:$result);
}

defvar PackedTensor = RankedTensorOf<[F64, F32, F16, BF16, F8E4M3FN, I8, UI8]>;

def PackOp : Lathe_PureOp<"pack", [FusibleKindOnly]> {
  let summary = "the right-hand matrix of a contraction in panels of columns";
  let description = [{
    `[..., k, n] -> [..., ceil(n / panel), k, panel]`, zeros beyond column n;
    with `transposed` the input is `[..., n, k]`. Made by `lathe-pack-weights`
    and run once, when weights are loaded.

    With `interleave = i` above 1, i neighbours along k lie side by side, as
    instructions that sum several products take them:
    `[..., ceil(n / panel), ceil(k / i), panel, i]`, zeros beyond row k.

    `bits = 4` puts two of the input's elements (i8 in -8 to 7, as element + 8)
    into a byte, the first of them low: ui8
    `[..., ceil(n / panel), ceil(k / 2), panel]`.
  }];
  let arguments = (ins PackedTensor:$input, UnitAttr:$transposed,
                       DefaultValuedAttr<I64Attr, "32">:$panel,
                       DefaultValuedAttr<I64Attr, "1">:$interleave,
                       DefaultValuedAttr<I64Attr, "0">:$bits);
  let results = (outs PackedTensor:$result);
}

def PackedMatmulOp : Lathe_PureOp<"packed_matmul", [FusibleKindOnly]> {
  let summary = "matrix product with a packed right-hand side";
  let description = [{
    `[..., m, k] x pack([k, n]) -> [..., m, n]`, where `n` is given because the
    last panel may be padded. The packed side has no batch dims. Element types as
    for `matmul`.

    With `scale` the packed side holds integers, plain or of 4 bits, or 8-bit
    floats, that are multiplied by it where they are read:
    `[ceil(n / panel), ceil(k / group), panel]` of f32 or of bf16, one for every
    `group` rows of a column (`group = 0`: for all). The left-hand side and the result are f32.
  }];
  let arguments = (ins RankedTensorOf<[F64, F32, F16, BF16, F8E4M3FN, I8, UI8]>:$lhs,
                       PackedTensor:$packed, Optional<RankedTensorOf<[F32, BF16]>>:$scale,
                       I64Attr:$n, DefaultValuedAttr<I64Attr, "0">:$group);
  let results = (outs Lathe_NumericTensor:$result);
  let hasVerifier = 1;
  // Without scales.
  let builders = [
    OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$lhs,
                   "::mlir::Value":$packed, "int64_t":$n),
              "build($_builder, $_state, result, lhs, packed, ::mlir::Value(), n);">,
    OpBuilder<(ins "::mlir::Value":$lhs, "::mlir::Value":$packed, "int64_t":$n),
              "build($_builder, $_state, lhs, packed, ::mlir::Value(), n);">
  ];
}

#endif // LATHE_CONTRACTION_TD
