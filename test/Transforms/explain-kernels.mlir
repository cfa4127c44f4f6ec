// RUN: lathe-opt %s --lathe-form-kernels=explain=true --lathe-explain-kernels | FileCheck %s
// RUN: lathe-opt %s --lathe-form-kernels=explain=true --lathe-explain-kernels=json=true | FileCheck %s --check-prefix=JSON
// RUN: lathe-opt %s --pass-pipeline='builtin.module(func.func(lathe-form-kernels{fuse=false explain=true}),lathe-explain-kernels)' | FileCheck %s --check-prefix=OFF

// A product does two operations per multiply-add, and what passes between the ops
// of a kernel costs no traffic: 2*4*16*8 + 4*16 operations; 4 bytes times 4*8 and
// 16*8 in, 4*16 out.
// CHECK: kernel 0 "linear_gelu" schedule contraction in @main: 1088 flops, 896 bytes
// CHECK-NEXT: lathe.linear tensor<4x16xf32> at {{.*}}explain-kernels.mlir:[[#]]:
// CHECK-NEXT: lathe.gelu tensor<4x16xf32>
// CHECK-NEXT: left out, after it: lathe.reduce_sum (in "reduce_sum_exp"): lathe.reduce_sum is not elementwise
// CHECK-NEXT: kernel 1 "reduce_sum_exp" schedule rows in @main: 68 flops, 272 bytes
// CHECK: left out, before it: lathe.gelu (in "linear_gelu"): lathe.reduce_sum is not elementwise
// CHECK-NEXT: left out, after it: lathe.mul (in "mul"): lathe.mul broadcasts the value
// CHECK-NEXT: left out, after it: lathe.cumsum (in "cumsum"): lathe.cumsum is opaque and has a kernel of its own
// CHECK: kernel 2 "mul" schedule rows
// CHECK: left out, after it: lathe.linear (in "linear"): a contraction takes no producers
// CHECK: kernel {{[0-9]}} "linear" schedule contraction
// CHECK: left out, after it: lathe.reshape: lathe.reshape moves no data and stays outside as an alias

// JSON: "name": "linear_gelu",
// JSON-NEXT: "schedule": "contraction",
// JSON-NEXT: "function": "main",
// JSON: "flops": 1088,
// JSON-NEXT: "bytes": 896,
// JSON: "op": "lathe.linear",
// JSON: "left_out": [
// JSON: "kernel": "reduce_sum_exp",
// JSON: "why": "lathe.reduce_sum is not elementwise"

// OFF: left out, after it: lathe.gelu (in "gelu"): fusion is off

func.func @main(%x: tensor<4x8xf32>, %w: tensor<16x8xf32>, %z: tensor<5x16x4xf32>) -> (tensor<20x16xf32>, tensor<4xf32>) {
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  %1 = lathe.gelu %0 : (tensor<4x16xf32>) -> tensor<4x16xf32>
  %2 = lathe.reduce_sum %1 {axes = array<i64: 1>} : (tensor<4x16xf32>) -> tensor<4xf32>
  %3 = lathe.exp %2 : (tensor<4xf32>) -> tensor<4xf32>
  %4 = lathe.mul %z, %3 : (tensor<5x16x4xf32>, tensor<4xf32>) -> tensor<5x16x4xf32>
  %w2 = lathe.constant dense<1.0> : tensor<4x4xf32>
  %5 = lathe.linear %4, %w2 : (tensor<5x16x4xf32>, tensor<4x4xf32>) -> tensor<5x16x4xf32>
  %6 = lathe.reshape %5 {shape = array<i64: 20, 16>} : (tensor<5x16x4xf32>) -> tensor<20x16xf32>
  %7 = lathe.cumsum %3 {axis = 0 : i64} : (tensor<4xf32>) -> tensor<4xf32>
  return %6, %7 : tensor<20x16xf32>, tensor<4xf32>
}
