// RUN: lathe-opt %s -canonicalize | FileCheck %s

// CHECK-LABEL: func @constants
func.func @constants() -> (tensor<i64>, tensor<2xi64>, tensor<1x3xi64>, tensor<2xi64>, tensor<2x1xi64>) {
  %a = lathe.constant dense<[[1, 2, 3], [4, 5, 7]]> : tensor<2x3xi64>
  // CHECK-DAG: dense<22> : tensor<i64>
  %0 = lathe.reduce_sum %a {axes = array<i64>} : (tensor<2x3xi64>) -> tensor<i64>
  // CHECK-DAG: dense<[6, 140]> : tensor<2xi64>
  %1 = lathe.reduce_prod %a {axes = array<i64: 1>} : (tensor<2x3xi64>) -> tensor<2xi64>
  // CHECK-DAG: dense<{{\[\[}}4, 5, 7]]> : tensor<1x3xi64>
  %2 = lathe.reduce_max %a {axes = array<i64: 0>, keepdims = true} : (tensor<2x3xi64>) -> tensor<1x3xi64>
  // CHECK-DAG: dense<[1, 4]> : tensor<2xi64>
  %3 = lathe.reduce_min %a {axes = array<i64: -1>} : (tensor<2x3xi64>) -> tensor<2xi64>
  // CHECK-DAG: dense<{{\[\[}}2], [5]]> : tensor<2x1xi64>
  %4 = lathe.reduce_mean %a {axes = array<i64: -1>, keepdims = true} : (tensor<2x3xi64>) -> tensor<2x1xi64>
  return %0, %1, %2, %3, %4 : tensor<i64>, tensor<2xi64>, tensor<1x3xi64>, tensor<2xi64>, tensor<2x1xi64>
}

// CHECK-LABEL: func @floats_and_booleans
func.func @floats_and_booleans() -> (tensor<f32>, tensor<f32>, tensor<2xi1>, tensor<2xi1>, tensor<i8>) {
  %a = lathe.constant dense<[1.0, 0x7FC00000, 3.0]> : tensor<3xf32>
  // CHECK-DAG: dense<0x7FC00000> : tensor<f32>
  %0 = lathe.reduce_max %a {axes = array<i64: 0>} : (tensor<3xf32>) -> tensor<f32>
  %b = lathe.constant dense<[1.0, 2.0, 4.5]> : tensor<3xf32>
  // CHECK-DAG: dense<2.500000e+00> : tensor<f32>
  %1 = lathe.reduce_mean %b {axes = array<i64: 0>} : (tensor<3xf32>) -> tensor<f32>
  %c = lathe.constant dense<[[true, false], [true, true]]> : tensor<2x2xi1>
  // CHECK-DAG: dense<true> : tensor<2xi1>
  %2 = lathe.reduce_max %c {axes = array<i64: 1>} : (tensor<2x2xi1>) -> tensor<2xi1>
  // CHECK-DAG: dense<[false, true]> : tensor<2xi1>
  %3 = lathe.reduce_min %c {axes = array<i64: 1>} : (tensor<2x2xi1>) -> tensor<2xi1>
  // A splat counts as often as it stands there, and wraps.
  %d = lathe.constant dense<100> : tensor<3xi8>
  // CHECK-DAG: dense<44> : tensor<i8>
  %4 = lathe.reduce_sum %d {axes = array<i64: 0>} : (tensor<3xi8>) -> tensor<i8>
  return %0, %1, %2, %3, %4 : tensor<f32>, tensor<f32>, tensor<2xi1>, tensor<2xi1>, tensor<i8>
}

// CHECK-LABEL: func @nothing_to_reduce
func.func @nothing_to_reduce() -> (tensor<i32>, tensor<2xi8>, tensor<2xui8>, tensor<f32>) {
  %a = lathe.constant dense<> : tensor<0xi32>
  // CHECK-DAG: dense<1> : tensor<i32>
  %0 = lathe.reduce_prod %a {axes = array<i64: 0>} : (tensor<0xi32>) -> tensor<i32>
  %b = lathe.constant dense<> : tensor<2x0xi8>
  // CHECK-DAG: dense<-128> : tensor<2xi8>
  %1 = lathe.reduce_max %b {axes = array<i64: 1>} : (tensor<2x0xi8>) -> tensor<2xi8>
  %c = lathe.constant dense<> : tensor<2x0xui8>
  // CHECK-DAG: dense<255> : tensor<2xui8>
  %2 = lathe.reduce_min %c {axes = array<i64: 1>} : (tensor<2x0xui8>) -> tensor<2xui8>
  %d = lathe.constant dense<> : tensor<0xf32>
  // CHECK-DAG: dense<0xFF800000> : tensor<f32>
  %3 = lathe.reduce_max %d {axes = array<i64: 0>} : (tensor<0xf32>) -> tensor<f32>
  return %0, %1, %2, %3 : tensor<i32>, tensor<2xi8>, tensor<2xui8>, tensor<f32>
}

// CHECK-LABEL: func @single_elements
// CHECK-SAME: (%[[A:.*]]: tensor<4x1xf32>, %[[S:.*]]: tensor<f32>)
func.func @single_elements(%a: tensor<4x1xf32>, %s: tensor<f32>) -> (tensor<4x1xf32>, tensor<f32>) {
  %0 = lathe.reduce_mean %a {axes = array<i64: 1>, keepdims = true} : (tensor<4x1xf32>) -> tensor<4x1xf32>
  %1 = lathe.reduce_sum %s {axes = array<i64>} : (tensor<f32>) -> tensor<f32>
  // CHECK: return %[[A]], %[[S]]
  return %0, %1 : tensor<4x1xf32>, tensor<f32>
}

// CHECK-LABEL: func @not_folded
func.func @not_folded(%a: tensor<4x?xf32>) -> (tensor<4x1xf32>, tensor<4xf32>) {
  // CHECK: lathe.reduce_sum
  %0 = lathe.reduce_sum %a {axes = array<i64: 1>, keepdims = true} : (tensor<4x?xf32>) -> tensor<4x1xf32>
  %b = lathe.constant dense<1.0> : tensor<4x2000xf32>
  // CHECK: lathe.reduce_sum
  %1 = lathe.reduce_sum %b {axes = array<i64: 1>} : (tensor<4x2000xf32>) -> tensor<4xf32>
  return %0, %1 : tensor<4x1xf32>, tensor<4xf32>
}

// More elements than 64 bits count.
// CHECK-LABEL: func @too_many
func.func @too_many() -> tensor<3xf32> {
  %0 = lathe.constant dense<1.0> : tensor<6148914691236517206x3xf32>
  // CHECK: lathe.reduce_sum
  %1 = lathe.reduce_sum %0 {axes = array<i64: 0>} : (tensor<6148914691236517206x3xf32>) -> tensor<3xf32>
  return %1 : tensor<3xf32>
}
