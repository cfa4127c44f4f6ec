"""Every derivative rule against central differences in f64, by `lathe check-grad`.

A family of cases is one model. That the comparison finds mistakes is checked,
too: each kind of fault is planted at every place of every rule."""

import collections
import json
import re
import subprocess
import unittest

import numpy as np

from cli import BUILD, CommandLine

FAULTS = ("sign", "factor", "transpose", "no-broadcast-sum", "drop-term")
LIMIT = 1e-6
# How many places each of FAULTS has in the rules of a family, or of one op of a model of CONTROL. No place: no rule of these
# has a gradient or a factor of a product with two equal sizes at its end (quantization; "if", "nested", "reverse" and "while",
# which are all vectors), sums over what was stretched (indexing, the same four), or adds floats (reduction, indexing,
# convolution, pooling, "reverse", "while": what flows to one value from several is added outside of rules).
PLACES = {
    "elementwise": (124, 124, 56, 48, 66), "reduction": (30, 30, 20, 9, 0), "contraction": (52, 52, 50, 12, 28),
    "attention": (49, 49, 18, 9, 26), "large": (10, 10, 8, 4, 2), "shape": (28, 28, 6, 8, 18), "indexing": (40, 40, 18, 0, 0),
    "normalization": (43, 43, 7, 21, 80), "quantization": (15, 15, 0, 7, 24), "loss": (12, 12, 6, 1, 16),
    "linear_loss": (30, 30, 28, 12, 84), "convolution": (55, 55, 14, 7, 0), "pooling": (28, 28, 7, 2, 0)}
PLACES_IN_CONTROL = {
    ("scan", "lathe.scan"): (8, 8, 2, 1, 2), ("if", "lathe.if"): (6, 6, 0, 0, 2), ("if_linear", "lathe.if"): (9, 9, 15, 3, 4),
    ("nested", "lathe.scan"): (30, 30, 0, 0, 6), ("reverse", "lathe.scan"): (9, 9, 0, 0, 0), ("while", "lathe.while"): (7, 7, 0, 0, 0)}
# Of these the ones where the mistake changes no number, by op: a gradient that is the same everywhere may be transposed;
# reduce_prod counts zeros, of which there are none here (test_zeros has); attention_backward and max_pool_gradient are
# differentiated as what they expand to, in gradients of constants that nobody asks for.
WITHOUT_EFFECT = {
    ("reduction", "transpose"): {"lathe.reduce_sum": 1, "lathe.reduce_mean": 1}, ("reduction", "no-broadcast-sum"): {"lathe.reduce_prod": 3},
    ("attention", "no-broadcast-sum"): {"lathe.attention_backward": 3}, ("pooling", "no-broadcast-sum"): {"lathe.max_pool_gradient": 1}}

UNARY = ["exp", "log", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
         "asinh", "acosh", "atanh", "tanh", "erf", "sigmoid", "silu", "softplus", "floor", "ceil", "round", "relu",
         "neg", "abs", "sign", "gelu"]
BINARY = ["add", "sub", "mul", "div", "pow", "max", "min", "rem", "mod"]
BROADCASTS = ["3x3, 3x3 -> 3x3", "2x3, 3 -> 2x3", "f32[], 2x3 -> 2x3", "1x3, 2x1 -> 2x3", "f32[], f32[] -> f32[]",
              "1x1, 1 -> 1x1", "2x3x3, 3x1 -> 2x3x3"]
EMPTY = ["0x3, 1x3 -> 0x3", "0x3, 3 -> 0x3", "f32[], 0 -> 0"]
REDUCTIONS = ["reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_prod"]


def ints(*values):
    return f"array<i64: {', '.join(map(str, values))}>" if values else "array<i64>"


ELEMENTWISE = [f"{op} : {t} -> {t}" for op in UNARY for t in ("3x3", "f32[]")]
ELEMENTWISE += [f"{op} : {t}" for op in BINARY for t in BROADCASTS]
ELEMENTWISE += [
    "gelu {tanh} : 3x3 -> 3x3", "cast %0 to f16 : 3x3 -> f16[3x3]", "cast %0 to f64 : f32[] -> f64[]",
    "select : i1[3x3], 3x3, 3x3 -> 3x3", "select : i1[3], 2x3, f32[] -> 2x3", "select : i1[], 3, 2x1 -> 2x3"]
ELEMENTWISE_EMPTY = [f"{op} : {t}" for op in BINARY for t in EMPTY]
ELEMENTWISE_EMPTY += [f"{op} : {t} -> {t}" for op in UNARY for t in ("0x3", "1x1")]

REDUCTION = [f"{op} {{axes = {ints(*axes)}, keepdims = {keep}}} : {types}" for op in REDUCTIONS for axes, keep, types in [
    ((), "false", "3x3 -> f32[]"), ((1,), "false", "3x3 -> 3"), ((0, -1), "true", "2x3x4 -> 1x3x1"), ((), "false", "f32[] -> f32[]"),
    ((0,), "false", "1x3 -> 3")]]
REDUCTION += [f"cumsum {{axis = {axis} : i64{more}}} : 3x3 -> 3x3" for axis in (0, -1)
              for more in ("", ", exclusive", ", reverse", ", exclusive, reverse")]
REDUCTION += [f"top_k {{k = {k} : i64, axis = {axis} : i64{more}}} : 4x4 -> {t}, i64[{t}]" for k, axis, more, t in [
    (2, -1, "", "4x2"), (3, 0, ", smallest", "3x4")]]
REDUCTION_EMPTY = [f"{op} {{axes = {ints(0)}, keepdims = false}} : {types}" for op in REDUCTIONS
                   for types in ("0x3 -> 3", "2x0 -> 0")] + ["cumsum {axis = 0 : i64} : 0x3 -> 0x3"]

CONTRACTION = [f"matmul {{{flags}}} : 3x3, 3x3 -> 3x3" for flags in (
    "", "transpose_lhs", "transpose_rhs", "transpose_lhs, transpose_rhs")]
CONTRACTION += [f"matmul {flags} : {types}" for flags, types in [
    ("", "2x3, 3x4 -> 2x4"), ("{transpose_lhs}", "3x2, 3x4 -> 2x4"), ("{transpose_rhs}", "2x3, 4x3 -> 2x4"),
    ("", "2x3x4, 4x2 -> 2x3x2"), ("{transpose_rhs}", "2x3x4, 2x4 -> 2x3x2"), ("{transpose_lhs}", "2x4x3, 4x2 -> 2x3x2"),
    ("", "2x1x2x3, 4x3x2 -> 2x4x2x2"), ("", "3x2, 4x2x3 -> 4x3x3"), ("{transpose_rhs}", "1x2x3, 2x1x2x3 -> 2x1x2x2"),
    ("", "1x1, 1x1 -> 1x1")]]
CONTRACTION += ["linear : 4x3, 2x3, 2 -> 4x2", "linear : 3x3, 3x3 -> 3x3", "linear : 3, 2x3, 2 -> 2", "linear : 2x2x3, 4x3 -> 2x2x4",
                "linear : 1x1, 1x1, 1 -> 1x1"]
CONTRACTION += [f"attention {attributes} : {types}" for attributes, types in [
    ("", "1x2x3x4, 1x2x5x4, 1x2x5x3 -> 1x2x3x3"), ("{causal}", "1x1x4x2, 1x1x4x2, 1x1x4x2 -> 1x1x4x2"),
    ("{scale = 0.7 : f64}", "1x4x3x2, 1x2x3x2, 1x2x3x2 -> 1x4x3x2"), ("", "1x2x3x2, 1x2x3x2, 1x2x3x2, 3x3 -> 1x2x3x2"),
    ("", "1x2x3x2, 1x2x3x2, 1x2x3x2, i1[2x1x3] -> 1x2x3x2")]]
# What is made of attention where a gradient passes.
ATTENTION = [f"attention_training {attributes} : {types}" for attributes, types in [
    ("", "1x4x3x2, 1x2x5x2, 1x2x5x3 -> 1x4x3x3, 1x4x3"), ("{causal}", "1x1x4x2, 1x1x3x2, 1x1x3x2 -> 1x1x4x2, 1x1x4"),
    ("{scale = 0.7 : f64}", "1x2x3x3, 1x2x3x3, 1x2x3x3, 1x3x1 -> 1x2x3x3, 1x2x3")]]
ATTENTION += ["attention_backward {causal} : 1x4x3x2, 1x2x5x2, 1x2x5x3, 1x4x3x3, 1x4x3, 1x4x3 -> 1x4x3x2, 1x2x5x2, 1x2x5x3"]
# Too large for the whole Jacobian: random directions.
LARGE = ["matmul : 2x9x9, 9x9 -> 2x9x9", "softmax : 12x12 -> 12x12", "max : 10x10, 10 -> 10x10", "reduce_max {axes = array<i64: 1>} : 20x9 -> 20",
         "conv : 2x3x8x8, 4x3x3x3, 4 -> 2x4x6x6", "gather {axis = 0 : i64} : 20x9, i64[30] -> 30x9"]
CONTRACTION_EMPTY = ["matmul : 0x3, 3x2 -> 0x2", "matmul : 2x0, 0x3 -> 2x3", "matmul : 0x2x3, 3x2 -> 0x2x2",
                     "linear : 0x3, 2x3, 2 -> 0x2", "linear : 2x0, 3x0 -> 2x3"]

SHAPE = [
    f"reshape {{shape = {ints(3, 2)}}} : 2x3 -> 3x2", f"reshape {{shape = {ints()}}} : 1x1 -> f32[]",
    f"squeeze {{axes = {ints(1)}}} : 2x1x3 -> 2x3", f"unsqueeze {{axes = {ints(0, 2)}}} : 3 -> 1x3x1",
    f"transpose {{permutation = {ints(1, 0)}}} : 3x3 -> 3x3", f"transpose {{permutation = {ints(2, 0, 1)}}} : 2x3x4 -> 4x2x3",
    f"broadcast {{shape = {ints(2, 3)}}} : 3 -> 2x3", f"broadcast {{shape = {ints(2, 3, 4)}}} : 3x1 -> 2x3x4",
    f"broadcast {{shape = {ints(2, 2)}}} : f32[] -> 2x2",
    f"slice {{starts = {ints(1)}, ends = {ints(3)}}} : 4x4 -> 2x4",
    f"slice {{starts = {ints(0, 1)}, ends = {ints(9, 6)}, axes = {ints(0, 1)}, steps = {ints(1, 2)}}} : 2x6 -> 2x3",
    f"slice {{starts = {ints(1)}, ends = {ints(7)}, axes = {ints(-1)}, steps = {ints(3)}}} : 2x8 -> 2x2",
    f"slice {{starts = {ints(-1)}, ends = {ints(-9)}, axes = {ints(1)}, steps = {ints(-1)}}} : 2x4 -> 2x4",
    f"slice {{starts = {ints(6)}, ends = {ints(0)}, axes = {ints(0)}, steps = {ints(-2)}}} : 7x2 -> 3x2",
    f"slice {{starts = {ints(2)}, ends = {ints(2)}, axes = {ints(0)}}} : 4x2 -> 0x2",
    "concat {axis = 1 : i64} : 2x3, 2x1, 2x2 -> 2x6", "concat {axis = -2 : i64} : 0x3, 2x3 -> 2x3",
    f"pad {{low = {ints(1, 0)}, high = {ints(2, 1)}}} : 2x3 -> 5x4", f"pad {{low = {ints(-1, 2)}, high = {ints(1, -1)}}} : 3x3 -> 3x4",
    f"pad {{low = {ints(1, 0)}, high = {ints(0, 2)}}} : 2x3, f32[] -> 3x5",
    f"pad {{low = {ints(2, 0)}, high = {ints(1, 2)}, mode = 1 : i32}} : 4x3 -> 7x5",
    f"pad {{low = {ints(2, -1)}, high = {ints(1, 2)}, mode = 2 : i32}} : 4x3 -> 7x4",
    f"pad {{low = {ints(2, 0)}, high = {ints(1, 3)}, mode = 3 : i32}} : 4x3 -> 7x6",
    f"tile {{repeats = {ints(2, 3)}}} : 2x2 -> 4x6", f"tile {{repeats = {ints(1, 2)}}} : 3x1 -> 3x2",
    f"reverse {{axes = {ints(0)}}} : 3x3 -> 3x3", f"reverse {{axes = {ints(0, 1)}}} : 2x3 -> 2x3"]

INDEXING = [
    "gather {axis = 0 : i64} : 4x3, i64[2x2] -> 2x2x3", "gather {axis = 1 : i64} : 2x5x3, i64[6] -> 2x6x3",
    "gather {axis = -1 : i64} : 3x4, i32[] -> 3", "gather {axis = 0 : i64} : 3x3, i64[3] -> 3x3",
    "gather {axis = 0 : i64} : 4x3, i64[0] -> 0x3", "embedding : 5x3, i64[2x3] -> 2x3x3",
    "gather_elements {axis = 1 : i64} : 3x4, i64[3x3] -> 3x3", "gather_elements {axis = 0 : i64} : 3x3, i64[2x3] -> 2x3",
    "gather_nd : 3x4x2, i64[5x2] -> 5x2", "gather_nd {batch_dims = 1 : i64} : 2x4x3, i64[2x2x1] -> 2x2x3",
    "gather_nd : 3x3, i64[4x1] -> 4x3"]
INDEXING += [f"scatter_elements {{axis = {axis} : i64, mode = {mode} : i32}} : {types}" for mode in range(5) for axis, types in [
    (1, "3x4, i64[3x3], 3x3 -> 3x4"), (0, "3x3, i64[3x3], 3x3 -> 3x3")]]
INDEXING += [f"scatter_nd {{mode = {mode} : i32}} : 6x4, i64[5x1], 5x4 -> 6x4" for mode in range(5)]

NORMALIZATION = [
    "softmax : 3x3 -> 3x3", "softmax {axis = 0 : i64} : 2x3x2 -> 2x3x2", "softmax : 1 -> 1", "softmax : 0x3 -> 0x3",
    "log_softmax : 3x3 -> 3x3", "log_softmax {axis = 1 : i64} : 2x3x2 -> 2x3x2",
    "layer_norm %0 scale %1 bias %2 {axis = 1 : i64, epsilon = 0.1 : f64} : 3x3, 3, 3 -> 3x3",
    "layer_norm %0 scale %1 {axis = 1 : i64, epsilon = 0.1 : f64} : 2x3x4, 3x1 -> 2x3x4", "layer_norm %0 : 2x4 -> 2x4",
    "layer_norm %0 bias %1 {axis = 0 : i64, epsilon = 0.1 : f64} : 2x3, f32[] -> 2x3",
    "rms_norm {epsilon = 0.1 : f64} : 3x3, 3 -> 3x3", "rms_norm {epsilon = 0.1 : f64} : 2x2x4 -> 2x2x4",
    "batch_norm {epsilon = 0.1 : f64} : 2x3x2x2, 3, 3, 3, 3 -> 2x3x2x2",
    "batch_norm {axis = -1 : i64, epsilon = 0.1 : f64} : 3x3, 3, 3, 3, 3 -> 3x3",
    "batch_norm_training {epsilon = 0.1 : f64} : 4x3x2, 3, 3, 3, 3 -> 4x3x2, 3, 3",
    "batch_norm_training {axis = -1 : i64, epsilon = 0.1 : f64, momentum = 0.3 : f64, biased} : 3x3, 3, 3, 3, 3 -> 3x3, 3, 3"]

QUANTIZATION = ["dequantize : i8[3x3], 3, i8[3] -> 3x3", "dequantize : ui8[2x3], f32[], ui8[] -> 2x3",
                "dequantize {group = 2 : i64} : i8[2x5], 2x3, i8[2x3] -> 2x5"]
# Against the clamp; numbers from -1 to 1, so that some are outside.
QUANTIZATION += [f"fake_quantize {{{axis}storage = !quant.any<i8<-1:1>:f32>}} : {types}" for axis, types in [
    ("", "3x4, f32[], i8[] -> 3x4"), ("axis = 0 : i64, ", "3x4, 3, i8[3] -> 3x4"), ("", "2x3x2, 2x1x1, i8[2x1x1] -> 2x3x2"),
    ("group = 2 : i64, ", "2x5, 2x3, i8[2x3] -> 2x5")]]

LOSS = [f"cross_entropy %0, %1 {reduce} {attributes} : {types} -> {out}" for reduce, attributes, types, out in [
    ("", "", "4x3, i64[4]", "f32[]"), ("reduce sum", "{label_smoothing = 0.2 : f64}", "3x3, i32[3]", "f32[]"),
    ("reduce none", "{ignore_index = 1 : i64}", "2x3x4, i64[2x3]", "2x3"), ("reduce none", "", "5, i64[]", "f32[]"),
    ("reduce mean", "{ignore_index = 0 : i64, label_smoothing = 0.1 : f64}", "6x3, i64[6]", "f32[]")]]
LOSS += ["mse : 3x3, 3x3 -> f32[]", "mse %0, %1 reduce sum : 2x3, 2x3 -> f32[]", "mse %0, %1 reduce none : f32[], f32[] -> f32[]",
         "mse %0, %1 reduce none : 3x3, 3x3 -> 3x3", "dropout {rate = 0.4 : f64, stream = 3 : i64} : 4x4, i64[2] -> 4x4"]

# Rows of x, classes of w: with chunks that fit and that do not, of one row, of more rows than there are. The results after
# the loss are gradients themselves, so each line checks first and second derivatives.
LINEAR_LOSS = [f"linear_cross_entropy {{{attributes}}} : {given} -> f32[], {made}" for attributes, given, made in [
    ("chunk = 1 : i64", "3x3, 3x3, i64[3]", "3x3, 3x3"),
    ("chunk = 2 : i64, label_smoothing = 0.2 : f64", "3x3, 3x3, i64[3], 3", "3x3, 3x3, 3"),
    ("chunk = 2 : i64, ignore_index = 1 : i64", "4x2, 3x2, i64[4], 3", "4x2, 3x2, 3"),
    ("chunk = 3 : i64, ignore_index = 0 : i64, label_smoothing = 0.1 : f64", "2x2x3, 4x3, i32[2x2]", "2x2x3, 4x3"),
    ("chunk = 8 : i64", "1x2, 3x2, i64[1], 3", "1x2, 3x2, 3"), ("chunk = 1 : i64", "3, 2x3, i64[]", "3, 2x3")]]

CONVOLUTION = [f"conv {{{attributes}}} : {types}" for attributes, types in [
    ("", "1x2x5, 3x2x3, 3 -> 1x3x3"), (f"strides = {ints(2)}, pad_low = {ints(1)}, pad_high = {ints(2)}", "2x2x6, 2x2x3 -> 2x2x4"),
    (f"strides = {ints(2, 3)}, dilations = {ints(2, 1)}, pad_low = {ints(1, 0)}, pad_high = {ints(2, 1)}", "1x2x6x7, 2x2x2x3, 2 -> 1x2x4x2"),
    ("groups = 2 : i64", "2x4x3x3, 6x2x2x2, 6 -> 2x6x2x2"), (f"groups = 3 : i64, strides = {ints(2, 2)}", "1x3x5x4, 3x1x2x2 -> 1x3x2x2"),
    (f"layout = 1 : i32, strides = {ints(2, 1)}, pad_low = {ints(1, 1)}, pad_high = {ints(0, 1)}", "2x4x3x2, 3x2x2x3, 3 -> 2x2x3x3"),
    ("", "1x1x2x3x2, 2x1x2x2x1, 2 -> 1x2x1x2x2"), ("", "3x3x1x1, 3x3x1x1 -> 3x3x1x1"), ("", "0x2x4, 3x2x2, 3 -> 0x3x3")]]
CONVOLUTION += [f"conv_transpose {{{attributes}}} : {types}" for attributes, types in [
    ("", "1x2x3, 2x3x2, 3 -> 1x3x4"), (f"strides = {ints(2, 2)}", "1x2x2x3, 2x3x2x2 -> 1x3x4x6"),
    (f"strides = {ints(2, 3)}, pad_low = {ints(1, 0)}, pad_high = {ints(0, 1)}, output_padding = {ints(1, 0)}", "1x2x3x2, 2x2x3x3, 2 -> 1x2x7x5"),
    (f"groups = 2 : i64, dilations = {ints(2)}", "2x4x3, 4x3x2 -> 2x6x5")]]
POOLS = [(f"kernel = {ints(2)}", "2x2x5 -> 2x2x4"), (f"kernel = {ints(2, 3)}, strides = {ints(2, 2)}, pad_low = {ints(1, 1)}, pad_high = {ints(0, 1)}", "1x2x5x5 -> 1x2x3x3"),
         (f"kernel = {ints(2, 2)}, dilations = {ints(2, 1)}, layout = 1 : i32", "1x4x3x2 -> 1x2x2x2"),
         (f"kernel = {ints(3, 2)}, strides = {ints(2, 2)}, ceil_mode", "1x1x6x5 -> 1x1x3x3"),
         (f"kernel = {ints(2, 2)}, strides = {ints(2, 2)}", "2x2x5x4 -> 2x2x2x2"),
         (f"kernel = {ints(2, 3)}, strides = {ints(2, 3)}, layout = 1 : i32", "1x4x6x2 -> 1x2x2x2")]
POOLING = [f"{op} {{{attributes}}} : {types}" for op in ("max_pool", "avg_pool") for attributes, types in POOLS]
POOLING += [f"avg_pool {{{attributes}, count_include_pad}} : {types}" for attributes, types in POOLS]
POOLING += [f"max_pool_with_index {{kernel = {ints(2, 2)}, strides = {ints(2, 1)}, column_major}} : 2x1x4x3 -> 2x1x2x2, i64[2x1x2x2]"]
POOLING += [f"max_pool_gradient {{kernel = {ints(2, 2)}}} : 1x2x5x4, 1x2x2x2 -> 1x2x5x4"]
POOLING += [f"resize {{{attributes}}} : {types}" for attributes, types in [
    (f"sizes = {ints(1, 1, 5, 4)}, mode = 1 : i32", "1x1x3x2 -> 1x1x5x4"), (f"sizes = {ints(1, 2, 6)}, mode = 0 : i32", "1x2x3 -> 1x2x6"),
    ("scales = array<f64: 1.0, 1.5, 0.6>, mode = 1 : i32, coordinates = 3 : i32", "1x3x5 -> 1x4x3"),
    (f"sizes = {ints(1, 1, 4, 7)}, mode = 2 : i32, coordinates = 2 : i32, exclude_outside", "1x1x3x4 -> 1x1x4x7"),
    (f"sizes = {ints(1, 5)}, mode = 1 : i32, coordinates = 4 : i32, roi = array<f64: 0.0, 0.2, 1.0, 1.3>, extrapolation_value = 2.0 : f64", "1x4 -> 1x5")]]

# Loops and branches: text of whole functions.
CONTROL = {
    # Carried, stacked and captured values; a stacked result that is used, too.
    "scan": """func.func @loss(%x: tensor<2x3xf32>, %weights: tensor<4x3x3xf32>, %bias: tensor<3xf32>) -> tensor<f32> {
  %r:2 = lathe.scan init(%h = %x) inputs(%w = %weights) : (tensor<2x3xf32>, tensor<4x3x3xf32>) -> (tensor<2x3xf32>, tensor<4x2x3xf32>) {
    %0 = lathe.linear %h, %w, %bias : (tensor<2x3xf32>, tensor<3x3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
    %1 = lathe.tanh %0 : (tensor<2x3xf32>) -> tensor<2x3xf32>
    %2 = lathe.mul %1, %h : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
    lathe.yield %2, %0 : tensor<2x3xf32>, tensor<2x3xf32>
  }
  %3 = lathe.reduce_sum %r#1 {axes = array<i64: 0>} : (tensor<4x2x3xf32>) -> tensor<2x3xf32>
  %4 = lathe.mul %3, %r#0 : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %5 = lathe.reduce_sum %4 {axes = array<i64>} : (tensor<2x3xf32>) -> tensor<f32>
  return %5 : tensor<f32>
}""",
    # Backward, without inputs; the second carried value is not asked for at the end.
    "reverse": """func.func @loss(%x: tensor<3xf32>, %y: tensor<3xf32>, %xs: tensor<5x3xf32>) -> tensor<f32> {
  %r:2 = lathe.scan init(%a = %x, %b = %y) inputs(%s = %xs) {reverse} : (tensor<3xf32>, tensor<3xf32>, tensor<5x3xf32>) -> (tensor<3xf32>, tensor<3xf32>) {
    %0 = lathe.mul %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %1 = lathe.sin %b : (tensor<3xf32>) -> tensor<3xf32>
    %2 = lathe.add %1, %s : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    lathe.yield %0, %2 : tensor<3xf32>, tensor<3xf32>
  }
  %q = lathe.scan init(%a = %r#0) {trip_count = 3 : i64} : (tensor<3xf32>) -> tensor<3xf32> {
    %0 = lathe.mul %a, %y : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    lathe.yield %0 : tensor<3xf32>
  }
  %z = lathe.scan init(%a = %q) {trip_count = 0 : i64} : (tensor<3xf32>) -> tensor<3xf32> {
    %0 = lathe.exp %a : (tensor<3xf32>) -> tensor<3xf32>
    lathe.yield %0 : tensor<3xf32>
  }
  %5 = lathe.reduce_sum %z {axes = array<i64>} : (tensor<3xf32>) -> tensor<f32>
  return %5 : tensor<f32>
}""",
    # A loop in a loop, a branch in it, values captured from both levels.
    "nested": """func.func @loss(%x: tensor<3xf32>, %ws: tensor<2x4x3xf32>, %k: tensor<3xf32>, %flags: tensor<4xi1>) -> tensor<f32> {
  %r:2 = lathe.scan init(%h = %x) inputs(%w = %ws) : (tensor<3xf32>, tensor<2x4x3xf32>) -> (tensor<3xf32>, tensor<2x4x3xf32>) {
    %e = lathe.exp %h : (tensor<3xf32>) -> tensor<3xf32>
    %i:2 = lathe.scan init(%g = %h) inputs(%v = %w, %f = %flags) : (tensor<3xf32>, tensor<4x3xf32>, tensor<4xi1>) -> (tensor<3xf32>, tensor<4x3xf32>) {
      %n = lathe.if %f : (tensor<i1>) -> tensor<3xf32> {
        %0 = lathe.sin %g : (tensor<3xf32>) -> tensor<3xf32>
        %1 = lathe.mul %0, %v : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
        %2 = lathe.mul %1, %e : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
        lathe.yield %2 : tensor<3xf32>
      } else {
        %0 = lathe.mul %k, %k : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
        %1 = lathe.sigmoid %0 : (tensor<3xf32>) -> tensor<3xf32>
        %2 = lathe.add %1, %g : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
        lathe.yield %2 : tensor<3xf32>
      }
      %m = lathe.mul %n, %k : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
      lathe.yield %m, %n : tensor<3xf32>, tensor<3xf32>
    }
    %t = lathe.tanh %i#0 : (tensor<3xf32>) -> tensor<3xf32>
    lathe.yield %t, %i#1 : tensor<3xf32>, tensor<4x3xf32>
  }
  %3 = lathe.reduce_sum %r#1 {axes = array<i64: 0, 1>} : (tensor<2x4x3xf32>) -> tensor<3xf32>
  %4 = lathe.mul %3, %r#0 : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  %5 = lathe.reduce_sum %4 {axes = array<i64>} : (tensor<3xf32>) -> tensor<f32>
  return %5 : tensor<f32>
}""",
    # Both branches use what the other does not; one gives back what it captures.
    "if": """func.func @loss(%x: tensor<3xf32>, %y: tensor<3xf32>, %c: tensor<i1>) -> tensor<f32> {
  %r:2 = lathe.if %c : (tensor<i1>) -> (tensor<3xf32>, tensor<3xf32>) {
    %0 = lathe.exp %x : (tensor<3xf32>) -> tensor<3xf32>
    lathe.yield %0, %x : tensor<3xf32>, tensor<3xf32>
  } else {
    %0 = lathe.mul %y, %x : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %1 = lathe.tanh %0 : (tensor<3xf32>) -> tensor<3xf32>
    lathe.yield %1, %1 : tensor<3xf32>, tensor<3xf32>
  }
  %4 = lathe.mul %r#0, %r#1 : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  %5 = lathe.reduce_sum %4 {axes = array<i64>} : (tensor<3xf32>) -> tensor<f32>
  return %5 : tensor<f32>
}""",
    # Products, a bias and a difference of two terms: a place for every fault in the rules of either branch.
    "if_linear": """func.func @loss(%x: tensor<3x3xf32>, %w: tensor<3x3xf32>, %b: tensor<3xf32>, %c: tensor<i1>) -> tensor<f32> {
  %r = lathe.if %c : (tensor<i1>) -> tensor<3x3xf32> {
    %0 = lathe.linear %x, %w, %b : (tensor<3x3xf32>, tensor<3x3xf32>, tensor<3xf32>) -> tensor<3x3xf32>
    %1 = lathe.softmax %0 : (tensor<3x3xf32>) -> tensor<3x3xf32>
    lathe.yield %1 : tensor<3x3xf32>
  } else {
    %0 = lathe.matmul %w, %x : (tensor<3x3xf32>, tensor<3x3xf32>) -> tensor<3x3xf32>
    %1 = lathe.mul %0, %b : (tensor<3x3xf32>, tensor<3xf32>) -> tensor<3x3xf32>
    %2 = lathe.tanh %1 : (tensor<3x3xf32>) -> tensor<3x3xf32>
    lathe.yield %2 : tensor<3x3xf32>
  }
  %4 = lathe.mul %r, %r : (tensor<3x3xf32>, tensor<3x3xf32>) -> tensor<3x3xf32>
  %5 = lathe.reduce_sum %4 {axes = array<i64>} : (tensor<3x3xf32>) -> tensor<f32>
  return %5 : tensor<f32>
}""",
    # A counted loop, and one that may end early.
    "while": """func.func @loss(%x: tensor<3xf32>, %y: tensor<3xf32>) -> tensor<f32> {
  %zero = lathe.constant dense<0> : tensor<i64>
  %two = lathe.constant dense<2> : tensor<i64>
  %seven = lathe.constant dense<7> : tensor<i64>
  %r:2 = lathe.while (%a = %x, %i = %zero) : (tensor<3xf32>, tensor<i64>) -> (tensor<3xf32>, tensor<i64>) {
    %0 = lathe.compare lt, %i, %seven : (tensor<i64>, tensor<i64>) -> tensor<i1>
    lathe.yield %0 : tensor<i1>
  } do {
  ^bb0(%a: tensor<3xf32>, %i: tensor<i64>):
    %0 = lathe.mul %a, %y : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %1 = lathe.add %0, %x : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %2 = lathe.add %i, %two : (tensor<i64>, tensor<i64>) -> tensor<i64>
    lathe.yield %1, %2 : tensor<3xf32>, tensor<i64>
  }
  %limit = lathe.constant dense<4.1> : tensor<f32>
  %q:2 = lathe.while (%a = %r#0, %i = %zero) : (tensor<3xf32>, tensor<i64>) -> (tensor<3xf32>, tensor<i64>) {
    %0 = lathe.compare lt, %i, %seven : (tensor<i64>, tensor<i64>) -> tensor<i1>
    %1 = lathe.mul %a, %a : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %2 = lathe.reduce_sum %1 {axes = array<i64>} : (tensor<3xf32>) -> tensor<f32>
    %3 = lathe.compare lt, %2, %limit : (tensor<f32>, tensor<f32>) -> tensor<i1>
    %4 = lathe.and %0, %3 : (tensor<i1>, tensor<i1>) -> tensor<i1>
    lathe.yield %4 : tensor<i1>
  } do {
  ^bb0(%a: tensor<3xf32>, %i: tensor<i64>):
    %0 = lathe.sin %y : (tensor<3xf32>) -> tensor<3xf32>
    %1 = lathe.add %0, %a : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %2 = lathe.add %i, %two : (tensor<i64>, tensor<i64>) -> tensor<i64>
    lathe.yield %1, %2 : tensor<3xf32>, tensor<i64>
  }
  %4 = lathe.sin %q#0 : (tensor<3xf32>) -> tensor<3xf32>
  %5 = lathe.reduce_sum %4 {axes = array<i64>} : (tensor<3xf32>) -> tensor<f32>
  return %5 : tensor<f32>
}""",
    "call": """func.func private @twice(%x: tensor<3xf32>) -> tensor<3xf32> {
  %0 = lathe.exp %x : (tensor<3xf32>) -> tensor<3xf32>
  %1 = lathe.mul %0, %x : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  return %1 : tensor<3xf32>
}
func.func @loss(%x: tensor<3xf32>) -> tensor<f32> {
  %0 = call @twice(%x) : (tensor<3xf32>) -> tensor<3xf32>
  %1 = lathe.tanh %0 : (tensor<3xf32>) -> tensor<3xf32>
  %2 = call @twice(%1) : (tensor<3xf32>) -> tensor<3xf32>
  %3 = lathe.reduce_sum %2 {axes = array<i64>} : (tensor<3xf32>) -> tensor<f32>
  return %3 : tensor<f32>
}""",
}
# The gradient of gradient . v, and so second derivatives.
SECOND = """func.func private @loss_grad(%x: tensor<2x3xf32>, %w: tensor<3x3xf32>) -> (tensor<f32>, tensor<2x3xf32>, tensor<3x3xf32>)
func.func private @loss(%x: tensor<2x3xf32>, %w: tensor<3x3xf32>) -> tensor<f32> {
  %0 = lathe.linear %x, %w : (tensor<2x3xf32>, tensor<3x3xf32>) -> tensor<2x3xf32>
  %1 = lathe.gelu %0 : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %2 = lathe.softmax %1 : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %3 = lathe.layer_norm %2 {epsilon = 0.1 : f64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %4 = lathe.scan init(%h = %3) {trip_count = 2 : i64} : (tensor<2x3xf32>) -> tensor<2x3xf32> {
    %5 = lathe.sin %h : (tensor<2x3xf32>) -> tensor<2x3xf32>
    %6 = lathe.matmul %5, %w : (tensor<2x3xf32>, tensor<3x3xf32>) -> tensor<2x3xf32>
    lathe.yield %6 : tensor<2x3xf32>
  }
  %7 = lathe.mul %4, %2 : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %8 = lathe.reduce_sum %7 {axes = array<i64>} : (tensor<2x3xf32>) -> tensor<f32>
  return %8 : tensor<f32>
}
func.func @main(%x: tensor<2x3xf32>, %w: tensor<3x3xf32>, %v: tensor<2x3xf32>, %u: tensor<3x3xf32>) -> tensor<f32> {
  %g:3 = call @loss_grad(%x, %w) : (tensor<2x3xf32>, tensor<3x3xf32>) -> (tensor<f32>, tensor<2x3xf32>, tensor<3x3xf32>)
  %0 = lathe.mul %g#1, %v : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %1 = lathe.mul %g#2, %u : (tensor<3x3xf32>, tensor<3x3xf32>) -> tensor<3x3xf32>
  %2 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<2x3xf32>) -> tensor<f32>
  %3 = lathe.reduce_sum %1 {axes = array<i64>} : (tensor<3x3xf32>) -> tensor<f32>
  %4 = lathe.add %2, %3 : (tensor<f32>, tensor<f32>) -> tensor<f32>
  return %4 : tensor<f32>
}
"""

# The same of a loss in chunks, where the model has the loss alone: first the gradients that come with it, then those of these.
SECOND_LINEAR_LOSS = """func.func private @loss_grad(%x: tensor<5x3xf32>, %w: tensor<4x3xf32>, %b: tensor<4xf32>, %l: tensor<5xi64>)
    -> (tensor<f32>, tensor<5x3xf32>, tensor<4x3xf32>, tensor<4xf32>)
func.func private @loss(%x: tensor<5x3xf32>, %w: tensor<4x3xf32>, %b: tensor<4xf32>, %l: tensor<5xi64>) -> tensor<f32> {
  %0 = lathe.tanh %x : (tensor<5x3xf32>) -> tensor<5x3xf32>
  %1 = lathe.linear %0, %w, %b : (tensor<5x3xf32>, tensor<4x3xf32>, tensor<4xf32>) -> tensor<5x4xf32>
  %2 = lathe.cross_entropy %1, %l {ignore_index = 2 : i64, label_smoothing = 0.1 : f64} : (tensor<5x4xf32>, tensor<5xi64>) -> tensor<f32>
  return %2 : tensor<f32>
}
func.func @main(%x: tensor<5x3xf32>, %w: tensor<4x3xf32>, %b: tensor<4xf32>, %l: tensor<5xi64>, %v: tensor<5x3xf32>, %u: tensor<4x3xf32>) -> tensor<f32> {
  %g:4 = call @loss_grad(%x, %w, %b, %l) : (tensor<5x3xf32>, tensor<4x3xf32>, tensor<4xf32>, tensor<5xi64>) -> (tensor<f32>, tensor<5x3xf32>, tensor<4x3xf32>, tensor<4xf32>)
  %0 = lathe.mul %g#1, %v : (tensor<5x3xf32>, tensor<5x3xf32>) -> tensor<5x3xf32>
  %1 = lathe.mul %g#2, %u : (tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<4x3xf32>
  %2 = lathe.exp %g#3 : (tensor<4xf32>) -> tensor<4xf32>
  %3 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<5x3xf32>) -> tensor<f32>
  %4 = lathe.reduce_sum %1 {axes = array<i64>} : (tensor<4x3xf32>) -> tensor<f32>
  %5 = lathe.reduce_sum %2 {axes = array<i64>} : (tensor<4xf32>) -> tensor<f32>
  %6 = lathe.add %3, %4 : (tensor<f32>, tensor<f32>) -> tensor<f32>
  %7 = lathe.add %5, %6 : (tensor<f32>, tensor<f32>) -> tensor<f32>
  return %7 : tensor<f32>
}
"""

FAMILIES = {name.lower(): value for name, value in globals().copy().items()
            if name in ("ELEMENTWISE", "REDUCTION", "CONTRACTION", "ATTENTION", "LARGE", "QUANTIZATION", "SHAPE", "INDEXING", "NORMALIZATION", "LOSS", "LINEAR_LOSS", "CONVOLUTION", "POOLING")}


def tensor(text):
    element, dims = text[:-1].split("[") if "[" in text else ("f32", text)
    return f"tensor<{dims + 'x' if dims else ''}{element}>"


def model(cases):
    """A function of all arguments of all cases, which returns all results."""
    arguments, lines, results = [], [], []
    for number, case in enumerate(cases):
        head, types = case.rsplit(" : ", 1)
        given, made = (list(map(tensor, side.split(", "))) for side in types.split(" -> "))
        names = [f"%a{number}_{i}" for i in range(len(given))]
        arguments += [f"{n}: {t}" for n, t in zip(names, given)]
        if "%0" in head:
            for i, name in reversed(list(enumerate(names))):
                head = head.replace(f"%{i}", name)
        else:
            op, _, attributes = head.partition(" ")
            head = f"{op} {', '.join(names)} {attributes}"
        many = f":{len(made)}" if len(made) > 1 else ""
        results += [(f"%r{number}" + (f"#{i}" if many else ""), t) for i, t in enumerate(made)]
        lines.append(f"  %r{number}{many} = lathe.{head} : ({', '.join(given)}) -> ({', '.join(made)})")
    return (f"func.func @main({', '.join(arguments)}) -> ({', '.join(t for _, t in results)}) {{\n" + "\n".join(lines) +
            f"\n  return {', '.join(r for r, _ in results)} : {', '.join(t for _, t in results)}\n}}\n")


def loss(cases):
    """The sum of all float results of all cases, as a function @loss."""
    head, body = model(cases).replace("@main", "@loss").split(") -> (", 1)
    lines = body.split(") {\n", 1)[1].rstrip("}\n").split("\n")
    names, types = lines.pop().strip().removeprefix("return ").split(" : ")
    total = None
    for i, (name, of) in enumerate(zip(names.split(", "), types.split(", "))):
        element = of.strip("<>").split("x")[-1].split("<")[-1]
        if not element.startswith("f"):
            continue
        lines += [f"  %s{i} = lathe.reduce_sum {name} {{axes = array<i64>}} : ({of}) -> tensor<{element}>",
                  f"  %c{i} = lathe.cast %s{i} to f32 : (tensor<{element}>) -> tensor<f32>"]
        if total:
            lines.append(f"  %t{i} = lathe.add {total}, %c{i} : (tensor<f32>, tensor<f32>) -> tensor<f32>")
        total = f"%t{i}" if total else f"%c{i}"
    return f"{head}) -> tensor<f32> {{\n" + "\n".join(lines) + f"\n  return {total} : tensor<f32>\n}}\n"


class Gradients(CommandLine):
    SECONDS = 60

    # The same cache every time: hundreds of small kernels.
    @classmethod
    def setUpClass(cls):
        cls.cache = str(BUILD / "test" / "cache")

    @classmethod
    def tearDownClass(cls):
        pass

    def figures(self, text, *options):
        """The report of check-grad on a model, whether it is content or not."""
        path = self.write("model.mlir", text)
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        done = self.lathe("check-grad", path, "--json", report, *options, seconds=120)
        self.assertTrue(report.exists(), done.said)
        return json.loads(report.read_text()), done

    def right(self, text, *options):
        report, done = self.figures(text, *options)
        self.assertEqual((done.returncode, report["failures"]), (0, 0), done.said)
        self.assertLessEqual(report["worst"], LIMIT)
        return report

    def check_family(self, cases):
        report = self.right(model(cases), "--ops-only")
        # Equal cases are checked once; each has a line of its own.
        self.assertGreaterEqual(report["ops"], len(set(cases)) * 0.8)

    def test_control_flow(self):
        for name, text in CONTROL.items():
            for seed in ("0", "1"):
                with self.subTest(model=name, seed=seed):
                    report = self.right(text, "--seed", seed)
                    self.assertTrue(any(case["model"] for case in report["cases"]))

    def check_planted(self, name, kind, places, text, *options):
        """So many faults are planted, as many could be compared, and all are found
        but those of WITHOUT_EFFECT. Where there is no place, that is said."""
        report, done = self.figures(text, "--plant", kind, *options)
        missed = collections.Counter(case["name"] for case in report["cases"] if not case["caught"])
        harmless = WITHOUT_EFFECT.get((name, kind), {})
        self.assertEqual((report["planted"], report["refused"], report["failures"]), (places, 0, 0), done.said)
        self.assertEqual(missed, harmless, done.said)
        self.assertEqual(report["caught"], places - sum(harmless.values()), done.said)
        self.assertEqual(done.returncode, 0 if places and not harmless else 1, done.said)
        self.assertEqual("nothing to plant: no rule" in done.stderr, places == 0, done.said)
        return report

    def test_faults_in_control_flow(self):
        for (name, op), counts in PLACES_IN_CONTROL.items():
            for kind, places in zip(FAULTS, counts, strict=True):
                with self.subTest(model=name, op=op, fault=kind):
                    self.check_planted(name, kind, places, CONTROL[name], "--op", op)

    def test_refused_faults(self):
        """A gradient of a wrong type is never compared, and so not found."""
        report, done = self.figures(CONTROL["if"], "--op", "lathe.if", "--plant", "wrong-type")
        self.assertEqual((done.returncode, report["planted"], report["caught"], report["refused"]), (1, 6, 0, 6), done.said)
        self.assertIn("a planted fault is refused: wrong-type at place 5 of the rule of 'lathe.if'", done.stderr)

    def test_types(self):
        """The rules build gradients of the operands' types, of 16 bits, too. What
        is saved of attention is f32 beside 16 bits, and made after all retyping."""
        families = FAMILIES | {"empty": ELEMENTWISE_EMPTY + REDUCTION_EMPTY + CONTRACTION_EMPTY}
        del families["attention"], families["linear_loss"]
        for name, cases in families.items():
            path = self.write(f"{name}.mlir", loss(cases))
            for to in ("f32", "f16", "bf16"):
                with self.subTest(family=name, type=to):
                    done = subprocess.run([BUILD / "bin" / "lathe-opt", f"--lathe-retype-floats=to={to}", "--lathe-specialize",
                                           "--lathe-autograd=wrt=inputs", path], capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stderr[-1500:])
                    self.assertIn("lathe.gradient_of_input", done.stdout)

    def test_rough(self):
        """Functions that have no derivative, or no value, anywhere."""
        text = """func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %large = lathe.constant dense<1.0e9> : tensor<f32>
  %0 = lathe.mul %x, %large : (tensor<3xf32>, tensor<f32>) -> tensor<3xf32>
  %1 = lathe.sin %0 : (tensor<3xf32>) -> tensor<3xf32>
  return %1 : tensor<3xf32>
}"""
        self.refused("the gradient of 'main' cannot be checked: no smooth point", "check-grad", self.write("rough.mlir", text))
        text = """func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %one = lathe.constant dense<-1.0> : tensor<f32>
  %0 = lathe.abs %x : (tensor<3xf32>) -> tensor<3xf32>
  %1 = lathe.sub %one, %0 : (tensor<f32>, tensor<3xf32>) -> tensor<3xf32>
  %2 = lathe.sqrt %1 : (tensor<3xf32>) -> tensor<3xf32>
  return %2 : tensor<3xf32>
}"""
        self.refused(r"the gradient of 'main' cannot be checked: the function's value is nan \(result 0, element 0\), expected a finite one\n",
                     "check-grad", self.write("nowhere.mlir", text))

    def test_no_rows(self):
        """The mean over nothing."""
        text = """func.func @loss(%x: tensor<?x3xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}) -> tensor<f32> {
  %0 = lathe.reduce_mean %x {axes = array<i64>} : (tensor<?x3xf32>) -> tensor<f32>
  return %0 : tensor<f32>
}"""
        path = self.write("mean.mlir", text)
        self.refused("the gradient of 'loss' cannot be checked: the function's value is nan .*; 'x' has no elements", "check-grad", path,
                     "--dim", "batch=0")
        self.works("check-grad", path, "--dim", "batch=1")

    def test_progress(self):
        """What takes long says so; products of this size take seconds, those of the other tests do not."""
        def product(size):
            of = f"tensor<{size}x{size}xf32>"
            return self.write("product.mlir", f"""func.func @main(%x: {of}, %y: {of}) -> {of} {{
  %0 = lathe.matmul %x, %y : ({of}, {of}) -> {of}
  return %0 : {of}
}}""")
        done = self.works("check-grad", product(576), "--ops-only")
        self.assertRegex(done.stderr, r"(?m)^checking gradients: 0, \d+ s of 1, lathe\.matmul$", done.stdout)
        self.assertEqual(self.works("check-grad", product(3), "--ops-only").stderr, "")

    def test_zeros(self):
        """Products with one factor of 0, two, and none."""
        text = f"""func.func @main(%x: tensor<3x3xf32> {{lathe.name = "x"}}) -> tensor<3xf32> {{
  %0 = lathe.reduce_prod %x {{axes = array<i64: 1>}} : (tensor<3x3xf32>) -> tensor<3xf32>
  return %0 : tensor<3xf32>
}}"""
        x = self.folder / "x.npy"
        np.save(x, np.array([[0.5, 0, 2], [0, 3, 0], [1.5, -2, 0.7]], np.float32))
        self.right(text, "--input", f"x={x}")

    def test_second_order(self):
        path = self.write("model.mlir", SECOND)
        done = subprocess.run([BUILD / "bin" / "lathe-opt", "--lathe-autograd=wrt=inputs", path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.right(done.stdout, "--function", "main")

    def chunked(self, text, before="", after=""):
        """`text` with its loss in chunks of 2 rows, and the gradients of @loss."""
        passes = f"{before}func.func(lathe-chunk-losses{{min-bytes=1 chunk-bytes=32}}),lathe-autograd{{wrt=inputs}}{after}"
        done = subprocess.run([BUILD / "bin" / "lathe-opt", f"--pass-pipeline=builtin.module({passes})", self.write("model.mlir", text)],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr[-1500:])
        self.assertIn("{chunk = 2 : i64", done.stdout)
        return done.stdout

    def test_second_order_of_chunked_loss(self):
        text = self.chunked(SECOND_LINEAR_LOSS)
        report = self.right(text, "--function", "main")
        self.assertIn(("lathe.linear_cross_entropy", False), {(case["name"], case["model"]) for case in report["cases"]})
        self.assertTrue(any(case["model"] for case in report["cases"]))
        self.right(text, "--function", "loss")

    def test_types_of_chunked_loss(self):
        """Of 16-bit floats its results are f32, so all is retyped before it is made."""
        for to in ("f16", "bf16"):
            with self.subTest(type=to):
                twice = self.chunked(SECOND_LINEAR_LOSS, f"lathe-retype-floats{{to={to}}},", ",lathe-specialize,lathe-autograd{function=main wrt=inputs}")
                self.assertIn("@main_grad", twice)
                self.assertIn(f"tensor<4x3x{to}> {{lathe.gradient_of_input = 1 : i64", twice)

    def check_faults(self, name, cases):
        """Every mistake that can be made in a rule is found. Where a gradient is
        empty, or 0 at every point, there is none to make; single numbers show
        nothing that tensors do not, and single rows of a loss are added to nothing."""
        cases = [case for case in cases if not re.search(r"linear_cross_entropy.*i64\[1?\]|softmax : 1 |\b0(x|\]|,|$)[^:]*$|f32\[\] -> f32\[\]|1x1, 1", case)]
        for kind, places in zip(FAULTS, PLACES[name], strict=True):
            with self.subTest(fault=kind):
                report = self.check_planted(name, kind, places, model(cases), "--ops-only")
                # Elsewhere in the same rule what is missed is found.
                found = {case["name"] for case in report["cases"] if case["caught"]}
                self.assertLessEqual(WITHOUT_EFFECT.get((name, kind), {}).keys() - {"lathe.reduce_prod"}, found)


def add_family(name, cases):
    setattr(Gradients, f"test_{name}", lambda self: self.check_family(cases))
    if name != "empty":
        setattr(Gradients, f"test_faults_in_{name}", lambda self: self.check_faults(name, cases))


for family_name, family_cases in FAMILIES.items():
    add_family(family_name, family_cases)
add_family("empty", ELEMENTWISE_EMPTY + REDUCTION_EMPTY + CONTRACTION_EMPTY)


if __name__ == "__main__":
    unittest.main()
