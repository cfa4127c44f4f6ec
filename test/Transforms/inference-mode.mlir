// RUN: lathe-opt %s --pass-pipeline='builtin.module(func.func(lathe-inference-mode))' | FileCheck %s --check-prefixes=CHECK,KEEP
// RUN: lathe-opt %s --pass-pipeline='builtin.module(func.func(lathe-inference-mode{freeze=true}))' | FileCheck %s --check-prefixes=CHECK,FREEZE

lathe.parameter @mean : tensor<3xf32> {init = #lathe.init<zeros>, mutable}
lathe.parameter @var : tensor<3xf32> {init = #lathe.init<ones>, mutable}
lathe.parameter @count : tensor<i64> {init = #lathe.init<zeros>, mutable}

// The statistics stay as they are, so that nothing is written; a counter of the
// model's own still is.
// CHECK-LABEL: func.func @main
// CHECK-NOT: lathe.dropout
// CHECK-DAG: %[[M:.*]] = lathe.get_parameter @mean
// CHECK-DAG: %[[V:.*]] = lathe.get_parameter @var
// CHECK: %[[Y:.*]] = lathe.batch_norm %arg0, %arg1, %arg1, %[[M]], %[[V]] {epsilon = 1.000000e-03 : f64}
// CHECK-NOT: lathe.set_parameter @mean
// CHECK-NOT: lathe.set_parameter @var
// KEEP: lathe.set_parameter @count
// FREEZE-NOT: lathe.set_parameter
// CHECK: return %[[Y]]
func.func @main(%x: tensor<8x3xf32>, %p: tensor<3xf32>, %key: tensor<2xi64>) -> tensor<8x3xf32> {
  %0 = lathe.dropout %x, %key {rate = 0.5 : f64, stream = 0 : i64} : (tensor<8x3xf32>, tensor<2xi64>) -> tensor<8x3xf32>
  %m = lathe.get_parameter @mean : tensor<3xf32>
  %v = lathe.get_parameter @var : tensor<3xf32>
  %y, %m2, %v2 = lathe.batch_norm_training %0, %p, %p, %m, %v {epsilon = 1.0e-3 : f64} : (tensor<8x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> (tensor<8x3xf32>, tensor<3xf32>, tensor<3xf32>)
  lathe.set_parameter @mean, %m2 : tensor<3xf32>
  lathe.set_parameter @var, %v2 : tensor<3xf32>
  %one = lathe.constant dense<1> : tensor<i64>
  %n = lathe.get_parameter @count : tensor<i64>
  %n2 = lathe.add %n, %one : (tensor<i64>, tensor<i64>) -> tensor<i64>
  lathe.set_parameter @count, %n2 : tensor<i64>
  return %y : tensor<8x3xf32>
}
