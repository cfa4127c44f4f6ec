// RUN: lathe-opt %s -lathe-decompose -split-input-file | FileCheck %s
// RUN: lathe-opt %s -lathe-decompose="only=lathe.embedding" -split-input-file | FileCheck %s --check-prefix=ONLY
// RUN: not lathe-opt %s -lathe-decompose="only=lathe.gather" -split-input-file 2>&1 | FileCheck %s --check-prefix=REFUSED
// ONLY-COUNT-2: lathe.conv_transpose
// ONLY-NOT: lathe.embedding
// REFUSED: expected names of composite ops in 'only', got 'lathe.gather'
// The numbers are proved by test/numeric/test_shapes.py.

// Windows that do not overlap: a 1x1 convolution and a transpose, no zeros.
// CHECK-LABEL: func.func @upsample
// CHECK-SAME: (%[[X:.*]]: tensor<1x6x4x5xf32>, %[[W:.*]]: tensor<6x3x2x2xf32>, %[[B:.*]]: tensor<3xf32>)
// CHECK: lathe.conv %[[X]], %{{.*}}, %{{.*}} : (tensor<1x6x4x5xf32>, tensor<12x6x1x1xf32>, tensor<12xf32>) -> tensor<1x12x4x5xf32>
// CHECK-NEXT: lathe.reshape %{{.*}} -> tensor<1x3x2x2x4x5xf32>
// CHECK-NEXT: lathe.transpose %{{.*}} {permutation = array<i64: 0, 1, 4, 2, 5, 3>}
// CHECK-NEXT: %[[R:.*]] = lathe.reshape %{{.*}} -> tensor<1x3x8x10xf32>
// CHECK-NEXT: return %[[R]]
func.func @upsample(%x: tensor<1x6x4x5xf32>, %w: tensor<6x3x2x2xf32>, %b: tensor<3xf32>) -> tensor<1x3x8x10xf32> {
  %0 = lathe.conv_transpose %x, %w, %b {strides = array<i64: 2, 2>} : (tensor<1x6x4x5xf32>, tensor<6x3x2x2xf32>, tensor<3xf32>) -> tensor<1x3x8x10xf32>
  return %0 : tensor<1x3x8x10xf32>
}

// -----

// Otherwise zeros between the elements, and the flipped filter.
// CHECK-LABEL: func.func @overlap
// CHECK-SAME: (%[[X:.*]]: tensor<1x4x5xf32>, %[[W:.*]]: tensor<4x3x3xf32>)
// CHECK: lathe.pad %{{.*}} {high = array<i64: 0, 0, 0, 1>, low = array<i64: 0, 0, 0, 0>} : (tensor<1x4x5x1xf32>) -> tensor<1x4x5x2xf32>
// CHECK: %[[D:.*]] = lathe.pad %{{.*}} {high = array<i64: 0, 0, 1>, low = array<i64: 0, 0, 1>} : (tensor<1x4x10xf32>) -> tensor<1x4x12xf32>
// CHECK: lathe.reverse %[[W]] {axes = array<i64: 2>}
// CHECK: lathe.conv %[[D]], %{{.*}} {dilations = array<i64: 1>, groups = 2 : i64} : (tensor<1x4x12xf32>, tensor<6x2x3xf32>) -> tensor<1x6x10xf32>
func.func @overlap(%x: tensor<1x4x5xf32>, %w: tensor<4x3x3xf32>) -> tensor<1x6x10xf32> {
  %0 = lathe.conv_transpose %x, %w {strides = array<i64: 2>, pad_low = array<i64: 1>, pad_high = array<i64: 1>, output_padding = array<i64: 1>, groups = 2 : i64} : (tensor<1x4x5xf32>, tensor<4x3x3xf32>) -> tensor<1x6x10xf32>
  return %0 : tensor<1x6x10xf32>
}

// -----

// CHECK-LABEL: func.func @embedding
// CHECK: lathe.gather %{{.*}}, %{{.*}} : (tensor<100x16xf32>, tensor<2x?xi64>) -> tensor<2x?x16xf32>
func.func @embedding(%t: tensor<100x16xf32>, %i: tensor<2x?xi64>) -> tensor<2x?x16xf32> {
  %0 = lathe.embedding %t, %i : (tensor<100x16xf32>, tensor<2x?xi64>) -> tensor<2x?x16xf32>
  return %0 : tensor<2x?x16xf32>
}
