// RUN: %lathe compile %s --emit memref --isa avx512-vnni | FileCheck %s
// RUN: %lathe compile %s --emit asm --isa avx512-vnni | FileCheck %s --check-prefix=VNNI
// RUN: %lathe compile %s --emit asm --isa avx2 | FileCheck %s --check-prefix=AVX2
// RUN: %lathe compile %s --emit asm --isa amx | FileCheck %s --check-prefix=AMX
// REQUIRES: cpu-avx512f

// Two tiles of 12 rows by two panels. A step of the depth is 4 bytes: two vectors of
// 64 bytes of the panel, and 4 bytes of each row in all lanes. Casts and scales are
// vector code in registers.
// CHECK-LABEL: kernel packed_matmul_cast_mul (contraction, 4 work items, 0 bytes of scratch)
// CHECK-COUNT-2: vector.load %{{.*}} : memref<4096xi8>, vector<64xi8>
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"
// CHECK: arith.sitofp %{{.*}} : vector<16xi32> to vector<16xf32>
// CHECK: vector.store %{{.*}} : memref<1536xf32>

// VNNI-LABEL: kernel packed_matmul_cast_mul
// VNNI: vpdpbusd
// VNNI: vcvtdq2ps
// AVX2-LABEL: kernel packed_matmul_cast_mul
// AVX2: vpmaddwd
// AVX2-NOT: vpmaddubsw

// One step of the tiles: two blocks of rows by two of columns, no other work on memory.
// AMX-LABEL: kernel packed_matmul_cast_mul
// AMX: ldtilecfg
// AMX: tilezero
// AMX: tileloadd
// AMX-COUNT-4: tdpbusd
// AMX-COUNT-4: tilestored
// AMX: tilerelease
module {
  func.func @main(%x: tensor<24x64xui8>, %w: tensor<2x16x32x4xi8>, %s: tensor<64xf32>) -> tensor<24x64xf32> {
    %0 = lathe.packed_matmul %x, %w {n = 64 : i64} : (tensor<24x64xui8>, tensor<2x16x32x4xi8>) -> tensor<24x64xi32>
    %1 = lathe.cast %0 to f32 : (tensor<24x64xi32>) -> tensor<24x64xf32>
    %2 = lathe.mul %1, %s : (tensor<24x64xf32>, tensor<64xf32>) -> tensor<24x64xf32>
    return %2 : tensor<24x64xf32>
  }
}
