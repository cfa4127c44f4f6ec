// RUN: lathe-opt %s --split-input-file --verify-diagnostics --lathe-autograd=wrt=inputs

// expected-error @+1 {{expected a rank-0 float, the loss, as first result of '@loss_grad', got 'tensor<4xf32>'}}
func.func @loss(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}

// -----

func.func @loss(%x: tensor<?xf32>) -> tensor<f32> {
  // expected-error @+1 {{expected static shapes where gradients are built, got 'tensor<?xf32>'}}
  %0 = lathe.exp %x : (tensor<?xf32>) -> tensor<?xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<?xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}

// -----

func.func private @part(%x: tensor<f32>) -> tensor<f32> {
  return %x : tensor<f32>
}
func.func @loss(%x: tensor<f32>) -> tensor<f32> {
  // expected-error @+1 {{expected calls to be inlined before gradients are built}}
  %0 = call @part(%x) : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

func.func @loss(%x: tensor<4x3xf32>) -> tensor<f32> {
  // expected-error @+1 {{'lathe.pack' op has no derivative rule, and the gradient of the loss must pass through it}}
  %0 = lathe.pack %x {panel = 3 : i64} : (tensor<4x3xf32>) -> tensor<1x4x3xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<1x4x3xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}

// -----

// No gradient passes through the op without a rule: no error.
func.func @loss(%x: tensor<4x3xf32>, %c: tensor<i1>) -> (tensor<f32>, tensor<1x4x3xf32>) {
  %0 = lathe.pack %x {panel = 3 : i64} : (tensor<4x3xf32>) -> tensor<1x4x3xf32>
  %1 = lathe.reduce_sum %x {axes = array<i64>} : (tensor<4x3xf32>) -> tensor<f32>
  return %1, %0 : tensor<f32>, tensor<1x4x3xf32>
}

// -----

// expected-error @+1 {{expected a function '@loss' to differentiate}}
module {
  func.func @other(%x: tensor<f32>) -> tensor<f32> {
    return %x : tensor<f32>
  }
}

// -----

func.func @loss(%x: tensor<f32>, %limit: tensor<f32>) -> tensor<f32> {
  // expected-error @+1 {{'lathe.while' op has no known bound, and the gradient of the loss must pass through it: expected a condition like 'counter < constant'}}
  %r = lathe.while (%a = %x) : (tensor<f32>) -> tensor<f32> {
    %0 = lathe.compare lt, %a, %limit : (tensor<f32>, tensor<f32>) -> tensor<i1>
    lathe.yield %0 : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>):
    %1 = lathe.exp %a : (tensor<f32>) -> tensor<f32>
    lathe.yield %1 : tensor<f32>
  }
  return %r : tensor<f32>
}

// -----

// Past the end of its type a counter begins anew: 0, 100, -56, 44, and on.
func.func @loss(%x: tensor<f32>) -> tensor<f32> {
  %start = lathe.constant dense<0> : tensor<i8>
  %step = lathe.constant dense<100> : tensor<i8>
  %limit = lathe.constant dense<120> : tensor<i8>
  // expected-error @+1 {{has no known bound}}
  %r:2 = lathe.while (%a = %x, %i = %start) : (tensor<f32>, tensor<i8>) -> (tensor<f32>, tensor<i8>) {
    %0 = lathe.compare lt, %i, %limit : (tensor<i8>, tensor<i8>) -> tensor<i1>
    lathe.yield %0 : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>, %i: tensor<i8>):
    %1 = lathe.sin %a : (tensor<f32>) -> tensor<f32>
    %2 = lathe.add %i, %step : (tensor<i8>, tensor<i8>) -> tensor<i8>
    lathe.yield %1, %2 : tensor<f32>, tensor<i8>
  }
  return %r#0 : tensor<f32>
}

// -----

// The last number of a type is never passed.
func.func @loss(%x: tensor<f32>) -> tensor<f32> {
  %start = lathe.constant dense<2147483600> : tensor<i32>
  %step = lathe.constant dense<1> : tensor<i32>
  %limit = lathe.constant dense<2147483647> : tensor<i32>
  // expected-error @+1 {{has no known bound}}
  %r:2 = lathe.while (%a = %x, %i = %start) : (tensor<f32>, tensor<i32>) -> (tensor<f32>, tensor<i32>) {
    %0 = lathe.compare le, %i, %limit : (tensor<i32>, tensor<i32>) -> tensor<i1>
    lathe.yield %0 : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>, %i: tensor<i32>):
    %1 = lathe.sin %a : (tensor<f32>) -> tensor<f32>
    %2 = lathe.add %i, %step : (tensor<i32>, tensor<i32>) -> tensor<i32>
    lathe.yield %1, %2 : tensor<f32>, tensor<i32>
  }
  return %r#0 : tensor<f32>
}

// -----

// Nor is 0, of numbers without sign.
func.func @loss(%x: tensor<f32>) -> tensor<f32> {
  %start = lathe.constant dense<3> : tensor<ui8>
  %step = lathe.constant dense<1> : tensor<ui8>
  %limit = lathe.constant dense<0> : tensor<ui8>
  // expected-error @+1 {{has no known bound}}
  %r:2 = lathe.while (%a = %x, %i = %start) : (tensor<f32>, tensor<ui8>) -> (tensor<f32>, tensor<ui8>) {
    %0 = lathe.compare ge, %i, %limit : (tensor<ui8>, tensor<ui8>) -> tensor<i1>
    lathe.yield %0 : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>, %i: tensor<ui8>):
    %1 = lathe.sin %a : (tensor<f32>) -> tensor<f32>
    %2 = lathe.sub %i, %step : (tensor<ui8>, tensor<ui8>) -> tensor<ui8>
    lathe.yield %1, %2 : tensor<f32>, tensor<ui8>
  }
  return %r#0 : tensor<f32>
}

// -----

func.func @loss(%x: tensor<2xf32>) -> tensor<f32> {
  // expected-error @+1 {{'lathe.pad' op has no derivative for padding of mode 'wrap' by 5 and 0 around dim 0 of size 2}}
  %0 = lathe.pad %x {low = array<i64: 5>, high = array<i64: 0>, mode = 3 : i32} : (tensor<2xf32>) -> tensor<7xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<7xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}

// -----

// expected-error @+1 {{expected no '@loss_grad' beside the function that is differentiated}}
func.func @loss_grad(%x: tensor<f32>) -> tensor<f32> {
  return %x : tensor<f32>
}
func.func @loss(%x: tensor<f32>) -> tensor<f32> {
  return %x : tensor<f32>
}
