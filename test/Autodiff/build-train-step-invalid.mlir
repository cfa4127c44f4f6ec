// RUN: lathe-opt %s --split-input-file --verify-diagnostics --lathe-build-train-step

// expected-error @+1 {{expected a function '@loss_grad'}}
module {
}

// -----

// expected-error @+1 {{gives no gradient of a parameter that is trained}}
func.func @loss_grad(%x: tensor<f32>) -> tensor<f32> {
  return %x : tensor<f32>
}

// -----

// expected-error @+1 {{expected a rank-0 float, the loss, as first result}}
func.func @loss_grad(%x: tensor<2xf32>) -> tensor<2xf32> {
  return %x : tensor<2xf32>
}

// -----

lathe.parameter @w : tensor<2xf32> {mutable}
// expected-error @+1 {{result 1 is marked as the gradient of @w, expected a parameter of type 'tensor<3xf32>'}}
func.func @loss_grad(%x: tensor<f32>, %g: tensor<3xf32>) -> (tensor<f32>, tensor<3xf32> {lathe.gradient_of = @w}) {
  return %x, %g : tensor<f32>, tensor<3xf32>
}

// -----

lathe.parameter @w : tensor<2xf32> {mutable}
// expected-error @+1 {{has a name that training needs for a state of type 'tensor<2xf32>'}}
lathe.parameter @optimizer.exp_avg.w : tensor<3xf32>
func.func @loss_grad(%x: tensor<f32>, %g: tensor<2xf32>) -> (tensor<f32>, tensor<2xf32> {lathe.gradient_of = @w}) {
  return %x, %g : tensor<f32>, tensor<2xf32>
}
