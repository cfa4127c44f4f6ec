//===- Passes.td - Graph passes ---------------------------------*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// File organization: passes are grouped under banners in the order the pipeline
// runs them, alphabetical inside a banner. Pass `FooBar` is `def FooBar` here,
// `lathe-foo-bar` on the command line, `FooBar.cpp` in lib/Transforms and
// `test/Transforms/foo-bar.mlir`.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_PASSES_TD
#define LATHE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Specialize
//===----------------------------------------------------------------------===//

def Specialize : Pass<"lathe-specialize", "::mlir::ModuleOp"> {
  let summary = "give the entry function static shapes and work out the rest";
  let description = [{
    Sets the types of the entry function's arguments, inlines calls, then goes
    forward over the ops once: every type is inferred again, constants are
    folded, ops with computed sizes become their static forms, branches with a
    constant condition are taken, loops that cannot run are dropped. Dead ops go.
    Afterwards every size is static; the ops where one depends on data are listed
    in one error.

    Before, with `shapes=2x8`:
    ```mlir
    func.func @main(%x: tensor<?x8xf32>) -> tensor<?xf32> {
      %size = lathe.constant dense<-1> : tensor<1xi64>
      %0 = lathe.dynamic_reshape %x, %size : (tensor<?x8xf32>, tensor<1xi64>) -> tensor<?xf32>
      return %0 : tensor<?xf32>
    }
    ```
    After:
    ```mlir
    func.func @main(%x: tensor<2x8xf32>) -> tensor<16xf32> {
      %0 = lathe.reshape %x {shape = array<i64: 16>} : (tensor<2x8xf32>) -> tensor<16xf32>
      return %0 : tensor<16xf32>
    }
    ```
  }];
  let options = [
    ListOption<"shapes", "shapes", "std::string",
               "Shapes of the arguments in order, as 4x128;4x128, or by index, "
               "as 1=4x128; ? leaves a size to 'dims'">,
    ListOption<"dims", "dims", "std::string",
               "Sizes of dims by their names in 'lathe.dims', as batch=8">
  ];
}

def RetypeFloats : Pass<"lathe-retype-floats", "::mlir::ModuleOp"> {
  let summary = "give all floats of a model one type";
  let description = [{
    Every tensor of floats, parameters, constants and `dtype`s included, gets
    elements of type `to`: `f64` for numbers to compare with, `f32` for a model
    written in 16 bits. Casts between floats become casts to the same type,
    which fold away.

    Before, with `to=f64`:
    ```mlir
    %0 = lathe.exp %x : (tensor<4xf32>) -> tensor<4xf32>
    ```
    After:
    ```mlir
    %0 = lathe.exp %x : (tensor<4xf64>) -> tensor<4xf64>
    ```
  }];
  let options = [Option<"to", "to", "std::string", "\"f64\"",
                        "The type: f64, f32, f16 or bf16">];
}

def ChunkLosses : Pass<"lathe-chunk-losses", "::mlir::func::FuncOp"> {
  let summary = "compute the loss of a large vocabulary without all of its logits";
  let description = [{
    A mean `cross_entropy` of a `linear` becomes one `linear_cross_entropy`,
    which runs over chunks of rows and computes the gradients with the loss,
    where the logits take `min-bytes` or more and nothing else reads them (a
    model that also returns its logits keeps them). The pass runs before
    `lathe-autograd`. A chunk has the most rows whose logits fit `chunk-bytes`,
    fewer where a near number divides all rows.

    Before:
    ```mlir
    %0 = lathe.linear %x, %w : (tensor<512x768xf32>, tensor<50257x768xf32>) -> tensor<512x50257xf32>
    %1 = lathe.cross_entropy %0, %labels : (tensor<512x50257xf32>, tensor<512xi64>) -> tensor<f32>
    ```
    After:
    ```mlir
    %1, %dx, %dw = lathe.linear_cross_entropy %x, %w, %labels {chunk = 128 : i64} : ...
    ```
  }];
  let options = [
    Option<"minBytes", "min-bytes", "int64_t", "64 << 20",
           "Bytes of logits, as f32, from which on it is done">,
    Option<"chunkBytes", "chunk-bytes", "int64_t", "32 << 20",
           "Bytes of logits, as f32, of a chunk">,
    Option<"explain", "explain", "bool", "false",
           "Remark why a loss keeps its logits">
  ];
  let statistics = [
    Statistic<"numChunked", "chunked", "losses computed in chunks">
  ];
}

def InferenceMode : Pass<"lathe-inference-mode", "::mlir::func::FuncOp"> {
  let summary = "make a model what it is outside of training";
  let description = [{
    Authors write the form for training once. Ops that do something else outside
    of it say what (`TrainingOpInterface`): dropout is its input, batch norm uses
    the running statistics. A `lathe.set_parameter` of what is there already is
    dropped; with `freeze`, as for evaluation, every one.

    Before:
    ```mlir
    %0 = lathe.dropout %x, %key {rate = 0.1 : f64, stream = 0 : i64} : (tensor<4x8xf32>, tensor<2xi64>) -> tensor<4x8xf32>
    %y, %m, %v = lathe.batch_norm_training %0, %scale, %bias, %mean, %var : ...
    lathe.set_parameter @mean, %m : tensor<8xf32>
    ```
    After:
    ```mlir
    %y = lathe.batch_norm %x, %scale, %bias, %mean, %var : ...
    ```
  }];
  let options = [
    Option<"freeze", "freeze", "bool", "false",
           "Drop everything that writes a state">
  ];
  let statistics = [
    Statistic<"numReplaced", "replaced", "training forms replaced">
  ];
}

//===----------------------------------------------------------------------===//
// Simplify
//===----------------------------------------------------------------------===//

def Decompose : Pass<"lathe-decompose"> {
  let summary = "expand composite ops that no kernel claims";
  let description = [{
    Replaces every op that implements `DecomposableOpInterface` by its
    decomposition, except the ops named in `keep` (composites with a schedule
    of their own on the target).

    Before:
    ```mlir
    %0 = lathe.softmax %x {axis = -1} : (tensor<4x8xf32>) -> tensor<4x8xf32>
    ```
    After:
    ```mlir
    %max = lathe.reduce_max %x {axes = array<i64: 1>, keepdims = true} : ...
    %sub = lathe.sub %x, %max : ...
    %exp = lathe.exp %sub : ...
    %sum = lathe.reduce_sum %exp {axes = array<i64: 1>, keepdims = true} : ...
    %0 = lathe.div %exp, %sum : ...
    ```
  }];
  let options = [
    ListOption<"keep", "keep", "std::string",
               "Composite ops to leave alone, by full name (lathe.attention)">,
    ListOption<"only", "only", "std::string",
               "Composite ops to expand, by full name; all of them where empty">
  ];
  let statistics = [
    Statistic<"numDecomposed", "decomposed", "composite ops expanded">
  ];
}

def MergeViews : Pass<"lathe-merge-views", "::mlir::func::FuncOp"> {
  let summary = "merge successive transposes and reshapes";
  let description = [{
    Two transposes in a row become one, or nothing where they cancel out; so do
    two reshapes. A transpose that only moves dims of size 1 becomes a reshape,
    which costs nothing.

    Before:
    ```mlir
    %0 = lathe.transpose %x {permutation = array<i64: 0, 2, 1>} : (tensor<2x3x4xf32>) -> tensor<2x4x3xf32>
    %1 = lathe.transpose %0 {permutation = array<i64: 2, 0, 1>} : (tensor<2x4x3xf32>) -> tensor<3x2x4xf32>
    ```
    After:
    ```mlir
    %1 = lathe.transpose %x {permutation = array<i64: 1, 0, 2>} : (tensor<2x3x4xf32>) -> tensor<3x2x4xf32>
    ```
  }];
}

def RecognizeAttention : Pass<"lathe-recognize-attention", "::mlir::func::FuncOp"> {
  let summary = "make attention of softmax(q k^T * scale + mask) v";
  let description = [{
    Imported transformers write attention out in products, scales and a softmax.
    As one `lathe.attention` it runs without the scores ever being in memory.
    Refused where the scores or weights are read elsewhere, or where batch dims
    broadcast. A mask by `select` counts if what it hides becomes -inf.

    Before:
    ```mlir
    %0 = lathe.matmul %q, %kt : ...
    %1 = lathe.mul %0, %scale : ...
    %2 = lathe.add %1, %mask : ...
    %3 = lathe.softmax %2 : ...
    %4 = lathe.matmul %3, %v : ...
    ```
    After:
    ```mlir
    %k = lathe.transpose %kt {permutation = array<i64: 0, 1, 3, 2>} : ...
    %4 = lathe.attention %q, %k, %v, %mask {scale = 0.125 : f64} : ...
    ```
  }];
}

def RecognizeGelu : Pass<"lathe-recognize-gelu", "::mlir::func::FuncOp"> {
  let summary = "make gelu and silu of their formulas";
  let description = [{
    `x * 0.5 * (1 + erf(x / sqrt(2)))` becomes `lathe.gelu`, its tanh
    approximation `lathe.gelu {tanh}`, `x * sigmoid(x)` `lathe.silu`. The factors
    may be in any order and grouping; numbers may be rounded to four digits.

    Before:
    ```mlir
    %0 = lathe.div %x, %sqrt2 : ...
    %1 = lathe.erf %0 : ...
    %2 = lathe.add %1, %one : ...
    %3 = lathe.mul %x, %2 : ...
    %4 = lathe.mul %3, %half : ...
    ```
    After:
    ```mlir
    %4 = lathe.gelu %x : ...
    ```
  }];
}

def RecognizeNormalization : Pass<"lathe-recognize-normalization", "::mlir::func::FuncOp"> {
  let summary = "make layer_norm and rms_norm of their formulas";
  let description = [{
    `(x - mean) / sqrt(variance + epsilon)` with an optional scale and bias over
    the same last dims becomes `lathe.layer_norm`; without the mean, over the last
    dim, `lathe.rms_norm`.

    Before:
    ```mlir
    %mean = lathe.reduce_mean %x {axes = array<i64: -1>, keepdims = true} : ...
    %d = lathe.sub %x, %mean : ...
    %sq = lathe.mul %d, %d : ...
    %var = lathe.reduce_mean %sq {axes = array<i64: -1>, keepdims = true} : ...
    %ve = lathe.add %var, %epsilon : ...
    %sd = lathe.sqrt %ve : ...
    %y = lathe.div %d, %sd : ...
    ```
    After:
    ```mlir
    %y = lathe.layer_norm %x {epsilon = 1.0e-5 : f64} : ...
    ```
  }];
}

def Simplify : Pass<"lathe-simplify", "::mlir::func::FuncOp"> {
  let summary = "small rewrites that let later passes see more";
  let description = [{
    - `x + (-y)` becomes `x - y`, `x - (-y)` becomes `x + y`;
    - a `broadcast` goes where the elementwise op that reads it broadcasts anyway;
    - a reduction that drops its dims, followed by a reshape that brings them
      back, keeps them;
    - what a `scatter_nd` adds to zeros, which are added to something, is added to
      that: the gradient of a table that is embedding and output layer;
    - a swap of the last two dims before a `matmul` becomes its `transpose_lhs` or
      `transpose_rhs`;
    - a sum of `pad`s that give every piece a place of its own along one dim, as the
      gradients of all slices of a value, becomes `concat`.

    Before:
    ```mlir
    %0 = lathe.neg %y : (tensor<4xf32>) -> tensor<4xf32>
    %1 = lathe.add %x, %0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    ```
    After:
    ```mlir
    %1 = lathe.sub %x, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    ```
  }];
}

def SplitReductions : Pass<"lathe-split-reductions", "::mlir::func::FuncOp"> {
  let summary = "do reductions that keep few elements in two stages";
  let description = [{
    A reduction is a work item per element that it keeps, or per 64 that stand
    side by side. Where those are few and the operand is large, its first axis
    is reduced in a second stage, so that threads share the work and what goes
    into a part stays in the cache. A single axis is cut into up to 64 parts,
    unless the operand is computed by elementwise ops, which a reshape would
    keep out of the kernel. 16-bit floats are f32 between the stages. The cut
    follows from the shapes alone, so results do not depend on the threads.

    Before:
    ```mlir
    %0 = lathe.reduce_sum %x {axes = array<i64: 0, 1, 2>} : (tensor<100x28x28x32xf32>) -> tensor<32xf32>
    ```
    After:
    ```mlir
    %0 = lathe.reduce_sum %x {axes = array<i64: 1, 2>, keepdims = true} : ... -> tensor<100x1x1x32xf32>
    %1 = lathe.reduce_sum %0 {axes = array<i64: 0>, keepdims = true} : ... -> tensor<1x1x1x32xf32>
    %2 = lathe.reshape %1 {shape = array<i64: 32>} : ...
    ```
  }];
  let options = [
    Option<"minElements", "min-elements", "int64_t", "32768",
           "Elements of an operand from which on it is worth it">,
    Option<"minItems", "min-items", "int64_t", "16",
           "Work items that are enough, and the fewest parts">
  ];
  let statistics = [
    Statistic<"numSplit", "split", "reductions done in two stages">
  ];
}

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

def Layout : Pass<"lathe-layout", "::mlir::func::FuncOp"> {
  let summary = "store values in the layouts that move the fewest bytes";
  let description = [{
    Ops say which layouts they prefer on `target` and what that saves
    (`LayoutOpInterface`): on the CPU convolutions and pools compute faster on
    `[n, h, w, c]`, where the channels of a pixel fill vectors; attention takes
    `[batch, row, head, place]` as well as heads second. Ops that follow a layout,
    such as elementwise ops, reductions, batch norms and reshapes, are taken
    along. Which ops change is decided for the whole graph at once: the bytes
    that transposes at the borders read and write, those of transposes that the
    model has, and what ops save add up to the least. Where it does not pay, all
    stays as it is. What a scan carries is stored in one layout from start to end.
    A transpose before a product with a weight that is known at load turns the
    weight instead. docs/layout.md tells how, and how to add an op.

    Before:
    ```mlir
    %0 = lathe.conv %x, %f : (tensor<1x3x64x64xf32>, tensor<16x3x3x3xf32>) -> tensor<1x16x62x62xf32>
    %1 = lathe.relu %0 : (tensor<1x16x62x62xf32>) -> tensor<1x16x62x62xf32>
    ```
    After:
    ```mlir
    %t = lathe.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : ...
    %0 = lathe.conv %t, %f {layout = channels_last} : ... -> tensor<1x62x62x16xf32>
    %1 = lathe.relu %0 : (tensor<1x62x62x16xf32>) -> tensor<1x62x62x16xf32>
    %2 = lathe.transpose %1 {permutation = array<i64: 0, 3, 1, 2>} : ...
    ```
  }];
  let options = [
    Option<"target", "target", "std::string", /*default=*/"\"cpu\"",
           "Whose schedules the ops will meet: cpu or cuda">,
    Option<"explain", "explain", "bool", /*default=*/"false",
           "Remark which layouts are taken or not, with the bytes moved">
  ];
  let statistics = [
    Statistic<"numConverted", "converted", "ops that take another layout">,
    Statistic<"numTransposes", "transposes", "transposes inserted">,
    Statistic<"numFolded", "folded", "transposes folded into weights">
  ];
}

//===----------------------------------------------------------------------===//
// Quantization
//===----------------------------------------------------------------------===//

def Quantize : Pass<"lathe-quantize", "::mlir::func::FuncOp"> {
  let summary = "round operands of products to numbers of few bits";
  let description = [{
    Puts `dequantize(quantize(x))` on the operands of ops that can be computed in
    few bits (`QuantizableOpInterface`), where one of them, the weight, is known at
    load. What is made of weights, `lathe-hoist-load` computes once.

    | scheme | weights | activations |
    |---|---|---|
    | `int8-dynamic` | i8, a scale per channel | ui8, scale and zero point of each row, of the range the row has |
    | `int8-static` | the same | ui8, one scale, of the range in the file `ranges` |
    | `int8` | the same | static where `ranges` has the op, else dynamic |
    | `int8-weights` | i8, a scale per channel, or per `group` elements of a sum | as they are |
    | `int4-weights` | 4 bits, a bf16 scale per `group` elements of a sum | as they are |
    | `fp8` | f8E4M3FN, a scale per channel, or per `group` elements of a sum | f8E4M3FN, a scale per row (or `group` elements of one), or the one of `ranges` |
    | `fp8-weights` | f8E4M3FN, a scale per channel, or per `group` elements of a sum | as they are |

    Weights have zero point 0, and scale max|w| / 127 (8-bit floats: / 448); with 4 bits that of a few
    parts of the largest |w|, as bf16, which has the least square error. A row of
    activations is quantized by (largest - smallest) / 255, both with 0 among
    them, so that 0 stays 0. Tables of embeddings have a scale per row, and 8 bits
    in every scheme. Refused are ops that `keep` names and those without a weight;
    `explain` says which and why.

    Before, with `scheme=int8-weights`:
    ```mlir
    %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
    ```
    After:
    ```mlir
    %a = lathe.abs %w : ...
    %m = lathe.reduce_max %a {axes = array<i64: 1>, keepdims = true} : ... -> tensor<16x1xf32>
    %s = lathe.div %m, %127 : ...
    %q = lathe.quantize %w, %s, %zero {storage = !quant.any<i8<-127:127>:f32>} : ... -> tensor<16x8xi8>
    %d = lathe.dequantize %q, %s, %zero : ...
    %0 = lathe.linear %x, %d : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
    ```
  }];
  let options = [
    Option<"scheme", "scheme", "std::string", "\"int8-dynamic\"",
           "int8, int8-dynamic, int8-static, int8-weights, int4-weights, fp8 or "
           "fp8-weights">,
    Option<"group", "group", "int64_t", "0",
           "Elements of a sum that share a scale: 32, 64 or 128; 0: the scheme's own "
           "(all, but 32 with 4 bits)">,
    Option<"ranges", "ranges", "std::string", "\"\"",
           "File with the ranges of activations, from 'lathe calibrate'">,
    ListOption<"keep", "keep", "std::string",
               "Ops to leave in floats: a name as the table of sites has it, or a "
               "part of one with * for any letters">,
    Option<"training", "training", "bool", "false",
           "Weights are what is made of parameters, which training changes, and "
           "`fake_quantize` rounds, so that gradients go through">,
    Option<"explain", "explain", "bool", "false",
           "Remark what each product is quantized to, or why it is not">
  ];
  let statistics = [
    Statistic<"numQuantized", "quantized", "products with quantized operands">,
    Statistic<"numRefused", "refused", "products left as they were">
  ];
}

def IntegerProducts : Pass<"lathe-integer-products", "::mlir::func::FuncOp"> {
  let summary = "compute products of dequantized operands in integers";
  let description = [{
    An op of `QuantizableOpInterface` whose operands are all results of
    `dequantize`, of 8-bit integers, is computed on those: sums of products in
    i32, exact, minus the part of the zero points, times the scales. That of an
    activation's zero point is the sum of the weight's columns, known at load.
    Products of 8-bit floats are summed up in f32, with zero points of 0.
    Models that come with their quantization (ONNX's QuantizeLinear) and those of
    `lathe-quantize` take the same way. Refused are scales that differ along the
    axis of the sum; `explain` says so.

    Behind products bytes flow on: what is quantized behind a `max_pool` whose
    result is read quantized alone is quantized before it, so that the largest of
    bytes is taken. A NaN counts as 0 there, as `quantize` makes it, where the pool
    would have handed it on.

    Before:
    ```mlir
    %a = lathe.dequantize %qx, %sx, %zx : (tensor<4x8xui8>, tensor<4x1xf32>, tensor<4x1xui8>) -> tensor<4x8xf32>
    %b = lathe.dequantize %qw, %sw, %zero : (tensor<16x8xi8>, tensor<16x1xf32>, tensor<16x1xi8>) -> tensor<16x8xf32>
    %0 = lathe.linear %a, %b : ...
    ```
    After:
    ```mlir
    %i = lathe.linear %qx, %qw : (tensor<4x8xui8>, tensor<16x8xi8>) -> tensor<4x16xi32>
    %c = lathe.reduce_sum (%qw as i32) {axes = array<i64: 1>} : ... -> tensor<16xi32>
    %d = lathe.sub %i, (%zx * %c) : ...
    %0 = (%d as f32) * %sx * %sw
    ```
  }];
  let options = [
    Option<"explain", "explain", "bool", "false",
           "Remark which products stay in floats, and why">
  ];
  let statistics = [
    Statistic<"numConverted", "converted", "products computed in integers">,
    Statistic<"numPooled", "pooled", "maxima taken of bytes">
  ];
}

def FoldRequantization : Pass<"lathe-fold-requantization", "::mlir::func::FuncOp"> {
  let summary = "fold a division by a scale into the scales and biases before it";
  let description = [{
    Between two products of integers a sum becomes a float by the scales of its
    operands, gets a bias, maybe a shortcut and a relu, and is divided by the scale of
    what reads it. Each of these takes a factor (`ScalableOpInterface`): so
    1 / scale goes up into what is known when weights are loaded and into the scales
    of `dequantize`, and no division is left. Results differ by the rounding of the
    factors, so where x / scale lies next to a half the byte may be its neighbour.
    `explain` says why others are divided.

    Before:
    ```mlir
    %f = lathe.mul (%sum as f32), %scales : ...
    %g = lathe.add %f, %bias : ...
    %q = lathe.quantize (lathe.relu %g), %s, %z : ...
    ```
    After:
    ```mlir
    %f = lathe.mul (%sum as f32), (%scales * 1 / %s) : ...
    %g = lathe.add %f, (%bias * 1 / %s) : ...
    %q = lathe.quantize (lathe.relu %g), 1.0, %z : ...
    ```
  }];
  let options = [
    Option<"explain", "explain", "bool", "false",
           "Remark which divisions stay, and why">
  ];
  let statistics = [
    Statistic<"numFolded", "folded", "divisions that became part of factors">
  ];
}

//===----------------------------------------------------------------------===//
// Precision
//===----------------------------------------------------------------------===//

def Precision : Pass<"lathe-precision", "::mlir::func::FuncOp"> {
  let summary = "let products of f32 compute on 16-bit floats";
  let description = [{
    By the kinds of `FusibleOpInterface`: matrix products, convolutions and
    attention (`FusionKind::Contraction`) take their operands rounded to `type`,
    sum up in f32 as they do, and give a result rounded to `type`. Everything else
    computes in f32, as it did: reductions, norms, softmax, losses, arithmetic on
    elements.

    Ops that only choose or move elements (views, and the trait `KeepsElements`)
    give the same rounded before or behind, so they hand on 16 bits where that moves
    fewer bytes: where all they read is rounded already, or where nobody reads
    what they give but products. A value is rounded once for all who read it so; of two
    places for a cast the one with fewer elements is taken. What is rounded and
    read as f32 becomes f32 where it is read, since widening costs nothing there.
    Casts of weights are done once, by `lathe-hoist-load`. docs/precision.md tells
    how, and what error to expect.

    Left alone are products of other types, of quantized operands, of several
    results, and those of weights alone.

    Before, with `type=bf16`:
    ```mlir
    %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
    %1 = lathe.relu %0 : (tensor<4x16xf32>) -> tensor<4x16xf32>
    %2 = lathe.rms_norm %1 : (tensor<4x16xf32>) -> tensor<4x16xf32>
    ```
    After:
    ```mlir
    %a = lathe.cast %x to bf16 : (tensor<4x8xf32>) -> tensor<4x8xbf16>
    %b = lathe.cast %w to bf16 : (tensor<16x8xf32>) -> tensor<16x8xbf16>
    %0 = lathe.linear %a, %b : (tensor<4x8xbf16>, tensor<16x8xbf16>) -> tensor<4x16xbf16>
    %1 = lathe.relu %0 : (tensor<4x16xbf16>) -> tensor<4x16xbf16>
    %c = lathe.cast %1 to f32 : (tensor<4x16xbf16>) -> tensor<4x16xf32>
    %2 = lathe.rms_norm %c : (tensor<4x16xf32>) -> tensor<4x16xf32>
    ```
  }];
  let options = [
    Option<"type", "type", "std::string", "\"bf16\"", "bf16 or f16">,
    Option<"explain", "explain", "bool", /*default=*/"false",
           "Remark which ops compute in 16 bits, and why others do not">
  ];
  let statistics = [
    Statistic<"numConverted", "converted", "products that compute in 16 bits">,
    Statistic<"numFollowing", "following", "ops that hand on 16 bits">,
    Statistic<"numCasts", "casts", "casts inserted">
  ];
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

def FoldBatchNorm : Pass<"lathe-fold-batch-norm", "::mlir::func::FuncOp"> {
  let summary = "fold per-channel scales and shifts into weights";
  let description = [{
    A `batch_norm` with known statistics, a `mul` or (after a convolution) an
    `add` by known per-channel values becomes part of the weight and bias of the
    convolution, `linear` or `matmul` it follows, if nobody else reads that
    product. What is left is arithmetic on weights, which `lathe-hoist-load`
    moves to load.

    Before:
    ```mlir
    %0 = lathe.conv %x, %filter : ...
    %y = lathe.batch_norm %0, %scale, %bias, %mean, %variance : ...
    ```
    After:
    ```mlir
    %d = lathe.sqrt(%variance + epsilon)
    %s = lathe.div %scale, %d : ...
    %b = lathe.sub %bias, (%mean * %s)
    %f = lathe.mul %filter, (%s along the outputs)
    %y = lathe.conv %x, %f, %b : ...
    ```
  }];
  let statistics = [
    Statistic<"numFolded", "folded", "ops folded into weights">
  ];
}

def HoistLoad : Pass<"lathe-hoist-load", "::mlir::ModuleOp"> {
  let summary = "compute once, at load, what depends on weights alone";
  let description = [{
    Moves work on parameters and constants from every public function `@f` to
    `@f_load`, which the Runtime runs once. Its results become trailing arguments
    of `@f` with `lathe.persistent`, their index. Parameters, constants and
    reshapes of them stay where they are, and so does what would need much more
    memory than what it is made from (a broadcast, say), unless a contraction or
    an opaque op reads it. In the body of a `lathe.scan`, work on slices of
    stacked parameters first becomes a scan of its own with stacked results.

    Before:
    ```mlir
    func.func @main(%x: tensor<4x8xf32>) -> tensor<4x16xf32> {
      %w = lathe.get_parameter @w : tensor<16x8xf32>
      %p = lathe.pack %w {transposed} : (tensor<16x8xf32>) -> tensor<1x8x32xf32>
      %y = lathe.packed_matmul %x, %p {n = 16 : i64} : ...
      return %y : tensor<4x16xf32>
    }
    ```
    After:
    ```mlir
    func.func private @main_load() -> tensor<1x8x32xf32>
        attributes {lathe.load_for = @main} {
      %w = lathe.get_parameter @w : tensor<16x8xf32>
      %p = lathe.pack %w {transposed} : (tensor<16x8xf32>) -> tensor<1x8x32xf32>
      return %p : tensor<1x8x32xf32>
    }
    func.func @main(%x: tensor<4x8xf32>,
                    %p: tensor<1x8x32xf32> {lathe.persistent = 0 : i64})
        -> tensor<4x16xf32> {
      %y = lathe.packed_matmul %x, %p {n = 16 : i64} : ...
      return %y : tensor<4x16xf32>
    }
    ```
  }];
  let statistics = [
    Statistic<"numHoisted", "hoisted", "values computed at load">,
    Statistic<"numSplit", "split", "values moved out of the body of a scan">
  ];
}

def SumAfterScan : Pass<"lathe-sum-after-scan", "::mlir::func::FuncOp"> {
  let summary = "sum products of a scan's iterations up as one product behind it";
  let description = [{
    A carried value that only grows by `matmul` with `transpose_lhs`, or by
    `reduce_sum`, of each iteration leaves the scan: its operands are stacked, and
    one product (or sum) over the rows of all iterations stands behind the scan.
    The gradients of the weights of a recurrent network are such sums.

    Left alone are products of more than 256 rows, which are worth their own sum,
    and sums whose operands would take more memory to stack than the sum itself
    and what the scan reads, as where gradients accumulate over parts of a batch.

    Before:
    ```mlir
    %s = lathe.scan init(%sum = %zeros) inputs(%g = %gs, %x = %xs) : ... {
      %0 = lathe.matmul %g, %x {transpose_lhs} : (tensor<32x16xf32>, tensor<32x8xf32>) -> tensor<16x8xf32>
      %1 = lathe.add %sum, %0 : ...
      lathe.yield %1 : tensor<16x8xf32>
    }
    ```
    After, with 128 iterations:
    ```mlir
    %g = lathe.reshape %gs {shape = array<i64: 4096, 16>} : ...
    %x = lathe.reshape %xs {shape = array<i64: 4096, 8>} : ...
    %s = lathe.matmul %g, %x {transpose_lhs} : ...
    ```
  }];
  let statistics = [
    Statistic<"numMoved", "moved", "carried sums that left their scan">
  ];
}

def PackWeights : Pass<"lathe-pack-weights", "::mlir::func::FuncOp"> {
  let summary = "lay weights out in panels for the matrix microkernel";
  let description = [{
    Rewrites products of floats of 8 to 32 bits, and of 8-bit integers, whose matrix
    is packed with four neighbours along the depth side by side (`interleave = 4`):

    - `linear`, and `matmul` with one matrix on the right, to `packed_matmul`,
      where that matrix is known at load;
    - `conv` in layout channels_last with two spatial dims and one group to
      `packed_conv` (`packed_matmul` where the kernel is 1x1 without strides),
      with padding as a `pad` before it. A filter that is not known at load, as
      in training, is packed in every run: it is read for every pixel. Channels of
      8-bit images come in fours, with zeros behind;
    - `linear` and `matmul` of f32 by `dequantize` of a matrix that is known at load,
      with a zero point of 0 and scales per tensor, per column or per group along the
      depth, to `packed_matmul` with `scale`: the matrix stays in 8 bits (integers
      or floats), or in 4 where its `storage` lies within -8 to 7, beside scales
      that are packed as bf16 where they are a cast of such.

    A matrix that is not known at load, but the same in all iterations of a scan, is
    packed before the scan for products of at most 512 rows in its body: each of
    them would copy it.

    A bias becomes an elementwise `add`, which fusion puts into the product's
    epilogue. Slices of stacked parameters in the body of a scan count as known.

    Before:
    ```mlir
    %y = lathe.linear %x, %w, %b : ...
    ```
    After:
    ```mlir
    %p = lathe.pack %w {transposed} : (tensor<16x8xf32>) -> tensor<1x8x32xf32>
    %0 = lathe.packed_matmul %x, %p {n = 16 : i64} : ...
    %y = lathe.add %0, %b : ...
    ```
  }];
  let options = [
    Option<"panel", "panel", "int64_t", /*default=*/"32",
           "Columns of a panel">,
    Option<"fewBits", "few-bits", "bool", "false",
           "Pack weights of 4 bits alone: two to a byte, for targets that read all "
           "others as they are">
  ];
  let statistics = [
    Statistic<"numPacked", "packed", "products with a packed right-hand side">
  ];
}

//===----------------------------------------------------------------------===//
// Training
//===----------------------------------------------------------------------===//

def Rematerialize : Pass<"lathe-rematerialize", "::mlir::func::FuncOp"> {
  let summary = "choose what the backward part keeps of the forward one";
  let description = [{
    On a train step, whose first result is the rank-0 loss: what the loss depends
    on is the forward part, all else the backward part. Values that the second
    reads of the first are kept, or made again by copies of their ops, just before
    they are needed. Which ones is a minimum cut, weighed in bytes, as in
    AOTAutograd's partitioner (Horace He, "Min-cut optimal recomputation",
    dev-discuss.pytorch.org/t/467), by two rules: an op is copied where it takes at
    most so many operations per byte of its result, and parameters, arguments and
    constants are there anyway. With a limit of 1 elementwise ops, views and random
    numbers are made again; reductions to less than a quarter, products, attention
    and convolutions are not. An op that moves data by itself (a slice, a gather)
    counts as 16, the error function as 4 (in f32).

    Of a `lathe.scan` that runs back over the iterations of another one the values
    are what that has stacked (`stacked`), most of the memory of a stack of layers.
    With a high limit nothing stays of a layer but what it began with. All other
    values are those of a block (`values`): kept by default, since fusion moves
    copies back to the kernels they were taken from, and the backward part soon
    needs many of them at once. The copies compute the same bits. Runs after the last pass that merges
    equal ops: it would take the copies for what they are.

    Before:
    ```mlir
    %y, %as, %es = lathe.scan init(%x = %x0) inputs(%w = %ws) : ... {
      %a = lathe.matmul %x, %w : ...
      %e = lathe.exp %a : ...
      lathe.yield %e, %a, %e : ...
    }
    ...
    %dx = lathe.scan init(%d = %dy) inputs(%a = %as, %e = %es) : ... {reverse} : ... {
      %0 = lathe.mul %d, %e : ...
    ```
    After:
    ```mlir
    %y, %as = lathe.scan init(%x = %x0) inputs(%w = %ws) : ...
    ...
    %dx = lathe.scan init(%d = %dy) inputs(%a = %as) : ... {reverse} : ... {
      %e = lathe.exp %a : ...
      %0 = lathe.mul %d, %e : ...
    ```
  }];
  let options = [
    Option<"stacked", "stacked", "double", /*default=*/"1",
           "Operations, at most, to make a byte of a stacked result again; "
           "negative: keep them">,
    Option<"values", "values", "double", /*default=*/"-1",
           "The same for other values">,
    Option<"explain", "explain", "bool", /*default=*/"false",
           "Say in 'lathe.recomputed' of the function what is made again">
  ];
  let statistics = [
    Statistic<"numRecomputed", "recomputed", "ops copied into the backward part">,
    Statistic<"bytesSaved", "bytes-saved", "bytes that are not kept any more">,
    Statistic<"flopsAdded", "flops-added", "operations of the copies">
  ];
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

def ExplainKernels : Pass<"lathe-explain-kernels"> {
  let summary = "print every kernel and why its neighbours are not in it";
  let description = [{
    Prints to standard output, per `lathe.kernel`: its name, schedule and ops with
    their place in the model. Where `lathe-form-kernels` ran with `explain`, also
    each neighbouring op left out and why. The IR stays as it is.
  }];
  let options = [
    Option<"json", "json", "bool", /*default=*/"false",
           "Print a JSON array instead of text">
  ];
}

def FormKernels : Pass<"lathe-form-kernels", "::mlir::func::FuncOp"> {
  let summary = "group ops into kernels";
  let description = [{
    Moves every op that computes into a `lathe.kernel` region, together with the
    neighbours that can share its loops, as `FusibleOpInterface` tells:

    - `rows`: elementwise ops, reductions over the same dims, and views, as long
      as all of them run over the same rows (softmax is one kernel);
    - `contraction`, `convolution`: one product and the elementwise ops on its
      whole, single-use result (bias, activation, residual);
    - `attention`: with the transposes around it;
    - `opaque`: everything else, one op each.

    Splat constants and constants of at most 16 integers are copied into the
    kernels. Outside stay parameters, larger constants, reshapes (aliases),
    control flow and terminators. With `fuse=false` every op is a kernel. With
    `explain` every kernel carries `lathe.left_out`: its neighbours and, for each,
    why it is not in the kernel. Sizes must be static.

    Before:
    ```mlir
    %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
    %1 = lathe.gelu %0 : (tensor<4x16xf32>) -> tensor<4x16xf32>
    ```
    After:
    ```mlir
    %1 = lathe.kernel "linear_gelu" schedule "contraction" (%a = %x, %b = %w)
        : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32> {
      %2 = lathe.linear %a, %b : ...
      %3 = lathe.gelu %2 : ...
      lathe.yield %3 : tensor<4x16xf32>
    }
    ```
  }];
  let options = [
    Option<"fuse", "fuse", "bool", /*default=*/"true",
           "Let ops share kernels; otherwise every op is a kernel of its own">,
    Option<"explain", "explain", "bool", /*default=*/"false",
           "Record on every kernel which neighbours are left out, and why">,
    Option<"maxOps", "max-ops", "unsigned", /*default=*/"64",
           "Ops of a kernel at most">,
    Option<"maxInputs", "max-inputs", "unsigned", /*default=*/"24",
           "Inputs of a kernel at most">
  ];
  let statistics = [
    Statistic<"numKernels", "kernels", "kernels formed">,
    Statistic<"numFused", "fused", "ops that share a kernel with an earlier one">
  ];
}

//===----------------------------------------------------------------------===//
// States
//===----------------------------------------------------------------------===//

def BundleUpdates : Pass<"lathe-bundle-updates", "::mlir::func::FuncOp"> {
  let summary = "let one kernel update all small states";
  let description = [{
    Kernels of elementwise ops whose results are new values of states, and
    nothing else, become one: of an optimizer's many launches over small tensors
    one is left. They have no values in common, so every schedule runs them side
    by side, each over its own elements. Kernels over more than `max-elements`
    stay alone, so that their gradients need not be kept until the others are
    there.

    Before:
    ```mlir
    %0 = lathe.kernel "sub" schedule "rows" (%a = %w, %b = %g) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32> { ... }
    lathe.set_parameter @w, %0 : tensor<8xf32>
    %1 = lathe.kernel "sub" schedule "rows" (%a = %v, %b = %h) : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x4xf32> { ... }
    lathe.set_parameter @v, %1 : tensor<3x4xf32>
    ```
    After:
    ```mlir
    %0:2 = lathe.kernel "updates_of_2" schedule "rows" (%a = %w, %b = %g, %c = %v, %d = %h) : ... { ... }
    lathe.set_parameter @w, %0#0 : tensor<8xf32>
    lathe.set_parameter @v, %0#1 : tensor<3x4xf32>
    ```
  }];
  let options = [
    Option<"maxElements", "max-elements", "int64_t", "65536",
           "Elements of the largest tensor in a bundle">,
    Option<"maxArguments", "max-arguments", "int64_t", "256",
           "Inputs and results of a bundle">
  ];
  let statistics = [
    Statistic<"numBundles", "bundles", "kernels made of several">,
    Statistic<"numBundled", "bundled", "kernels in them">
  ];
}

def UpdateInPlace : Pass<"lathe-update-in-place", "::mlir::func::FuncOp"> {
  let summary = "let kernels write new values of states, and of what loops carry, over the old ones";
  let description = [{
    Marks `lathe.set_parameter` with `in_place` where the kernel that computes the
    value can write it to the state itself: every other reader of the old value
    has run before, and the kernel, where it reads the old value, is one loop over
    the elements all of whose reads lead to the new value. The kernel's attribute
    `lathe.in_place` pairs its results with the inputs they overwrite. All other
    values are moved at the end of the program. A product may be in the kernel, if
    it does not read the old value itself: its sums are done before what follows it
    reads an element.

    What a `scan` carries is treated likewise, such as sums of gradients: its
    attribute `lathe.in_place` lists the carried values that need no copy.

    Before:
    ```mlir
    %w = lathe.get_parameter @w : tensor<8xf32>
    %0 = lathe.kernel "sub" schedule "rows" (%a = %w, %b = %g) : ... { ... }
    lathe.set_parameter @w, %0 : tensor<8xf32>
    ```
    After:
    ```mlir
    %w = lathe.get_parameter @w : tensor<8xf32>
    %0 = lathe.kernel "sub" schedule "rows" (%a = %w, %b = %g) : ... attributes {lathe.in_place = array<i64: 0, 0>} { ... }
    lathe.set_parameter @w, %0 in_place : tensor<8xf32>
    ```
  }];
  let options = [
    Option<"explain", "explain", "bool", "false",
           "Remark why a value is copied instead">
  ];
  let statistics = [
    Statistic<"numInPlace", "in-place", "states written where they are">,
    Statistic<"numCarried", "carried", "carried values written where they are">,
    Statistic<"numCopied", "copied", "states copied at the end of the program">
  ];
}

//===----------------------------------------------------------------------===//
// Debugging
//===----------------------------------------------------------------------===//

def ExposeValues : Pass<"lathe-expose-values", "::mlir::func::FuncOp"> {
  let summary = "make what ops compute results of the function";
  let description = [{
    Appends every value that is no constant to the results, so that two programs
    can be compared value by value; `lathe diff` and the report of a loss that is
    not finite are made with it. Values in a scan are stacked, the trip count as
    leading dim; those of a branch that is not taken are 0; of a `while` there are
    those of the last iteration. With `form=largest` it is the largest magnitude
    of each (NaN where any element is NaN), of floats alone. Expects static shapes
    and no calls: `lathe-specialize` goes before it.

    Before:
    ```mlir
    %0 = lathe.exp %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %1 = lathe.neg %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
    return %1 : tensor<4x8xf32>
    ```
    After:
    ```mlir
    %0 = lathe.exp %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %1 = lathe.neg %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
    return %1, %0, %1 : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>
    ```
  }];
  let options = [
    Option<"form", "form", "std::string", "\"whole\"",
           "whole, or largest: the largest magnitude alone">
  ];
}

#endif // LATHE_TRANSFORMS_PASSES_TD
