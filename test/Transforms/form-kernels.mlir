// RUN: lathe-opt %s --lathe-form-kernels --split-input-file | FileCheck %s
// RUN: lathe-opt %s --lathe-form-kernels=fuse=false --split-input-file | FileCheck %s --check-prefix=ALONE
// RUN: lathe-opt %s --pass-pipeline='builtin.module(func.func(lathe-form-kernels{max-ops=2}))' --split-input-file | FileCheck %s --check-prefix=SMALL

// Softmax written out shares its rows: one kernel.
// CHECK-LABEL: func.func @softmax
// CHECK: lathe.kernel "reduce_max_sub_exp_reduce_sum_div" schedule "rows" (%{{.*}} = %{{.*}}) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-COUNT-5: lathe.{{reduce_max|sub|exp|reduce_sum|div}}
// CHECK: lathe.yield
// CHECK-NOT: lathe.kernel
// ALONE-LABEL: func.func @softmax
// ALONE-COUNT-5: lathe.kernel {{.*}} schedule "rows"
// SMALL-LABEL: func.func @softmax
// SMALL: lathe.kernel "reduce_max_sub" schedule "rows"
// SMALL: lathe.kernel "exp_reduce_sum" schedule "rows"
// SMALL: lathe.kernel "div" schedule "rows"
func.func @softmax(%x: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  %max = lathe.reduce_max %x {axes = array<i64: 2>, keepdims = true} : (tensor<2x4x8xf32>) -> tensor<2x4x1xf32>
  %sub = lathe.sub %x, %max : (tensor<2x4x8xf32>, tensor<2x4x1xf32>) -> tensor<2x4x8xf32>
  %exp = lathe.exp %sub : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %sum = lathe.reduce_sum %exp {axes = array<i64: 2>, keepdims = true} : (tensor<2x4x8xf32>) -> tensor<2x4x1xf32>
  %div = lathe.div %exp, %sum : (tensor<2x4x8xf32>, tensor<2x4x1xf32>) -> tensor<2x4x8xf32>
  return %div : tensor<2x4x8xf32>
}

// -----

// Constants of one number move in, parameters and big constants stay outside.
// CHECK-LABEL: func.func @constants
// CHECK-DAG: %[[P:.*]] = lathe.get_parameter @p
// CHECK-DAG: %[[BIG:.*]] = lathe.constant dense<{{.*}}> : tensor<17xf32>
// CHECK: lathe.kernel "mul_add_add" schedule "rows" (%{{.*}} = %{{.*}}, %{{.*}} = %[[P]], %{{.*}} = %[[BIG]])
// CHECK: lathe.constant dense<2.000000e+00> : tensor<f32>
lathe.parameter @p : tensor<17xf32>
func.func @constants(%x: tensor<17xf32>) -> tensor<17xf32> {
  %two = lathe.constant dense<2.0> : tensor<f32>
  %big = lathe.constant dense<[0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15., 16.]> : tensor<17xf32>
  %p = lathe.get_parameter @p : tensor<17xf32>
  %0 = lathe.mul %x, %two : (tensor<17xf32>, tensor<f32>) -> tensor<17xf32>
  %1 = lathe.add %0, %p : (tensor<17xf32>, tensor<17xf32>) -> tensor<17xf32>
  %2 = lathe.add %1, %big : (tensor<17xf32>, tensor<17xf32>) -> tensor<17xf32>
  return %2 : tensor<17xf32>
}

// -----

// A contraction takes bias, activation and residual, and stops at the reduction.
// CHECK-LABEL: func.func @epilogue
// CHECK: lathe.kernel "linear_gelu_add" schedule "contraction"
// CHECK: lathe.kernel "reduce_sum" schedule "rows"
func.func @epilogue(%x: tensor<4x8xf32>, %w: tensor<16x8xf32>, %r: tensor<4x16xf32>) -> tensor<4xf32> {
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  %1 = lathe.gelu %0 : (tensor<4x16xf32>) -> tensor<4x16xf32>
  %2 = lathe.add %1, %r : (tensor<4x16xf32>, tensor<4x16xf32>) -> tensor<4x16xf32>
  %3 = lathe.reduce_sum %2 {axes = array<i64: 1>} : (tensor<4x16xf32>) -> tensor<4xf32>
  return %3 : tensor<4xf32>
}

// -----

// The product is used twice, but both uses end in one value: still an epilogue.
// CHECK-LABEL: func.func @diamond
// CHECK: lathe.kernel "linear_sigmoid_mul" schedule "contraction"
// CHECK-NOT: lathe.kernel
func.func @diamond(%x: tensor<4x8xf32>, %w: tensor<16x8xf32>) -> tensor<4x16xf32> {
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  %1 = lathe.sigmoid %0 : (tensor<4x16xf32>) -> tensor<4x16xf32>
  %2 = lathe.mul %0, %1 : (tensor<4x16xf32>, tensor<4x16xf32>) -> tensor<4x16xf32>
  return %2 : tensor<4x16xf32>
}

// -----

// Refused: the product itself is read elsewhere. An operand per row is fine.
// CHECK-LABEL: func.func @no_epilogue
// CHECK: lathe.kernel "linear" schedule "contraction"
// CHECK: lathe.kernel "relu" schedule "rows"
// CHECK: lathe.kernel "linear_mul" schedule "contraction"
func.func @no_epilogue(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>, %r: tensor<4x1xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.relu %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %2 = lathe.linear %0, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %3 = lathe.mul %2, %r : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  return %1, %3 : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// Attention reads transposed operands in place and writes its result transposed.
// CHECK-LABEL: func.func @attention
// CHECK: lathe.kernel "attention" schedule "attention"
// CHECK-COUNT-3: lathe.transpose
// CHECK: lathe.attention
// CHECK: lathe.transpose
// CHECK: lathe.yield
// CHECK: lathe.reshape
func.func @attention(%q: tensor<1x5x2x4xf32>, %k: tensor<1x5x2x4xf32>, %v: tensor<1x5x2x4xf32>) -> tensor<1x5x8xf32> {
  %0 = lathe.transpose %q {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %1 = lathe.transpose %k {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %2 = lathe.transpose %v {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %3 = lathe.attention %0, %1, %2 : (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>) -> tensor<1x2x5x4xf32>
  %4 = lathe.transpose %3 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x2x5x4xf32>) -> tensor<1x5x2x4xf32>
  %5 = lathe.reshape %4 {shape = array<i64: 1, 5, 8>} : (tensor<1x5x2x4xf32>) -> tensor<1x5x8xf32>
  return %5 : tensor<1x5x8xf32>
}

// -----

// Its gradients likewise, each of the results on its own.
// CHECK-LABEL: func.func @attention_backward
// CHECK: lathe.kernel "attention_backward" schedule "attention"
// CHECK-COUNT-2: lathe.transpose
// CHECK: lathe.attention_backward
// CHECK-COUNT-2: lathe.transpose
// CHECK: lathe.yield
// CHECK: return
func.func @attention_backward(%x: tensor<1x5x2x4xf32>, %g: tensor<1x5x2x4xf32>, %r: tensor<1x2x5xf32>) -> (tensor<1x5x2x4xf32>, tensor<1x2x5x4xf32>, tensor<1x5x2x4xf32>) {
  %0 = lathe.transpose %x {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %1 = lathe.transpose %g {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %2:3 = lathe.attention_backward %0, %0, %0, %1, %r, %r : (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>, tensor<1x2x5xf32>, tensor<1x2x5xf32>) -> (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>)
  %3 = lathe.transpose %2#0 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x2x5x4xf32>) -> tensor<1x5x2x4xf32>
  %4 = lathe.transpose %2#2 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x2x5x4xf32>) -> tensor<1x5x2x4xf32>
  return %3, %2#1, %4 : tensor<1x5x2x4xf32>, tensor<1x2x5x4xf32>, tensor<1x5x2x4xf32>
}

// -----

// One transpose read twice by the same attention comes along; one that is also
// read elsewhere does not.
// CHECK-LABEL: func.func @shared_transpose
// CHECK: lathe.kernel "transpose" schedule "rows"
// CHECK: lathe.kernel "attention" schedule "attention"
// CHECK: lathe.transpose
// CHECK: lathe.attention
func.func @shared_transpose(%q: tensor<1x5x2x4xf32>, %k: tensor<1x5x2x4xf32>) -> (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>) {
  %0 = lathe.transpose %q {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %1 = lathe.transpose %k {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %2 = lathe.attention %0, %1, %1 : (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>) -> tensor<1x2x5x4xf32>
  return %0, %2 : tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>
}

// -----

// A value used inside and outside makes a second output.
// CHECK-LABEL: func.func @two_outputs
// CHECK: %[[K:.*]]:2 = lathe.kernel "exp_neg" schedule "rows"
// CHECK: return %[[K]]#0, %[[K]]#1
func.func @two_outputs(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>) {
  %0 = lathe.exp %x : (tensor<8xf32>) -> tensor<8xf32>
  %1 = lathe.neg %0 : (tensor<8xf32>) -> tensor<8xf32>
  return %0, %1 : tensor<8xf32>, tensor<8xf32>
}

// -----

// Refused: with the opaque op between them, exp and add would need each other.
// CHECK-LABEL: func.func @no_circle
// CHECK: lathe.kernel "exp" schedule "rows"
// CHECK: lathe.kernel "cumsum" schedule "opaque"
// CHECK: lathe.kernel "add" schedule "rows"
func.func @no_circle(%x: tensor<8xf32>) -> tensor<8xf32> {
  %0 = lathe.exp %x : (tensor<8xf32>) -> tensor<8xf32>
  %1 = lathe.cumsum %0 {axis = 0 : i64} : (tensor<8xf32>) -> tensor<8xf32>
  %2 = lathe.add %0, %1 : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  return %2 : tensor<8xf32>
}

// -----

// Refused: a small value that is broadcast over rows would be computed again for
// each of them. Independent chains are not merged.
// CHECK-LABEL: func.func @no_recompute
// CHECK: lathe.kernel "exp" schedule "rows"
// CHECK: lathe.kernel "add" schedule "rows"
// CHECK: lathe.kernel "neg" schedule "rows"
func.func @no_recompute(%x: tensor<4x8xf32>, %b: tensor<8xf32>) -> (tensor<4x8xf32>, tensor<8xf32>) {
  %0 = lathe.exp %b : (tensor<8xf32>) -> tensor<8xf32>
  %1 = lathe.add %x, %0 : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  %2 = lathe.neg %b : (tensor<8xf32>) -> tensor<8xf32>
  return %1, %2 : tensor<4x8xf32>, tensor<8xf32>
}

// -----

// The reduced dims need not be the last ones, but they must be the same for all.
// CHECK-LABEL: func.func @leading_dims
// CHECK: lathe.kernel "exp_reduce_sum_neg" schedule "rows"
// CHECK: lathe.kernel "reduce_sum" schedule "rows" (%{{.*}} = %{{.*}}) : (tensor<4x8xf32>) -> tensor<4xf32>
func.func @leading_dims(%x: tensor<4x8xf32>) -> (tensor<8xf32>, tensor<4xf32>) {
  %0 = lathe.exp %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64: 0>} : (tensor<4x8xf32>) -> tensor<8xf32>
  %2 = lathe.neg %1 : (tensor<8xf32>) -> tensor<8xf32>
  %3 = lathe.reduce_sum %0 {axes = array<i64: 1>} : (tensor<4x8xf32>) -> tensor<4xf32>
  return %2, %3 : tensor<8xf32>, tensor<4xf32>
}

// -----

// A transposed read is an access map of the kernel that reads it.
// CHECK-LABEL: func.func @transposed_read
// CHECK: lathe.kernel "add" schedule "rows"
// CHECK: lathe.transpose
// CHECK: lathe.add
func.func @transposed_read(%x: tensor<4x8xf32>, %y: tensor<8x4xf32>) -> tensor<8x4xf32> {
  %0 = lathe.transpose %x {permutation = array<i64: 1, 0>} : (tensor<4x8xf32>) -> tensor<8x4xf32>
  %1 = lathe.add %0, %y : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x4xf32>
  return %1 : tensor<8x4xf32>
}

// -----

// Two chains that meet in a row: mean and data come from different producers.
// CHECK-LABEL: func.func @meet
// CHECK: lathe.kernel "exp_reduce_sum_neg_sub" schedule "rows"
// CHECK-NOT: lathe.kernel
func.func @meet(%x: tensor<4x8xf32>, %y: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = lathe.exp %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64: 1>, keepdims = true} : (tensor<4x8xf32>) -> tensor<4x1xf32>
  %2 = lathe.neg %y : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %3 = lathe.sub %2, %1 : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  return %3 : tensor<4x8xf32>
}

// -----

// The body of a loop has kernels of its own; what it captures is an input.
// CHECK-LABEL: func.func @loop
// CHECK: lathe.scan
// CHECK: lathe.kernel "linear_add" schedule "contraction" (%{{.*}} = %{{.*}}, %{{.*}} = %{{.*}}, %{{.*}} = %[[C:.*]])
// CHECK: lathe.yield
func.func @loop(%x: tensor<4x8xf32>, %w: tensor<3x8x8xf32>, %c: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %y = lathe.scan init(%h = %x) inputs(%wi = %w) : (tensor<4x8xf32>, tensor<3x8x8xf32>) -> tensor<4x8xf32> {
    %0 = lathe.linear %h, %wi : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
    %1 = lathe.add %0, %c : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    lathe.yield %1 : tensor<4x8xf32>
  }
  return %y : tensor<4x8xf32>
}

// -----

// Dims of size 1 come and go as aliases.
// CHECK-LABEL: func.func @aliases
// CHECK: lathe.reshape %{{.*}} {shape = array<i64: 1, 8>}
// CHECK: lathe.kernel "exp" schedule "rows"
// CHECK: lathe.reshape %{{.*}} {shape = array<i64: 8>}
func.func @aliases(%x: tensor<8xf32>) -> tensor<8xf32> {
  %0 = lathe.unsqueeze %x {axes = array<i64: 0>} : (tensor<8xf32>) -> tensor<1x8xf32>
  %1 = lathe.exp %0 : (tensor<1x8xf32>) -> tensor<1x8xf32>
  %2 = lathe.squeeze %1 {axes = array<i64: 0>} : (tensor<1x8xf32>) -> tensor<8xf32>
  return %2 : tensor<8xf32>
}

// -----

// An op nobody reads still is a kernel: this pass deletes nothing.
// CHECK-LABEL: func.func @unused
// CHECK: lathe.kernel "exp" schedule "rows"
func.func @unused(%x: tensor<8xf32>) {
  %0 = lathe.exp %x : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// Rows read 16 bits and widen them; what only leaves the kernel is widened there.
// CHECK-LABEL: func.func @widening
// CHECK: lathe.kernel "linear" schedule "contraction" {{.*}} -> tensor<4x16xbf16>
// CHECK: lathe.kernel "cast_reduce_sum" schedule "rows" {{.*}} -> tensor<4x1xf32>
// CHECK: lathe.kernel "linear_cast" schedule "contraction" {{.*}} -> tensor<4x16xf32>
func.func @widening(%x: tensor<4x8xbf16>, %w: tensor<16x8xbf16>) -> (tensor<4x1xf32>, tensor<4x16xf32>) {
  %0 = lathe.linear %x, %w : (tensor<4x8xbf16>, tensor<16x8xbf16>) -> tensor<4x16xbf16>
  %1 = lathe.cast %0 to f32 : (tensor<4x16xbf16>) -> tensor<4x16xf32>
  %2 = lathe.reduce_sum %1 {axes = array<i64: 1>, keepdims = true} : (tensor<4x16xf32>) -> tensor<4x1xf32>
  %3 = lathe.linear %x, %w : (tensor<4x8xbf16>, tensor<16x8xbf16>) -> tensor<4x16xbf16>
  %4 = lathe.cast %3 to f32 : (tensor<4x16xbf16>) -> tensor<4x16xf32>
  return %2, %4 : tensor<4x1xf32>, tensor<4x16xf32>
}

// -----

// What is rounded to bytes for other products leaves the kernel beside the value itself.
// What depends on another product, which reads the bytes, is in that one's kernel.
// CHECK-LABEL: func.func @rounded
// CHECK: %[[A:.*]]:2 = lathe.kernel "linear_relu_div_cast" schedule "contraction" {{.*}} -> (tensor<4x8xf32>, tensor<4x8xui8>)
// CHECK: %[[B:.*]] = lathe.kernel "linear_cast_add" schedule "contraction" (%{{.*}} = %[[A]]#1, {{.*}} = %[[A]]#0
// CHECK: return %[[B]]
func.func @rounded(%x: tensor<4x16xf32>, %w: tensor<8x16xf32>, %v: tensor<8x8xi8>) -> tensor<4x8xf32> {
  %s = lathe.constant dense<0.1> : tensor<f32>
  %0 = lathe.linear %x, %w : (tensor<4x16xf32>, tensor<8x16xf32>) -> tensor<4x8xf32>
  %1 = lathe.relu %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %2 = lathe.div %1, %s : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %3 = lathe.cast %2 to ui8 : (tensor<4x8xf32>) -> tensor<4x8xui8>
  %4 = lathe.linear %3, %v : (tensor<4x8xui8>, tensor<8x8xi8>) -> tensor<4x8xi32>
  %5 = lathe.cast %4 to f32 : (tensor<4x8xi32>) -> tensor<4x8xf32>
  %6 = lathe.add %5, %1 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %6 : tensor<4x8xf32>
}

// -----

// Bytes are read where the sum reads them as floats.
// CHECK-LABEL: func.func @read_in_bytes
// CHECK: lathe.kernel "linear_cast_mul_add" schedule "contraction" {{.*}}tensor<4x8xui8>
// CHECK-NOT: schedule "rows"
// CHECK: return
func.func @read_in_bytes(%x: tensor<4x16xf32>, %w: tensor<8x16xf32>, %q: tensor<4x8xui8>) -> tensor<4x8xf32> {
  %s = lathe.constant dense<0.1> : tensor<f32>
  %0 = lathe.linear %x, %w : (tensor<4x16xf32>, tensor<8x16xf32>) -> tensor<4x8xf32>
  %1 = lathe.cast %q to f32 : (tensor<4x8xui8>) -> tensor<4x8xf32>
  %2 = lathe.mul %1, %s : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %3 = lathe.add %0, %2 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %3 : tensor<4x8xf32>
}
