// RUN: lathe-opt %s --lathe-autograd=wrt=parameters --canonicalize | FileCheck %s
// RUN: lathe-opt %s --lathe-autograd=wrt=both --canonicalize | FileCheck %s --check-prefix=BOTH

// Gradients of trainable parameters only, in their order; what no gradient
// passes through costs nothing.
lathe.parameter @frozen : tensor<3x3xf32>
lathe.parameter @weight : tensor<3x3xf32> {mutable}
lathe.parameter @unused : tensor<3xf32> {mutable}
lathe.parameter @steps : tensor<i64> {mutable}
lathe.parameter @bias : tensor<3xf32> {mutable}

func.func @loss(%x: tensor<2x3xf32> {lathe.name = "x"}, %labels: tensor<2xi64>)
    -> (tensor<f32> {lathe.name = "loss"}, tensor<2x3xf32> {lathe.name = "logits"}) {
  %b = lathe.get_parameter @bias : tensor<3xf32>
  %w = lathe.get_parameter @weight : tensor<3x3xf32>
  %f = lathe.get_parameter @frozen : tensor<3x3xf32>
  %s = lathe.get_parameter @steps : tensor<i64>
  %0 = lathe.linear %x, %f : (tensor<2x3xf32>, tensor<3x3xf32>) -> tensor<2x3xf32>
  %1 = lathe.tanh %0 : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %2 = lathe.linear %1, %w, %b : (tensor<2x3xf32>, tensor<3x3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
  %3 = lathe.cross_entropy %2, %labels : (tensor<2x3xf32>, tensor<2xi64>) -> tensor<f32>
  return %3, %2 : tensor<f32>, tensor<2x3xf32>
}
// CHECK-LABEL: func.func @loss_grad(
// CHECK-SAME: -> (tensor<f32> {lathe.name = "loss"}, tensor<2x3xf32> {lathe.name = "logits"}, tensor<3x3xf32> {lathe.gradient_of = @weight, lathe.name = "gradient_of.weight"}, tensor<3xf32> {lathe.gradient_of = @bias, lathe.name = "gradient_of.bias"})
// CHECK: %[[H:.*]] = lathe.tanh
// CHECK: lathe.softmax
// CHECK-NOT: lathe.matmul {{.*}} transpose_rhs
// The tanh and the layer in front of it have no backward part.
// CHECK-COUNT-1: lathe.matmul %{{.*}}, %[[H]] {transpose_lhs}
// CHECK-NOT: lathe.matmul
// CHECK: return

// BOTH-LABEL: func.func @loss_grad(
// BOTH-SAME: lathe.gradient_of = @weight
// BOTH-SAME: lathe.gradient_of = @bias
// BOTH-SAME: lathe.gradient_of_input = 0 : i64
// BOTH-NOT: lathe.gradient_of_input
// BOTH: return
