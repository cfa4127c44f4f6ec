// RUN: lathe-opt %s --lathe-fold-batch-norm --split-input-file | FileCheck %s

lathe.parameter @f : tensor<16x3x3x3xf32>
lathe.parameter @b : tensor<16xf32>
lathe.parameter @s : tensor<16xf32>
lathe.parameter @m : tensor<16xf32>
lathe.parameter @v : tensor<16xf32>
lathe.parameter @c : tensor<16x1x1xf32>
lathe.parameter @row : tensor<1x6xf32>

// scale / sqrt(variance + epsilon) goes into the filter, the rest into the bias.
// CHECK-LABEL: func.func @conv
// CHECK-DAG: %[[F:.*]] = lathe.get_parameter @f
// CHECK-DAG: %[[B:.*]] = lathe.get_parameter @b
// CHECK-DAG: %[[S:.*]] = lathe.get_parameter @s
// CHECK-DAG: %[[M:.*]] = lathe.get_parameter @m
// CHECK-DAG: %[[V:.*]] = lathe.get_parameter @v
// CHECK: %[[E:.*]] = lathe.constant dense<1.000000e-03> : tensor<16xf32>
// CHECK: %[[VE:.*]] = lathe.add %[[V]], %[[E]]
// CHECK: %[[D:.*]] = lathe.sqrt %[[VE]]
// CHECK: %[[Q:.*]] = lathe.div %[[S]], %[[D]]
// CHECK: %[[MQ:.*]] = lathe.mul %[[M]], %[[Q]]
// CHECK: %[[SHIFT:.*]] = lathe.sub %[[S]], %[[MQ]]
// CHECK: %[[R:.*]] = lathe.reshape %[[Q]] {shape = array<i64: 16, 1, 1, 1>}
// CHECK: %[[FQ:.*]] = lathe.mul %[[F]], %[[R]]
// CHECK: %[[BQ:.*]] = lathe.mul %[[B]], %[[Q]]
// CHECK: %[[BIAS:.*]] = lathe.add %[[BQ]], %[[SHIFT]]
// CHECK: lathe.conv %{{.*}}, %[[FQ]], %[[BIAS]] {{{.*}}strides = array<i64: 2, 2>}
// CHECK-NOT: lathe.batch_norm
func.func @conv(%x: tensor<1x3x8x8xf32>) -> tensor<1x16x3x3xf32> {
  %f = lathe.get_parameter @f : tensor<16x3x3x3xf32>
  %b = lathe.get_parameter @b : tensor<16xf32>
  %s = lathe.get_parameter @s : tensor<16xf32>
  %m = lathe.get_parameter @m : tensor<16xf32>
  %v = lathe.get_parameter @v : tensor<16xf32>
  %0 = lathe.conv %x, %f, %b {strides = array<i64: 2, 2>} : (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>, tensor<16xf32>) -> tensor<1x16x3x3xf32>
  %1 = lathe.batch_norm %0, %s, %s, %m, %v {epsilon = 1.0e-3 : f64} : (tensor<1x16x3x3xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) -> tensor<1x16x3x3xf32>
  return %1 : tensor<1x16x3x3xf32>
}

// A scale and a shift per channel fold one after the other.
// CHECK-LABEL: func.func @affine
// CHECK: lathe.mul %{{.*}} : (tensor<16x3x3x3xf32>, tensor<16x1x1x1xf32>)
// CHECK: %[[C:.*]] = lathe.conv %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}} :
// CHECK-NEXT: return %[[C]]
func.func @affine(%x: tensor<1x3x8x8xf32>) -> tensor<1x16x6x6xf32> {
  %f = lathe.get_parameter @f : tensor<16x3x3x3xf32>
  %c = lathe.get_parameter @c : tensor<16x1x1xf32>
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>) -> tensor<1x16x6x6xf32>
  %1 = lathe.mul %0, %c : (tensor<1x16x6x6xf32>, tensor<16x1x1xf32>) -> tensor<1x16x6x6xf32>
  %2 = lathe.add %c, %1 : (tensor<16x1x1xf32>, tensor<1x16x6x6xf32>) -> tensor<1x16x6x6xf32>
  return %2 : tensor<1x16x6x6xf32>
}

// Refused: the convolution is read twice; the factor varies along a row; the
// factor is computed at run time.
// CHECK-LABEL: func.func @refused
// CHECK: lathe.batch_norm
// CHECK: lathe.mul %{{.*}} : (tensor<1x16x6x6xf32>, tensor<1x6xf32>)
// CHECK: lathe.mul %{{.*}} : (tensor<1x16x6x6xf32>, tensor<1x16x1x1xf32>)
func.func @refused(%x: tensor<1x3x8x8xf32>, %z: tensor<1x16x1x1xf32>) -> (tensor<1x16x6x6xf32>, tensor<1x16x6x6xf32>, tensor<1x16x6x6xf32>, tensor<1x16x6x6xf32>) {
  %f = lathe.get_parameter @f : tensor<16x3x3x3xf32>
  %s = lathe.get_parameter @s : tensor<16xf32>
  %row = lathe.get_parameter @row : tensor<1x6xf32>
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>) -> tensor<1x16x6x6xf32>
  %1 = lathe.batch_norm %0, %s, %s, %s, %s : (tensor<1x16x6x6xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) -> tensor<1x16x6x6xf32>
  %2 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>) -> tensor<1x16x6x6xf32>
  %3 = lathe.mul %2, %row : (tensor<1x16x6x6xf32>, tensor<1x6xf32>) -> tensor<1x16x6x6xf32>
  %4 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>) -> tensor<1x16x6x6xf32>
  %5 = lathe.mul %4, %z : (tensor<1x16x6x6xf32>, tensor<1x16x1x1xf32>) -> tensor<1x16x6x6xf32>
  return %0, %1, %3, %5 : tensor<1x16x6x6xf32>, tensor<1x16x6x6xf32>, tensor<1x16x6x6xf32>, tensor<1x16x6x6xf32>
}

// -----

lathe.parameter @w : tensor<16x8xf32>
lathe.parameter @wt : tensor<8x16xf32>
lathe.parameter @s : tensor<16xf32>

// CHECK-LABEL: func.func @linear
// CHECK: lathe.mul %{{.*}} : (tensor<16x8xf32>, tensor<16x1xf32>)
// CHECK: lathe.linear %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}} :
// CHECK: lathe.mul %{{.*}} : (tensor<8x16xf32>, tensor<1x16xf32>)
// CHECK: %[[Y:.*]] = lathe.matmul
// CHECK: lathe.add %[[Y]], %{{.*}} : (tensor<4x16xf32>, tensor<16xf32>)
// CHECK-NOT: lathe.batch_norm
func.func @linear(%x: tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>) {
  %w = lathe.get_parameter @w : tensor<16x8xf32>
  %wt = lathe.get_parameter @wt : tensor<8x16xf32>
  %s = lathe.get_parameter @s : tensor<16xf32>
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  %1 = lathe.batch_norm %0, %s, %s, %s, %s : (tensor<4x16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) -> tensor<4x16xf32>
  %2 = lathe.matmul %x, %wt : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  %3 = lathe.batch_norm %2, %s, %s, %s, %s : (tensor<4x16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) -> tensor<4x16xf32>
  return %1, %3 : tensor<4x16xf32>, tensor<4x16xf32>
}
