//===- Reduction.td - Reductions, arg-reductions, scans along an axis -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_REDUCTION_TD
#define LATHE_REDUCTION_TD

include "dialects/Lathe/LatheBase.td"

class Lathe_ReduceOp<string mnemonic, Type type, string what> :
    Lathe_PureOp<mnemonic, [Fusible, SameOperandsAndResultElementType, Differentiable, AdaptsToLayout]> {
  let summary = what;
  let description = [{
    Over `axes` (all axes where empty); with `keepdims` the reduced dims stay as
    size 1. 16-bit floats accumulate in f32, integers in their own type, wrapping;
    an integer mean truncates. Over no elements the result is the neutral element:
    0, 1, the type's lowest or highest value, and for a mean NaN (integers: 0).
  }];
  let arguments = (ins type:$input, DenseI64ArrayAttr:$axes,
                       DefaultValuedAttr<BoolAttr, "false">:$keepdims);
  let results = (outs type:$result);
  let hasFolder = 1;
}
def ReduceSumOp : Lathe_ReduceOp<"reduce_sum", Lathe_NumericTensor, "sum over axes">;
def ReduceMeanOp : Lathe_ReduceOp<"reduce_mean", Lathe_NumericTensor, "mean over axes">;
def ReduceMaxOp : Lathe_ReduceOp<"reduce_max", Lathe_OrderedTensor, "maximum over axes; NaN wins; any for i1">;
def ReduceMinOp : Lathe_ReduceOp<"reduce_min", Lathe_OrderedTensor, "minimum over axes; NaN wins; all for i1">;
def ReduceProdOp : Lathe_ReduceOp<"reduce_prod", Lathe_NumericTensor, "product over axes">;

class Lathe_ArgReduceOp<string mnemonic, string what> :
    Lathe_PureOp<mnemonic, [FusibleKindOnly]> {
  let summary = what;
  let description = [{
    Of equal elements the first counts, the last with `select_last`. NaN beats every
    number. The axis must not be empty.
  }];
  let arguments = (ins Lathe_NumericTensor:$input, I64Attr:$axis,
                       DefaultValuedAttr<BoolAttr, "false">:$keepdims,
                       UnitAttr:$select_last);
  let results = (outs RankedTensorOf<[I64]>:$result);
}
def ArgMaxOp : Lathe_ArgReduceOp<"argmax", "index of the first (or last) maximum along an axis">;
def ArgMinOp : Lathe_ArgReduceOp<"argmin", "index of the first (or last) minimum along an axis">;

def CumSumOp : Lathe_PureOp<"cumsum", [FusibleKindOnly, Differentiable, SameOperandsAndResultElementType]> {
  let summary = "running sum along an axis";
  let description = [{
    Element i sums elements 0 to i, with `exclusive` those before i; `reverse` sums
    from the end.
  }];
  let arguments = (ins Lathe_NumericTensor:$input, I64Attr:$axis,
                       UnitAttr:$exclusive, UnitAttr:$reverse);
  let results = (outs Lathe_NumericTensor:$result);
}

def TopKOp : Lathe_PureOp<"top_k", [FusibleKindOnly, Differentiable]> {
  let summary = "the k largest (or smallest) along an axis, and their indices";
  let description = [{
    Sorted, best first; equal values keep the order of their indices. NaN counts
    as larger than every number.
  }];
  let arguments = (ins Lathe_NumericTensor:$input, I64Attr:$k,
                       DefaultValuedAttr<I64Attr, "-1">:$axis, UnitAttr:$smallest);
  let results = (outs Lathe_NumericTensor:$values, RankedTensorOf<[I64]>:$indices);
}

#endif // LATHE_REDUCTION_TD
