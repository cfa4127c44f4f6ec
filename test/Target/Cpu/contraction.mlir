// RUN: %lathe compile %s --emit memref --isa avx512 | FileCheck %s
// REQUIRES: cpu-avx512f

// Two tiles of 12 rows by three panels of 32 columns. Every k reads two vectors of
// the panel and one element per row; bias and relu are applied in registers.
// CHECK-LABEL: kernel packed_matmul_add_relu (contraction, 6 work items, 0 bytes of scratch)
// CHECK: scf.for %{{.*}} = %arg5 to %arg6
// CHECK: scf.for {{.*}} iter_args
// CHECK-COUNT-2: vector.load %{{.*}} : memref<6144xf32>, vector<16xf32>
// CHECK: memref.load %{{.*}} : memref<1536xf32>
// CHECK-NEXT: vector.broadcast
// CHECK-NEXT: vector.fma
// CHECK-NEXT: vector.fma
// CHECK: scf.yield
// CHECK: vector.load %{{.*}} : memref<96xf32>
// CHECK: vector.store %{{.*}} : memref<2304xf32>

// A long epilogue is a loop over the rows of a tile in scratch memory: 12 * 32 * 4
// bytes. 40 columns: the second panel's lanes beyond them are masked.
// CHECK-LABEL: kernel packed_matmul_gelu (contraction, 4 work items, 1536 bytes of scratch)
// CHECK: vector.fma
// CHECK: scf.yield
// CHECK: scf.for
// CHECK: vector.maskedstore
module {
  func.func @main(%x: tensor<24x64xf32>, %w: tensor<3x64x32xf32>, %b: tensor<96xf32>,
                  %v: tensor<2x64x32xf32>) -> (tensor<24x96xf32>, tensor<24x40xf32>) {
    %0 = lathe.packed_matmul %x, %w {n = 96 : i64} : (tensor<24x64xf32>, tensor<3x64x32xf32>) -> tensor<24x96xf32>
    %1 = lathe.add %0, %b : (tensor<24x96xf32>, tensor<96xf32>) -> tensor<24x96xf32>
    %2 = lathe.relu %1 : (tensor<24x96xf32>) -> tensor<24x96xf32>
    %3 = lathe.packed_matmul %x, %v {n = 40 : i64} : (tensor<24x64xf32>, tensor<2x64x32xf32>) -> tensor<24x40xf32>
    %4 = lathe.gelu %3 : (tensor<24x40xf32>) -> tensor<24x40xf32>
    return %2, %4 : tensor<24x96xf32>, tensor<24x40xf32>
  }
}
