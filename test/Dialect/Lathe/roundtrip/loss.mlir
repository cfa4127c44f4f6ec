// RUN: lathe-opt %s | lathe-opt | FileCheck %s
// RUN: lathe-opt -mlir-print-op-generic %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func @cross_entropy
func.func @cross_entropy(%x: tensor<8x10xf32>, %l: tensor<8xi64>, %r: tensor<10xf32>, %s: tensor<i32>) {
  // CHECK: lathe.cross_entropy %{{.*}}, %{{.*}} : (tensor<8x10xf32>, tensor<8xi64>) -> tensor<f32>
  %0 = lathe.cross_entropy %x, %l : (tensor<8x10xf32>, tensor<8xi64>) -> tensor<f32>
  // CHECK: lathe.cross_entropy %{{.*}}, %{{.*}} reduce none {ignore_index = -100 : i64, label_smoothing = 1.000000e-01 : f64} : (tensor<8x10xf32>, tensor<8xi64>) -> tensor<8xf32>
  %1 = lathe.cross_entropy %x, %l reduce none {ignore_index = -100 : i64, label_smoothing = 1.000000e-01 : f64} : (tensor<8x10xf32>, tensor<8xi64>) -> tensor<8xf32>
  // CHECK: lathe.cross_entropy %{{.*}}, %{{.*}} reduce sum : (tensor<10xf32>, tensor<i32>) -> tensor<f32>
  %2 = lathe.cross_entropy %r, %s reduce sum : (tensor<10xf32>, tensor<i32>) -> tensor<f32>
  return
}

// CHECK-LABEL: func @mse
func.func @mse(%x: tensor<?x10xf32>, %y: tensor<8x10xf32>) {
  // CHECK: lathe.mse %{{.*}}, %{{.*}} : (tensor<?x10xf32>, tensor<8x10xf32>) -> tensor<f32>
  %0 = lathe.mse %x, %y : (tensor<?x10xf32>, tensor<8x10xf32>) -> tensor<f32>
  // CHECK: lathe.mse %{{.*}}, %{{.*}} reduce none : (tensor<?x10xf32>, tensor<8x10xf32>) -> tensor<8x10xf32>
  %1 = lathe.mse %x, %y reduce none : (tensor<?x10xf32>, tensor<8x10xf32>) -> tensor<8x10xf32>
  return
}
