// RUN: lathe-opt %s | lathe-opt | FileCheck %s
// RUN: lathe-opt -mlir-print-op-generic %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func @random
func.func @random(%key: tensor<2xi64>, %x: tensor<?x4xbf16>) {
  // CHECK: lathe.random_uniform %{{.*}} {dtype = f32, shape = array<i64: 3, 4>, stream = 7 : i64} : (tensor<2xi64>) -> tensor<3x4xf32>
  %0 = lathe.random_uniform %key {dtype = f32, shape = array<i64: 3, 4>, stream = 7 : i64} : (tensor<2xi64>) -> tensor<3x4xf32>
  // CHECK: lathe.random_uniform %{{.*}} {dtype = f16, high = 2.000000e+00 : f64, low = -2.000000e+00 : f64, shape = array<i64>, stream = 0 : i64} : (tensor<2xi64>) -> tensor<f16>
  %1 = lathe.random_uniform %key {dtype = f16, high = 2.000000e+00 : f64, low = -2.000000e+00 : f64, shape = array<i64>, stream = 0 : i64} : (tensor<2xi64>) -> tensor<f16>
  // CHECK: lathe.random_normal %{{.*}} {dtype = f64, mean = 1.000000e+00 : f64, shape = array<i64: 0>, stddev = 0.000000e+00 : f64, stream = 1 : i64} : (tensor<2xi64>) -> tensor<0xf64>
  %2 = lathe.random_normal %key {dtype = f64, mean = 1.000000e+00 : f64, shape = array<i64: 0>, stddev = 0.000000e+00 : f64, stream = 1 : i64} : (tensor<2xi64>) -> tensor<0xf64>
  // CHECK: lathe.dropout %{{.*}}, %{{.*}} {rate = 1.000000e-01 : f64, stream = 3 : i64} : (tensor<?x4xbf16>, tensor<2xi64>) -> tensor<?x4xbf16>
  %3 = lathe.dropout %x, %key {rate = 1.000000e-01 : f64, stream = 3 : i64} : (tensor<?x4xbf16>, tensor<2xi64>) -> tensor<?x4xbf16>
  return
}
