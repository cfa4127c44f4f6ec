// RUN: lathe-opt %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func.func @conv
func.func @conv(%x: tensor<?x6x32x?xf32>, %f: tensor<8x3x3x5xf32>, %b: tensor<8xf32>) {
  // CHECK: lathe.conv %{{.*}}, %{{.*}} {groups = 2 : i64} : (tensor<?x6x32x?xf32>, tensor<8x3x3x5xf32>) -> tensor<?x8x30x?xf32>
  %0 = lathe.conv %x, %f {groups = 2 : i64} : (tensor<?x6x32x?xf32>, tensor<8x3x3x5xf32>) -> tensor<?x8x30x?xf32>
  // CHECK: lathe.conv %{{.*}}, %{{.*}}, %{{.*}} {dilations = array<i64: 2, 1>, groups = 2 : i64, pad_high = array<i64: 2, 2>, pad_low = array<i64: 1, 2>, strides = array<i64: 2, 1>}
  // CHECK-SAME: -> tensor<?x8x16x?xf32>
  %1 = lathe.conv %x, %f, %b {groups = 2 : i64, strides = array<i64: 2, 1>, dilations = array<i64: 2, 1>,
                              pad_low = array<i64: 1, 2>, pad_high = array<i64: 2, 2>}
      : (tensor<?x6x32x?xf32>, tensor<8x3x3x5xf32>, tensor<8xf32>) -> tensor<?x8x16x?xf32>
  return
}

// CHECK-LABEL: func.func @conv_other_ranks
func.func @conv_other_ranks(%x: tensor<1x2x9xf32>, %f: tensor<4x2x3xf32>, %y: tensor<1x4x4x4x2xf32>, %g: tensor<3x2x2x2x2xf32>) {
  // CHECK: -> tensor<1x4x7xf32>
  %0 = lathe.conv %x, %f : (tensor<1x2x9xf32>, tensor<4x2x3xf32>) -> tensor<1x4x7xf32>
  // CHECK: lathe.conv %{{.*}}, %{{.*}} {layout = 1 : i32} : {{.*}} -> tensor<1x3x3x3x3xf32>
  %1 = lathe.conv %y, %g {layout = 1 : i32} : (tensor<1x4x4x4x2xf32>, tensor<3x2x2x2x2xf32>) -> tensor<1x3x3x3x3xf32>
  return
}

// CHECK-LABEL: func.func @packed_conv
func.func @packed_conv(%x: tensor<1x10x10x4xf32>, %f: tensor<2x36x32xf32>) {
  // CHECK: lathe.packed_conv
  // CHECK-SAME: -> tensor<1x8x8x40xf32>
  %0 = lathe.packed_conv %x, %f {kernel = array<i64: 3, 3>, out_channels = 40 : i64}
      : (tensor<1x10x10x4xf32>, tensor<2x36x32xf32>) -> tensor<1x8x8x40xf32>
  return
}

// CHECK-LABEL: func.func @conv_transpose
func.func @conv_transpose(%x: tensor<1x4x5x7xf32>, %f: tensor<4x3x3x2xf32>) {
  // (5 - 1) * 2 + 3 - 1 - 1 + 1 = 10; (7 - 1) * 3 + 2 = 20
  // CHECK: -> tensor<1x6x10x20xf32>
  %0 = lathe.conv_transpose %x, %f {groups = 2 : i64, strides = array<i64: 2, 3>, pad_low = array<i64: 1, 0>,
                                    pad_high = array<i64: 1, 0>, output_padding = array<i64: 1, 0>}
      : (tensor<1x4x5x7xf32>, tensor<4x3x3x2xf32>) -> tensor<1x6x10x20xf32>
  return
}

// CHECK-LABEL: func.func @pools
func.func @pools(%x: tensor<1x3x8x7xf32>, %y: tensor<1x8x7x3xf32>) {
  // CHECK: lathe.max_pool %{{.*}} {kernel = array<i64: 3, 2>, strides = array<i64: 2, 2>} : (tensor<1x3x8x7xf32>) -> tensor<1x3x3x3xf32>
  %0 = lathe.max_pool %x {kernel = array<i64: 3, 2>, strides = array<i64: 2, 2>} : (tensor<1x3x8x7xf32>) -> tensor<1x3x3x3xf32>
  // CHECK: ceil_mode
  // CHECK-SAME: -> tensor<1x3x4x4xf32>
  %1 = lathe.max_pool %x {kernel = array<i64: 3, 2>, strides = array<i64: 2, 2>, ceil_mode} : (tensor<1x3x8x7xf32>) -> tensor<1x3x4x4xf32>
  // A last window that would start in the padding does not count.
  // CHECK: -> tensor<1x3x3x4xf32>
  %2 = lathe.avg_pool %x {kernel = array<i64: 2, 2>, strides = array<i64: 3, 2>, pad_low = array<i64: 0, 0>, pad_high = array<i64: 2, 1>, ceil_mode, count_include_pad}
      : (tensor<1x3x8x7xf32>) -> tensor<1x3x3x4xf32>
  // CHECK: -> (tensor<1x3x7x6xf32>, tensor<1x3x7x6xi64>)
  %3:2 = lathe.max_pool_with_index %x {kernel = array<i64: 2, 2>} : (tensor<1x3x8x7xf32>) -> (tensor<1x3x7x6xf32>, tensor<1x3x7x6xi64>)
  // CHECK: layout = 1 : i32
  // CHECK-SAME: -> tensor<1x7x6x3xf32>
  %4 = lathe.avg_pool %y {kernel = array<i64: 2, 2>, layout = 1 : i32} : (tensor<1x8x7x3xf32>) -> tensor<1x7x6x3xf32>
  return
}

// CHECK-LABEL: func.func @resize
func.func @resize(%x: tensor<1x3x8x?xf32>) {
  // CHECK: lathe.resize %{{.*}} {mode = 1 : i32, scales = array<f64: 1.000000e+00, 1.000000e+00, 2.500000e+00, 2.000000e+00>} : (tensor<1x3x8x?xf32>) -> tensor<1x3x20x?xf32>
  %0 = lathe.resize %x {mode = 1 : i32, scales = array<f64: 1.0, 1.0, 2.5, 2.0>} : (tensor<1x3x8x?xf32>) -> tensor<1x3x20x?xf32>
  // CHECK: -> tensor<1x3x4x9xf32>
  %1 = lathe.resize %x {sizes = array<i64: 1, 3, 4, 9>} : (tensor<1x3x8x?xf32>) -> tensor<1x3x4x9xf32>
  return
}

// CHECK-LABEL: func.func @max_pool_gradient
func.func @max_pool_gradient(%x: tensor<2x3x7x8xf32>, %g: tensor<2x3x3x4xf32>, %y: tensor<2x?x8x3xf32>, %h: tensor<2x3x4x3xf32>) {
  // CHECK: lathe.max_pool_gradient %{{.*}}, %{{.*}} {kernel = array<i64: 2, 2>} : (tensor<2x3x7x8xf32>, tensor<2x3x3x4xf32>) -> tensor<2x3x7x8xf32>
  %0 = lathe.max_pool_gradient %x, %g {kernel = array<i64: 2, 2>} : (tensor<2x3x7x8xf32>, tensor<2x3x3x4xf32>) -> tensor<2x3x7x8xf32>
  // CHECK: lathe.max_pool_gradient %{{.*}}, %{{.*}} {kernel = array<i64: 2, 2>, layout = 1 : i32}
  %1 = lathe.max_pool_gradient %y, %h {kernel = array<i64: 2, 2>, layout = 1 : i32} : (tensor<2x?x8x3xf32>, tensor<2x3x4x3xf32>) -> tensor<2x?x8x3xf32>
  return
}
