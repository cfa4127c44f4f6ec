// RUN: lathe-opt %s --lathe-integer-products=explain --split-input-file --verify-diagnostics -o /dev/null
// RUN: lathe-opt %s --lathe-integer-products --split-input-file | FileCheck %s

// Scales of groups of columns, which no axis of the result has.
func.func @groups_of_columns(%x: tensor<5x8xi8>, %s: tensor<f32>, %z: tensor<i8>, %f: tensor<4x8xi8>, %fs: tensor<2x1xf32>, %fz: tensor<2x1xi8>) -> tensor<5x4xf32> {
  %d = lathe.dequantize %x, %s, %z : (tensor<5x8xi8>, tensor<f32>, tensor<i8>) -> tensor<5x8xf32>
  %e = lathe.dequantize %f, %fs, %fz {axis = 0 : i64, group = 2 : i64} : (tensor<4x8xi8>, tensor<2x1xf32>, tensor<2x1xi8>) -> tensor<4x8xf32>
  // expected-remark @below {{stays in floats: has scales for groups along axis 0, which the op does not sum over}}
  %r = lathe.linear %d, %e : (tensor<5x8xf32>, tensor<4x8xf32>) -> tensor<5x4xf32>
  return %r : tensor<5x4xf32>
}

// -----

// k, which a zero point is multiplied with, must be known.
func.func @open_depth(%q: tensor<2x?xi8>, %q2: tensor<?x2xi8>) -> tensor<2x2xf32> {
  %s = lathe.constant dense<1.0> : tensor<f32>
  %z = lathe.constant dense<7> : tensor<i8>
  %a = lathe.dequantize %q, %s, %z : (tensor<2x?xi8>, tensor<f32>, tensor<i8>) -> tensor<2x?xf32>
  %b = lathe.dequantize %q2, %s, %z : (tensor<?x2xi8>, tensor<f32>, tensor<i8>) -> tensor<?x2xf32>
  // expected-remark @below {{stays in floats: has open sizes: specialize them first}}
  %r = lathe.matmul %a, %b : (tensor<2x?xf32>, tensor<?x2xf32>) -> tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}

// -----

// One dequantize on both sides.
// CHECK-LABEL: func.func @square
// CHECK-NOT: lathe.dequantize
// CHECK: lathe.matmul %arg0, %arg0 : (tensor<8x8xi8>, tensor<8x8xi8>) -> tensor<8x8xi32>
func.func @square(%q: tensor<8x8xi8>, %s: tensor<f32>, %z: tensor<i8>) -> tensor<8x8xf32> {
  %d = lathe.dequantize %q, %s, %z : (tensor<8x8xi8>, tensor<f32>, tensor<i8>) -> tensor<8x8xf32>
  %r = lathe.matmul %d, %d : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  return %r : tensor<8x8xf32>
}

// -----

// Groups of a table's rows, along an axis counted from the end, behind which the
// indices bring dims.
// CHECK-LABEL: func.func @table
// CHECK: lathe.dequantize %{{.*}} {group = 2 : i64} : (tensor<2x4x5x4xi8>
func.func @table(%q: tensor<2x4x6xi8>, %s: tensor<2x2x6xf32>, %z: tensor<2x2x6xi8>, %i: tensor<5x4xi64>) -> tensor<2x4x5x4xf32> {
  %d = lathe.dequantize %q, %s, %z {axis = -2 : i64, group = 2 : i64} : (tensor<2x4x6xi8>, tensor<2x2x6xf32>, tensor<2x2x6xi8>) -> tensor<2x4x6xf32>
  %r = lathe.gather %d, %i {axis = 2 : i64} : (tensor<2x4x6xf32>, tensor<5x4xi64>) -> tensor<2x4x5x4xf32>
  return %r : tensor<2x4x5x4xf32>
}

// -----

// A row with one scale, whatever its group.
// CHECK-LABEL: func.func @one_row
// CHECK: lathe.dequantize %{{.*}} : (tensor<5x32xi8>, tensor<f32>, tensor<i8>) -> tensor<5x32xf32>
func.func @one_row(%q: tensor<1x32xi8>, %s: tensor<1x1xf32>, %z: tensor<1x1xi8>, %i: tensor<5xi64>) -> tensor<5x32xf32> {
  %d = lathe.dequantize %q, %s, %z {axis = 1 : i64, group = 32 : i64} : (tensor<1x32xi8>, tensor<1x1xf32>, tensor<1x1xi8>) -> tensor<1x32xf32>
  %r = lathe.embedding %d, %i : (tensor<1x32xf32>, tensor<5xi64>) -> tensor<5x32xf32>
  return %r : tensor<5x32xf32>
}
