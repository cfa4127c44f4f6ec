//===- Indexing.td - Gather and scatter -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_INDEXING_TD
#define LATHE_INDEXING_TD

include "dialects/Lathe/LatheBase.td"

def GatherOp : Lathe_PureOp<"gather", [FusibleKindOnly, Differentiable, Quantizable]> {
  let summary = "rows of `input` along `axis`, chosen by `indices` (NumPy's take)";
  let description = [{
    Result shape: input dims before `axis`, all dims of `indices`, input dims after.
    Negative indices count from the end. An embedding is a gather on axis 0.
  }];
  let arguments = (ins Lathe_Tensor:$input, Lathe_IndexTensor:$indices,
                       DefaultValuedAttr<I64Attr, "0">:$axis);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
}
def GatherElementsOp : Lathe_PureOp<"gather_elements", [FusibleKindOnly, Differentiable]> {
  let summary = "element-by-element gather along an axis (NumPy's take_along_axis)";
  let arguments = (ins Lathe_Tensor:$input, Lathe_IndexTensor:$indices, I64Attr:$axis);
  let results = (outs Lathe_Tensor:$result);
}
def GatherNdOp : Lathe_PureOp<"gather_nd", [FusibleKindOnly, Differentiable]> {
  let summary = "slices of `input` at index tuples in the last dim of `indices`";
  let arguments = (ins Lathe_Tensor:$input, Lathe_IndexTensor:$indices,
                       DefaultValuedAttr<I64Attr, "0">:$batch_dims);
  let results = (outs Lathe_Tensor:$result);
}
def ScatterElementsOp : Lathe_PureOp<"scatter_elements", [FusibleKindOnly, Differentiable]> {
  let summary = "`input` with `updates` written at `indices` along an axis, in order";
  let arguments = (ins Lathe_OrderedTensor:$input, Lathe_IndexTensor:$indices,
                       Lathe_OrderedTensor:$updates,
                       I64Attr:$axis,
                       DefaultValuedAttr<Lathe_ScatterMode, "ScatterMode::assign">:$mode);
  let results = (outs Lathe_OrderedTensor:$result);
}
def ScatterNdOp : Lathe_PureOp<"scatter_nd", [FusibleKindOnly, Differentiable]> {
  let summary = "`input` with `updates` written at index tuples, in order";
  let arguments = (ins Lathe_OrderedTensor:$input, Lathe_IndexTensor:$indices,
                       Lathe_OrderedTensor:$updates,
                       DefaultValuedAttr<Lathe_ScatterMode, "ScatterMode::assign">:$mode);
  let results = (outs Lathe_OrderedTensor:$result);
}
def EmbeddingOp : Lathe_PureOp<"embedding", [FusibleKindOnly, Decomposable, Quantizable]> {
  let summary = "rows of a table: gather on axis 0";
  let arguments = (ins Lathe_Tensor:$table, Lathe_IndexTensor:$ids);
  let results = (outs Lathe_Tensor:$result);
}

#endif // LATHE_INDEXING_TD
