// RUN: lathe-opt %s | lathe-opt | FileCheck %s
// RUN: lathe-opt -mlir-print-op-generic %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func @reduce
func.func @reduce(%x: tensor<2x3x4xf32>) {
  // CHECK: lathe.reduce_sum %{{.*}} {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  %0 = lathe.reduce_sum %x {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  // CHECK: lathe.reduce_mean %{{.*}} {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  %1 = lathe.reduce_mean %x {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  // CHECK: lathe.reduce_max %{{.*}} {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  %2 = lathe.reduce_max %x {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  // CHECK: lathe.reduce_min %{{.*}} {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  %3 = lathe.reduce_min %x {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  // CHECK: lathe.reduce_prod %{{.*}} {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  %4 = lathe.reduce_prod %x {axes = array<i64: 1>} : (tensor<2x3x4xf32>) -> tensor<2x4xf32>
  return
}

// CHECK-LABEL: func @reduce_forms
func.func @reduce_forms(%x: tensor<2x3x4xf32>, %b: tensor<5xi1>, %s: tensor<f32>, %o: tensor<?x0xi32>) {
  // CHECK: lathe.reduce_sum %{{.*}} {axes = array<i64>} : (tensor<2x3x4xf32>) -> tensor<f32>
  %0 = lathe.reduce_sum %x {axes = array<i64>} : (tensor<2x3x4xf32>) -> tensor<f32>
  // CHECK: lathe.reduce_sum %{{.*}} {axes = array<i64: -1, 0>, keepdims = true} : (tensor<2x3x4xf32>) -> tensor<1x3x1xf32>
  %1 = lathe.reduce_sum %x {axes = array<i64: -1, 0>, keepdims = true} : (tensor<2x3x4xf32>) -> tensor<1x3x1xf32>
  // CHECK: lathe.reduce_max %{{.*}} {axes = array<i64: 0>} : (tensor<5xi1>) -> tensor<i1>
  %2 = lathe.reduce_max %b {axes = array<i64: 0>} : (tensor<5xi1>) -> tensor<i1>
  // CHECK: lathe.reduce_min %{{.*}} {axes = array<i64>} : (tensor<f32>) -> tensor<f32>
  %3 = lathe.reduce_min %s {axes = array<i64>} : (tensor<f32>) -> tensor<f32>
  // CHECK: lathe.reduce_prod %{{.*}} {axes = array<i64: 1>} : (tensor<?x0xi32>) -> tensor<?xi32>
  %4 = lathe.reduce_prod %o {axes = array<i64: 1>} : (tensor<?x0xi32>) -> tensor<?xi32>
  return
}

// CHECK-LABEL: func @along_an_axis
func.func @along_an_axis(%x: tensor<2x3x4xf32>, %v: tensor<?xi32>) {
  // CHECK: lathe.argmax %{{.*}} {axis = -1 : i64} : (tensor<2x3x4xf32>) -> tensor<2x3xi64>
  %0 = lathe.argmax %x {axis = -1 : i64} : (tensor<2x3x4xf32>) -> tensor<2x3xi64>
  // CHECK: lathe.argmin %{{.*}} {axis = 1 : i64, keepdims = true, select_last} : (tensor<2x3x4xf32>) -> tensor<2x1x4xi64>
  %1 = lathe.argmin %x {axis = 1 : i64, keepdims = true, select_last} : (tensor<2x3x4xf32>) -> tensor<2x1x4xi64>
  // CHECK: lathe.cumsum %{{.*}} {axis = 0 : i64} : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %2 = lathe.cumsum %x {axis = 0 : i64} : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  // CHECK: lathe.cumsum %{{.*}} {axis = 0 : i64, exclusive, reverse} : (tensor<?xi32>) -> tensor<?xi32>
  %3 = lathe.cumsum %v {axis = 0 : i64, exclusive, reverse} : (tensor<?xi32>) -> tensor<?xi32>
  // CHECK: lathe.top_k %{{.*}} {k = 2 : i64} : (tensor<2x3x4xf32>) -> (tensor<2x3x2xf32>, tensor<2x3x2xi64>)
  %4, %5 = lathe.top_k %x {k = 2 : i64} : (tensor<2x3x4xf32>) -> (tensor<2x3x2xf32>, tensor<2x3x2xi64>)
  // CHECK: lathe.top_k %{{.*}} {axis = 0 : i64, k = 9 : i64, smallest} : (tensor<?xi32>) -> (tensor<9xi32>, tensor<9xi64>)
  %6, %7 = lathe.top_k %v {axis = 0 : i64, k = 9 : i64, smallest} : (tensor<?xi32>) -> (tensor<9xi32>, tensor<9xi64>)
  return
}
