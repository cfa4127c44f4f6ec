//===- Convolution.td - Convolutions and pooling -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CONVOLUTION_TD
#define LATHE_CONVOLUTION_TD

include "dialects/Lathe/LatheBase.td"

defvar Strides = DefaultValuedAttr<DenseI64ArrayAttr, "{}">;

def ConvOp : Lathe_PureOp<"conv", [FusibleKindOnly, Differentiable, Quantizable, PrefersLayout]> {
  let summary = "convolution with groups, strides, dilation and padding";
  let description = [{
    1 to 3 spatial dims. Input `[n, c, spatial...]` (or `[n, spatial..., c]` with
    `layout = channels_last`), filter always `[out, c / groups, kernel...]` as in
    public checkpoints, optional bias `[out]`. Element types as for `linear`. Empty `strides`, `dilations` mean
    all 1; empty `pad_low`, `pad_high` mean 0.
  }];
  let arguments = (ins Lathe_FactorTensor:$input, Lathe_FactorTensor:$filter,
                       Optional<Lathe_NumericTensor>:$bias,
                       Strides:$strides, Strides:$dilations,
                       Strides:$pad_low, Strides:$pad_high,
                       DefaultValuedAttr<I64Attr, "1">:$groups,
                       DefaultValuedAttr<Lathe_ImageLayout, "ImageLayout::channels_first">:$layout);
  let results = (outs Lathe_NumericTensor:$result);
}

def PackedConvOp : Lathe_PureOp<"packed_conv", [FusibleKindOnly]> {
  let summary = "channels-last convolution with a packed filter, without padding";
  let description = [{
    Two spatial dims, one group. Input `[n, h, w, c]`; the filter is
    `pack([kh * kw * c, out])`, so the product is an implicit matrix product.
    Element types as for `matmul`.
  }];
  let arguments = (ins RankedTensorOf<[F64, F32, F16, BF16, F8E4M3FN, I8, UI8]>:$input,
                       RankedTensorOf<[F64, F32, F16, BF16, F8E4M3FN, I8, UI8]>:$packed,
                       DenseI64ArrayAttr:$kernel, Strides:$strides, Strides:$dilations,
                       I64Attr:$out_channels);
  let results = (outs Lathe_NumericTensor:$result);
}

def ConvTransposeOp : Lathe_PureOp<"conv_transpose", [FusibleKindOnly, Decomposable]> {
  let summary = "transposed convolution";
  let description = [{
    Input `[n, c, spatial...]`, filter `[c, out / groups, kernel...]`. Output size per
    dim: stride * (in - 1) + output_padding + (kernel - 1) * dilation + 1 - pads.
  }];
  let arguments = (ins Lathe_FloatTensor:$input, Lathe_FloatTensor:$filter,
                       Optional<Lathe_FloatTensor>:$bias,
                       Strides:$strides, Strides:$dilations,
                       Strides:$pad_low, Strides:$pad_high, Strides:$output_padding,
                       DefaultValuedAttr<I64Attr, "1">:$groups);
  let results = (outs Lathe_FloatTensor:$result);
}

class Lathe_PoolOp<string mnemonic, list<Trait> traits = []> :
    Lathe_PureOp<mnemonic, !listconcat([FusibleKindOnly, Differentiable, PrefersLayout], traits)> {
  dag poolArguments = (ins DenseI64ArrayAttr:$kernel, Strides:$strides, Strides:$dilations,
                           Strides:$pad_low, Strides:$pad_high, UnitAttr:$ceil_mode,
                           DefaultValuedAttr<Lathe_ImageLayout, "ImageLayout::channels_first">:$layout);
}
def MaxPoolOp : Lathe_PoolOp<"max_pool", [KeepsElements]> {
  let summary = "maximum over windows";
  let arguments = !con((ins Lathe_NumericTensor:$input), poolArguments);
  let results = (outs Lathe_NumericTensor:$result);
}
def AvgPoolOp : Lathe_PoolOp<"avg_pool"> {
  let summary = "mean over windows";
  let description = "Padding counts in the divisor only with `count_include_pad`.";
  let arguments = !con((ins Lathe_FloatTensor:$input), poolArguments,
                       (ins UnitAttr:$count_include_pad));
  let results = (outs Lathe_FloatTensor:$result);
}
// Its indices count in the logical layout, so it prefers none.
def MaxPoolWithIndexOp : Lathe_PoolOp<"max_pool_with_index"> {
  let summary = "maximum over windows, and its flat index in the input";
  let arguments = !con((ins Lathe_NumericTensor:$input), poolArguments,
                       (ins UnitAttr:$column_major));
  let results = (outs Lathe_NumericTensor:$result, RankedTensorOf<[I64]>:$indices);
}

def MaxPoolGradientOp : Lathe_PureOp<"max_pool_gradient", [FusibleKindOnly, Decomposable, PrefersLayout]> {
  let summary = "the gradient of max_pool over windows that do not overlap";
  let description = [{
    Every element of `input` looks whether it is the first maximum of its window
    `kernel`, whose stride is its size: if so it gets the window's element of
    `cotangent`, else 0. Elements behind the last window get 0, and where a window
    holds a NaN, its first element is taken.

    ```mlir
    %0 = lathe.max_pool_gradient %x, %g {kernel = array<i64: 2, 2>}
        : (tensor<8x16x28x28xf32>, tensor<8x16x14x14xf32>) -> tensor<8x16x28x28xf32>
    ```
  }];
  let arguments = (ins Lathe_NumericTensor:$input, Lathe_NumericTensor:$cotangent,
                       DenseI64ArrayAttr:$kernel,
                       DefaultValuedAttr<Lathe_ImageLayout, "ImageLayout::channels_first">:$layout);
  let results = (outs Lathe_NumericTensor:$result);
  let hasVerifier = 1;
}

def ResizeOp : Lathe_PureOp<"resize", [FusibleKindOnly, Differentiable, AdaptsToLayout, SameOperandsAndResultElementType]> {
  let summary = "interpolation to another size";
  let description = [{
    One entry per dim: output sizes in `sizes`, or `scales` (output = floor(in *
    scale)); the scale used for coordinates is `scales` where given, else out / in.
    `cubic_coefficient` is ONNX's a. `roi` (starts then ends) and
    `extrapolation_value` belong to `tf_crop_and_resize`.
  }];
  let arguments = (ins Lathe_NumericTensor:$input,
                       DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$sizes,
                       DefaultValuedAttr<DenseF64ArrayAttr, "{}">:$scales,
                       DefaultValuedAttr<Lathe_ResizeMode, "ResizeMode::nearest">:$mode,
                       DefaultValuedAttr<Lathe_CoordinateMode, "CoordinateMode::half_pixel">:$coordinates,
                       DefaultValuedAttr<Lathe_NearestMode, "NearestMode::round_prefer_floor">:$nearest,
                       DefaultValuedAttr<F64Attr, "-0.75">:$cubic_coefficient,
                       UnitAttr:$exclude_outside,
                       DefaultValuedAttr<DenseF64ArrayAttr, "{}">:$roi,
                       DefaultValuedAttr<F64Attr, "0.0">:$extrapolation_value);
  let results = (outs Lathe_NumericTensor:$result);
}

#endif // LATHE_CONVOLUTION_TD
