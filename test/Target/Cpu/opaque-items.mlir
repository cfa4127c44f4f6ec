// RUN: lathe compile %s --emit memref --isa avx2 | FileCheck %s

// Rows of a table are added to in the order of the updates; columns have nothing
// to do with each other, so 64 of them are a work item.
// CHECK: kernel scatter_nd (opaque, 4 work items, 0 bytes of scratch)
// CHECK: scf.for %[[ITEM:.*]] = %{{.*}} to %{{.*}} step
// CHECK: %[[BEGIN:.*]] = arith.muli %[[ITEM]]
// CHECK: %[[END:.*]] = arith.minsi
// CHECK: scf.for %{{.*}} = %[[BEGIN]] to %[[END]]
// CHECK: scf.for %{{.*}} = %[[BEGIN]] to %[[END]]
// Images of a pad: as many as there are.
// CHECK: kernel pad (opaque, 8 work items
// Prefixes of a sum depend on those before.
// CHECK: kernel cumsum (opaque, 1 work items
func.func @main(%x: tensor<2048x256xf32>, %i: tensor<16x1xi64>, %u: tensor<16x256xf32>, %y: tensor<8x64x62x8xf32>, %z: tensor<100000xf32>)
    -> (tensor<2048x256xf32>, tensor<8x64x64x8xf32>, tensor<100000xf32>) {
  %0 = lathe.scatter_nd %x, %i, %u {mode = 1 : i32} : (tensor<2048x256xf32>, tensor<16x1xi64>, tensor<16x256xf32>) -> tensor<2048x256xf32>
  %1 = lathe.pad %y {low = array<i64: 0, 0, 1, 0>, high = array<i64: 0, 0, 1, 0>} : (tensor<8x64x62x8xf32>) -> tensor<8x64x64x8xf32>
  %2 = lathe.cumsum %z {axis = 0 : i64} : (tensor<100000xf32>) -> tensor<100000xf32>
  return %0, %1, %2 : tensor<2048x256xf32>, tensor<8x64x64x8xf32>, tensor<100000xf32>
}
