// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @attention_rank(%q: tensor<8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %v: tensor<2x2x7x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected query, key and value of rank 4, got ranks 3, 4 and 4}}
  %0 = lathe.attention %q, %k, %v : (tensor<8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_batch(%q: tensor<2x8x5x16xf32>, %k: tensor<3x2x7x16xf32>, %v: tensor<2x2x7x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected equal batch sizes, got query [2, 8, 5, 16], key [3, 2, 7, 16] and value [2, 2, 7, 32]}}
  %0 = lathe.attention %q, %k, %v : (tensor<2x8x5x16xf32>, tensor<3x2x7x16xf32>, tensor<2x2x7x32xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_key_value(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %v: tensor<2x2x6x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected key and value with equal heads and length, got [2, 2, 7, 16] and [2, 2, 6, 32]}}
  %0 = lathe.attention %q, %k, %v : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x6x32xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_depth(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x8xf32>, %v: tensor<2x2x7x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected query and key with equal last dims, got [2, 8, 5, 16] and [2, 2, 7, 8]}}
  %0 = lathe.attention %q, %k, %v : (tensor<2x8x5x16xf32>, tensor<2x2x7x8xf32>, tensor<2x2x7x32xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_groups(%q: tensor<2x8x5x16xf32>, %k: tensor<2x3x7x16xf32>, %v: tensor<2x3x7x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected query heads that are a multiple of the 3 key heads, got 8}}
  %0 = lathe.attention %q, %k, %v : (tensor<2x8x5x16xf32>, tensor<2x3x7x16xf32>, tensor<2x3x7x32xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_no_groups(%q: tensor<2x8x5x16xf32>, %k: tensor<2x0x7x16xf32>, %v: tensor<2x0x7x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected query heads that are a multiple of the 0 key heads, got 8}}
  %0 = lathe.attention %q, %k, %v : (tensor<2x8x5x16xf32>, tensor<2x0x7x16xf32>, tensor<2x0x7x32xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_mask(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %v: tensor<2x2x7x32xf32>, %m: tensor<6x7xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected a mask that broadcasts to [2, 8, 5, 7], got [6, 7]}}
  %0 = lathe.attention %q, %k, %v, %m : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>, tensor<6x7xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_mask_larger(%q: tensor<1x8x5x16xf32>, %k: tensor<1x2x7x16xf32>, %v: tensor<1x2x7x32xf32>, %m: tensor<2x1x5x7xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected a mask that broadcasts to [1, 8, 5, 7], got [2, 1, 5, 7]}}
  %0 = lathe.attention %q, %k, %v, %m : (tensor<1x8x5x16xf32>, tensor<1x2x7x16xf32>, tensor<1x2x7x32xf32>, tensor<2x1x5x7xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_mask_rank(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %v: tensor<2x2x7x32xf32>, %m: tensor<1x2x8x5x7xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected a mask that broadcasts to [2, 8, 5, 7], got [1, 2, 8, 5, 7]}}
  %0 = lathe.attention %q, %k, %v, %m : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>, tensor<1x2x8x5x7xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_mask_type(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %v: tensor<2x2x7x32xf32>, %m: tensor<5x7xi32>) {
  // expected-error @+1 {{'lathe.attention' op expected a mask of 'f32' or i1, got 'i32'}}
  %0 = lathe.attention %q, %k, %v, %m : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>, tensor<5x7xi32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @attention_element_types(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf16>, %v: tensor<2x2x7x32xf32>) {
  // expected-error @+1 {{'lathe.attention' op expected key and value of the query's element type 'f32', got 'f16'}}
  %0 = lathe.attention %q, %k, %v : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf16>, tensor<2x2x7x32xf32>) -> tensor<2x8x5x32xf32>
  return
}

// -----

func.func @training_depth(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x8xf32>, %v: tensor<2x2x7x32xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention_training' op expected query and key with equal last dims, got [2, 8, 5, 16] and [2, 2, 7, 8]}}
  %0:2 = lathe.attention_training %q, %k, %v : (tensor<2x8x5x16xf32>, tensor<2x2x7x8xf32>, tensor<2x2x7x32xf32>) -> (tensor<2x8x5x32xf32>, tensor<2x8x5xf32>)
  return
}

// -----

func.func @training_types(%q: tensor<2x8x5x16xf16>, %k: tensor<2x2x7x16xf32>, %v: tensor<2x2x7x32xf16>) {
  // expected-error @+1 {{'lathe.attention_training' op expected key and value of the query's element type 'f16', got 'f32'}}
  %0:2 = lathe.attention_training %q, %k, %v : (tensor<2x8x5x16xf16>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf16>) -> (tensor<2x8x5x32xf16>, tensor<2x8x5xf32>)
  return
}

// -----

func.func @backward_cotangent(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %r: tensor<2x8x5xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention_backward' op expected a cotangent of shape [2, 8, 5, 16], got [2, 2, 7, 16]}}
  %0:3 = lathe.attention_backward %q, %k, %k, %k, %r, %r : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x16xf32>, tensor<2x8x5xf32>, tensor<2x8x5xf32>) -> (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x16xf32>)
  return
}

// -----

func.func @backward_rows(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %r: tensor<2x8x5xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention_backward' op expected a delta of shape [2, 8, 5], got [2, 8, 5, 16]}}
  %0:3 = lathe.attention_backward %q, %k, %k, %q, %r, %q : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x16xf32>, tensor<2x8x5x16xf32>, tensor<2x8x5xf32>, tensor<2x8x5x16xf32>) -> (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x16xf32>)
  return
}

// -----

func.func @backward_types(%q: tensor<2x8x5x16xf16>, %k: tensor<2x2x7x16xf16>, %r: tensor<2x8x5xf16>) {
  // expected-error @+1 {{'lathe.attention_backward' op expected log_sum_exp and delta of 'f32', got 'f16'}}
  %0:3 = lathe.attention_backward %q, %k, %k, %q, %r, %r : (tensor<2x8x5x16xf16>, tensor<2x2x7x16xf16>, tensor<2x2x7x16xf16>, tensor<2x8x5x16xf16>, tensor<2x8x5xf16>, tensor<2x8x5xf16>) -> (tensor<2x8x5x16xf16>, tensor<2x2x7x16xf16>, tensor<2x2x7x16xf16>)
  return
}

// -----

func.func @third_heads(%q: tensor<2x5x6x16xf32>, %k: tensor<2x7x4x16xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention' op expected query heads that are a multiple of the 4 key heads, got 6}}
  %0 = lathe.attention %q, %k, %k {layout = 1 : i32} : (tensor<2x5x6x16xf32>, tensor<2x7x4x16xf32>, tensor<2x7x4x16xf32>) -> tensor<2x5x6x16xf32>
  return
}

// -----

func.func @third_rows(%q: tensor<2x5x8x16xf32>, %r: tensor<2x8x5xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.attention_backward' op expected a delta of shape [2, 5, 8], got [2, 8, 5]}}
  %0:3 = lathe.attention_backward %q, %q, %q, %q, %r, %r {layout = 1 : i32} : (tensor<2x5x8x16xf32>, tensor<2x5x8x16xf32>, tensor<2x5x8x16xf32>, tensor<2x5x8x16xf32>, tensor<2x8x5xf32>, tensor<2x8x5xf32>) -> (tensor<2x5x8x16xf32>, tensor<2x5x8x16xf32>, tensor<2x5x8x16xf32>)
  return
}
