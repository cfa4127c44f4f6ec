// RUN: lathe-opt %s -split-input-file -verify-diagnostics

// expected-error @+1 {{'lathe.parameter' op expected a static shape, got [?, 4]}}
lathe.parameter @p : tensor<?x4xf32>

// -----

// expected-error @+1 {{expected fewer than 2^63 bytes, got shape [4611686018427387904]}}
lathe.parameter @p : tensor<4611686018427387904xf32>

// -----

// expected-error @+1 {{expected a key with at most one '{}', got 'layer.{}.head.{}'}}
lathe.parameter @p : tensor<2x4xf32> {key = "layer.{}.head.{}"}

// -----

// expected-error @+1 {{expected a key with at most one '{}', got 'layer.{1}.head.{}'}}
lathe.parameter @p : tensor<2x4xf32> {key = "layer.{1}.head.{}"}

// -----

// expected-error @+1 {{expected a leading dim that '{}' in key 'layer.{3}' counts, got rank 0}}
lathe.parameter @p : tensor<f32> {key = "layer.{3}"}

// -----

// expected-error @+1 {{expected a leading dim that '{}' in key 'layer.{}' counts, got rank 0}}
lathe.parameter @p : tensor<f32> {key = "layer.{}"}

// -----

// expected-error @+1 {{expected 2 numbers for initializer 'normal', got 1}}
lathe.parameter @p : tensor<f32> {init = #lathe.init<normal, 0.0>}

// -----

// expected-error @+1 {{expected 0 numbers for initializer 'ones', got 1}}
lathe.parameter @p : tensor<f32> {init = #lathe.init<ones, 1.0>}

// -----

// expected-error @+1 {{expected low <= high in initializer 'uniform', got 1.000000e+00 and 0.000000e+00}}
lathe.parameter @p : tensor<f32> {init = #lathe.init<uniform, 1.0, 0.0>}

// -----

// expected-error @+1 {{expected a standard deviation of 0 or more, got -1.000000e+00}}
lathe.parameter @p : tensor<f32> {init = #lathe.init<normal, 0.0, -1.0>}

// -----

// expected-error @+1 {{expected finite numbers in the initializer}}
lathe.parameter @p : tensor<f32> {init = #lathe.init<constant, 0x7FF0000000000000 : f64>}

// -----

// expected-error @+1 {{expected 'file' beside 'file_offset' and 'file_bytes'}}
lathe.parameter @p : tensor<f32> {file_offset = 0 : i64}

// -----

// expected-error @+1 {{expected a file name in 'file'}}
lathe.parameter @p : tensor<f32> {file = ""}

// -----

// expected-error @+1 {{expected 'file_offset' of 0 or more, got -4}}
lathe.parameter @p : tensor<f32> {file = "w.bin", file_offset = -4 : i64}

// -----

// expected-error @+1 {{expected 'file_bytes' of 24 for 'tensor<2x3xf32>', got 20}}
lathe.parameter @p : tensor<2x3xf32> {file = "w.bin", file_bytes = 20 : i64}

// -----

// expected-error @+1 {{expected 'file_offset' + 'file_bytes' below 2^63}}
lathe.parameter @p : tensor<2x3xf32> {file = "w.bin", file_offset = 9223372036854775800 : i64}

// -----

func.func @main() {
  // expected-error @+1 {{'lathe.get_parameter' op expected a parameter named 'nothing'}}
  %0 = lathe.get_parameter @nothing : tensor<f32>
  return
}

// -----

// expected-note @+1 {{parameter declared here}}
lathe.parameter @p : tensor<2x3xf32>
func.func @main() {
  // expected-error @+1 {{expected the parameter's type 'tensor<2x3xf32>', got 'tensor<3x2xf32>'}}
  %0 = lathe.get_parameter @p : tensor<3x2xf32>
  return
}

// -----

// expected-error @+1 {{expected 'mutable' without a value, got false}}
lathe.parameter @p : tensor<f32> {mutable = false}

// -----

func.func @main(%x: tensor<f32>) {
  // expected-error @+1 {{'lathe.set_parameter' op expected a parameter named 'nothing'}}
  lathe.set_parameter @nothing, %x : tensor<f32>
  return
}

// -----

// expected-note @+1 {{parameter declared here}}
lathe.parameter @p : tensor<2x3xf32>
func.func @main(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected a mutable parameter, got 'p', which is not}}
  lathe.set_parameter @p, %x : tensor<2x3xf32>
  return
}

// -----

// expected-note @+1 {{parameter declared here}}
lathe.parameter @p : tensor<2x3xf32> {mutable}
func.func @main(%x: tensor<3x2xf32>) {
  // expected-error @+1 {{expected the parameter's type 'tensor<2x3xf32>', got 'tensor<3x2xf32>'}}
  lathe.set_parameter @p, %x : tensor<3x2xf32>
  return
}

// -----

lathe.parameter @p : tensor<f32> {mutable}
lathe.parameter @q : tensor<f32> {mutable}
func.func @main(%x: tensor<f32>) {
  // expected-note @+1 {{the other one is here}}
  lathe.set_parameter @p, %x : tensor<f32>
  lathe.set_parameter @q, %x : tensor<f32>
  // expected-error @+1 {{expected at most one for 'p'}}
  lathe.set_parameter @p, %x : tensor<f32>
  return
}

// -----

lathe.parameter @p : tensor<f32> {mutable}
func.func @main(%x: tensor<4xf32>) {
  lathe.scan inputs(%e = %x) : (tensor<4xf32>) -> () {
    // expected-error @+1 {{expected to stand in the top block of a function, got one in 'lathe.scan'}}
    lathe.set_parameter @p, %e : tensor<f32>
    lathe.yield
  }
  return
}
