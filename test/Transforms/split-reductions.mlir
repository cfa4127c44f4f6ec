// RUN: lathe-opt %s --pass-pipeline='builtin.module(func.func(lathe-split-reductions))' | FileCheck %s

// CHECK-LABEL: func.func @channels
// CHECK: %[[A:.*]] = lathe.reduce_sum %arg0 {axes = array<i64: 1, 2>, keepdims = true} : (tensor<100x28x28x32xf32>) -> tensor<100x1x1x32xf32>
// CHECK: %[[B:.*]] = lathe.reduce_sum %[[A]] {axes = array<i64: 0>, keepdims = true} : (tensor<100x1x1x32xf32>) -> tensor<1x1x1x32xf32>
// CHECK: lathe.reshape %[[B]] {{.*}} -> tensor<32xf32>
func.func @channels(%x: tensor<100x28x28x32xf32>) -> tensor<32xf32> {
  %0 = lathe.reduce_sum %x {axes = array<i64: 0, 1, 2>} : (tensor<100x28x28x32xf32>) -> tensor<32xf32>
  return %0 : tensor<32xf32>
}

// Equal parts: the mean of their means. No axes are all axes.
// CHECK-LABEL: func.func @everything
// CHECK: lathe.reduce_mean %arg0 {axes = array<i64: 1>, keepdims = true} : (tensor<64x1024xf32>) -> tensor<64x1xf32>
// CHECK: lathe.reduce_mean %{{.*}} {axes = array<i64: 0>, keepdims = true} : (tensor<64x1xf32>) -> tensor<1x1xf32>
// CHECK: lathe.reshape {{.*}} -> tensor<f32>
func.func @everything(%x: tensor<64x1024xf32>) -> tensor<f32> {
  %0 = lathe.reduce_mean %x {axes = array<i64>} : (tensor<64x1024xf32>) -> tensor<f32>
  return %0 : tensor<f32>
}

// One axis is cut into the most parts up to 64 that divide it.
// CHECK-LABEL: func.func @rows
// CHECK: lathe.reshape %arg0 {{.*}} -> tensor<60x15x768xf32>
// CHECK: lathe.reduce_max {{.*}} {axes = array<i64: 1>, keepdims = true} : (tensor<60x15x768xf32>) -> tensor<60x1x768xf32>
// CHECK: lathe.reduce_max {{.*}} {axes = array<i64: 0>, keepdims = true} : (tensor<60x1x768xf32>) -> tensor<1x1x768xf32>
// CHECK: lathe.reshape {{.*}} -> tensor<1x768xf32>
func.func @rows(%x: tensor<900x768xf32>) -> tensor<1x768xf32> {
  %0 = lathe.reduce_max %x {axes = array<i64: -2>, keepdims = true} : (tensor<900x768xf32>) -> tensor<1x768xf32>
  return %0 : tensor<1x768xf32>
}

// Sums between the stages are f32.
// CHECK-LABEL: func.func @narrow
// CHECK: lathe.cast %arg0 to f32
// CHECK: -> tensor<32x1x64xf32>
// CHECK: -> tensor<1x1x64xf32>
// CHECK: lathe.cast %{{.*}} to bf16
func.func @narrow(%x: tensor<32x128x64xbf16>) -> tensor<64xbf16> {
  %0 = lathe.reduce_sum %x {axes = array<i64: 0, 1>} : (tensor<32x128x64xbf16>) -> tensor<64xbf16>
  return %0 : tensor<64xbf16>
}

// Enough work items already, or too little work.
// CHECK-LABEL: func.func @keep
// CHECK-COUNT-4: lathe.reduce_{{sum|mean}} %arg
// CHECK-NOT: lathe.reduce
func.func @keep(%a: tensor<256x512xf32>, %b: tensor<16x32x4096xf32>, %c: tensor<8x64x8xf32>, %d: tensor<100x1000xi64>) {
  %0 = lathe.reduce_mean %a {axes = array<i64: 1>} : (tensor<256x512xf32>) -> tensor<256xf32>
  %1 = lathe.reduce_sum %b {axes = array<i64: 0, 1>} : (tensor<16x32x4096xf32>) -> tensor<4096xf32>
  %2 = lathe.reduce_sum %c {axes = array<i64: 0, 1>} : (tensor<8x64x8xf32>) -> tensor<8xf32>
  // The mean of integers is rounded.
  %3 = lathe.reduce_mean %d {axes = array<i64>} : (tensor<100x1000xi64>) -> tensor<i64>
  return
}

// The square would get a kernel of its own; a prime cannot be cut.
// CHECK-LABEL: func.func @uncut
// CHECK-COUNT-2: lathe.reduce_sum
// CHECK-NOT: lathe.reduce
func.func @uncut(%x: tensor<4096x64xf32>, %y: tensor<4099x64xf32>) {
  %0 = lathe.mul %x, %x : (tensor<4096x64xf32>, tensor<4096x64xf32>) -> tensor<4096x64xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64: 0>} : (tensor<4096x64xf32>) -> tensor<64xf32>
  %2 = lathe.reduce_sum %y {axes = array<i64: 0>} : (tensor<4099x64xf32>) -> tensor<64xf32>
  return
}
