// RUN: %lathe compile %s --emit memref --isa avx512 | FileCheck %s
// REQUIRES: cpu-avx512f

// Four blocks of 32 queries for each of two heads. The views around become strides
// (a key is 128 elements from the next), scores of 256 keys by 32 queries are the
// most that is ever kept, and keys beyond the diagonal are skipped.
// CHECK-LABEL: kernel attention (attention, 8 work items,
// CHECK-NOT: memref<512x
// CHECK-NOT: memref.alloc
// CHECK: vector.shuffle
// CHECK: vector.fma
// CHECK: math.exp
// CHECK: vector.fma
// CHECK: arith.divf
// CHECK: vector.store %{{.*}} : memref<16384xf32>
func.func @main(%q: tensor<1x128x128xf32>, %k: tensor<1x512x128xf32>, %v: tensor<1x512x128xf32>) -> tensor<1x128x128xf32> {
  %q1 = lathe.reshape %q {shape = array<i64: 1, 128, 2, 64>} : (tensor<1x128x128xf32>) -> tensor<1x128x2x64xf32>
  %q2 = lathe.transpose %q1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x128x2x64xf32>) -> tensor<1x2x128x64xf32>
  %k1 = lathe.reshape %k {shape = array<i64: 1, 512, 2, 64>} : (tensor<1x512x128xf32>) -> tensor<1x512x2x64xf32>
  %k2 = lathe.transpose %k1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x512x2x64xf32>) -> tensor<1x2x512x64xf32>
  %v1 = lathe.reshape %v {shape = array<i64: 1, 512, 2, 64>} : (tensor<1x512x128xf32>) -> tensor<1x512x2x64xf32>
  %v2 = lathe.transpose %v1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x512x2x64xf32>) -> tensor<1x2x512x64xf32>
  %0 = lathe.attention %q2, %k2, %v2 {causal} : (tensor<1x2x128x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> tensor<1x2x128x64xf32>
  %1 = lathe.transpose %0 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x2x128x64xf32>) -> tensor<1x128x2x64xf32>
  %2 = lathe.reshape %1 {shape = array<i64: 1, 128, 128>} : (tensor<1x128x2x64xf32>) -> tensor<1x128x128xf32>
  return %2 : tensor<1x128x128xf32>
}
