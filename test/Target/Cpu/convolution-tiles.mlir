// RUN: %lathe compile %s --emit memref --isa amx | FileCheck %s
// RUN: %lathe compile %s --emit asm --isa amx | FileCheck %s --check-prefix=ASM
// REQUIRES: cpu-avx512f

// Lines of 33 pixels of 64 bytes: tiles of 17 and of 16 by two panels, each with the one
// shape of the registers (16 rows and 1). A line of the window is one run: 3 steps.
// CHECK-LABEL: kernel packed_conv_cast (convolution, 112 work items, 2176 bytes of scratch)
// CHECK: memref.global {{.*}}.tiles : memref<64xi8> = dense<[1, {{.*}}, 16, 16, 1, 1, 16, 1, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0]>
// CHECK: llvm.x86.ldtilecfg
// CHECK: scf.for
// CHECK-NOT: llvm.x86.ldtilecfg
// CHECK: scf.if
// CHECK: llvm.x86.tilezero
// CHECK: scf.for %{{.*}} = %c0{{.*}} to %c3{{.*}} step
// CHECK: arith.muli %{{.*}}, %c2240
// CHECK: scf.for %{{.*}} = %c0{{.*}} to %c3{{.*}} step
// CHECK: llvm.call_intrinsic "llvm.x86.tdpbusd"
// CHECK-NOT: vpdpbusd
// CHECK: llvm.x86.tilestored64

// ASM-LABEL: kernel packed_conv_cast
// ASM: ldtilecfg
// ASM-NOT: ldtilecfg
// ASM: tilezero
// ASM: tileloadd
// ASM: tdpbusd
// ASM-COUNT-4: tilestored
// ASM: tilerelease

// Places of the window that lie apart, of bf16: two lines of 12 pixels in a tile.
// CHECK-LABEL: kernel packed_conv_cast
// CHECK-SAME: (convolution, 6 work items, 3072 bytes of scratch)
// CHECK: 12, 12, 12, 12, 12, 12, 16, 16, 0
// CHECK: llvm.call_intrinsic "llvm.x86.tdpbf16ps"

// 32 channels of bytes in a window of one column: half a step, which vectors do.
// CHECK-LABEL: kernel packed_conv
// CHECK-NOT: x86.tdp
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"
// CHECK-NOT: x86.tdp

// Lines of 4 pixels, which would fill a quarter of a register.
// CHECK-LABEL: kernel packed_conv
// CHECK-NOT: x86.tdp
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"
// CHECK-NOT: x86.tdp
module {
  func.func @main(%x: tensor<2x16x35x64xui8>, %w: tensor<2x144x32x4xi8>,
                  %p: tensor<1x16x16x32xbf16>, %q: tensor<1x144x32x2xbf16>,
                  %t: tensor<1x16x16x32xui8>, %u: tensor<1x24x32x4xi8>,
                  %c: tensor<1x6x6x64xui8>, %d: tensor<1x144x32x4xi8>)
      -> (tensor<2x14x33x64xf32>, tensor<1x12x12x32xf32>, tensor<1x14x16x32xi32>, tensor<1x4x4x32xi32>) {
    %0 = lathe.packed_conv %x, %w {kernel = array<i64: 3, 3>, out_channels = 64 : i64}
        : (tensor<2x16x35x64xui8>, tensor<2x144x32x4xi8>) -> tensor<2x14x33x64xi32>
    %1 = lathe.cast %0 to f32 : (tensor<2x14x33x64xi32>) -> tensor<2x14x33x64xf32>
    %2 = lathe.packed_conv %p, %q {kernel = array<i64: 3, 3>, dilations = array<i64: 2, 2>, out_channels = 32 : i64}
        : (tensor<1x16x16x32xbf16>, tensor<1x144x32x2xbf16>) -> tensor<1x12x12x32xbf16>
    %3 = lathe.cast %2 to f32 : (tensor<1x12x12x32xbf16>) -> tensor<1x12x12x32xf32>
    %4 = lathe.packed_conv %t, %u {kernel = array<i64: 3, 1>, out_channels = 32 : i64}
        : (tensor<1x16x16x32xui8>, tensor<1x24x32x4xi8>) -> tensor<1x14x16x32xi32>
    %5 = lathe.packed_conv %c, %d {kernel = array<i64: 3, 3>, out_channels = 32 : i64}
        : (tensor<1x6x6x64xui8>, tensor<1x144x32x4xi8>) -> tensor<1x4x4x32xi32>
    return %1, %3, %4, %5 : tensor<2x14x33x64xf32>, tensor<1x12x12x32xf32>, tensor<1x14x16x32xi32>, tensor<1x4x4x32xi32>
  }
}
