// RUN: lathe-opt %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func.func @gathers
func.func @gathers(%x: tensor<4x5x6xf32>, %i: tensor<2x?xi64>, %s: tensor<i32>, %e: tensor<4x2x6xi32>, %n: tensor<7x2xi64>, %b: tensor<4x3x1xi64>) {
  // CHECK: lathe.gather %{{.*}}, %{{.*}} {axis = 1 : i64} : (tensor<4x5x6xf32>, tensor<2x?xi64>) -> tensor<4x2x?x6xf32>
  %0 = lathe.gather %x, %i {axis = 1 : i64} : (tensor<4x5x6xf32>, tensor<2x?xi64>) -> tensor<4x2x?x6xf32>
  // CHECK: lathe.gather %{{.*}}, %{{.*}} : (tensor<4x5x6xf32>, tensor<i32>) -> tensor<5x6xf32>
  %1 = lathe.gather %x, %s : (tensor<4x5x6xf32>, tensor<i32>) -> tensor<5x6xf32>
  // CHECK: lathe.gather_elements %{{.*}}, %{{.*}} {axis = 1 : i64} : (tensor<4x5x6xf32>, tensor<4x2x6xi32>) -> tensor<4x2x6xf32>
  %2 = lathe.gather_elements %x, %e {axis = 1 : i64} : (tensor<4x5x6xf32>, tensor<4x2x6xi32>) -> tensor<4x2x6xf32>
  // CHECK: lathe.gather_nd %{{.*}}, %{{.*}} : (tensor<4x5x6xf32>, tensor<7x2xi64>) -> tensor<7x6xf32>
  %3 = lathe.gather_nd %x, %n : (tensor<4x5x6xf32>, tensor<7x2xi64>) -> tensor<7x6xf32>
  // CHECK: lathe.gather_nd %{{.*}}, %{{.*}} {batch_dims = 1 : i64} : (tensor<4x5x6xf32>, tensor<4x3x1xi64>) -> tensor<4x3x6xf32>
  %4 = lathe.gather_nd %x, %b {batch_dims = 1 : i64} : (tensor<4x5x6xf32>, tensor<4x3x1xi64>) -> tensor<4x3x6xf32>
  return
}

// CHECK-LABEL: func.func @scatters
func.func @scatters(%x: tensor<4x5xf32>, %e: tensor<2x5xi64>, %u: tensor<2x5xf32>, %n: tensor<3x1xi32>, %v: tensor<3x5xf32>) {
  // CHECK: lathe.scatter_elements %{{.*}}, %{{.*}}, %{{.*}} {axis = 0 : i64, mode = 1 : i32} : (tensor<4x5xf32>, tensor<2x5xi64>, tensor<2x5xf32>) -> tensor<4x5xf32>
  %0 = lathe.scatter_elements %x, %e, %u {axis = 0 : i64, mode = 1 : i32} : (tensor<4x5xf32>, tensor<2x5xi64>, tensor<2x5xf32>) -> tensor<4x5xf32>
  // CHECK: lathe.scatter_nd %{{.*}}, %{{.*}}, %{{.*}} : (tensor<4x5xf32>, tensor<3x1xi32>, tensor<3x5xf32>) -> tensor<4x5xf32>
  %1 = lathe.scatter_nd %x, %n, %v : (tensor<4x5xf32>, tensor<3x1xi32>, tensor<3x5xf32>) -> tensor<4x5xf32>
  return
}

// CHECK-LABEL: func.func @embedding
func.func @embedding(%t: tensor<100x16xf32>, %i: tensor<2x?xi64>) -> tensor<2x?x16xf32> {
  // CHECK: lathe.embedding %{{.*}}, %{{.*}} : (tensor<100x16xf32>, tensor<2x?xi64>) -> tensor<2x?x16xf32>
  %0 = lathe.embedding %t, %i : (tensor<100x16xf32>, tensor<2x?xi64>) -> tensor<2x?x16xf32>
  return %0 : tensor<2x?x16xf32>
}
