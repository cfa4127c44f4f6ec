// RUN: %lathe compile %s --emit memref --isa amx | FileCheck %s
// RUN: %lathe compile %s --emit asm --isa amx | FileCheck %s --check-prefix=ASM
// REQUIRES: cpu-avx512f

// A depth of 3072 bytes in five parts of 9 or 10 steps: 12 tiles of 4 KiB wait, and are
// the sums that the next part starts at. The last part goes to the epilogue.
// CHECK-LABEL: kernel packed_matmul_cast (contraction, 12 work items, 53248 bytes of scratch)
// CHECK: llvm.x86.ldtilecfg
// CHECK: scf.for %{{.*}} = %c0{{.*}} to %c5{{.*}} step
// CHECK: arith.muli %{{.*}}, %c48
// CHECK-COUNT-4: llvm.x86.tileloadd64
// CHECK: scf.for
// CHECK-COUNT-4: llvm.call_intrinsic "llvm.x86.tdpbusd"
// CHECK: scf.if
// CHECK-COUNT-4: llvm.x86.tilestored64
// CHECK: arith.sitofp
// CHECK: } else {
// CHECK-COUNT-4: llvm.x86.tilestored64
// CHECK-NOT: llvm.x86.tilezero

// ASM-LABEL: kernel packed_matmul_cast
// ASM-NOT: tilezero
// ASM: tileloadd
// ASM-COUNT-4: tdpbusd
// ASM: tilerelease

// What fits into a first-level cache as a whole is not cut.
// CHECK-LABEL: kernel packed_matmul
// CHECK-COUNT-4: llvm.x86.tilezero
// CHECK-COUNT-4: llvm.call_intrinsic "llvm.x86.tdpbusd"
// CHECK-COUNT-4: llvm.x86.tilestored64
// CHECK-NOT: llvm.x86.tilestored64
module {
  func.func @main(%x: tensor<96x3072xui8>, %w: tensor<4x768x32x4xi8>, %y: tensor<96x768xui8>, %v: tensor<4x192x32x4xi8>)
      -> (tensor<96x128xf32>, tensor<96x128xi32>) {
    %0 = lathe.packed_matmul %x, %w {n = 128 : i64} : (tensor<96x3072xui8>, tensor<4x768x32x4xi8>) -> tensor<96x128xi32>
    %1 = lathe.cast %0 to f32 : (tensor<96x128xi32>) -> tensor<96x128xf32>
    %2 = lathe.packed_matmul %y, %v {n = 128 : i64} : (tensor<96x768xui8>, tensor<4x192x32x4xi8>) -> tensor<96x128xi32>
    return %1, %2 : tensor<96x128xf32>, tensor<96x128xi32>
  }
}
