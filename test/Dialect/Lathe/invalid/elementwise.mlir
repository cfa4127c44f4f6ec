// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @shapes_that_do_not_broadcast(%a: tensor<2x3xf32>, %b: tensor<4xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.add' op expected operand shapes that broadcast, got [2, 3] and [4]}}
  %0 = lathe.add %a, %b : (tensor<2x3xf32>, tensor<4xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @zero_is_not_one(%a: tensor<0xf32>, %b: tensor<4xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.mul' op expected operand shapes that broadcast, got [0] and [4]}}
  %0 = lathe.mul %a, %b : (tensor<0xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @select_shapes(%c: tensor<3xi1>, %a: tensor<3xf32>, %b: tensor<2xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.select' op expected operand shapes that broadcast, got [3] and [2]}}
  %0 = lathe.select %c, %a, %b : (tensor<3xi1>, tensor<3xf32>, tensor<2xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @written_type(%a: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.add' op inferred type(s) 'tensor<2x3xf32>' are incompatible with return type(s) of operation 'tensor<2x4xf32>'}}
  %0 = lathe.add %a, %a : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x4xf32>
  return
}

// -----

func.func @written_rank(%a: tensor<3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.exp' op inferred type(s) 'tensor<3xf32>' are incompatible with return type(s) of operation 'tensor<3x1xf32>'}}
  %0 = lathe.exp %a : (tensor<3xf32>) -> tensor<3x1xf32>
  return
}

// -----

func.func @element_types(%a: tensor<3xf32>, %b: tensor<3xf16>) {
  // expected-error @+1 {{'lathe.add' op requires the same element type for all operands and results}}
  %0 = lathe.add %a, %b : (tensor<3xf32>, tensor<3xf16>) -> tensor<3xf32>
  return
}

// -----

func.func @float_only(%a: tensor<3xi32>) {
  // expected-error @+1 {{'lathe.exp' op operand #0 must be ranked tensor of}}
  %0 = lathe.exp %a : (tensor<3xi32>) -> tensor<3xi32>
  return
}

// -----

func.func @numbers_only(%a: tensor<3xi1>) {
  // expected-error @+1 {{'lathe.add' op operand #0 must be ranked tensor of}}
  %0 = lathe.add %a, %a : (tensor<3xi1>, tensor<3xi1>) -> tensor<3xi1>
  return
}

// -----

func.func @integers_only(%a: tensor<3xf32>) {
  // expected-error @+1 {{'lathe.and' op operand #0 must be ranked tensor of}}
  %0 = lathe.and %a, %a : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @unranked(%a: tensor<*xf32>) {
  // expected-error @+1 {{'lathe.exp' op operand #0 must be ranked tensor of}}
  %0 = lathe.exp %a : (tensor<*xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @compare_element_types(%a: tensor<3xf32>, %b: tensor<3xi32>) {
  // expected-error @+1 {{'lathe.compare' op expected operands of one element type, got 'f32' and 'i32'}}
  %0 = lathe.compare lt, %a, %b : (tensor<3xf32>, tensor<3xi32>) -> tensor<3xi1>
  return
}

// -----

func.func @compare_result(%a: tensor<3xf32>) {
  // expected-error @+1 {{'lathe.compare' op result #0 must be ranked tensor of 1-bit signless integer}}
  %0 = lathe.compare lt, %a, %a : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @select_condition(%c: tensor<3xf32>) {
  // expected-error @+1 {{'lathe.select' op operand #0 must be ranked tensor of 1-bit signless integer}}
  %0 = lathe.select %c, %c, %c : (tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @select_element_types(%c: tensor<3xi1>, %a: tensor<3xf32>, %b: tensor<3xf64>) {
  // expected-error @+1 {{'lathe.select' op expected values of one element type, got 'f32' and 'f64'}}
  %0 = lathe.select %c, %a, %b : (tensor<3xi1>, tensor<3xf32>, tensor<3xf64>) -> tensor<3xf32>
  return
}

// -----

func.func @cast_result(%a: tensor<3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.cast' op inferred type(s) 'tensor<3xi8>' are incompatible with return type(s) of operation 'tensor<3xi16>'}}
  %0 = lathe.cast %a to i8 : (tensor<3xf32>) -> tensor<3xi16>
  return
}

// -----

func.func @cast_to_no_element(%a: tensor<3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.cast' op expected a tensor's element type}}
  %0 = lathe.cast %a to tensor<3xi8> : (tensor<3xf32>) -> tensor<3xi8>
  return
}
