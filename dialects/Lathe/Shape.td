//===- Shape.td - Views, data movement, shape arithmetic -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_SHAPE_TD
#define LATHE_SHAPE_TD

include "dialects/Lathe/LatheBase.td"

def ConstantOp : Lathe_Op<"constant", [Pure, ConstantLike, InferTypeOpAdaptor]> {
  let summary = "a value known at compile time";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs Lathe_Tensor:$result);
  let assemblyFormat = "attr-dict $value";
  let hasFolder = 1;
}

def ReshapeOp : Lathe_PureOp<"reshape", [FusibleKindOnly, Differentiable, AdaptsToLayout, Scalable]> {
  let summary = "the same elements in another shape";
  let description = [{
    `shape` gives the new sizes: 0 copies the input's size at that position, one -1
    is inferred from the element count. With `allow_zero` a 0 means 0.
  }];
  let arguments = (ins Lathe_Tensor:$input, DenseI64ArrayAttr:$shape, UnitAttr:$allow_zero);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
}
def DynamicReshapeOp : Lathe_PureOp<"dynamic_reshape", [FusibleKindOnly]> {
  let summary = "reshape to a computed shape";
  let description = "As `reshape`, with `shape` computed; becomes a `reshape` once `shape` is constant.";
  let arguments = (ins Lathe_Tensor:$input, RankedTensorOf<[I64]>:$shape, UnitAttr:$allow_zero);
  let results = (outs Lathe_Tensor:$result);
  let hasCanonicalizer = 1;
}
def SqueezeOp : Lathe_PureOp<"squeeze", [FusibleKindOnly, Differentiable]> {
  let summary = "drops dims of size 1 (all of them where `axes` is empty)";
  let arguments = (ins Lathe_Tensor:$input, DenseI64ArrayAttr:$axes);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}
def UnsqueezeOp : Lathe_PureOp<"unsqueeze", [FusibleKindOnly, Differentiable]> {
  let summary = "inserts dims of size 1; `axes` count in the result";
  let arguments = (ins Lathe_Tensor:$input, DenseI64ArrayAttr:$axes);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}
def TransposeOp : Lathe_PureOp<"transpose", [Fusible, Differentiable, Scalable]> {
  let summary = "result dim i is input dim permutation[i]";
  let arguments = (ins Lathe_Tensor:$input, DenseI64ArrayAttr:$permutation);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
}
def BroadcastOp : Lathe_PureOp<"broadcast", [Fusible, Differentiable]> {
  let summary = "NumPy broadcast to a shape";
  let description = "`shape` is broadcast against the input's (so 1 keeps the input's size).";
  let arguments = (ins Lathe_Tensor:$input, DenseI64ArrayAttr:$shape);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
}
def DynamicBroadcastOp : Lathe_PureOp<"dynamic_broadcast", [FusibleKindOnly]> {
  let summary = "broadcast to a computed shape";
  let arguments = (ins Lathe_Tensor:$input, RankedTensorOf<[I64]>:$shape);
  let results = (outs Lathe_Tensor:$result);
  let hasCanonicalizer = 1;
}
def SliceOp : Lathe_PureOp<"slice", [KeepsElements, FusibleKindOnly, Differentiable, AdaptsToLayout]> {
  let summary = "start:end:step along some axes";
  let description = [{
    NumPy's rules: negative positions count from the end, positions beyond the
    dim are clamped, steps may be negative (then an `ends` of INT64_MIN runs to the
    front). Empty `axes` mean the leading ones; empty `steps` mean 1.
  }];
  let arguments = (ins Lathe_Tensor:$input, DenseI64ArrayAttr:$starts, DenseI64ArrayAttr:$ends,
                       DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$axes,
                       DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$steps);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
}
def DynamicSliceOp : Lathe_PureOp<"dynamic_slice", [FusibleKindOnly, AttrSizedOperandSegments]> {
  let summary = "slice at computed positions";
  let arguments = (ins Lathe_Tensor:$input, Lathe_IndexTensor:$starts, Lathe_IndexTensor:$ends,
                       Optional<Lathe_IndexTensor>:$axes, Optional<Lathe_IndexTensor>:$steps);
  let results = (outs Lathe_Tensor:$result);
  let assemblyFormat = [{
    $input `,` $starts `,` $ends (`axes` $axes^)? (`steps` $steps^)?
    attr-dict `:` functional-type(operands, results)
  }];
  let hasCanonicalizer = 1;
}
def ConcatOp : Lathe_PureOp<"concat", [KeepsElements, FusibleKindOnly, Differentiable, Decomposable, SameOperandsAndResultElementType, AdaptsToLayout]> {
  let summary = "joins tensors along an axis";
  let description = "More than 32 are joined in parts first: lathe-decompose does it.";
  let arguments = (ins Variadic<Lathe_Tensor>:$inputs, I64Attr:$axis);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
}
def PadOp : Lathe_PureOp<"pad", [KeepsElements, FusibleKindOnly, Differentiable, AdaptsToLayout]> {
  let summary = "grows (or, where negative, crops) every dim at both ends";
  let description = "`value`, a rank-0 tensor, fills in mode `constant`; absent means 0.";
  let arguments = (ins Lathe_Tensor:$input, Optional<Lathe_Tensor>:$value,
                       DenseI64ArrayAttr:$low, DenseI64ArrayAttr:$high,
                       DefaultValuedAttr<Lathe_PadMode, "PadMode::constant">:$mode);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
}
def DynamicPadOp : Lathe_PureOp<"dynamic_pad", [FusibleKindOnly]> {
  let summary = "pad by computed amounts: `pads` is all lows, then all highs";
  let arguments = (ins Lathe_Tensor:$input, RankedTensorOf<[I64]>:$pads, Optional<Lathe_Tensor>:$value,
                       DefaultValuedAttr<Lathe_PadMode, "PadMode::constant">:$mode);
  let results = (outs Lathe_Tensor:$result);
  let hasCanonicalizer = 1;
}
def TileOp : Lathe_PureOp<"tile", [FusibleKindOnly, Differentiable]> {
  let summary = "repeats every dim";
  let arguments = (ins Lathe_Tensor:$input, DenseI64ArrayAttr:$repeats);
  let results = (outs Lathe_Tensor:$result);
  let hasFolder = 1;
}
def DynamicTileOp : Lathe_PureOp<"dynamic_tile", [FusibleKindOnly]> {
  let summary = "tile by computed repeats";
  let arguments = (ins Lathe_Tensor:$input, RankedTensorOf<[I64]>:$repeats);
  let results = (outs Lathe_Tensor:$result);
  let hasCanonicalizer = 1;
}
def ReverseOp : Lathe_PureOp<"reverse", [KeepsElements, FusibleKindOnly, Differentiable]> {
  let summary = "reverses the order along axes";
  let arguments = (ins Lathe_Tensor:$input, DenseI64ArrayAttr:$axes);
  let results = (outs Lathe_Tensor:$result);
}
def ShapeOfOp : Lathe_PureOp<"shape_of", [FusibleKindOnly]> {
  let summary = "the sizes of a tensor, as tensor<rank x i64>";
  let arguments = (ins Lathe_Tensor:$input);
  let results = (outs RankedTensorOf<[I64]>:$result);
  let hasFolder = 1;
}
def IotaOp : Lathe_PureOp<"iota", [FusibleKindOnly]> {
  let summary = "the index along one axis";
  let arguments = (ins DenseI64ArrayAttr:$shape, I64Attr:$axis, TypeAttr:$dtype);
  let results = (outs Lathe_NumericTensor:$result);
  let hasFolder = 1;
}
def DynamicRangeOp : Lathe_PureOp<"dynamic_range", [FusibleKindOnly, SameOperandsAndResultElementType]> {
  let summary = "start, start + delta, ... below limit (rank-0 operands)";
  let arguments = (ins Lathe_NumericTensor:$start, Lathe_NumericTensor:$limit, Lathe_NumericTensor:$delta);
  let results = (outs Lathe_NumericTensor:$result);
  let hasFolder = 1;
}

#endif // LATHE_SHAPE_TD
