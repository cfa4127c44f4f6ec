// RUN: lathe-opt %s --split-input-file --verify-diagnostics --lathe-augment=flip=true
// RUN: not lathe-opt %s --split-input-file --lathe-augment='flip=true function=main' 2>&1 | FileCheck %s
// CHECK: error: expected a function '@main'

// expected-error @+1 {{expected one input of images to augment, [batch, H, W], [batch, C, H, W] or [batch, H, W, C] of bytes or floats, got 0}}
func.func @loss(%x: tensor<8x6xf32>, %y: tensor<8x6x5xi64>) -> tensor<f32> {
  %1 = lathe.reduce_mean %x {axes = array<i64: 0, 1>} : (tensor<8x6xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}

// -----

// expected-error @+1 {{or [batch, H, W, C] of bytes or floats, got 2}}
func.func @loss(%x: tensor<8x6x5xf32>, %y: tensor<8x6x5xf32>) -> tensor<f32> {
  %1 = lathe.reduce_mean %x {axes = array<i64: 0, 1, 2>} : (tensor<8x6x5xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}
