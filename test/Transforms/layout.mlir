// RUN: lathe-opt %s --lathe-layout --split-input-file | FileCheck %s
// RUN: lathe-opt %s --lathe-layout=explain --split-input-file --verify-diagnostics -o /dev/null
// RUN: lathe-opt %s --lathe-layout=target=cuda --split-input-file | FileCheck %s --check-prefix=CUDA
// RUN: not lathe-opt %s --lathe-layout=target=tpu --split-input-file 2>&1 | FileCheck %s --check-prefix=TARGET

// TARGET: error: expected the target 'cpu' or 'cuda', got 'tpu'

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
// CHECK: %[[R:.*]] = lathe.reshape %[[M]] {shape = array<i64: 1, 16, 1, 1>}
// CHECK: lathe.reshape %[[R]] {shape = array<i64: 1, 16>}
// CUDA-LABEL: func.func @residual
// CUDA-NOT: layout = 1
// CUDA: return
func.func @residual(%x: tensor<1x3x8x8xf32>, %f: tensor<16x3x3x3xf32>, %g: tensor<16x16x1x1xf32>) -> tensor<1x16xf32> {
  // expected-remark @below {{is stored as [0, 2, 3, 1], with 5 others: they save 45056 bytes, and transposes move 1536 bytes instead of 0}}
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
// CHECK: %[[B:.*]] = lathe.reshape %{{.*}} {shape = array<i64: 1, 1, 1, 4>}
// CHECK: lathe.transpose
// CHECK-NOT: lathe.transpose
// CHECK: lathe.conv
// CHECK: lathe.mul %{{.*}}, %[[B]] : (tensor<1x6x6x4xf32>, tensor<1x1x1x4xf32>)
// CHECK: lathe.batch_norm {{.*}}axis = 3
// CHECK: lathe.concat {{.*}}axis = 3
// CHECK: lathe.pad {{.*}}high = array<i64: 0, 0, 1, 0>, low = array<i64: 0, 0, 0, 0>
// CHECK: lathe.reduce_max {{.*}}{axes = array<i64: 1, 2>} : (tensor<1x6x7x8xf32>) -> tensor<1x8xf32>
func.func @followers(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>, %b: tensor<4x1x1xf32>, %s: tensor<4xf32>) -> tensor<1x8xf32> {
  // expected-remark @below {{with 5 others: they save 3888 bytes, and transposes move 1536 bytes instead of 0}}
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
// CHECK: %[[P:.*]] = lathe.max_pool {{.*}} : (tensor<1x12x9x4xf32>) -> tensor<1x4x3x4xf32>
// CHECK-NEXT: lathe.transpose %[[P]] {permutation = array<i64: 0, 3, 1, 2>}
func.func @resize(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>) -> tensor<1x4x4x3xf32> {
  // expected-remark @below {{with 2 others: they save 4320 bytes, and transposes move 1920 bytes instead of 0}}
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  %1 = lathe.resize %0 {sizes = array<i64: 1, 4, 12, 9>} : (tensor<1x4x6x6xf32>) -> tensor<1x4x12x9xf32>
  %2 = lathe.max_pool %1 {kernel = array<i64: 3, 3>, strides = array<i64: 3, 3>} : (tensor<1x4x12x9xf32>) -> tensor<1x4x4x3xf32>
  return %2 : tensor<1x4x4x3xf32>
}

// -----

// The transpose comes where the image is small: before it grows.
// CHECK-LABEL: func.func @cheapest_border
// CHECK: lathe.conv
// CHECK-NEXT: lathe.transpose {{.*}} {permutation = array<i64: 0, 3, 1, 2>}
// CHECK-NEXT: lathe.resize {{.*}} -> tensor<1x4x12x9xf32>
func.func @cheapest_border(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>) -> tensor<1x4x12x9xf32> {
  // expected-remark @below {{with 0 others: they save 3888 bytes, and transposes move 2688 bytes instead of 0}}
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
  // expected-remark @below {{transposes move 0 bytes instead of 2688}}
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
  // expected-remark @below {{transposes move 2688 bytes instead of 0}}
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  %1 = lathe.reshape %0 {shape = array<i64: 1, 144>} : (tensor<1x4x6x6xf32>) -> tensor<1x144xf32>
  %2 = lathe.cumsum %0 {axis = 1 : i64} : (tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32>
  return %1, %2 : tensor<1x144xf32>, tensor<1x4x6x6xf32>
}

// -----

// Refused: a pool alone saves less than the transposes around it move; a
// convolution over one spatial dim has no preference.
// CHECK-LABEL: func.func @no_conv
// CHECK-NOT: lathe.transpose
// CHECK: lathe.conv {{.*}} : (tensor<1x3x8xf32>
// CHECK: lathe.max_pool {{.*}} : (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>
func.func @no_conv(%x: tensor<1x3x8xf32>, %f: tensor<4x3x3xf32>, %y: tensor<1x3x8x8xf32>) -> (tensor<1x4x6xf32>, tensor<1x3x4x4xf32>) {
  %0 = lathe.conv %x, %f : (tensor<1x3x8xf32>, tensor<4x3x3xf32>) -> tensor<1x4x6xf32>
  // expected-remark @below {{keeps its layout: stored as [0, 2, 3, 1], it and 0 others would save 192 bytes, and transposes would move 1920 bytes instead of 0}}
  %1 = lathe.max_pool %y {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>
  return %0, %1 : tensor<1x4x6xf32>, tensor<1x3x4x4xf32>
}

// -----

// Refused: so few sums that the transposes would take longer.
// CHECK-LABEL: func.func @small_conv
// CHECK-NOT: lathe.transpose
// CHECK: return
func.func @small_conv(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x1x1xf32>) -> tensor<1x4x8x8xf32> {
  // expected-remark @below {{keeps its layout: stored as [0, 2, 3, 1], it and 0 others would save 768 bytes, and transposes would move 3584 bytes instead of 0}}
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x1x1xf32>) -> tensor<1x4x8x8xf32>
  return %0 : tensor<1x4x8x8xf32>
}

// -----

// Of two convolutions, far apart in the model, one pays.
// CHECK-LABEL: func.func @one_of_two
// CHECK: lathe.conv {{.*}}layout = 1 : i32
// CHECK: lathe.transpose
// CHECK: lathe.conv %{{[0-9]+}}, %arg2 :
func.func @one_of_two(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>, %g: tensor<64x4x1x1xf32>) -> tensor<1x64x6x6xf32> {
  // expected-remark @below {{is stored as [0, 2, 3, 1], with 0 others: they save 3888 bytes, and transposes move 2688 bytes instead of 0}}
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  // expected-remark @below {{keeps its layout: stored as [0, 2, 3, 1], it would save 9216 bytes, and transposes around it would move more}}
  %1 = lathe.conv %0, %g : (tensor<1x4x6x6xf32>, tensor<64x4x1x1xf32>) -> tensor<1x64x6x6xf32>
  return %1 : tensor<1x64x6x6xf32>
}

// -----

// Refused: the indices of max_pool_with_index count in the logical layout, so it
// reads the image transposed back.
// CHECK-LABEL: func.func @indices
// CHECK: %[[T:.*]] = lathe.transpose %{{.*}} {permutation = array<i64: 0, 3, 1, 2>}
// CHECK: lathe.max_pool_with_index %[[T]]
func.func @indices(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>) -> tensor<1x4x3x3xi64> {
  // expected-remark @below {{transposes move 2688 bytes instead of 0}}
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  %1:2 = lathe.max_pool_with_index %0 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x4x6x6xf32>) -> (tensor<1x4x3x3xf32>, tensor<1x4x3x3xi64>)
  return %1#1 : tensor<1x4x3x3xi64>
}

// -----

// Pushed through a reshape that joins the dims of a pixel, cancelled by the
// model's own transpose: patches of a vision transformer.
// CHECK-LABEL: func.func @patches
// CHECK: lathe.transpose %arg0
// CHECK-NOT: lathe.transpose
// CHECK: lathe.reshape %{{.*}} {shape = array<i64: 2, 16, 8>} : (tensor<2x4x4x8xf32>) -> tensor<2x16x8xf32>
// CHECK-NEXT: return
func.func @patches(%x: tensor<2x3x16x16xf32>, %f: tensor<8x3x4x4xf32>) -> tensor<2x16x8xf32> {
  // expected-remark @below {{transposes move 12288 bytes instead of 2048}}
  %0 = lathe.conv %x, %f {strides = array<i64: 4, 4>} : (tensor<2x3x16x16xf32>, tensor<8x3x4x4xf32>) -> tensor<2x8x4x4xf32>
  %1 = lathe.reshape %0 {shape = array<i64: 2, 8, 16>} : (tensor<2x8x4x4xf32>) -> tensor<2x8x16xf32>
  %2 = lathe.transpose %1 {permutation = array<i64: 0, 2, 1>} : (tensor<2x8x16xf32>) -> tensor<2x16x8xf32>
  return %2 : tensor<2x16x8xf32>
}

// -----

// A slice of channels; a reduction whose result is stored otherwise, too; a
// scalar, and a weight that is known at load and costs nothing.
lathe.parameter @s : tensor<1x4x6x6xf32>
// CHECK-LABEL: func.func @more_followers
// CHECK: lathe.slice {{.*}}axes = array<i64: 3>{{.*}} -> tensor<2x6x6x4xf32>
// CHECK: lathe.add {{.*}} : (tensor<2x6x6x4xf32>, tensor<1x6x6x4xf32>)
// CHECK: lathe.mul {{.*}} : (tensor<2x6x6x4xf32>, tensor<1x1x1x1xf32>)
// CHECK: %[[R:.*]] = lathe.reduce_sum {{.*}} {axes = array<i64: 2>} : (tensor<2x6x6x4xf32>) -> tensor<2x6x4xf32>
// CHECK: %[[T:.*]] = lathe.transpose %[[R]] {permutation = array<i64: 0, 2, 1>}
// CHECK: lathe.exp %[[T]] : (tensor<2x4x6xf32>)
func.func @more_followers(%x: tensor<2x3x8x8xf32>, %f: tensor<8x3x3x3xf32>, %k: tensor<1x1x1x1xf32>) -> tensor<2x4x6xf32> {
  // expected-remark @below {{with 4 others: they save 15552 bytes, and transposes move 3456 bytes instead of 0}}
  %0 = lathe.conv %x, %f : (tensor<2x3x8x8xf32>, tensor<8x3x3x3xf32>) -> tensor<2x8x6x6xf32>
  %1 = lathe.slice %0 {starts = array<i64: 4>, ends = array<i64: 8>, axes = array<i64: 1>} : (tensor<2x8x6x6xf32>) -> tensor<2x4x6x6xf32>
  %s = lathe.get_parameter @s : tensor<1x4x6x6xf32>
  %2 = lathe.add %1, %s : (tensor<2x4x6x6xf32>, tensor<1x4x6x6xf32>) -> tensor<2x4x6x6xf32>
  %3 = lathe.mul %2, %k : (tensor<2x4x6x6xf32>, tensor<1x1x1x1xf32>) -> tensor<2x4x6x6xf32>
  %4 = lathe.reduce_sum %3 {axes = array<i64: 3>} : (tensor<2x4x6x6xf32>) -> tensor<2x4x6xf32>
  %5 = lathe.exp %4 : (tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  return %5 : tensor<2x4x6xf32>
}

// -----

// The heads of attention, on either target. A mask has no heads to turn.
// CHECK-LABEL: func.func @attention
// CHECK-NEXT: lathe.attention %arg0, %arg0, %arg0, %arg1 {layout = 1 : i32} : (tensor<1x128x4x32xf32>, tensor<1x128x4x32xf32>, tensor<1x128x4x32xf32>, tensor<1x1x1x128xi1>) -> tensor<1x128x4x32xf32>
// CHECK-NEXT: lathe.reshape
// CHECK-NEXT: return
// CUDA-LABEL: func.func @attention
// CUDA-NEXT: lathe.attention %arg0, %arg0, %arg0, %arg1 {layout = 1 : i32}
func.func @attention(%q: tensor<1x128x4x32xf32>, %m: tensor<1x1x1x128xi1>) -> tensor<1x128x128xf32> {
  %0 = lathe.transpose %q {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x128x4x32xf32>) -> tensor<1x4x128x32xf32>
  // expected-remark @below {{is stored as [0, 2, 1, 3], with 0 others: they save 0 bytes, and transposes move 0 bytes instead of 262144}}
  %1 = lathe.attention %0, %0, %0, %m : (tensor<1x4x128x32xf32>, tensor<1x4x128x32xf32>, tensor<1x4x128x32xf32>, tensor<1x1x1x128xi1>) -> tensor<1x4x128x32xf32>
  %2 = lathe.transpose %1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x4x128x32xf32>) -> tensor<1x128x4x32xf32>
  %3 = lathe.reshape %2 {shape = array<i64: 1, 128, 128>} : (tensor<1x128x4x32xf32>) -> tensor<1x128x128xf32>
  return %3 : tensor<1x128x128xf32>
}

// -----

// Refused: one operand of four is turned; the others would have to be.
// CHECK-LABEL: func.func @one_operand
// CHECK: lathe.attention {{.*}} : (tensor<1x4x128x32xf32>
func.func @one_operand(%q: tensor<1x128x4x32xf32>, %k: tensor<1x4x64x32xf32>, %v: tensor<1x4x64x32xf32>) -> tensor<1x4x128x32xf32> {
  %0 = lathe.transpose %q {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x128x4x32xf32>) -> tensor<1x4x128x32xf32>
  // expected-remark @below {{keeps its layout: stored as [0, 2, 1, 3], it and 0 others would save 0 bytes, and transposes would move 262144 bytes instead of 131072}}
  %1 = lathe.attention %0, %k, %v : (tensor<1x4x128x32xf32>, tensor<1x4x64x32xf32>, tensor<1x4x64x32xf32>) -> tensor<1x4x128x32xf32>
  return %1 : tensor<1x4x128x32xf32>
}

// -----

// Forward and backward part agree; delta, a reduction, follows without a
// transpose, and the log-sum-exp has heads second in any layout.
// CHECK-LABEL: func.func @training
// CHECK-NOT: lathe.transpose
// CHECK: lathe.attention_training {{.*}} {layout = 1 : i32} : {{.*}} -> (tensor<2x64x4x32xf32>, tensor<2x4x64xf32>)
// CHECK: %[[D:.*]] = lathe.reduce_sum {{.*}} {axes = array<i64: 3>} : (tensor<2x64x4x32xf32>) -> tensor<2x64x4xf32>
// CHECK: lathe.attention_backward {{.*}}, %[[D]] {layout = 1 : i32}
// CHECK-NOT: lathe.transpose
// CHECK: return
func.func @training(%x: tensor<2x64x4x32xf32>, %g: tensor<2x64x4x32xf32>) -> tensor<2x64x4x32xf32> {
  %0 = lathe.transpose %x {permutation = array<i64: 0, 2, 1, 3>} : (tensor<2x64x4x32xf32>) -> tensor<2x4x64x32xf32>
  %1 = lathe.transpose %g {permutation = array<i64: 0, 2, 1, 3>} : (tensor<2x64x4x32xf32>) -> tensor<2x4x64x32xf32>
  // expected-remark @below {{transposes move 0 bytes instead of}}
  %2:2 = lathe.attention_training %0, %0, %0 : (tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>) -> (tensor<2x4x64x32xf32>, tensor<2x4x64xf32>)
  %3 = lathe.mul %1, %2#0 : (tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>) -> tensor<2x4x64x32xf32>
  %4 = lathe.reduce_sum %3 {axes = array<i64: 3>} : (tensor<2x4x64x32xf32>) -> tensor<2x4x64xf32>
  %5:3 = lathe.attention_backward %0, %0, %0, %1, %2#1, %4 : (tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>, tensor<2x4x64xf32>, tensor<2x4x64xf32>) -> (tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>)
  %6 = lathe.add %5#0, %5#1 : (tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>) -> tensor<2x4x64x32xf32>
  %7 = lathe.add %6, %5#2 : (tensor<2x4x64x32xf32>, tensor<2x4x64x32xf32>) -> tensor<2x4x64x32xf32>
  %8 = lathe.transpose %7 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<2x4x64x32xf32>) -> tensor<2x64x4x32xf32>
  return %8 : tensor<2x64x4x32xf32>
}

// -----

// Bytes count once per iteration: inside of the loop the transposes of the body
// decide, what stands before it is moved once.
// CHECK-LABEL: func.func @loop
// CHECK: lathe.transpose
// CHECK: lathe.scan
// CHECK-NOT: lathe.transpose
// CHECK: lathe.attention %{{.*}} {layout = 1 : i32}
// CHECK-NOT: lathe.transpose
// CHECK: lathe.yield
func.func @loop(%q: tensor<1x64x4x32xf32>, %k: tensor<1x4x64x32xf32>) -> tensor<1x64x4x32xf32> {
  %r = lathe.scan init(%h = %q) {trip_count = 8} : (tensor<1x64x4x32xf32>) -> tensor<1x64x4x32xf32> {
    %0 = lathe.transpose %h {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x64x4x32xf32>) -> tensor<1x4x64x32xf32>
    // expected-remark @below {{transposes move 65536 bytes instead of 1048576}}
    %1 = lathe.attention %0, %k, %k : (tensor<1x4x64x32xf32>, tensor<1x4x64x32xf32>, tensor<1x4x64x32xf32>) -> tensor<1x4x64x32xf32>
    %2 = lathe.transpose %1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x4x64x32xf32>) -> tensor<1x64x4x32xf32>
    lathe.yield %2 : tensor<1x64x4x32xf32>
  }
  return %r : tensor<1x64x4x32xf32>
}

// -----

// A carried value is stored in one layout from its start to its end: ResNet's
// stages are loops over their blocks.
// CHECK-LABEL: func.func @carried
// CHECK: %[[X:.*]] = lathe.transpose %arg0 {permutation = array<i64: 0, 2, 3, 1>}
// CHECK: %[[R:.*]] = lathe.scan init(%[[H:.*]] = %[[X]]) {trip_count = 3 : i64} : (tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32>
// CHECK-NOT: lathe.transpose
// CHECK: %[[C:.*]] = lathe.conv %[[H]]
// CHECK: %[[N:.*]] = lathe.add %[[H]], %[[C]]
// CHECK: lathe.yield %[[N]]
// CHECK: lathe.transpose %[[R]] {permutation = array<i64: 0, 3, 1, 2>}
func.func @carried(%x: tensor<1x4x6x6xf32>, %f: tensor<4x4x3x3xf32>) -> tensor<1x4x6x6xf32> {
  %r = lathe.scan init(%h = %x) {trip_count = 3} : (tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32> {
    // expected-remark @below {{with 2 others: they save 15552 bytes, and transposes move 2304 bytes instead of 0}}
    %0 = lathe.conv %h, %f {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (tensor<1x4x6x6xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x6x6xf32>
    %1 = lathe.add %h, %0 : (tensor<1x4x6x6xf32>, tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32>
    lathe.yield %1 : tensor<1x4x6x6xf32>
  }
  return %r : tensor<1x4x6x6xf32>
}

// -----

// VGG's classifier: what flattening sees of the image's layout moves into the
// weight, which is laid out once. The weight that is an argument stays.
lathe.parameter @w : tensor<5x144xf32>
// CHECK-LABEL: func.func @flatten
// CHECK: %[[W:.*]] = lathe.get_parameter @w
// CHECK: %[[D:.*]] = lathe.reshape %[[W]] {shape = array<i64: 5, 4, 6, 6>}
// CHECK: %[[T:.*]] = lathe.transpose %[[D]] {permutation = array<i64: 0, 2, 3, 1>} : (tensor<5x4x6x6xf32>)
// CHECK: %[[V:.*]] = lathe.reshape %[[T]] {shape = array<i64: 5, 144>}
// CHECK: %[[F:.*]] = lathe.reshape %{{.*}} {shape = array<i64: 1, 144>} : (tensor<1x6x6x4xf32>)
// CHECK: lathe.linear %[[F]], %[[V]]
func.func @flatten(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>) -> tensor<1x5xf32> {
  %w = lathe.get_parameter @w : tensor<5x144xf32>
  // expected-remark @below {{is stored as [0, 2, 3, 1]}}
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  %1 = lathe.reshape %0 {shape = array<i64: 1, 144>} : (tensor<1x4x6x6xf32>) -> tensor<1x144xf32>
  %2 = lathe.linear %1, %w : (tensor<1x144xf32>, tensor<5x144xf32>) -> tensor<1x5xf32>
  return %2 : tensor<1x5xf32>
}
// CHECK-LABEL: func.func @flatten_argument
// CHECK: lathe.conv
// CHECK: %[[T:.*]] = lathe.transpose %{{.*}} {permutation = array<i64: 0, 3, 1, 2>}
// CHECK: %[[F:.*]] = lathe.reshape %[[T]]
// CHECK: lathe.linear %[[F]], %arg2
func.func @flatten_argument(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x3x3xf32>, %w: tensor<5x144xf32>) -> tensor<1x5xf32> {
  // expected-remark @below {{is stored as [0, 2, 3, 1]}}
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  %1 = lathe.reshape %0 {shape = array<i64: 1, 144>} : (tensor<1x4x6x6xf32>) -> tensor<1x144xf32>
  %2 = lathe.linear %1, %w : (tensor<1x144xf32>, tensor<5x144xf32>) -> tensor<1x5xf32>
  return %2 : tensor<1x5xf32>
}

// -----

// What one loop stacks and another reads in slices, as a train step does with
// its layers: neither moves it.
// CHECK-LABEL: func.func @stacked
// CHECK-NOT: lathe.transpose
// CHECK: lathe.scan {{.*}} -> (tensor<1x64x4x32xf32>, tensor<3x1x64x4x32xf32>)
// CHECK-NOT: lathe.transpose
// CHECK: lathe.scan {{.*}} : (tensor<1x64x4x32xf32>, tensor<3x1x64x4x32xf32>) -> tensor<1x64x4x32xf32>
// CHECK-NOT: lathe.transpose
// CHECK: return
func.func @stacked(%x: tensor<1x64x4x32xf32>) -> tensor<1x64x4x32xf32> {
  %r:2 = lathe.scan init(%h = %x) {trip_count = 3} : (tensor<1x64x4x32xf32>) -> (tensor<1x64x4x32xf32>, tensor<3x1x4x64x32xf32>) {
    %0 = lathe.transpose %h {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x64x4x32xf32>) -> tensor<1x4x64x32xf32>
    // expected-remark @below {{transposes move 0 bytes instead of 589824}}
    %1 = lathe.attention %0, %0, %0 : (tensor<1x4x64x32xf32>, tensor<1x4x64x32xf32>, tensor<1x4x64x32xf32>) -> tensor<1x4x64x32xf32>
    %2 = lathe.transpose %1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x4x64x32xf32>) -> tensor<1x64x4x32xf32>
    lathe.yield %2, %1 : tensor<1x64x4x32xf32>, tensor<1x4x64x32xf32>
  }
  %s = lathe.scan init(%h = %r#0) inputs(%i = %r#1) : (tensor<1x64x4x32xf32>, tensor<3x1x4x64x32xf32>) -> tensor<1x64x4x32xf32> {
    %0 = lathe.exp %i : (tensor<1x4x64x32xf32>) -> tensor<1x4x64x32xf32>
    %1 = lathe.transpose %0 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x4x64x32xf32>) -> tensor<1x64x4x32xf32>
    %2 = lathe.add %h, %1 : (tensor<1x64x4x32xf32>, tensor<1x64x4x32xf32>) -> tensor<1x64x4x32xf32>
    lathe.yield %2 : tensor<1x64x4x32xf32>
  }
  return %s : tensor<1x64x4x32xf32>
}

// -----

// What is saved and what moves is a matter of sizes. Of an op that has no
// preference there is nothing to say.
// CHECK-LABEL: func.func @open
// CHECK-NOT: lathe.transpose
// CHECK: return
func.func @open(%x: tensor<?x3x8x8xf32>, %f: tensor<4x3x3x3xf32>, %q: tensor<1x4x?x32xf32>) -> (tensor<?x4x6x6xf32>, tensor<1x4x?x32xf32>) {
  // expected-remark @below {{keeps its layout: has open sizes: specialize them first}}
  %0 = lathe.conv %x, %f : (tensor<?x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<?x4x6x6xf32>
  %1 = lathe.relu %0 : (tensor<?x4x6x6xf32>) -> tensor<?x4x6x6xf32>
  // expected-remark @below {{keeps its layout: has open sizes: specialize them first}}
  %2 = lathe.attention %q, %q, %q : (tensor<1x4x?x32xf32>, tensor<1x4x?x32xf32>, tensor<1x4x?x32xf32>) -> tensor<1x4x?x32xf32>
  return %1, %2 : tensor<?x4x6x6xf32>, tensor<1x4x?x32xf32>
}
