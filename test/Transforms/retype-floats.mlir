// RUN: lathe-opt %s --lathe-retype-floats | FileCheck %s
// RUN: lathe-opt %s --lathe-retype-floats=to=bf16 | FileCheck %s --check-prefix=HALF
// RUN: not lathe-opt %s --lathe-retype-floats=to=f128 2>&1 | FileCheck %s --check-prefix=WRONG

// CHECK: lathe.parameter @w : tensor<4xf64> {init = #lathe.init<normal, {{.*}} : f64, {{.*}} : f64>}
// HALF: lathe.parameter @w : tensor<4xbf16>
lathe.parameter @w : tensor<4xf32> {init = #lathe.init<normal, 0.0, 0.1>}

// WRONG: expected f64, f32, f16 or bf16 in option 'to', got 'f128'

// CHECK-LABEL: func.func @main(
// CHECK-SAME: %[[X:.*]]: tensor<4xf64>, %{{.*}}: tensor<4xi64>) -> tensor<4xf64>
func.func @main(%x: tensor<4xf32>, %i: tensor<4xi64>) -> tensor<4xf32> {
  // CHECK: lathe.get_parameter @w : tensor<4xf64>
  %w = lathe.get_parameter @w : tensor<4xf32>
  // 0.1 in f32, exactly.
  // CHECK: lathe.constant dense<0.10000000149011612> : tensor<f64>
  // HALF: lathe.constant dense<1.000980e-01> : tensor<bf16>
  %c = lathe.constant dense<0.1> : tensor<f32>
  // CHECK: lathe.cast %{{.*}} to f64 : (tensor<4xi64>) -> tensor<4xf64>
  %f = lathe.cast %i to f32 : (tensor<4xi64>) -> tensor<4xf32>
  %0 = lathe.mul %x, %c : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = lathe.add %0, %w : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  // Lists of numbers stay what they are.
  // CHECK: scales = array<f64: 1.500000e+00>{{.*}} : (tensor<4xf64>) -> tensor<6xf64>
  // HALF: scales = array<f64: 1.500000e+00>{{.*}} : (tensor<4xbf16>) -> tensor<6xbf16>
  %r = lathe.resize %x {scales = array<f64: 1.5>} : (tensor<4xf32>) -> tensor<6xf32>
  %2 = lathe.add %1, %f : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %2 : tensor<4xf32>
}
