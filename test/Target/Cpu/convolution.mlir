// RUN: %lathe compile %s --emit memref --isa avx512 | FileCheck %s
// REQUIRES: cpu-avx512f

// Output rows of 14 pixels are tiles; loops over the window's rows, and over its
// columns with the channels at once, carry the 28 sums.
// CHECK-LABEL: kernel packed_conv_relu (convolution, 28 work items, 0 bytes of scratch)
// CHECK: %{{.*}}:28 = scf.for %{{.*}} = %c0{{.*}} to %c3
// CHECK: %{{.*}}:28 = scf.for %{{.*}} = %c0{{.*}} to %c24
// CHECK: vector.fma

// Depthwise: channels along lanes, the filter of 16 channels in scratch.
// CHECK-LABEL: kernel conv (convolution, 32 work items, 576 bytes of scratch)
// CHECK: vector.fma
module {
  func.func @main(%x: tensor<1x16x16x8xf32>, %w: tensor<2x72x32xf32>,
                  %y: tensor<1x16x16x32xf32>, %f: tensor<32x1x3x3xf32>)
      -> (tensor<1x14x14x64xf32>, tensor<1x16x16x32xf32>) {
    %0 = lathe.packed_conv %x, %w {kernel = array<i64: 3, 3>, out_channels = 64 : i64}
        : (tensor<1x16x16x8xf32>, tensor<2x72x32xf32>) -> tensor<1x14x14x64xf32>
    %1 = lathe.relu %0 : (tensor<1x14x14x64xf32>) -> tensor<1x14x14x64xf32>
    %2 = lathe.conv %y, %f {groups = 32 : i64, layout = 1 : i32,
        pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>}
        : (tensor<1x16x16x32xf32>, tensor<32x1x3x3xf32>) -> tensor<1x16x16x32xf32>
    return %1, %2 : tensor<1x14x14x64xf32>, tensor<1x16x16x32xf32>
  }
}
