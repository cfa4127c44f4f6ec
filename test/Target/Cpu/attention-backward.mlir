// RUN: %lathe compile %s --emit memref --isa avx512 | FileCheck %s
// REQUIRES: cpu-avx512f

// The forward part writes the log-sum-exp beside its result.
// CHECK-LABEL: kernel attention_training (attention, 48 work items,
// CHECK: math.log
// CHECK: vector.maskedstore %{{.*}} : memref<1536xf32>

// A work item per key head, of which there are 12. Weights are made again, 32 keys
// by 32 queries at a time; blocks of keys beyond the diagonal are skipped.
// CHECK-LABEL: kernel attention_backward (attention, 12 work items,
// CHECK-NOT: memref.alloc
// CHECK: memref.view %{{.*}} to memref<1024xf32>
// CHECK: vector.shuffle
// CHECK: scf.if
// CHECK: vector.fma
// CHECK: math.exp
// CHECK: vector.fma

// Few heads: a work item for each of 4 blocks of queries, and of 4 blocks of keys.
// CHECK-LABEL: kernel attention_backward (attention, 8 work items,
func.func @main(%x: tensor<3x128x4x32xf32>, %g: tensor<3x4x128x32xf32>, %d: tensor<3x4x128xf32>, %y: tensor<1x1x128x64xf32>, %r: tensor<1x1x128xf32>)
    -> (tensor<3x4x128x32xf32>, tensor<3x128x4x32xf32>, tensor<3x4x128x32xf32>, tensor<3x4x128x32xf32>, tensor<1x1x128x64xf32>, tensor<1x1x128x64xf32>, tensor<1x1x128x64xf32>) {
  %0 = lathe.transpose %x {permutation = array<i64: 0, 2, 1, 3>} : (tensor<3x128x4x32xf32>) -> tensor<3x4x128x32xf32>
  %1:2 = lathe.attention_training %0, %g, %g {causal} : (tensor<3x4x128x32xf32>, tensor<3x4x128x32xf32>, tensor<3x4x128x32xf32>) -> (tensor<3x4x128x32xf32>, tensor<3x4x128xf32>)
  %2:3 = lathe.attention_backward %0, %g, %g, %g, %1#1, %d {causal} : (tensor<3x4x128x32xf32>, tensor<3x4x128x32xf32>, tensor<3x4x128x32xf32>, tensor<3x4x128x32xf32>, tensor<3x4x128xf32>, tensor<3x4x128xf32>) -> (tensor<3x4x128x32xf32>, tensor<3x4x128x32xf32>, tensor<3x4x128x32xf32>)
  %3 = lathe.transpose %2#0 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<3x4x128x32xf32>) -> tensor<3x128x4x32xf32>
  %4:3 = lathe.attention_backward %y, %y, %y, %y, %r, %r : (tensor<1x1x128x64xf32>, tensor<1x1x128x64xf32>, tensor<1x1x128x64xf32>, tensor<1x1x128x64xf32>, tensor<1x1x128xf32>, tensor<1x1x128xf32>) -> (tensor<1x1x128x64xf32>, tensor<1x1x128x64xf32>, tensor<1x1x128x64xf32>)
  return %1#0, %3, %2#1, %2#2, %4#0, %4#1, %4#2 : tensor<3x4x128x32xf32>, tensor<3x128x4x32xf32>, tensor<3x4x128x32xf32>, tensor<3x4x128x32xf32>, tensor<1x1x128x64xf32>, tensor<1x1x128x64xf32>, tensor<1x1x128x64xf32>
}
