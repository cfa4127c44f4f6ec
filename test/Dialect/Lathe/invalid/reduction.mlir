// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @axis_too_large(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.reduce_sum' op expected different axes from -2 to 1, got [2]}}
  %0 = lathe.reduce_sum %x {axes = array<i64: 2>} : (tensor<2x3xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @axis_too_small(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.reduce_mean' op expected different axes from -2 to 1, got [-3]}}
  %0 = lathe.reduce_mean %x {axes = array<i64: -3>} : (tensor<2x3xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @axis_twice(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.reduce_max' op expected different axes from -2 to 1, got [1, -1]}}
  %0 = lathe.reduce_max %x {axes = array<i64: 1, -1>} : (tensor<2x3xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @axis_of_rank_0(%x: tensor<f32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.reduce_sum' op expected no axes for rank 0, got [0]}}
  %0 = lathe.reduce_sum %x {axes = array<i64: 0>} : (tensor<f32>) -> tensor<f32>
  return
}

// -----

func.func @keepdims_forgotten(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.reduce_sum' op inferred type(s) 'tensor<2xf32>' are incompatible with return type(s) of operation 'tensor<2x1xf32>'}}
  %0 = lathe.reduce_sum %x {axes = array<i64: 1>} : (tensor<2x3xf32>) -> tensor<2x1xf32>
  return
}

// -----

func.func @sum_of_booleans(%x: tensor<2xi1>) {
  // expected-error @+1 {{'lathe.reduce_sum' op operand #0 must be ranked tensor of}}
  %0 = lathe.reduce_sum %x {axes = array<i64: 0>} : (tensor<2xi1>) -> tensor<i1>
  return
}

// -----

func.func @argmax_axis(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.argmax' op expected an axis from -2 to 1, got 5}}
  %0 = lathe.argmax %x {axis = 5 : i64} : (tensor<2x3xf32>) -> tensor<2xi64>
  return
}

// -----

func.func @argmax_rank_0(%x: tensor<f32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.argmax' op expected an input of rank 1 or more for axis 0}}
  %0 = lathe.argmax %x {axis = 0 : i64} : (tensor<f32>) -> tensor<i64>
  return
}

// -----

func.func @argmin_of_nothing(%x: tensor<2x0xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.argmin' op expected at least one element along axis 1}}
  %0 = lathe.argmin %x {axis = 1 : i64} : (tensor<2x0xf32>) -> tensor<2xi64>
  return
}

// -----

func.func @argmax_result(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'lathe.argmax' op result #0 must be ranked tensor of 64-bit signless integer}}
  %0 = lathe.argmax %x {axis = 1 : i64} : (tensor<2x3xf32>) -> tensor<2xi32>
  return
}

// -----

func.func @cumsum_axis(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.cumsum' op expected an axis from -2 to 1, got -3}}
  %0 = lathe.cumsum %x {axis = -3 : i64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @top_k_axis(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.top_k' op expected an axis from -2 to 1, got 2}}
  %0, %1 = lathe.top_k %x {axis = 2 : i64, k = 1 : i64} : (tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xi64>)
  return
}

// -----

func.func @top_k_too_many(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.top_k' op expected k of at most the 3 elements along axis 1, got 4}}
  %0, %1 = lathe.top_k %x {k = 4 : i64} : (tensor<2x3xf32>) -> (tensor<2x4xf32>, tensor<2x4xi64>)
  return
}

// -----

func.func @top_k_negative(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.top_k' op expected k of at least 0, got -1}}
  %0, %1 = lathe.top_k %x {k = -1 : i64} : (tensor<2x3xf32>) -> (tensor<2x?xf32>, tensor<2x?xi64>)
  return
}
