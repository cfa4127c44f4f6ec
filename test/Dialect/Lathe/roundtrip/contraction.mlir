// RUN: lathe-opt %s | lathe-opt | FileCheck %s
// RUN: lathe-opt -mlir-print-op-generic %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func @matmul
func.func @matmul(%a: tensor<5x1x2x3xf32>, %b: tensor<7x3x4xf32>, %c: tensor<?x3xi32>, %d: tensor<4x3xi32>, %e: tensor<3x2xf32>) {
  // CHECK: lathe.matmul %{{.*}}, %{{.*}} : (tensor<5x1x2x3xf32>, tensor<7x3x4xf32>) -> tensor<5x7x2x4xf32>
  %0 = lathe.matmul %a, %b : (tensor<5x1x2x3xf32>, tensor<7x3x4xf32>) -> tensor<5x7x2x4xf32>
  // CHECK: lathe.matmul %{{.*}}, %{{.*}} {transpose_rhs} : (tensor<?x3xi32>, tensor<4x3xi32>) -> tensor<?x4xi32>
  %1 = lathe.matmul %c, %d {transpose_rhs} : (tensor<?x3xi32>, tensor<4x3xi32>) -> tensor<?x4xi32>
  // CHECK: lathe.matmul %{{.*}}, %{{.*}} {transpose_lhs} : (tensor<3x2xf32>, tensor<7x3x4xf32>) -> tensor<7x2x4xf32>
  %2 = lathe.matmul %e, %b {transpose_lhs} : (tensor<3x2xf32>, tensor<7x3x4xf32>) -> tensor<7x2x4xf32>
  return
}

// CHECK-LABEL: func @linear
func.func @linear(%x: tensor<?x9x3xf32>, %w: tensor<4x3xf32>, %b: tensor<4xf32>, %v: tensor<3xf32>) {
  // CHECK: lathe.linear %{{.*}}, %{{.*}} : (tensor<?x9x3xf32>, tensor<4x3xf32>) -> tensor<?x9x4xf32>
  %0 = lathe.linear %x, %w : (tensor<?x9x3xf32>, tensor<4x3xf32>) -> tensor<?x9x4xf32>
  // CHECK: lathe.linear %{{.*}}, %{{.*}}, %{{.*}} : (tensor<?x9x3xf32>, tensor<4x3xf32>, tensor<4xf32>) -> tensor<?x9x4xf32>
  %1 = lathe.linear %x, %w, %b : (tensor<?x9x3xf32>, tensor<4x3xf32>, tensor<4xf32>) -> tensor<?x9x4xf32>
  // CHECK: lathe.linear %{{.*}}, %{{.*}} : (tensor<3xf32>, tensor<4x3xf32>) -> tensor<4xf32>
  %2 = lathe.linear %v, %w : (tensor<3xf32>, tensor<4x3xf32>) -> tensor<4xf32>
  return
}

// CHECK-LABEL: func @packed
func.func @packed(%x: tensor<9x3xf32>, %w: tensor<3x70xf32>, %t: tensor<70x3xf32>) {
  // CHECK: lathe.pack %{{.*}} : (tensor<3x70xf32>) -> tensor<3x3x32xf32>
  %0 = lathe.pack %w : (tensor<3x70xf32>) -> tensor<3x3x32xf32>
  // CHECK: lathe.pack %{{.*}} {panel = 16 : i64, transposed} : (tensor<70x3xf32>) -> tensor<5x3x16xf32>
  %1 = lathe.pack %t {panel = 16 : i64, transposed} : (tensor<70x3xf32>) -> tensor<5x3x16xf32>
  // CHECK: lathe.packed_matmul %{{.*}}, %{{.*}} {n = 70 : i64} : (tensor<9x3xf32>, tensor<3x3x32xf32>) -> tensor<9x70xf32>
  %2 = lathe.packed_matmul %x, %0 {n = 70 : i64} : (tensor<9x3xf32>, tensor<3x3x32xf32>) -> tensor<9x70xf32>
  return
}

// CHECK-LABEL: func @bytes
func.func @bytes(%x: tensor<9x6xui8>, %w: tensor<70x6xi8>, %b: tensor<70xi32>,
                 %f: tensor<9x6xf32>, %s: tensor<3x2x32xf32>, %narrow: tensor<3x2x32xbf16>) {
  // CHECK: lathe.linear %{{.*}} : (tensor<9x6xui8>, tensor<70x6xi8>, tensor<70xi32>) -> tensor<9x70xi32>
  %0 = lathe.linear %x, %w, %b : (tensor<9x6xui8>, tensor<70x6xi8>, tensor<70xi32>) -> tensor<9x70xi32>
  // CHECK: lathe.matmul %{{.*}} {transpose_rhs} : (tensor<9x6xui8>, tensor<70x6xi8>) -> tensor<9x70xi32>
  %1 = lathe.matmul %x, %w {transpose_rhs} : (tensor<9x6xui8>, tensor<70x6xi8>) -> tensor<9x70xi32>
  // CHECK: lathe.pack %{{.*}} {interleave = 4 : i64, transposed} : (tensor<70x6xi8>) -> tensor<3x2x32x4xi8>
  %2 = lathe.pack %w {transposed, interleave = 4 : i64} : (tensor<70x6xi8>) -> tensor<3x2x32x4xi8>
  // CHECK: lathe.packed_matmul %{{.*}} {n = 70 : i64} : (tensor<9x6xui8>, tensor<3x2x32x4xi8>) -> tensor<9x70xi32>
  %3 = lathe.packed_matmul %x, %2 {n = 70 : i64} : (tensor<9x6xui8>, tensor<3x2x32x4xi8>) -> tensor<9x70xi32>
  // CHECK: lathe.pack %{{.*}} {bits = 4 : i64, transposed} : (tensor<70x6xi8>) -> tensor<3x3x32xui8>
  %4 = lathe.pack %w {transposed, bits = 4 : i64} : (tensor<70x6xi8>) -> tensor<3x3x32xui8>
  // CHECK: lathe.packed_matmul %{{.*}} {group = 3 : i64, n = 70 : i64} : (tensor<9x6xf32>, tensor<3x3x32xui8>, tensor<3x2x32xf32>) -> tensor<9x70xf32>
  %5 = lathe.packed_matmul %f, %4, %s {n = 70 : i64, group = 3 : i64} : (tensor<9x6xf32>, tensor<3x3x32xui8>, tensor<3x2x32xf32>) -> tensor<9x70xf32>
  // CHECK: lathe.packed_matmul %{{.*}} {group = 3 : i64, n = 70 : i64} : (tensor<9x6xf32>, tensor<3x3x32xui8>, tensor<3x2x32xbf16>) -> tensor<9x70xf32>
  %6 = lathe.packed_matmul %f, %4, %narrow {n = 70 : i64, group = 3 : i64} : (tensor<9x6xf32>, tensor<3x3x32xui8>, tensor<3x2x32xbf16>) -> tensor<9x70xf32>
  return
}
