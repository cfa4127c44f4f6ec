// RUN: lathe-opt %s --split-input-file --lathe-autograd=wrt=inputs | FileCheck %s
// RUN: lathe-opt %s --split-input-file --lathe-autograd=wrt=inputs --lathe-decompose | FileCheck %s --check-prefix=PARTS

// The forward part gives the log-sum-exp, from which the backward part makes the
// weights again. An added mask gets what is summed up from the scores' gradient.
func.func @loss(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %m: tensor<3x5xf32>, %w: tensor<1x4x3x6xf32>) -> tensor<f32> {
  %0 = lathe.attention %q, %k, %v, %m {causal, scale = 0.5 : f64} : (tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>, tensor<3x5xf32>) -> tensor<1x4x3x6xf32>
  %1 = lathe.mul %0, %w : (tensor<1x4x3x6xf32>, tensor<1x4x3x6xf32>) -> tensor<1x4x3x6xf32>
  %2 = lathe.reduce_sum %1 {axes = array<i64>} : (tensor<1x4x3x6xf32>) -> tensor<f32>
  return %2 : tensor<f32>
}
// CHECK-LABEL: func.func @loss_grad(
// CHECK-SAME: %[[Q:[^:]*]]: tensor<1x4x3x8xf32>, %[[K:[^:]*]]: tensor<1x2x5x8xf32>, %[[V:[^:]*]]: tensor<1x2x5x6xf32>, %[[M:[^:]*]]: tensor<3x5xf32>, %[[W:[^:]*]]: tensor<1x4x3x6xf32>)
// CHECK: %[[OUT:.*]], %[[LSE:.*]] = lathe.attention_training %[[Q]], %[[K]], %[[V]], %[[M]] {causal, scale = 5.000000e-01 : f64}
// CHECK: lathe.reduce_sum
// CHECK: %[[G:.*]] = lathe.mul %{{.*}}, %[[W]]
// CHECK: %[[PRODUCT:.*]] = lathe.mul %[[G]], %[[OUT]]
// CHECK: %[[DELTA:.*]] = lathe.reduce_sum %[[PRODUCT]] {axes = array<i64: 3>}
// CHECK: %[[DQ:.*]], %[[DK:.*]], %[[DV:.*]] = lathe.attention_backward %[[Q]], %[[K]], %[[V]], %[[G]], %[[LSE]], %[[DELTA]], %[[M]] {causal, scale = 5.000000e-01 : f64}
// CHECK: %[[DM:.*]] = lathe.reshape %{{.*}} -> tensor<3x5xf32>
// CHECK: return %{{.*}}, %[[DQ]], %[[DK]], %[[DV]], %[[DM]]
// PARTS-LABEL: func.func @loss_grad(
// PARTS-NOT: lathe.attention
// PARTS-COUNT-8: lathe.matmul

// -----

// A Boolean mask has no gradient, and nothing is built for one.
func.func @loss(%q: tensor<1x2x3x4xf32>, %m: tensor<3x3xi1>) -> tensor<f32> {
  %0 = lathe.attention %q, %q, %q, %m : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<3x3xi1>) -> tensor<1x2x3x4xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<1x2x3x4xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}
// CHECK-LABEL: func.func @loss_grad(
// CHECK: lathe.attention_training
// CHECK: lathe.attention_backward
// CHECK-NOT: lathe.matmul
// CHECK: return

// -----

// Heads third: so are the gradients, and delta, without a transpose.
func.func @loss(%q: tensor<1x3x2x4xf32>) -> tensor<f32> {
  %0 = lathe.attention %q, %q, %q {layout = 1 : i32} : (tensor<1x3x2x4xf32>, tensor<1x3x2x4xf32>, tensor<1x3x2x4xf32>) -> tensor<1x3x2x4xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<1x3x2x4xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}
// CHECK-LABEL: func.func @loss_grad(
// CHECK-NOT: lathe.transpose
// CHECK: %[[D:.*]] = lathe.reduce_sum {{.*}} {axes = array<i64: 3>} : (tensor<1x3x2x4xf32>) -> tensor<1x3x2xf32>
// CHECK: lathe.attention_backward {{.*}}, %[[D]] {layout = 1 : i32}
// CHECK-NOT: lathe.transpose
// CHECK: return
