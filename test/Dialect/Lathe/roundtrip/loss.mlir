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

// CHECK-LABEL: func @linear_cross_entropy
func.func @linear_cross_entropy(%x: tensor<2x4x8xf32>, %w: tensor<10x8xf32>, %b: tensor<10xf32>, %l: tensor<2x4xi64>, %n: tensor<4x8xbf16>, %m: tensor<10x8xbf16>, %k: tensor<4xi32>) {
  // CHECK: lathe.linear_cross_entropy %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {chunk = 4 : i64, ignore_index = -1 : i64} : (tensor<2x4x8xf32>, tensor<10x8xf32>, tensor<2x4xi64>, tensor<10xf32>) -> (tensor<f32>, tensor<2x4x8xf32>, tensor<10x8xf32>, tensor<10xf32>)
  %0:4 = lathe.linear_cross_entropy %x, %w, %l, %b {chunk = 4 : i64, ignore_index = -1 : i64} : (tensor<2x4x8xf32>, tensor<10x8xf32>, tensor<2x4xi64>, tensor<10xf32>) -> (tensor<f32>, tensor<2x4x8xf32>, tensor<10x8xf32>, tensor<10xf32>)
  // CHECK: lathe.linear_cross_entropy %{{.*}}, %{{.*}}, %{{.*}} {chunk = 2 : i64} : (tensor<4x8xbf16>, tensor<10x8xbf16>, tensor<4xi32>) -> (tensor<f32>, tensor<4x8xf32>, tensor<10x8xf32>)
  %1:3 = lathe.linear_cross_entropy %n, %m, %k {chunk = 2 : i64} : (tensor<4x8xbf16>, tensor<10x8xbf16>, tensor<4xi32>) -> (tensor<f32>, tensor<4x8xf32>, tensor<10x8xf32>)
  return
}
