// RUN: %lathe compile %s --emit memref --isa avx512 | FileCheck %s
// REQUIRES: cpu-avx512f

// Rows that are 4 KiB apart lie in the same places of a first-level cache: tiles have
// 6 rows by four vectors, not 14 by two. What the epilogue will read and write is
// fetched before the sums are made: 6 rows of 4 lines each, twice.
// CHECK-LABEL: kernel packed_matmul_add (contraction, 8 work items
// CHECK: memref.prefetch %{{.*}}, read, locality<2>, data : memref<3072xf32>
// CHECK-COUNT-47: memref.prefetch
// CHECK-NOT: memref.prefetch
// CHECK: %{{.*}}:24 = scf.for

// With another distance they are as ever.
// CHECK-LABEL: kernel packed_matmul (contraction, 8 work items
// CHECK-COUNT-24: memref.prefetch
// CHECK-NOT: memref.prefetch
// CHECK: %{{.*}}:24 = scf.for

// So are pixels of a convolution.
// CHECK-LABEL: kernel packed_conv (convolution, 32 work items
// CHECK: %{{.*}}:20 = scf.for

// Pixels of few channels share lines, which is as good as can be.
// CHECK-LABEL: kernel packed_conv (convolution, 28 work items
// CHECK: %{{.*}}:28 = scf.for
module {
  func.func @main(%x: tensor<24x1024xf32>, %w: tensor<4x1024x32xf32>, %r: tensor<24x128xf32>,
                  %y: tensor<24x1000xf32>, %v: tensor<4x1000x32xf32>,
                  %i: tensor<1x15x20x512xf32>, %f: tensor<4x512x32xf32>,
                  %j: tensor<1x16x16x1xf32>, %g: tensor<2x9x32xf32>)
      -> (tensor<24x128xf32>, tensor<24x128xf32>, tensor<1x8x10x128xf32>, tensor<1x14x14x64xf32>) {
    %0 = lathe.packed_matmul %x, %w {n = 128 : i64} : (tensor<24x1024xf32>, tensor<4x1024x32xf32>) -> tensor<24x128xf32>
    %1 = lathe.add %0, %r : (tensor<24x128xf32>, tensor<24x128xf32>) -> tensor<24x128xf32>
    %2 = lathe.packed_matmul %y, %v {n = 128 : i64} : (tensor<24x1000xf32>, tensor<4x1000x32xf32>) -> tensor<24x128xf32>
    %3 = lathe.packed_conv %i, %f {kernel = array<i64: 1, 1>, strides = array<i64: 2, 2>, out_channels = 128 : i64}
        : (tensor<1x15x20x512xf32>, tensor<4x512x32xf32>) -> tensor<1x8x10x128xf32>
    %4 = lathe.packed_conv %j, %g {kernel = array<i64: 3, 3>, out_channels = 64 : i64}
        : (tensor<1x16x16x1xf32>, tensor<2x9x32xf32>) -> tensor<1x14x14x64xf32>
    return %1, %2, %3, %4 : tensor<24x128xf32>, tensor<24x128xf32>, tensor<1x8x10x128xf32>, tensor<1x14x14x64xf32>
  }
}
