// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @matmul_rank(%a: tensor<3xf32>, %b: tensor<3x4xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.matmul' op expected operands of rank 2 or more, got ranks 1 and 2}}
  %0 = lathe.matmul %a, %b : (tensor<3xf32>, tensor<3x4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @matmul_sizes(%a: tensor<2x3xf32>, %b: tensor<4x5xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.matmul' op expected equal contraction sizes, got 3 on the left and 4 on the right}}
  %0 = lathe.matmul %a, %b : (tensor<2x3xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>
  return
}

// -----

func.func @matmul_transposed_sizes(%a: tensor<2x3xf32>, %b: tensor<2x5xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.matmul' op expected equal contraction sizes, got 2 on the left and 5 on the right}}
  %0 = lathe.matmul %a, %b {transpose_lhs, transpose_rhs} : (tensor<2x3xf32>, tensor<2x5xf32>) -> tensor<3x2xf32>
  return
}

// -----

func.func @matmul_batch(%a: tensor<2x2x3xf32>, %b: tensor<4x3x5xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.matmul' op expected batch dims that broadcast, got [2] and [4]}}
  %0 = lathe.matmul %a, %b : (tensor<2x2x3xf32>, tensor<4x3x5xf32>) -> tensor<2x2x5xf32>
  return
}

// -----

func.func @matmul_element_types(%a: tensor<2x3xf32>, %b: tensor<3x5xf16>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.matmul' op expected operands of one element type, or both of 8-bit integers, got 'f32' and 'f16'}}
  %0 = lathe.matmul %a, %b : (tensor<2x3xf32>, tensor<3x5xf16>) -> tensor<2x5xf32>
  return
}

// -----

func.func @linear_rank(%x: tensor<f32>, %w: tensor<4x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.linear' op expected an input of rank 1 or more}}
  %0 = lathe.linear %x, %w : (tensor<f32>, tensor<4x3xf32>) -> tensor<f32>
  return
}

// -----

func.func @linear_weight_rank(%x: tensor<2x3xf32>, %w: tensor<1x4x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.linear' op expected a weight of rank 2, got rank 3}}
  %0 = lathe.linear %x, %w : (tensor<2x3xf32>, tensor<1x4x3xf32>) -> tensor<2x4xf32>
  return
}

// -----

func.func @linear_sizes(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.linear' op expected a weight with 3 columns, as the input's last dim, got 4}}
  %0 = lathe.linear %x, %w : (tensor<2x3xf32>, tensor<3x4xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @linear_bias(%x: tensor<2x3xf32>, %w: tensor<4x3xf32>, %b: tensor<3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.linear' op expected a bias of shape [4], got [3]}}
  %0 = lathe.linear %x, %w, %b : (tensor<2x3xf32>, tensor<4x3xf32>, tensor<3xf32>) -> tensor<2x4xf32>
  return
}

// -----

func.func @pack_rank(%w: tensor<3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.pack' op expected an input of rank 2 or more, got rank 1}}
  %0 = lathe.pack %w : (tensor<3xf32>) -> tensor<1x3x32xf32>
  return
}

// -----

func.func @pack_panel(%w: tensor<3x4xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.pack' op expected a panel of at least 1 column, got 0}}
  %0 = lathe.pack %w {panel = 0 : i64} : (tensor<3x4xf32>) -> tensor<1x3x0xf32>
  return
}

// -----

func.func @packed_lhs_rank(%x: tensor<f32>, %w: tensor<2x3x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.packed_matmul' op expected a left-hand side of rank 1 or more}}
  %0 = lathe.packed_matmul %x, %w {n = 64 : i64} : (tensor<f32>, tensor<2x3x32xf32>) -> tensor<f32>
  return
}

// -----

func.func @packed_rank(%x: tensor<2x3xf32>, %w: tensor<3x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.packed_matmul' op expected a packed right-hand side of rank 3 or more, got rank 2}}
  %0 = lathe.packed_matmul %x, %w {n = 32 : i64} : (tensor<2x3xf32>, tensor<3x32xf32>) -> tensor<2x32xf32>
  return
}

// -----

func.func @packed_sizes(%x: tensor<2x3xf32>, %w: tensor<2x4x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.packed_matmul' op expected equal contraction sizes, got 3 on the left and 4 on the right}}
  %0 = lathe.packed_matmul %x, %w {n = 64 : i64} : (tensor<2x3xf32>, tensor<2x4x32xf32>) -> tensor<2x64xf32>
  return
}

// -----

func.func @packed_n(%x: tensor<2x3xf32>, %w: tensor<2x3x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.packed_matmul' op expected n to need 2 panels of 32 columns, got 65}}
  %0 = lathe.packed_matmul %x, %w {n = 65 : i64} : (tensor<2x3xf32>, tensor<2x3x32xf32>) -> tensor<2x65xf32>
  return
}

// -----

func.func @packed_negative_n(%x: tensor<2x3xf32>, %w: tensor<2x3x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.packed_matmul' op expected n of at least 0, got -1}}
  %0 = lathe.packed_matmul %x, %w {n = -1 : i64} : (tensor<2x3xf32>, tensor<2x3x32xf32>) -> tensor<2x?xf32>
  return
}

// -----

func.func @packed_element_types(%x: tensor<2x3xf32>, %w: tensor<2x3x32xf16>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.packed_matmul' op expected operands of one element type, or both of 8-bit integers, got 'f32' and 'f16'}}
  %0 = lathe.packed_matmul %x, %w {n = 64 : i64} : (tensor<2x3xf32>, tensor<2x3x32xf16>) -> tensor<2x64xf32>
  return
}

// -----

func.func @linear_bias_type(%x: tensor<2x3xi8>, %w: tensor<4x3xi8>, %b: tensor<4xi8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.linear' op expected a bias of the product's element type 'i32', got 'i8'}}
  %0 = lathe.linear %x, %w, %b : (tensor<2x3xi8>, tensor<4x3xi8>, tensor<4xi8>) -> tensor<2x4xi32>
  return
}

// -----

func.func @pack_bits(%w: tensor<4x3xui8>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.pack' op expected 'bits' of 0, or of 4 and an input of i8, got 4}}
  %0 = lathe.pack %w {bits = 4 : i64} : (tensor<4x3xui8>) -> tensor<1x2x32xui8>
  return
}

// -----

func.func @packed_scale(%x: tensor<2x8xf32>, %w: tensor<1x8x32xi8>, %s: tensor<1x1x32xf32>) {
  // expected-error @+1 {{'lathe.packed_matmul' op expected a scale of shape [1, 2, 32], got [1, 1, 32]}}
  %0 = lathe.packed_matmul %x, %w, %s {n = 5 : i64, group = 4 : i64} : (tensor<2x8xf32>, tensor<1x8x32xi8>, tensor<1x1x32xf32>) -> tensor<2x5xf32>
  return
}

// -----

func.func @packed_scale_type(%x: tensor<2x8xf32>, %w: tensor<1x8x32xi8>, %s: tensor<1x2x32xf16>) {
  // expected-error @+1 {{'lathe.packed_matmul' op operand #2 must be ranked tensor of 32-bit float or bfloat16 type values}}
  %0 = lathe.packed_matmul %x, %w, %s {n = 5 : i64, group = 4 : i64} : (tensor<2x8xf32>, tensor<1x8x32xi8>, tensor<1x2x32xf16>) -> tensor<2x5xf32>
  return
}
