// RUN: %lathe compile %s --emit memref --isa avx512 | FileCheck %s
// REQUIRES: cpu-avx512f

// The gradient of a weight: both operands are copied, 256 of the 1024 k at a
// time. 300 rows are 22 tiles of 13 or 14, in 2 chunks of 11; items of one chunk
// wait with their sums. Scratch: a panel of B (256 * 32), a chunk of A
// (11 * (256 * 16 + 16)) and the sums (44 * 14 * 32), times 4 bytes.
// CHECK-LABEL: kernel matmul (contraction, 44 work items, 292544 bytes of scratch)
// Chunks, runs, sums at zero, parts of the depth, items:
// CHECK: scf.for
// CHECK: scf.for
// CHECK: scf.for
// CHECK: vector.store {{.*}} memref<19712xf32>, vector<16xf32>
// CHECK: scf.for %{{.*}} = %c0{{.*}} to %c4
// CHECK: scf.for {{.*}} iter_args
// The sums go on where the part before left them.
// CHECK: vector.load {{.*}} memref<19712xf32>, vector<16xf32>
// CHECK: scf.for {{.*}} iter_args
// CHECK: vector.fma
// CHECK: scf.yield
// CHECK: scf.if
// CHECK: vector.store {{.*}} memref<19200xf32>, vector<16xf32>
// CHECK: else
// CHECK: vector.store {{.*}} memref<19712xf32>, vector<16xf32>

// A shallow one is done at once.
// CHECK-LABEL: kernel matmul (contraction, 44 work items, 32768 bytes of scratch)
module {
  func.func @main(%x: tensor<1024x300xf32>, %y: tensor<1024x64xf32>, %u: tensor<256x300xf32>,
                  %v: tensor<256x64xf32>) -> (tensor<300x64xf32>, tensor<300x64xf32>) {
    %0 = lathe.matmul %x, %y {transpose_lhs} : (tensor<1024x300xf32>, tensor<1024x64xf32>) -> tensor<300x64xf32>
    %1 = lathe.matmul %u, %v {transpose_lhs} : (tensor<256x300xf32>, tensor<256x64xf32>) -> tensor<300x64xf32>
    return %0, %1 : tensor<300x64xf32>, tensor<300x64xf32>
  }
}
