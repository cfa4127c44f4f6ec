// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @logits_rank(%x: tensor<f32>, %l: tensor<i64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.cross_entropy' op expected logits of rank 1 or more, got rank 0}}
  %0 = lathe.cross_entropy %x, %l : (tensor<f32>, tensor<i64>) -> tensor<f32>
  return
}

// -----

func.func @labels(%x: tensor<8x10xf32>, %l: tensor<7xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.cross_entropy' op expected labels of shape [8], as the logits without their last dim, got [7]}}
  %0 = lathe.cross_entropy %x, %l : (tensor<8x10xf32>, tensor<7xi64>) -> tensor<f32>
  return
}

// -----

func.func @labels_rank(%x: tensor<8x10xf32>, %l: tensor<8x1xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.cross_entropy' op expected labels of shape [8], as the logits without their last dim, got [8, 1]}}
  %0 = lathe.cross_entropy %x, %l : (tensor<8x10xf32>, tensor<8x1xi64>) -> tensor<f32>
  return
}

// -----

func.func @label_type(%x: tensor<8x10xf32>, %l: tensor<8xf32>) {
  // expected-error @+1 {{'lathe.cross_entropy' op operand #1 must be ranked tensor of}}
  %0 = lathe.cross_entropy %x, %l : (tensor<8x10xf32>, tensor<8xf32>) -> tensor<f32>
  return
}

// -----

func.func @smoothing(%x: tensor<8x10xf32>, %l: tensor<8xi64>) {
  // expected-error @+1 {{'lathe.cross_entropy' op expected label_smoothing from 0 to 1, got 1.500000e+00}}
  %0 = lathe.cross_entropy %x, %l {label_smoothing = 1.5 : f64} : (tensor<8x10xf32>, tensor<8xi64>) -> tensor<f32>
  return
}

// -----

func.func @reduced(%x: tensor<8x10xf32>, %l: tensor<8xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.cross_entropy' op inferred type(s) 'tensor<f32>' are incompatible with return type(s) of operation 'tensor<8xf32>'}}
  %0 = lathe.cross_entropy %x, %l : (tensor<8x10xf32>, tensor<8xi64>) -> tensor<8xf32>
  return
}

// -----

func.func @mse_shapes(%x: tensor<8x10xf32>, %y: tensor<10xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.mse' op expected prediction and target of one shape, got [8, 10] and [10]}}
  %0 = lathe.mse %x, %y : (tensor<8x10xf32>, tensor<10xf32>) -> tensor<f32>
  return
}

// -----

func.func @mse_element_types(%x: tensor<8xf32>, %y: tensor<8xf64>) {
  // expected-error @+1 {{'lathe.mse' op expected prediction and target of one element type, got 'f32' and 'f64'}}
  %0 = lathe.mse %x, %y : (tensor<8xf32>, tensor<8xf64>) -> tensor<f32>
  return
}

// -----

func.func @chunked_labels(%x: tensor<4x8xf32>, %w: tensor<10x8xf32>, %l: tensor<5xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.linear_cross_entropy' op expected labels of shape [4], as the input without its last dim, got [5]}}
  %0:3 = lathe.linear_cross_entropy %x, %w, %l {chunk = 2 : i64} : (tensor<4x8xf32>, tensor<10x8xf32>, tensor<5xi64>) -> (tensor<f32>, tensor<4x8xf32>, tensor<10x8xf32>)
  return
}

// -----

func.func @chunked_weight(%x: tensor<4x8xf32>, %w: tensor<10x7xf32>, %l: tensor<4xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.linear_cross_entropy' op expected a weight of shape [classes, 8], got [10, 7]}}
  %0:3 = lathe.linear_cross_entropy %x, %w, %l {chunk = 2 : i64} : (tensor<4x8xf32>, tensor<10x7xf32>, tensor<4xi64>) -> (tensor<f32>, tensor<4x8xf32>, tensor<10x7xf32>)
  return
}

// -----

func.func @chunked_bias(%x: tensor<4x8xf32>, %w: tensor<10x8xf32>, %l: tensor<4xi64>, %b: tensor<8xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.linear_cross_entropy' op expected a bias of shape [10], got [8]}}
  %0:4 = lathe.linear_cross_entropy %x, %w, %l, %b {chunk = 2 : i64} : (tensor<4x8xf32>, tensor<10x8xf32>, tensor<4xi64>, tensor<8xf32>) -> (tensor<f32>, tensor<4x8xf32>, tensor<10x8xf32>, tensor<8xf32>)
  return
}

// -----

func.func @chunk_size(%x: tensor<4x8xf32>, %w: tensor<10x8xf32>, %l: tensor<4xi64>) {
  // expected-error @+1 {{'lathe.linear_cross_entropy' op expected a chunk of 1 row or more, got 0}}
  %0:3 = lathe.linear_cross_entropy %x, %w, %l {chunk = 0 : i64} : (tensor<4x8xf32>, tensor<10x8xf32>, tensor<4xi64>) -> (tensor<f32>, tensor<4x8xf32>, tensor<10x8xf32>)
  return
}

// -----

func.func @chunked_types(%x: tensor<4x8xf32>, %w: tensor<10x8xf64>, %l: tensor<4xi64>) {
  // expected-error @+1 {{'lathe.linear_cross_entropy' op expected weight and bias of the input's elements 'f32', got 'f64'}}
  %0:3 = lathe.linear_cross_entropy %x, %w, %l {chunk = 2 : i64} : (tensor<4x8xf32>, tensor<10x8xf64>, tensor<4xi64>) -> (tensor<f32>, tensor<4x8xf32>, tensor<10x8xf32>)
  return
}

// -----

func.func @chunked_smoothing(%x: tensor<4x8xf32>, %w: tensor<10x8xf32>, %l: tensor<4xi64>) {
  // expected-error @+1 {{'lathe.linear_cross_entropy' op expected label_smoothing from 0 to 1, got -1.000000e+00}}
  %0:3 = lathe.linear_cross_entropy %x, %w, %l {chunk = 2 : i64, label_smoothing = -1.0 : f64} : (tensor<4x8xf32>, tensor<10x8xf32>, tensor<4xi64>) -> (tensor<f32>, tensor<4x8xf32>, tensor<10x8xf32>)
  return
}
