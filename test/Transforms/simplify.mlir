// RUN: lathe-opt %s --lathe-simplify | FileCheck %s

// CHECK-LABEL: func.func @negations
// CHECK-DAG: %[[S:.*]] = lathe.sub %arg0, %arg1
// CHECK-DAG: %[[A:.*]] = lathe.add %arg0, %arg1
// CHECK: return %[[S]], %[[A]]
func.func @negations(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0 = lathe.neg %y : (tensor<4xf32>) -> tensor<4xf32>
  %1 = lathe.add %0, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %2 = lathe.sub %x, %0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %1, %2 : tensor<4xf32>, tensor<4xf32>
}

// CHECK-LABEL: func.func @implied_broadcast
// CHECK-NEXT: lathe.add %arg0, %arg1 : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
func.func @implied_broadcast(%x: tensor<4x8xf32>, %b: tensor<8xf32>) -> tensor<4x8xf32> {
  %0 = lathe.broadcast %b {shape = array<i64: 4, 8>} : (tensor<8xf32>) -> tensor<4x8xf32>
  %1 = lathe.add %x, %0 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// Refused: without the broadcast the result would have another shape.
// CHECK-LABEL: func.func @needed_broadcast
// CHECK: lathe.broadcast
func.func @needed_broadcast(%x: tensor<1x8xf32>, %b: tensor<8xf32>) -> tensor<4x8xf32> {
  %0 = lathe.broadcast %b {shape = array<i64: 4, 8>} : (tensor<8xf32>) -> tensor<4x8xf32>
  %1 = lathe.add %x, %0 : (tensor<1x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// CHECK-LABEL: func.func @keep_dims
// CHECK-NEXT: %[[S:.*]] = lathe.reduce_sum %arg0 {axes = array<i64: 1>, keepdims = true}
// CHECK-NEXT: lathe.div %arg0, %[[S]]
func.func @keep_dims(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = lathe.reduce_sum %x {axes = array<i64: 1>} : (tensor<4x8xf32>) -> tensor<4xf32>
  %1 = lathe.reshape %0 {shape = array<i64: 4, 1>} : (tensor<4xf32>) -> tensor<4x1xf32>
  %2 = lathe.div %x, %1 : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  return %2 : tensor<4x8xf32>
}

// Refused: the dim comes back in another place.
// CHECK-LABEL: func.func @other_place
// CHECK: lathe.reshape
func.func @other_place(%x: tensor<4x8xf32>) -> tensor<1x4xf32> {
  %0 = lathe.reduce_sum %x {axes = array<i64: 1>} : (tensor<4x8xf32>) -> tensor<4xf32>
  %1 = lathe.reshape %0 {shape = array<i64: 1, 4>} : (tensor<4xf32>) -> tensor<1x4xf32>
  return %1 : tensor<1x4xf32>
}

// CHECK-LABEL: func.func @transposed_product
// CHECK-NEXT: lathe.matmul %arg0, %arg1 {transpose_rhs} : (tensor<2x4x8xf32>, tensor<2x5x8xf32>)
func.func @transposed_product(%x: tensor<2x4x8xf32>, %y: tensor<2x5x8xf32>) -> tensor<2x4x5xf32> {
  %0 = lathe.transpose %y {permutation = array<i64: 0, 2, 1>} : (tensor<2x5x8xf32>) -> tensor<2x8x5xf32>
  %1 = lathe.matmul %x, %0 : (tensor<2x4x8xf32>, tensor<2x8x5xf32>) -> tensor<2x4x5xf32>
  return %1 : tensor<2x4x5xf32>
}

// The gradient of a table that is both embedding and output layer.
// CHECK-LABEL: func.func @table
// CHECK-NEXT: lathe.scatter_nd %arg0, %arg1, %arg2 {mode = 1 : i32}
// CHECK-NEXT: return
func.func @table(%x: tensor<9x4xf32>, %i: tensor<3x1xi64>, %u: tensor<3x4xf32>) -> tensor<9x4xf32> {
  %zero = lathe.constant dense<0.0> : tensor<f32>
  %zeros = lathe.broadcast %zero {shape = array<i64: 9, 4>} : (tensor<f32>) -> tensor<9x4xf32>
  %0 = lathe.scatter_nd %zeros, %i, %u {mode = 1 : i32} : (tensor<9x4xf32>, tensor<3x1xi64>, tensor<3x4xf32>) -> tensor<9x4xf32>
  %1 = lathe.add %x, %0 : (tensor<9x4xf32>, tensor<9x4xf32>) -> tensor<9x4xf32>
  return %1 : tensor<9x4xf32>
}

// Not zeros; assigned, not added; used twice.
// CHECK-LABEL: func.func @table_refused
// CHECK-COUNT-3: lathe.add
func.func @table_refused(%x: tensor<9x4xf32>, %i: tensor<3x1xi64>, %u: tensor<3x4xf32>) -> (tensor<9x4xf32>, tensor<9x4xf32>, tensor<9x4xf32>, tensor<9x4xf32>) {
  %zeros = lathe.constant dense<0.0> : tensor<9x4xf32>
  %0 = lathe.scatter_nd %x, %i, %u {mode = 1 : i32} : (tensor<9x4xf32>, tensor<3x1xi64>, tensor<3x4xf32>) -> tensor<9x4xf32>
  %1 = lathe.add %x, %0 : (tensor<9x4xf32>, tensor<9x4xf32>) -> tensor<9x4xf32>
  %2 = lathe.scatter_nd %zeros, %i, %u {mode = 0 : i32} : (tensor<9x4xf32>, tensor<3x1xi64>, tensor<3x4xf32>) -> tensor<9x4xf32>
  %3 = lathe.add %2, %x : (tensor<9x4xf32>, tensor<9x4xf32>) -> tensor<9x4xf32>
  %4 = lathe.scatter_nd %zeros, %i, %u {mode = 1 : i32} : (tensor<9x4xf32>, tensor<3x1xi64>, tensor<3x4xf32>) -> tensor<9x4xf32>
  %5 = lathe.add %4, %x : (tensor<9x4xf32>, tensor<9x4xf32>) -> tensor<9x4xf32>
  return %1, %3, %4, %5 : tensor<9x4xf32>, tensor<9x4xf32>, tensor<9x4xf32>, tensor<9x4xf32>
}

// What the gradients of three slices of one value add up to.
// CHECK-LABEL: func.func @pieces
// CHECK-NEXT: %[[C:.*]] = lathe.concat %arg1, %arg0, %arg2 {axis = 1 : i64} : (tensor<4x3xf32>, tensor<4x2xf32>, tensor<4x1xf32>) -> tensor<4x6xf32>
// CHECK-NEXT: return %[[C]], %[[C]]
func.func @pieces(%x: tensor<4x2xf32>, %y: tensor<4x3xf32>, %z: tensor<4x1xf32>) -> (tensor<4x6xf32>, tensor<4x6xf32>) {
  %0 = lathe.pad %x {low = array<i64: 0, 3>, high = array<i64: 0, 1>} : (tensor<4x2xf32>) -> tensor<4x6xf32>
  %1 = lathe.pad %y {low = array<i64: 0, 0>, high = array<i64: 0, 3>} : (tensor<4x3xf32>) -> tensor<4x6xf32>
  %2 = lathe.pad %z {low = array<i64: 0, 5>, high = array<i64: 0, 0>} : (tensor<4x1xf32>) -> tensor<4x6xf32>
  %3 = lathe.add %0, %2 : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  %4 = lathe.add %1, %3 : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  return %4, %4 : tensor<4x6xf32>, tensor<4x6xf32>
}

// Refused: they overlap; a place is empty; another value fills it; one is used
// elsewhere.
// CHECK-LABEL: func.func @no_pieces
// CHECK-NOT: lathe.concat
// CHECK: return
func.func @no_pieces(%x: tensor<4x2xf32>, %one: tensor<f32>) -> (tensor<4x3xf32>, tensor<4x5xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>) {
  %0 = lathe.pad %x {low = array<i64: 0, 0>, high = array<i64: 0, 1>} : (tensor<4x2xf32>) -> tensor<4x3xf32>
  %1 = lathe.pad %x {low = array<i64: 0, 1>, high = array<i64: 0, 0>} : (tensor<4x2xf32>) -> tensor<4x3xf32>
  %overlap = lathe.add %0, %1 : (tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<4x3xf32>
  %2 = lathe.pad %x {low = array<i64: 0, 0>, high = array<i64: 0, 3>} : (tensor<4x2xf32>) -> tensor<4x5xf32>
  %3 = lathe.pad %x {low = array<i64: 0, 3>, high = array<i64: 0, 0>} : (tensor<4x2xf32>) -> tensor<4x5xf32>
  %gap = lathe.add %2, %3 : (tensor<4x5xf32>, tensor<4x5xf32>) -> tensor<4x5xf32>
  %4 = lathe.pad %x, %one {low = array<i64: 0, 0>, high = array<i64: 0, 2>} : (tensor<4x2xf32>, tensor<f32>) -> tensor<4x4xf32>
  %5 = lathe.pad %x {low = array<i64: 0, 2>, high = array<i64: 0, 0>} : (tensor<4x2xf32>) -> tensor<4x4xf32>
  %filled = lathe.add %4, %5 : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %6 = lathe.pad %x {low = array<i64: 0, 0>, high = array<i64: 0, 2>} : (tensor<4x2xf32>) -> tensor<4x4xf32>
  %7 = lathe.pad %x {low = array<i64: 0, 2>, high = array<i64: 0, 0>} : (tensor<4x2xf32>) -> tensor<4x4xf32>
  %used = lathe.add %6, %7 : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  return %overlap, %gap, %filled, %used, %7 : tensor<4x3xf32>, tensor<4x5xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>
}
