// RUN: lathe compile %s --emit memref --isa avx2 | FileCheck %s

// What is no row program is done by the thread that has the first item; nothing
// is allocated, and the result is computed in place.
// CHECK: opaque
// CHECK-LABEL: func.func
// CHECK: %[[FIRST:.*]] = arith.cmpi eq
// CHECK: scf.if
// CHECK-NOT: memref.alloc
// CHECK: arith.addf
// CHECK: memref.store
// CHECK: return
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = lathe.cumsum %x {axis = 1 : i64} : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}
