// RUN: lathe-opt %s --lathe-form-kernels --lathe-explain-kernels | FileCheck %s

// Operations and bytes of one kernel of each kind, worked out by hand.

// 2 * (1*6*6*4) * (3*3*3); 4 * (8*8*3 + 4*3*3*3 + 6*6*4)
// CHECK: kernel {{.*}} in @conv: 7776 flops, 1776 bytes
func.func @conv(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32> {
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  return %0 : tensor<1x4x6x6xf32>
}

// 2 * 5*16 * 8; 4 * (5*8 + 8*32 + 5*16)
// CHECK: kernel {{.*}} in @packed: 1280 flops, 1504 bytes
func.func @packed(%x: tensor<5x8xf32>, %p: tensor<1x8x32xf32>) -> tensor<5x16xf32> {
  %0 = lathe.packed_matmul %x, %p {n = 16 : i64} : (tensor<5x8xf32>, tensor<1x8x32xf32>) -> tensor<5x16xf32>
  return %0 : tensor<5x16xf32>
}

// 2 * 3*4*5 * 6, the batch of the left-hand side once.
// CHECK: kernel {{.*}} in @matmul: 720 flops, 648 bytes
func.func @matmul(%x: tensor<3x4x6xf32>, %y: tensor<6x5xf32>) -> tensor<3x4x5xf32> {
  %0 = lathe.matmul %x, %y : (tensor<3x4x6xf32>, tensor<6x5xf32>) -> tensor<3x4x5xf32>
  return %0 : tensor<3x4x5xf32>
}

// Per score 2 * (4 + 4) for the products and 5 for the softmax: 2*5*5 * 21. The
// query is also the value, and the key a constant inside: 4 * (40 in, 40 out).
// CHECK: kernel {{.*}} in @attention: 1050 flops, 320 bytes
func.func @attention(%q: tensor<1x2x5x4xf32>) -> tensor<1x2x5x4xf32> {
  %k = lathe.constant dense<1.0> : tensor<1x2x5x4xf32>
  %0 = lathe.attention %q, %k, %q : (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>) -> tensor<1x2x5x4xf32>
  return %0 : tensor<1x2x5x4xf32>
}

// 4*4 taps of 2*2; 8-bit Booleans: 16 in, 16 out.
// CHECK: kernel {{.*}} in @pool: 64 flops, 320 bytes
// CHECK: kernel {{.*}} in @boolean: 16 flops, 32 bytes
func.func @pool(%x: tensor<1x1x8x8xf32>) -> tensor<1x1x4x4xf32> {
  %0 = lathe.max_pool %x {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x4x4xf32>
  return %0 : tensor<1x1x4x4xf32>
}
func.func @boolean(%x: tensor<16xi1>) -> tensor<16xi1> {
  %0 = lathe.not %x : (tensor<16xi1>) -> tensor<16xi1>
  return %0 : tensor<16xi1>
}

// Moving data is no arithmetic: 0 operations.
// CHECK: kernel {{.*}} in @view: 0 flops, 256 bytes
func.func @view(%x: tensor<4x8xf32>) -> tensor<8x4xf32> {
  %0 = lathe.transpose %x {permutation = array<i64: 1, 0>} : (tensor<4x8xf32>) -> tensor<8x4xf32>
  return %0 : tensor<8x4xf32>
}

// Of a table, the rows that are read: 3 ids of 8 bytes, 3 rows of 4 floats in,
// and out again.
// CHECK: kernel {{.*}} in @lookup: {{[0-9]+}} flops, 120 bytes
func.func @lookup(%t: tensor<1000x4xf32>, %i: tensor<3xi64>) -> tensor<3x4xf32> {
  %0 = lathe.embedding %t, %i : (tensor<1000x4xf32>, tensor<3xi64>) -> tensor<3x4xf32>
  return %0 : tensor<3x4xf32>
}
