// RUN: lathe-opt %s --lathe-recognize-gelu | FileCheck %s

// As ONNX exporters write it.
// CHECK-LABEL: func.func @exact
// CHECK-NEXT: %[[Y:.*]] = lathe.gelu %arg0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
// CHECK-NEXT: return %[[Y]]
func.func @exact(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %sqrt2 = lathe.constant dense<1.4142135> : tensor<f32>
  %one = lathe.constant dense<1.0> : tensor<f32>
  %half = lathe.constant dense<0.5> : tensor<f32>
  %0 = lathe.div %x, %sqrt2 : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %1 = lathe.erf %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %2 = lathe.add %1, %one : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %3 = lathe.mul %x, %2 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %4 = lathe.mul %3, %half : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  return %4 : tensor<4x8xf32>
}

// The half first, the numbers on the other side.
// CHECK-LABEL: func.func @other_order
// CHECK-NEXT: lathe.gelu %arg0 :
// CHECK-NEXT: return
func.func @other_order(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %rsqrt2 = lathe.constant dense<0.70710678> : tensor<f32>
  %one = lathe.constant dense<1.0> : tensor<f32>
  %half = lathe.constant dense<0.5> : tensor<f32>
  %0 = lathe.mul %half, %x : (tensor<f32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.mul %rsqrt2, %x : (tensor<f32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %2 = lathe.erf %1 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %3 = lathe.add %one, %2 : (tensor<f32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %4 = lathe.mul %0, %3 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %4 : tensor<4x8xf32>
}

// CHECK-LABEL: func.func @tanh
// CHECK-NEXT: lathe.gelu %arg0 {tanh}
// CHECK-NEXT: return
func.func @tanh(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %three = lathe.constant dense<3.0> : tensor<f32>
  %c = lathe.constant dense<0.044715> : tensor<f32>
  %s = lathe.constant dense<0.7978846> : tensor<f32>
  %one = lathe.constant dense<1.0> : tensor<f32>
  %half = lathe.constant dense<0.5> : tensor<f32>
  %0 = lathe.pow %x, %three : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %1 = lathe.mul %0, %c : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %2 = lathe.add %x, %1 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %3 = lathe.mul %2, %s : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %4 = lathe.tanh %3 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %5 = lathe.add %4, %one : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %6 = lathe.mul %x, %5 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %7 = lathe.mul %6, %half : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  return %7 : tensor<4x8xf32>
}

// CHECK-LABEL: func.func @silu
// CHECK-NEXT: lathe.silu %arg0
// CHECK-NEXT: return
func.func @silu(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = lathe.sigmoid %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.mul %x, %0 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// Refused: another scale inside; a gate of another value; half missing.
// CHECK-LABEL: func.func @refused
// CHECK-NOT: lathe.gelu
// CHECK-NOT: lathe.silu
// CHECK: return
func.func @refused(%x: tensor<4x8xf32>, %z: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) {
  %scale = lathe.constant dense<0.75> : tensor<f32>
  %one = lathe.constant dense<1.0> : tensor<f32>
  %half = lathe.constant dense<0.5> : tensor<f32>
  %rsqrt2 = lathe.constant dense<0.70710678> : tensor<f32>
  %0 = lathe.mul %x, %scale : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %1 = lathe.erf %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %2 = lathe.add %1, %one : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %3 = lathe.mul %x, %2 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %4 = lathe.mul %3, %half : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %5 = lathe.sigmoid %z : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %6 = lathe.mul %x, %5 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %7 = lathe.mul %x, %rsqrt2 : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %8 = lathe.erf %7 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %9 = lathe.add %8, %one : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %10 = lathe.mul %x, %9 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %4, %6, %10 : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>
}
