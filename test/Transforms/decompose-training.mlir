// RUN: lathe-opt %s -lathe-decompose="only=lathe.max_pool_gradient,lathe.linear_cross_entropy" -split-input-file | FileCheck %s
// The numbers are proved by test/numeric/test_max_pool_gradient.py and test_chunked_loss.py.

// Windows and places in them are dims of their own; nothing is scattered.
// CHECK-LABEL: func.func @pool
// CHECK-SAME: (%[[X:.*]]: tensor<8x6x4x16xf32>, %[[G:.*]]: tensor<8x3x2x16xf32>)
// CHECK-DAG: %[[T:.*]] = lathe.reshape %[[X]] {{.*}} -> tensor<8x3x2x2x2x16xf32>
// CHECK-DAG: %[[H:.*]] = lathe.reshape %[[G]] {{.*}} -> tensor<8x3x1x2x1x16xf32>
// CHECK: %[[MAX:.*]] = lathe.reduce_max %[[T]] {axes = array<i64: 2, 4>, keepdims = true}
// CHECK: %[[LESS:.*]] = lathe.compare lt, %[[T]], %[[MAX]]
// CHECK: %[[AT:.*]] = lathe.select %[[LESS]], %{{.*}}, %[[PLACE:.*]] : {{.*}} tensor<1x1x2x1x2x1xi32>
// CHECK: %[[FIRST:.*]] = lathe.reduce_min %[[AT]] {axes = array<i64: 2, 4>, keepdims = true}
// CHECK: %[[IS:.*]] = lathe.compare eq, %[[PLACE]], %[[FIRST]]
// CHECK: %[[R:.*]] = lathe.select %[[IS]], %[[H]], %{{.*}} -> tensor<8x3x2x2x2x16xf32>
// CHECK: lathe.reshape %[[R]] {{.*}} -> tensor<8x6x4x16xf32>
func.func @pool(%x: tensor<8x6x4x16xf32>, %g: tensor<8x3x2x16xf32>) -> tensor<8x6x4x16xf32> {
  %0 = lathe.max_pool_gradient %x, %g {kernel = array<i64: 2, 2>, layout = 1 : i32} : (tensor<8x6x4x16xf32>, tensor<8x3x2x16xf32>) -> tensor<8x6x4x16xf32>
  return %0 : tensor<8x6x4x16xf32>
}

// -----

// A loop over chunks carries the weight's gradient, of the mean of 64 rows; the
// logits of a chunk are all there is.
// CHECK-LABEL: func.func @loss
// CHECK: %[[SHARE:.*]] = lathe.constant dense<1.562500e-02> : tensor<f32>
// CHECK: %[[ZERO:.*]] = lathe.constant dense<0.000000e+00> : tensor<100x8xf32>
// CHECK: lathe.scan init(%[[SUM:.*]] = %[[ZERO]]) inputs(%[[X:.*]] = %{{.*}}, %[[L:.*]] = %{{.*}}) : (tensor<100x8xf32>, tensor<4x16x8xf32>, tensor<4x16xi64>) -> (tensor<100x8xf32>, tensor<4xf32>, tensor<4x16x8xf32>)
// CHECK: lathe.linear %[[X]], %arg1 : {{.*}} -> tensor<16x100xf32>
// CHECK: lathe.cross_entropy %{{.*}}, %[[L]] reduce none
// CHECK: lathe.softmax
// CHECK: lathe.matmul %{{.*}}, %arg1 {{.*}} -> tensor<16x8xf32>
// CHECK: %[[D:.*]] = lathe.matmul %{{.*}}, %[[X]] {transpose_lhs} {{.*}} -> tensor<100x8xf32>
// CHECK: %[[MEAN:.*]] = lathe.mul %[[D]], %[[SHARE]]
// CHECK: lathe.add %[[SUM]], %[[MEAN]]
// CHECK-NOT: 64x100
func.func @loss(%x: tensor<64x8xf32>, %w: tensor<100x8xf32>, %l: tensor<64xi64>) -> (tensor<f32>, tensor<64x8xf32>, tensor<100x8xf32>) {
  %0:3 = lathe.linear_cross_entropy %x, %w, %l {chunk = 16 : i64} : (tensor<64x8xf32>, tensor<100x8xf32>, tensor<64xi64>) -> (tensor<f32>, tensor<64x8xf32>, tensor<100x8xf32>)
  return %0#0, %0#1, %0#2 : tensor<f32>, tensor<64x8xf32>, tensor<100x8xf32>
}

// -----

// Evaluation asks for no gradient. 5 rows are filled up to 6, and not counted.
// CHECK-LABEL: func.func @evaluation
// CHECK: lathe.pad
// CHECK: lathe.scan inputs({{.*}}) : (tensor<2x3x8xf32>, tensor<2x3xi64>, tensor<2x3xi1>) -> tensor<2xf32>
// CHECK-NOT: lathe.softmax
// CHECK-NOT: lathe.matmul
func.func @evaluation(%x: tensor<5x8xf32>, %w: tensor<100x8xf32>, %l: tensor<5xi64>) -> tensor<f32> {
  %0:3 = lathe.linear_cross_entropy %x, %w, %l {chunk = 3 : i64} : (tensor<5x8xf32>, tensor<100x8xf32>, tensor<5xi64>) -> (tensor<f32>, tensor<5x8xf32>, tensor<100x8xf32>)
  return %0 : tensor<f32>
}
