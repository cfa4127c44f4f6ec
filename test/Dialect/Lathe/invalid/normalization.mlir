// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @softmax_axis(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.softmax' op expected an axis from -2 to 1, got 2}}
  %0 = lathe.softmax %x {axis = 2 : i64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @softmax_rank_0(%x: tensor<f32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.softmax' op expected an input of rank 1 or more for axis -1}}
  %0 = lathe.softmax %x : (tensor<f32>) -> tensor<f32>
  return
}

// -----

func.func @softmax_integers(%x: tensor<2xi32>) {
  // expected-error @+1 {{'lathe.log_softmax' op operand #0 must be ranked tensor of}}
  %0 = lathe.log_softmax %x : (tensor<2xi32>) -> tensor<2xi32>
  return
}

// -----

func.func @layer_norm_axis(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.layer_norm' op expected an axis from -2 to 1, got -3}}
  %0 = lathe.layer_norm %x {axis = -3 : i64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @layer_norm_scale(%x: tensor<2x3xf32>, %s: tensor<2xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.layer_norm' op expected a scale that broadcasts to the normalized dims [3], got [2]}}
  %0 = lathe.layer_norm %x scale %s : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @layer_norm_bias_rank(%x: tensor<2x3xf32>, %s: tensor<2x3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.layer_norm' op expected a bias that broadcasts to the normalized dims [3], got [2, 3]}}
  %0 = lathe.layer_norm %x bias %s : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @layer_norm_element_types(%x: tensor<2x3xf32>, %s: tensor<3xf16>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.layer_norm' op expected a scale of the input's element type f32, got f16}}
  %0 = lathe.layer_norm %x scale %s : (tensor<2x3xf32>, tensor<3xf16>) -> tensor<2x3xf32>
  return
}

// -----

func.func @layer_norm_epsilon(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'lathe.layer_norm' op expected an epsilon that is finite and not negative, got -1.000000e+00}}
  %0 = lathe.layer_norm %x {epsilon = -1.0 : f64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @rms_norm_rank(%x: tensor<f32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.rms_norm' op expected an input of rank 1 or more}}
  %0 = lathe.rms_norm %x : (tensor<f32>) -> tensor<f32>
  return
}

// -----

func.func @rms_norm_scale(%x: tensor<2x3xf32>, %s: tensor<2xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.rms_norm' op expected a scale that broadcasts to the normalized dims [3], got [2]}}
  %0 = lathe.rms_norm %x, %s : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @rms_norm_epsilon(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'lathe.rms_norm' op expected an epsilon that is finite and not negative, got nan}}
  %0 = lathe.rms_norm %x {epsilon = 0x7FF8000000000000 : f64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @batch_norm_axis(%x: tensor<3xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.batch_norm' op expected an axis from -1 to 0, got 1}}
  %0 = lathe.batch_norm %x, %x, %x, %x, %x : (tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @batch_norm_variance(%x: tensor<2x3xf32>, %c: tensor<3xf32>, %d: tensor<2xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.batch_norm' op expected a variance of shape [3], got [2]}}
  %0 = lathe.batch_norm %x, %c, %c, %c, %d : (tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @batch_norm_scale_rank(%x: tensor<2x3xf32>, %c: tensor<3xf32>, %d: tensor<f32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.batch_norm' op expected a scale of shape [3], got []}}
  %0 = lathe.batch_norm %x, %d, %c, %c, %c : (tensor<2x3xf32>, tensor<f32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @batch_norm_element_types(%x: tensor<2x3xf32>, %c: tensor<3xf32>, %d: tensor<3xf64>) {
  // expected-error @+1 {{'lathe.batch_norm' op expected parameters of the input's element type 'f32', got 'f64'}}
  %0 = lathe.batch_norm %x, %c, %c, %d, %c : (tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf64>, tensor<3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @batch_norm_epsilon(%x: tensor<2x3xf32>, %c: tensor<3xf32>) {
  // expected-error @+1 {{'lathe.batch_norm' op expected an epsilon that is finite and not negative, got INF}}
  %0 = lathe.batch_norm %x, %c, %c, %c, %c {epsilon = 0x7FF0000000000000 : f64} : (tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @batch_norm_training_shape(%x: tensor<2x3xf32>, %p: tensor<4xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.batch_norm_training' op expected a scale of shape [3], got [4]}}
  %0:3 = lathe.batch_norm_training %x, %p, %p, %p, %p : (tensor<2x3xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> (tensor<2x3xf32>, tensor<4xf32>, tensor<4xf32>)
  return
}

// -----

func.func @batch_norm_training_momentum(%x: tensor<2x3xf32>, %p: tensor<3xf32>) {
  // expected-error @+1 {{expected a momentum in [0, 1], got 1.500000e+00}}
  %0:3 = lathe.batch_norm_training %x, %p, %p, %p, %p {momentum = 1.5} : (tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> (tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>)
  return
}

// -----

func.func @batch_norm_training_element_types(%x: tensor<2x3xf32>, %p: tensor<3xf64>) {
  // expected-error @+1 {{expected parameters of the input's element type 'f32', got 'f64'}}
  %0:3 = lathe.batch_norm_training %x, %p, %p, %p, %p : (tensor<2x3xf32>, tensor<3xf64>, tensor<3xf64>, tensor<3xf64>, tensor<3xf64>) -> (tensor<2x3xf32>, tensor<3xf64>, tensor<3xf64>)
  return
}
