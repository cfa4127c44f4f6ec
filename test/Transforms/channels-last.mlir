// RUN: lathe-opt %s --lathe-channels-last --split-input-file | FileCheck %s

// A residual block as in ResNet: one transpose at the input, none inside, none
// at the end, because a reshape of an image of one pixel does not see it.
// CHECK-LABEL: func.func @residual
// CHECK: %[[X:.*]] = lathe.transpose %{{.*}} {permutation = array<i64: 0, 2, 3, 1>}
// CHECK-NOT: lathe.transpose
// CHECK: %[[C:.*]] = lathe.conv %[[X]], %{{.*}} {layout = 1 : i32{{.*}}} : (tensor<1x8x8x3xf32>, tensor<16x3x3x3xf32>) -> tensor<1x8x8x16xf32>
// CHECK: lathe.relu %[[C]] : (tensor<1x8x8x16xf32>)
// CHECK: lathe.conv
// CHECK: lathe.add {{.*}} : (tensor<1x8x8x16xf32>, tensor<1x8x8x16xf32>)
// CHECK: lathe.max_pool {{.*}} -> tensor<1x4x4x16xf32>
// CHECK: %[[M:.*]] = lathe.reduce_mean {{.*}} {axes = array<i64: 1, 2>, keepdims = true} : (tensor<1x4x4x16xf32>) -> tensor<1x1x1x16xf32>
// CHECK: lathe.reshape %[[M]] {shape = array<i64: 1, 16>}
func.func @residual(%x: tensor<1x3x8x8xf32>, %f: tensor<16x3x3x3xf32>, %g: tensor<16x16x1x1xf32>) -> tensor<1x16xf32> {
  %0 = lathe.conv %x, %f {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>) -> tensor<1x16x8x8xf32>
  %1 = lathe.relu %0 : (tensor<1x16x8x8xf32>) -> tensor<1x16x8x8xf32>
  %2 = lathe.conv %1, %g : (tensor<1x16x8x8xf32>, tensor<16x16x1x1xf32>) -> tensor<1x16x8x8xf32>
  %3 = lathe.add %2, %1 : (tensor<1x16x8x8xf32>, tensor<1x16x8x8xf32>) -> tensor<1x16x8x8xf32>
  %4 = lathe.max_pool %3 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x16x8x8xf32>) -> tensor<1x16x4x4xf32>
  %5 = lathe.reduce_mean %4 {axes = array<i64: 2, 3>, keepdims = true} : (tensor<1x16x4x4xf32>) -> tensor<1x16x1x1xf32>
  %6 = lathe.reshape %5 {shape = array<i64: 1, 16>} : (tensor<1x16x1x1xf32>) -> tensor<1x16xf32>
  return %6 : tensor<1x16xf32>
}

// -----

// Per-channel operands, concat, pad and batch norm follow.
// CHECK-LABEL: func.func @followers
// CHECK: lathe.transpose
// CHECK-NOT: lathe.transpose
// CHECK: lathe.conv
// CHECK: %[[B:.*]] = lathe.reshape %{{.*}} {shape = array<i64: 1, 1, 1, 4>}
// CHECK: lathe.mul %{{.*}}, %[[B]] : (tensor<1x6x6x4xf32>, tensor<1x1x1x4xf32>)
// CHECK: lathe.batch_norm {{.*}}axis = 3
// CHECK: lathe.concat {{.*}}axis = 3
// CHECK: lathe.pad {{.*}}high = array<i64: 0, 0, 1, 0>, low = array<i64: 0, 0, 0, 0>
// CHECK: lathe.reduce_max {{.*}}{axes = array<i64: 1, 2>} : (tensor<1x6x7x8xf32>) -> tensor<1x8xf32>
func.func @followers(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>, %b: tensor<4x1x1xf32>, %s: tensor<4xf32>) -> tensor<1x8xf32> {
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  %1 = lathe.mul %0, %b : (tensor<1x4x6x6xf32>, tensor<4x1x1xf32>) -> tensor<1x4x6x6xf32>
  %2 = lathe.batch_norm %1, %s, %s, %s, %s : (tensor<1x4x6x6xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x4x6x6xf32>
  %3 = lathe.concat %1, %2 {axis = 1 : i64} : (tensor<1x4x6x6xf32>, tensor<1x4x6x6xf32>) -> tensor<1x8x6x6xf32>
  %4 = lathe.pad %3 {low = array<i64: 0, 0, 0, 0>, high = array<i64: 0, 0, 0, 1>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x7xf32>
  %5 = lathe.reduce_max %4 {axes = array<i64: 2, 3>} : (tensor<1x8x6x7xf32>) -> tensor<1x8xf32>
  return %5 : tensor<1x8xf32>
}

// -----

// CHECK-LABEL: func.func @resize
// CHECK: lathe.conv
// CHECK: lathe.resize {{.*}} {{.*}}sizes = array<i64: 1, 12, 9, 4>{{.*}} : (tensor<1x6x6x4xf32>) -> tensor<1x12x9x4xf32>
// CHECK-NEXT: lathe.transpose {{.*}} {permutation = array<i64: 0, 3, 1, 2>}
func.func @resize(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>) -> tensor<1x4x12x9xf32> {
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  %1 = lathe.resize %0 {sizes = array<i64: 1, 4, 12, 9>} : (tensor<1x4x6x6xf32>) -> tensor<1x4x12x9xf32>
  return %1 : tensor<1x4x12x9xf32>
}

// -----

// A model that has its channels last already, between transposes for its ops.
// CHECK-LABEL: func.func @cancels
// CHECK-NOT: lathe.transpose
// CHECK: lathe.conv %arg0
// CHECK-NOT: lathe.transpose
// CHECK: return
func.func @cancels(%x: tensor<1x8x8x3xf32>, %f: tensor<4x3x3x3xf32>) -> tensor<1x6x6x4xf32> {
  %0 = lathe.transpose %x {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x8x8x3xf32>) -> tensor<1x3x8x8xf32>
  %1 = lathe.conv %0, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  %2 = lathe.transpose %1 {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x4x6x6xf32>) -> tensor<1x6x6x4xf32>
  return %2 : tensor<1x6x6x4xf32>
}

// -----

// What cannot follow reads the image transposed back, once.
// CHECK-LABEL: func.func @back
// CHECK: lathe.transpose %{{.*}} {permutation = array<i64: 0, 2, 3, 1>}
// CHECK: lathe.conv
// CHECK-NEXT: %[[T:.*]] = lathe.transpose %{{.*}} {permutation = array<i64: 0, 3, 1, 2>}
// CHECK-NOT: lathe.transpose
// CHECK: lathe.reshape %[[T]]
// CHECK: lathe.cumsum %[[T]]
func.func @back(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>) -> (tensor<1x144xf32>, tensor<1x4x6x6xf32>) {
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  %1 = lathe.reshape %0 {shape = array<i64: 1, 144>} : (tensor<1x4x6x6xf32>) -> tensor<1x144xf32>
  %2 = lathe.cumsum %0 {axis = 1 : i64} : (tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32>
  return %1, %2 : tensor<1x144xf32>, tensor<1x4x6x6xf32>
}

// -----

// Refused: no convolution over images, so nothing to gain.
// CHECK-LABEL: func.func @no_conv
// CHECK-NOT: lathe.transpose
// CHECK: lathe.conv {{.*}} : (tensor<1x3x8xf32>
// CHECK: lathe.max_pool {{.*}} : (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>
func.func @no_conv(%x: tensor<1x3x8xf32>, %f: tensor<4x3x3xf32>, %y: tensor<1x3x8x8xf32>) -> (tensor<1x4x6xf32>, tensor<1x3x4x4xf32>) {
  %0 = lathe.conv %x, %f : (tensor<1x3x8xf32>, tensor<4x3x3xf32>) -> tensor<1x4x6xf32>
  %1 = lathe.max_pool %y {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>
  return %0, %1 : tensor<1x4x6xf32>, tensor<1x3x4x4xf32>
}
