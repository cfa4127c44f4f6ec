// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @ranks(%x: tensor<2x3xf32>, %s: tensor<3xf32>, %z: tensor<i8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.quantize' op expected scale and zero point of one shape, got [3] and []}}
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

// -----

func.func @scale_rank(%x: tensor<2x3x4xf32>, %s: tensor<2x3xf32>, %z: tensor<2x3xi8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.quantize' op expected a scale of rank 0, 1 or 3, as the input, got rank 2}}
  %0 = lathe.quantize %x, %s, %z : (tensor<2x3x4xf32>, tensor<2x3xf32>, tensor<2x3xi8>) -> tensor<2x3x4xi8>
  return
}

// -----

func.func @whole_scale(%x: tensor<2x3xf32>, %s: tensor<2x2xf32>, %z: tensor<2x2xi8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.quantize' op expected scale and zero point of shape [2, 3] (or 1 in dims without 'group'), got [2, 2]}}
  %0 = lathe.quantize %x, %s, %z : (tensor<2x3xf32>, tensor<2x2xf32>, tensor<2x2xi8>) -> tensor<2x3xi8>
  return
}

// -----

func.func @group_rank(%x: tensor<2x6xf32>, %s: tensor<3xf32>, %z: tensor<3xi8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.quantize' op expected a scale of rank 2, as the input, with 'group', got rank 1}}
  %0 = lathe.quantize %x, %s, %z {group = 2 : i64} : (tensor<2x6xf32>, tensor<3xf32>, tensor<3xi8>) -> tensor<2x6xi8>
  return
}

// -----

func.func @group_size(%x: tensor<2x7xf32>, %s: tensor<2x3xf32>, %z: tensor<2x3xi8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.quantize' op expected scale and zero point of shape [2, 4] (or 1 in dims without 'group'), got [2, 3]}}
  %0 = lathe.quantize %x, %s, %z {group = 2 : i64} : (tensor<2x7xf32>, tensor<2x3xf32>, tensor<2x3xi8>) -> tensor<2x7xi8>
  return
}

// -----

func.func @negative_group(%x: tensor<2x7xf32>, %s: tensor<2x3xf32>, %z: tensor<2x3xi8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.quantize' op expected 'group' of 0 or more, got -2}}
  %0 = lathe.quantize %x, %s, %z {group = -2 : i64} : (tensor<2x7xf32>, tensor<2x3xf32>, tensor<2x3xi8>) -> tensor<2x7xi8>
  return
}

// -----

func.func @storage_type(%x: tensor<2x3xf32>, %s: tensor<f32>, %z: tensor<i8>) {
  // expected-error @+1 {{'lathe.quantize' op expected 'storage' of a type !quant.any, got 'i4'}}
  %0 = lathe.quantize %x, %s, %z {storage = i4} : (tensor<2x3xf32>, tensor<f32>, tensor<i8>) -> tensor<2x3xi8>
  return
}

// -----

func.func @storage_range(%x: tensor<2x3xf32>, %s: tensor<f32>, %z: tensor<i8>) {
  // expected-error @+1 {{'lathe.fake_quantize' op expected 'storage' of numbers that are 'i8', got '!quant.any<i16:f32>'}}
  %0 = lathe.fake_quantize %x, %s, %z {storage = !quant.any<i16:f32>} : (tensor<2x3xf32>, tensor<f32>, tensor<i8>) -> tensor<2x3xf32>
  return
}

// -----

func.func @storage_sign(%x: tensor<2x3xui8>, %s: tensor<f32>, %z: tensor<ui8>) {
  // expected-error @+1 {{'lathe.dequantize' op expected 'storage' of numbers that are 'ui8', got '!quant.any<i8:f32>'}}
  %0 = lathe.dequantize %x, %s, %z {storage = !quant.any<i8:f32>} : (tensor<2x3xui8>, tensor<f32>, tensor<ui8>) -> tensor<2x3xf32>
  return
}

// -----

func.func @storage_of_floats(%x: tensor<2x3xf32>, %s: tensor<f32>, %z: tensor<f8E4M3FN>) {
  // expected-error @+1 {{'lathe.quantize' op expected no 'storage' beside a zero point of 'f8E4M3FN', got '!quant.any<i8:f32>'}}
  %0 = lathe.quantize %x, %s, %z {storage = !quant.any<i8:f32>} : (tensor<2x3xf32>, tensor<f32>, tensor<f8E4M3FN>) -> tensor<2x3xf8E4M3FN>
  return
}

// -----

func.func @arithmetic(%x: tensor<2x3xf8E4M3FN>) {
  // expected-error @+1 {{'lathe.add' op operand #0 must be ranked tensor of}}
  %0 = lathe.add %x, %x : (tensor<2x3xf8E4M3FN>, tensor<2x3xf8E4M3FN>) -> tensor<2x3xf8E4M3FN>
  return
}

// -----

func.func @comparison(%x: tensor<2x3xf8E4M3FN>) {
  // expected-error @+1 {{'lathe.reduce_max' op operand #0 must be ranked tensor of}}
  %0 = lathe.reduce_max %x {axes = array<i64: 0>} : (tensor<2x3xf8E4M3FN>) -> tensor<3xf8E4M3FN>
  return
}

// -----

func.func @mixed_product(%x: tensor<2x3xf8E4M3FN>, %y: tensor<3x2xi8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.matmul' op expected operands of one element type, or both of 8-bit integers, got 'f8E4M3FN' and 'i8'}}
  %0 = lathe.matmul %x, %y : (tensor<2x3xf8E4M3FN>, tensor<3x2xi8>) -> tensor<2x2xf32>
  return
}
