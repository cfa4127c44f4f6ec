// RUN: %lathe compile %s --emit memref --isa avx512 | FileCheck %s
// RUN: %lathe compile %s --emit memref --isa avx512-bf16 | FileCheck %s --check-prefix=DOTS
// REQUIRES: cpu-avx512f

// Lines of the image are widened to f32 in scratch, pairs of the filter in registers.
// CHECK-LABEL: kernel packed_conv_cast (convolution, 28 work items
// CHECK-NOT: , 0 bytes of scratch
// CHECK: vector.bitcast %{{.*}} : vector<32xbf16> to vector<16xi32>
// CHECK: arith.shli
// CHECK: vector.fma

// vdpbf16ps takes both as they lie: a step of the channels is two of them.
// DOTS-LABEL: kernel packed_conv_cast (convolution, 28 work items, 0 bytes of scratch)
// DOTS: %{{.*}}:28 = scf.for %{{.*}} = %c0{{.*}} to %c3
// DOTS: %{{.*}}:28 = scf.for %{{.*}} = %c0{{.*}} to %c12
// DOTS: vector.load %{{.*}} : memref<2048xbf16>, vector<2xbf16>
// DOTS: llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.512"
// DOTS-NOT: vector.fma
module {
  func.func @main(%x: tensor<1x16x16x8xbf16>, %w: tensor<2x36x32x2xbf16>) -> tensor<1x14x14x64xf32> {
    %0 = lathe.packed_conv %x, %w {kernel = array<i64: 3, 3>, out_channels = 64 : i64}
        : (tensor<1x16x16x8xbf16>, tensor<2x36x32x2xbf16>) -> tensor<1x14x14x64xbf16>
    %1 = lathe.cast %0 to f32 : (tensor<1x14x14x64xbf16>) -> tensor<1x14x14x64xf32>
    return %1 : tensor<1x14x14x64xf32>
  }
}
