// RUN: lathe compile %s --emit memref --isa avx2 | FileCheck %s

// Items are rows. A row's maximum and sum stay in registers, its exponentials in
// the scratch; lanes run along the row.
// CHECK: rows
// CHECK-LABEL: func.func
// CHECK-SAME: %{{.*}}: memref<6x100xf32>, %{{.*}}: memref<6x100xf32>, %[[SCRATCH:.*]]: memref<?xi8>, %[[BEGIN:.*]]: index, %[[END:.*]]: index
// CHECK: %[[ROW:.*]] = memref.view %[[SCRATCH]][%{{.*}}][] : memref<?xi8> to memref<100xf32>
// CHECK: scf.for %{{.*}} = %[[BEGIN]] to %[[END]]
// Four accumulators side by side for the maximum, joined in a tree.
// CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
// CHECK: vector.shuffle
// CHECK: math.exp %{{.*}} : vector<8xf32>
// CHECK: vector.store %{{.*}}, %[[ROW]]
// CHECK: arith.divf %{{.*}} : vector<8xf32>
// CHECK-NOT: memref.alloc
// CHECK: return
func.func @main(%x: tensor<6x100xf32>) -> tensor<6x100xf32> {
  %0 = lathe.softmax %x {axis = -1 : i64} : (tensor<6x100xf32>) -> tensor<6x100xf32>
  return %0 : tensor<6x100xf32>
}
