// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @none(%x: tensor<f32>) {
  // expected-error @+1 {{expected a tensor to differentiate by, got none}}
  "lathe.gradient"(%x) : (tensor<f32>) -> ()
  return
}

// -----

func.func @many(%x: tensor<2x1xf32>) -> tensor<2x1xf32> {
  // expected-error @+1 {{expected a value of one element, got shape [2, 1]}}
  %0 = lathe.gradient %x, %x : (tensor<2x1xf32>, tensor<2x1xf32>) -> tensor<2x1xf32>
  return %0 : tensor<2x1xf32>
}

// -----

func.func @outside(%x: tensor<f32>, %c: tensor<i1>) -> tensor<f32> {
  %y = lathe.exp %x : (tensor<f32>) -> tensor<f32>
  %0 = lathe.if %c : (tensor<i1>) -> tensor<f32> {
    // expected-error @+1 {{expected to stand in the block where its value is computed}}
    %1 = lathe.gradient %y, %x : (tensor<f32>, tensor<f32>) -> tensor<f32>
    lathe.yield %1 : tensor<f32>
  } else {
    lathe.yield %x : tensor<f32>
  }
  return %0 : tensor<f32>
}
