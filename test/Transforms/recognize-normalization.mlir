// RUN: lathe-opt %s --lathe-recognize-normalization | FileCheck %s

// CHECK-LABEL: func.func @layer_norm
// CHECK-NEXT: %[[Y:.*]] = lathe.layer_norm %arg0 scale %arg1 bias %arg2 {epsilon = 9.99{{[0-9]*}}E-6 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @layer_norm(%x: tensor<2x4x8xf32>, %g: tensor<8xf32>, %b: tensor<8xf32>) -> tensor<2x4x8xf32> {
  %eps = lathe.constant dense<1.0e-5> : tensor<f32>
  %two = lathe.constant dense<2.0> : tensor<f32>
  %0 = lathe.reduce_mean %x {axes = array<i64: -1>, keepdims = true} : (tensor<2x4x8xf32>) -> tensor<2x4x1xf32>
  %1 = lathe.sub %x, %0 : (tensor<2x4x8xf32>, tensor<2x4x1xf32>) -> tensor<2x4x8xf32>
  %2 = lathe.pow %1, %two : (tensor<2x4x8xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %3 = lathe.reduce_mean %2 {axes = array<i64: 2>, keepdims = true} : (tensor<2x4x8xf32>) -> tensor<2x4x1xf32>
  %4 = lathe.add %3, %eps : (tensor<2x4x1xf32>, tensor<f32>) -> tensor<2x4x1xf32>
  %5 = lathe.sqrt %4 : (tensor<2x4x1xf32>) -> tensor<2x4x1xf32>
  %6 = lathe.div %1, %5 : (tensor<2x4x8xf32>, tensor<2x4x1xf32>) -> tensor<2x4x8xf32>
  %7 = lathe.mul %6, %g : (tensor<2x4x8xf32>, tensor<8xf32>) -> tensor<2x4x8xf32>
  %8 = lathe.add %7, %b : (tensor<2x4x8xf32>, tensor<8xf32>) -> tensor<2x4x8xf32>
  return %8 : tensor<2x4x8xf32>
}

// Over two dims, without scale and bias.
// CHECK-LABEL: func.func @two_dims
// CHECK-NEXT: lathe.layer_norm %arg0 {axis = -2 : i64
// CHECK-NEXT: return
func.func @two_dims(%x: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  %eps = lathe.constant dense<1.0e-3> : tensor<f32>
  %0 = lathe.reduce_mean %x {axes = array<i64: 1, 2>, keepdims = true} : (tensor<2x4x8xf32>) -> tensor<2x1x1xf32>
  %1 = lathe.sub %x, %0 : (tensor<2x4x8xf32>, tensor<2x1x1xf32>) -> tensor<2x4x8xf32>
  %2 = lathe.mul %1, %1 : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %3 = lathe.reduce_mean %2 {axes = array<i64: 1, 2>, keepdims = true} : (tensor<2x4x8xf32>) -> tensor<2x1x1xf32>
  %4 = lathe.add %3, %eps : (tensor<2x1x1xf32>, tensor<f32>) -> tensor<2x1x1xf32>
  %5 = lathe.rsqrt %4 : (tensor<2x1x1xf32>) -> tensor<2x1x1xf32>
  %6 = lathe.mul %1, %5 : (tensor<2x4x8xf32>, tensor<2x1x1xf32>) -> tensor<2x4x8xf32>
  return %6 : tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @rms_norm
// CHECK-NEXT: lathe.rms_norm %arg0, %arg1
// CHECK-NEXT: return
func.func @rms_norm(%x: tensor<4x8xf32>, %g: tensor<8xf32>) -> tensor<4x8xf32> {
  %eps = lathe.constant dense<1.0e-3> : tensor<f32>
  %0 = lathe.mul %x, %x : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.reduce_mean %0 {axes = array<i64: 1>, keepdims = true} : (tensor<4x8xf32>) -> tensor<4x1xf32>
  %2 = lathe.add %1, %eps : (tensor<4x1xf32>, tensor<f32>) -> tensor<4x1xf32>
  %3 = lathe.rsqrt %2 : (tensor<4x1xf32>) -> tensor<4x1xf32>
  %4 = lathe.mul %x, %3 : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  %5 = lathe.mul %g, %4 : (tensor<8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %5 : tensor<4x8xf32>
}

// Refused: the variance of another value; a mean over the first dim.
// CHECK-LABEL: func.func @refused
// CHECK-NOT: layer_norm
// CHECK-NOT: rms_norm
// CHECK: return
func.func @refused(%x: tensor<4x8xf32>, %z: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %eps = lathe.constant dense<1.0e-3> : tensor<f32>
  %0 = lathe.mul %z, %z : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.reduce_mean %0 {axes = array<i64: 1>, keepdims = true} : (tensor<4x8xf32>) -> tensor<4x1xf32>
  %2 = lathe.add %1, %eps : (tensor<4x1xf32>, tensor<f32>) -> tensor<4x1xf32>
  %3 = lathe.rsqrt %2 : (tensor<4x1xf32>) -> tensor<4x1xf32>
  %4 = lathe.mul %x, %3 : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  %5 = lathe.reduce_mean %0 {axes = array<i64: 0>, keepdims = true} : (tensor<4x8xf32>) -> tensor<1x8xf32>
  %6 = lathe.add %5, %eps : (tensor<1x8xf32>, tensor<f32>) -> tensor<1x8xf32>
  %7 = lathe.rsqrt %6 : (tensor<1x8xf32>) -> tensor<1x8xf32>
  %8 = lathe.mul %z, %7 : (tensor<4x8xf32>, tensor<1x8xf32>) -> tensor<4x8xf32>
  return %4, %8 : tensor<4x8xf32>, tensor<4x8xf32>
}
