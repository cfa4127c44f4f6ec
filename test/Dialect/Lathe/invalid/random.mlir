// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @key_shape(%k: tensor<3xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.random_uniform' op expected a key of shape [2] (seed and step), got [3]}}
  %0 = lathe.random_uniform %k {dtype = f32, shape = array<i64: 4>, stream = 0 : i64} : (tensor<3xi64>) -> tensor<4xf32>
  return
}

// -----

func.func @negative_size(%k: tensor<2xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.random_uniform' op expected a shape without negative sizes, got [4, -1]}}
  %0 = lathe.random_uniform %k {dtype = f32, shape = array<i64: 4, -1>, stream = 0 : i64} : (tensor<2xi64>) -> tensor<4x?xf32>
  return
}

// -----

func.func @integer_dtype(%k: tensor<2xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.random_normal' op expected a float dtype, got 'i32'}}
  %0 = lathe.random_normal %k {dtype = i32, shape = array<i64: 4>, stream = 0 : i64} : (tensor<2xi64>) -> tensor<4xf32>
  return
}

// -----

func.func @low_above_high(%k: tensor<2xi64>) {
  // expected-error @+1 {{'lathe.random_uniform' op expected low not above high, got 2.000000e+00 and 1.000000e+00}}
  %0 = lathe.random_uniform %k {dtype = f32, low = 2.0 : f64, shape = array<i64: 4>, stream = 0 : i64} : (tensor<2xi64>) -> tensor<4xf32>
  return
}

// -----

func.func @negative_stddev(%k: tensor<2xi64>) {
  // expected-error @+1 {{'lathe.random_normal' op expected a stddev that is not negative, got -1.000000e+00}}
  %0 = lathe.random_normal %k {dtype = f32, shape = array<i64: 4>, stddev = -1.0 : f64, stream = 0 : i64} : (tensor<2xi64>) -> tensor<4xf32>
  return
}

// -----

func.func @dropout_key(%x: tensor<4xf32>, %k: tensor<2x1xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.dropout' op expected a key of shape [2] (seed and step), got [2, 1]}}
  %0 = lathe.dropout %x, %k {rate = 0.5 : f64, stream = 0 : i64} : (tensor<4xf32>, tensor<2x1xi64>) -> tensor<4xf32>
  return
}

// -----

func.func @dropout_rate(%x: tensor<4xf32>, %k: tensor<2xi64>) {
  // expected-error @+1 {{'lathe.dropout' op expected a rate from 0 to below 1, got 1.000000e+00}}
  %0 = lathe.dropout %x, %k {rate = 1.0 : f64, stream = 0 : i64} : (tensor<4xf32>, tensor<2xi64>) -> tensor<4xf32>
  return
}
