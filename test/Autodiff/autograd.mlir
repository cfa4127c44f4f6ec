// RUN: lathe-opt %s --split-input-file --lathe-autograd=wrt=inputs --canonicalize | FileCheck %s

// A value that is used twice gets both gradients.
func.func @loss(%x: tensor<4xf32> {lathe.name = "x"}) -> tensor<f32> {
  %0 = lathe.mul %x, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<4xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}
// CHECK-LABEL: func.func @loss_grad(
// CHECK-SAME: %[[X:.*]]: tensor<4xf32> {lathe.name = "x"})
// CHECK-SAME: -> (tensor<f32>, tensor<4xf32> {lathe.gradient_of_input = 0 : i64, lathe.name = "gradient_of_input.x"})
// CHECK: %[[LOSS:.*]] = lathe.reduce_sum
// CHECK: %[[SUM:.*]] = lathe.add
// CHECK: return %[[LOSS]], %[[SUM]]

// -----

// A broadcast operand gets the sum; products become products with flags.
func.func @loss(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>, %b: tensor<4xf32>) -> tensor<f32> {
  %0 = lathe.matmul %x, %w : (tensor<2x3xf32>, tensor<3x4xf32>) -> tensor<2x4xf32>
  %1 = lathe.add %0, %b : (tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4xf32>
  %2 = lathe.mul %1, %1 : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  %3 = lathe.reduce_sum %2 {axes = array<i64>} : (tensor<2x4xf32>) -> tensor<f32>
  return %3 : tensor<f32>
}
// CHECK-LABEL: func.func @loss_grad(
// CHECK-SAME: %[[X:.*]]: tensor<2x3xf32>, %[[W:.*]]: tensor<3x4xf32>, %[[B:.*]]: tensor<4xf32>
// CHECK: %[[G:.*]] = lathe.add %{{.*}} : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
// CHECK: %[[DB:.*]] = lathe.reduce_sum %[[G]] {axes = array<i64: 0>
// CHECK-DAG: %[[DX:.*]] = lathe.matmul %[[G]], %[[W]] {transpose_rhs}
// CHECK-DAG: %[[DW:.*]] = lathe.matmul %[[X]], %[[G]] {transpose_lhs}
// CHECK: return %{{.*}}, %[[DX]], %[[DW]],
