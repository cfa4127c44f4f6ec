// RUN: lathe-opt %s --lathe-sum-after-scan --split-input-file | FileCheck %s

// Both operands are stacked already: one by the scan that gave it, one as a
// result. The input that nothing else reads goes.
// CHECK-LABEL: func.func @recurrent
// CHECK-SAME: %[[XS:.*]]: tensor<6x4x8xf32>, %[[H:.*]]: tensor<4x3xf32>
// CHECK: %[[S:.*]]:2 = lathe.scan init(%[[C:.*]] = %[[H]]) {reverse, trip_count = 6 : i64} : (tensor<4x3xf32>) -> (tensor<4x3xf32>, tensor<6x4x3xf32>) {
// CHECK-NEXT: %[[G:.*]] = lathe.tanh %[[C]]
// CHECK-NEXT: lathe.yield %[[G]], %[[G]]
// CHECK-NOT: lathe.add
// CHECK: %[[L:.*]] = lathe.reshape %[[S]]#1 {{.*}} -> tensor<24x3xf32>
// CHECK: %[[R:.*]] = lathe.reshape %[[XS]] {{.*}} -> tensor<24x8xf32>
// CHECK: %[[W:.*]] = lathe.matmul %[[L]], %[[R]] {transpose_lhs} : (tensor<24x3xf32>, tensor<24x8xf32>) -> tensor<3x8xf32>
// CHECK: return %[[S]]#0, %[[W]], %[[S]]#1
func.func @recurrent(%xs: tensor<6x4x8xf32>, %h: tensor<4x3xf32>) -> (tensor<4x3xf32>, tensor<3x8xf32>, tensor<6x4x3xf32>) {
  %zero = lathe.constant dense<0.0> : tensor<f32>
  %zeros = lathe.broadcast %zero {shape = array<i64: 3, 8>} : (tensor<f32>) -> tensor<3x8xf32>
  %r:3 = lathe.scan init(%sum = %zeros, %c = %h) inputs(%x = %xs) {reverse} : (tensor<3x8xf32>, tensor<4x3xf32>, tensor<6x4x8xf32>) -> (tensor<3x8xf32>, tensor<4x3xf32>, tensor<6x4x3xf32>) {
    %g = lathe.tanh %c : (tensor<4x3xf32>) -> tensor<4x3xf32>
    %0 = lathe.matmul %g, %x {transpose_lhs} : (tensor<4x3xf32>, tensor<4x8xf32>) -> tensor<3x8xf32>
    %1 = lathe.add %sum, %0 : (tensor<3x8xf32>, tensor<3x8xf32>) -> tensor<3x8xf32>
    lathe.yield %1, %g, %g : tensor<3x8xf32>, tensor<4x3xf32>, tensor<4x3xf32>
  }
  return %r#1, %r#0, %r#2 : tensor<4x3xf32>, tensor<3x8xf32>, tensor<6x4x3xf32>
}

// -----

// A bias's gradient, to which something is there already; its operand is stacked
// for it, a reshape is done behind.
// CHECK-LABEL: func.func @bias
// CHECK-SAME: %[[XS:.*]]: tensor<6x2x2x8xf32>, %[[B:.*]]: tensor<8xf32>
// CHECK: %[[S:.*]] = lathe.scan inputs(%[[X:.*]] = %[[XS]]) {trip_count = 6 : i64} : (tensor<6x2x2x8xf32>) -> tensor<6x2x2x8xf32>
// CHECK-NEXT: %[[E:.*]] = lathe.exp %[[X]]
// CHECK-NEXT: lathe.yield %[[E]]
// CHECK: %[[F:.*]] = lathe.reshape %[[S]] {{.*}} -> tensor<6x4x8xf32>
// CHECK: %[[R:.*]] = lathe.reduce_sum %[[F]] {axes = array<i64: 0, 1>} : (tensor<6x4x8xf32>) -> tensor<8xf32>
// CHECK: %[[T:.*]] = lathe.add %[[B]], %[[R]]
// CHECK: return %[[T]]
func.func @bias(%xs: tensor<6x2x2x8xf32>, %b: tensor<8xf32>) -> tensor<8xf32> {
  %r = lathe.scan init(%sum = %b) inputs(%x = %xs) : (tensor<8xf32>, tensor<6x2x2x8xf32>) -> tensor<8xf32> {
    %e = lathe.exp %x : (tensor<2x2x8xf32>) -> tensor<2x2x8xf32>
    %f = lathe.reshape %e {shape = array<i64: 4, 8>} : (tensor<2x2x8xf32>) -> tensor<4x8xf32>
    %0 = lathe.reduce_sum %f {axes = array<i64: 0>} : (tensor<4x8xf32>) -> tensor<8xf32>
    %1 = lathe.add %0, %sum : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    lathe.yield %1 : tensor<8xf32>
  }
  return %r : tensor<8xf32>
}

// -----

// Refused: the sum is read in the loop.
// CHECK-LABEL: func.func @read
// CHECK: lathe.scan
// CHECK: lathe.matmul
// CHECK: lathe.yield
func.func @read(%xs: tensor<6x4x8xf32>, %s: tensor<8x8xf32>) -> (tensor<8x8xf32>, tensor<6x8x8xf32>) {
  %r:2 = lathe.scan init(%sum = %s) inputs(%x = %xs) : (tensor<8x8xf32>, tensor<6x4x8xf32>) -> (tensor<8x8xf32>, tensor<6x8x8xf32>) {
    %0 = lathe.matmul %x, %x {transpose_lhs} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
    %1 = lathe.add %sum, %0 : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    lathe.yield %1, %1 : tensor<8x8xf32>, tensor<8x8xf32>
  }
  return %r#0, %r#1 : tensor<8x8xf32>, tensor<6x8x8xf32>
}

// Refused: to stack what is computed from the parts of a batch would take more
// memory than the sum.
// CHECK-LABEL: func.func @parts
// CHECK: lathe.scan
// CHECK: lathe.matmul
// CHECK: lathe.yield
func.func @parts(%xs: tensor<6x4xf32>, %table: tensor<4x80xf32>, %s: tensor<80x8xf32>) -> tensor<80x8xf32> {
  %r = lathe.scan init(%sum = %s) inputs(%x = %xs) : (tensor<80x8xf32>, tensor<6x4xf32>) -> tensor<80x8xf32> {
    %f = lathe.unsqueeze %x {axes = array<i64: 1>} : (tensor<4xf32>) -> tensor<4x1xf32>
    %a = lathe.mul %f, %table : (tensor<4x1xf32>, tensor<4x80xf32>) -> tensor<4x80xf32>
    %b = lathe.slice %a {starts = array<i64: 0>, ends = array<i64: 8>, axes = array<i64: 1>} : (tensor<4x80xf32>) -> tensor<4x8xf32>
    %0 = lathe.matmul %a, %b {transpose_lhs} : (tensor<4x80xf32>, tensor<4x8xf32>) -> tensor<80x8xf32>
    %1 = lathe.add %sum, %0 : (tensor<80x8xf32>, tensor<80x8xf32>) -> tensor<80x8xf32>
    lathe.yield %1 : tensor<80x8xf32>
  }
  return %r : tensor<80x8xf32>
}

// Refused: many rows; an operand from outside; another product.
// CHECK-LABEL: func.func @others
// CHECK: lathe.scan
// CHECK-COUNT-3: lathe.matmul
// CHECK: lathe.yield
// CHECK-NOT: lathe.matmul
func.func @others(%xs: tensor<6x257x8xf32>, %ys: tensor<6x8x8xf32>, %o: tensor<8x8xf32>, %s: tensor<8x8xf32>) -> (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>) {
  %r:3 = lathe.scan init(%a = %s, %b = %s, %c = %s) inputs(%x = %xs, %y = %ys) : (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<6x257x8xf32>, tensor<6x8x8xf32>) -> (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>) {
    %0 = lathe.matmul %x, %x {transpose_lhs} : (tensor<257x8xf32>, tensor<257x8xf32>) -> tensor<8x8xf32>
    %1 = lathe.add %a, %0 : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    %2 = lathe.matmul %o, %y {transpose_lhs} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    %3 = lathe.add %b, %2 : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    %4 = lathe.matmul %y, %y : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    %5 = lathe.add %c, %4 : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    lathe.yield %1, %3, %5 : tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>
  }
  return %r#0, %r#1, %r#2 : tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>
}
