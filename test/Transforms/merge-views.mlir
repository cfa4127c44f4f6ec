// RUN: lathe-opt %s --lathe-merge-views | FileCheck %s

// CHECK-LABEL: func.func @merge
// CHECK-NEXT: %[[T:.*]] = lathe.transpose %arg0 {permutation = array<i64: 1, 0, 2>} : (tensor<2x3x4xf32>) -> tensor<3x2x4xf32>
// CHECK-NEXT: return %[[T]]
func.func @merge(%x: tensor<2x3x4xf32>) -> tensor<3x2x4xf32> {
  %0 = lathe.transpose %x {permutation = array<i64: 0, 2, 1>} : (tensor<2x3x4xf32>) -> tensor<2x4x3xf32>
  %1 = lathe.transpose %0 {permutation = array<i64: 2, 0, 1>} : (tensor<2x4x3xf32>) -> tensor<3x2x4xf32>
  return %1 : tensor<3x2x4xf32>
}

// CHECK-LABEL: func.func @cancel
// CHECK-NEXT: return %arg0
func.func @cancel(%x: tensor<2x3x4xf32>) -> tensor<2x3x4xf32> {
  %0 = lathe.transpose %x {permutation = array<i64: 1, 2, 0>} : (tensor<2x3x4xf32>) -> tensor<3x4x2xf32>
  %1 = lathe.transpose %0 {permutation = array<i64: 2, 0, 1>} : (tensor<3x4x2xf32>) -> tensor<2x3x4xf32>
  return %1 : tensor<2x3x4xf32>
}

// CHECK-LABEL: func.func @reshapes
// CHECK-NEXT: %[[R:.*]] = lathe.reshape %arg0 {{{.*}}shape = array<i64: 24>}
// CHECK-NEXT: return %[[R]], %arg0
func.func @reshapes(%x: tensor<2x3x4xf32>) -> (tensor<24xf32>, tensor<2x3x4xf32>) {
  %0 = lathe.reshape %x {shape = array<i64: 6, 4>} : (tensor<2x3x4xf32>) -> tensor<6x4xf32>
  %1 = lathe.reshape %0 {shape = array<i64: 24>} : (tensor<6x4xf32>) -> tensor<24xf32>
  %2 = lathe.reshape %0 {shape = array<i64: 2, 3, 4>} : (tensor<6x4xf32>) -> tensor<2x3x4xf32>
  return %1, %2 : tensor<24xf32>, tensor<2x3x4xf32>
}

// Only dims of size 1 move.
// CHECK-LABEL: func.func @ones
// CHECK-NEXT: lathe.reshape %arg0 {{{.*}}shape = array<i64: 4, 1, 1, 8>}
func.func @ones(%x: tensor<1x4x1x8xf32>) -> tensor<4x1x1x8xf32> {
  %0 = lathe.transpose %x {permutation = array<i64: 1, 0, 2, 3>} : (tensor<1x4x1x8xf32>) -> tensor<4x1x1x8xf32>
  return %0 : tensor<4x1x1x8xf32>
}

// Refused: another op stands between; the transpose moves data.
// CHECK-LABEL: func.func @refused
// CHECK: lathe.transpose
// CHECK: lathe.exp
// CHECK: lathe.transpose
func.func @refused(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
  %0 = lathe.transpose %x {permutation = array<i64: 1, 0>} : (tensor<3x4xf32>) -> tensor<4x3xf32>
  %1 = lathe.exp %0 : (tensor<4x3xf32>) -> tensor<4x3xf32>
  %2 = lathe.transpose %1 {permutation = array<i64: 1, 0>} : (tensor<4x3xf32>) -> tensor<3x4xf32>
  return %2 : tensor<3x4xf32>
}
