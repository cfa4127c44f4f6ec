// RUN: %lathe compile %s --emit memref | FileCheck %s

// What the tiled schedule refuses goes to the schedules behind it.
// CHECK: kernel matmul ({{rows|opaque}},
func.func @main(%a: tensor<4x8xf64>, %b: tensor<8x4xf64>) -> tensor<4x4xf64> {
  %0 = lathe.matmul %a, %b : (tensor<4x8xf64>, tensor<8x4xf64>) -> tensor<4x4xf64>
  return %0 : tensor<4x4xf64>
}
