// RUN: lathe-opt %s --lathe-convert-to-linalg --split-input-file --verify-diagnostics

// expected-error@+1 {{expected tensors of static shape}}
func.func @open(%x: tensor<?xf32>) -> tensor<?xf32> {
  %0 = lathe.exp %x : (tensor<?xf32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

lathe.parameter @w : tensor<4xf32>
func.func @parameter() -> tensor<4xf32> {
  // expected-error@+1 {{has no lowering to linalg}}
  %0 = lathe.get_parameter @w : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @branch(%c: tensor<i1>, %x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{has no lowering to linalg}}
  %0 = lathe.if %c : (tensor<i1>) -> tensor<4xf32> {
    lathe.yield %x : tensor<4xf32>
  } else {
    lathe.yield %x : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}
