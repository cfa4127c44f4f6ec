// RUN: %lathe compile %s --emit memref --isa avx512 | FileCheck %s
// RUN: %lathe compile %s --emit asm --isa amx | FileCheck %s --check-prefix=AMX
// RUN: %lathe compile %s --emit asm --isa avx512-bf16 | FileCheck %s --check-prefix=DOTS
// REQUIRES: cpu-avx512f

// Few rows: a vector of pairs is two vectors of f32, by a shift and a mask.
// CHECK-LABEL: kernel packed_matmul_cast (contraction
// CHECK: vector.load %{{.*}} : memref<4096xbf16>, vector<32xbf16>
// CHECK: vector.bitcast %{{.*}} : vector<32xbf16> to vector<16xi32>
// CHECK: arith.shli
// CHECK: arith.andi
// CHECK-NOT: arith.extf {{.*}} vector<16xbf16>

// Tiles take bf16 as it lies, on both sides.
// AMX-LABEL: kernel packed_matmul_cast
// AMX: ldtilecfg
// AMX: tilezero
// AMX-NOT: vpmovzxwd
// AMX: tileloadd
// AMX-COUNT-4: tdpbf16ps
// AMX-COUNT-4: tilestored
// AMX: tilerelease

// Where the processor multiplies pairs itself, they are read as they lie: a row's in all
// lanes, a panel's from memory.
// DOTS-LABEL: kernel packed_matmul_cast
// DOTS-NOT: vpmovzxwd
// DOTS-NOT: vpslld
// DOTS: vbroadcastss
// DOTS: vdpbf16ps
module {
  func.func @main(%x: tensor<24x64xbf16>, %w: tensor<2x32x32x2xbf16>) -> tensor<24x64xf32> {
    %0 = lathe.packed_matmul %x, %w {n = 64 : i64} : (tensor<24x64xbf16>, tensor<2x32x32x2xbf16>) -> tensor<24x64xbf16>
    %1 = lathe.cast %0 to f32 : (tensor<24x64xbf16>) -> tensor<24x64xf32>
    return %1 : tensor<24x64xf32>
  }
}
