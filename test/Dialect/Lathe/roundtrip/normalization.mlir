// RUN: lathe-opt %s | lathe-opt | FileCheck %s
// RUN: lathe-opt -mlir-print-op-generic %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func @softmax
func.func @softmax(%x: tensor<2x?xf32>) {
  // CHECK: lathe.softmax %{{.*}} : (tensor<2x?xf32>) -> tensor<2x?xf32>
  %0 = lathe.softmax %x : (tensor<2x?xf32>) -> tensor<2x?xf32>
  // CHECK: lathe.softmax %{{.*}} {axis = 0 : i64} : (tensor<2x?xf32>) -> tensor<2x?xf32>
  %1 = lathe.softmax %x {axis = 0 : i64} : (tensor<2x?xf32>) -> tensor<2x?xf32>
  // CHECK: lathe.log_softmax %{{.*}} : (tensor<2x?xf32>) -> tensor<2x?xf32>
  %2 = lathe.log_softmax %x : (tensor<2x?xf32>) -> tensor<2x?xf32>
  return
}

// CHECK-LABEL: func @norms
func.func @norms(%x: tensor<2x3x4xf32>, %s: tensor<4xf32>, %p: tensor<3x4xf32>, %c: tensor<3xf32>) {
  // CHECK: lathe.layer_norm %{{.*}} : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %0 = lathe.layer_norm %x : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  // CHECK: lathe.layer_norm %{{.*}} scale %{{.*}} : (tensor<2x3x4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  %1 = lathe.layer_norm %x scale %s : (tensor<2x3x4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  // CHECK: lathe.layer_norm %{{.*}} bias %{{.*}} : (tensor<2x3x4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  %2 = lathe.layer_norm %x bias %s : (tensor<2x3x4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  // CHECK: lathe.layer_norm %{{.*}} scale %{{.*}} bias %{{.*}} {axis = 1 : i64, epsilon = 2.500000e-01 : f64} : (tensor<2x3x4xf32>, tensor<3x4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  %3 = lathe.layer_norm %x scale %p bias %s {axis = 1 : i64, epsilon = 2.500000e-01 : f64} : (tensor<2x3x4xf32>, tensor<3x4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  // CHECK: lathe.rms_norm %{{.*}} : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %4 = lathe.rms_norm %x : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  // CHECK: lathe.rms_norm %{{.*}}, %{{.*}} {epsilon = 1.000000e-05 : f64} : (tensor<2x3x4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  %5 = lathe.rms_norm %x, %s {epsilon = 1.000000e-05 : f64} : (tensor<2x3x4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  // CHECK: lathe.batch_norm %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : (tensor<2x3x4xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<2x3x4xf32>
  %6 = lathe.batch_norm %x, %c, %c, %c, %c : (tensor<2x3x4xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<2x3x4xf32>
  // CHECK: lathe.batch_norm %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {axis = -1 : i64} : (tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  %7 = lathe.batch_norm %x, %s, %s, %s, %s {axis = -1 : i64} : (tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  return
}

// CHECK-LABEL: func.func @batch_norm_training
func.func @batch_norm_training(%x: tensor<?x3x4xf32>, %p: tensor<3xf32>) -> (tensor<?x3x4xf32>, tensor<3xf32>, tensor<3xf32>) {
  // CHECK: lathe.batch_norm_training %{{.*}} {biased, momentum = 2.000000e-01 : f64} : (tensor<?x3x4xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> (tensor<?x3x4xf32>, tensor<3xf32>, tensor<3xf32>)
  %0, %m, %v = lathe.batch_norm_training %x, %p, %p, %p, %p {momentum = 0.2, biased} : (tensor<?x3x4xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> (tensor<?x3x4xf32>, tensor<3xf32>, tensor<3xf32>)
  return %0, %m, %v : tensor<?x3x4xf32>, tensor<3xf32>, tensor<3xf32>
}
