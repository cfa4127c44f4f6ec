// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @ranks(%x: tensor<2x3xf32>, %s: tensor<3xf32>, %z: tensor<i8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.quantize' op expected scale and zero point both of rank 0 or both of rank 1, got [3] and []}}
  %0 = lathe.quantize %x, %s, %z : (tensor<2x3xf32>, tensor<3xf32>, tensor<i8>) -> tensor<2x3xi8>
  return
}

// -----

func.func @axis(%x: tensor<2x3xf32>, %s: tensor<3xf32>, %z: tensor<3xi8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.quantize' op expected an axis from -2 to 1, got 2}}
  %0 = lathe.quantize %x, %s, %z {axis = 2 : i64} : (tensor<2x3xf32>, tensor<3xf32>, tensor<3xi8>) -> tensor<2x3xi8>
  return
}

// -----

func.func @sizes(%x: tensor<2x3xf32>, %s: tensor<2xf32>, %z: tensor<2xi8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.quantize' op expected scale and zero point of shape [3], as axis 1 of the input, got [2]}}
  %0 = lathe.quantize %x, %s, %z : (tensor<2x3xf32>, tensor<2xf32>, tensor<2xi8>) -> tensor<2x3xi8>
  return
}

// -----

func.func @scale_type(%x: tensor<2x3xf32>, %s: tensor<f16>, %z: tensor<i8>) {
  // expected-error @+1 {{'lathe.quantize' op expected a scale of the input's element type 'f32', got 'f16'}}
  %0 = lathe.quantize %x, %s, %z : (tensor<2x3xf32>, tensor<f16>, tensor<i8>) -> tensor<2x3xi8>
  return
}

// -----

func.func @boolean(%x: tensor<2x3xf32>, %s: tensor<f32>, %z: tensor<i1>) {
  // expected-error @+1 {{'lathe.quantize' op expected a zero point of an integer type, got i1}}
  %0 = lathe.quantize %x, %s, %z : (tensor<2x3xf32>, tensor<f32>, tensor<i1>) -> tensor<2x3xi1>
  return
}

// -----

func.func @zero_point_type(%x: tensor<2x3xi8>, %s: tensor<f32>, %z: tensor<ui8>) {
  // expected-error @+1 {{'lathe.dequantize' op expected a zero point of the input's element type 'i8', got 'ui8'}}
  %0 = lathe.dequantize %x, %s, %z : (tensor<2x3xi8>, tensor<f32>, tensor<ui8>) -> tensor<2x3xf32>
  return
}

// -----

func.func @dequantize_boolean(%x: tensor<2x3xi1>, %s: tensor<f32>, %z: tensor<i1>) {
  // expected-error @+1 {{'lathe.dequantize' op expected an input of an integer type, got i1}}
  %0 = lathe.dequantize %x, %s, %z : (tensor<2x3xi1>, tensor<f32>, tensor<i1>) -> tensor<2x3xf32>
  return
}
