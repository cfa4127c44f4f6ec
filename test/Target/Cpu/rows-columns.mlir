// RUN: lathe compile %s --emit memref --isa avx2 | FileCheck %s

// A sum over the leading dim: lanes run along the columns, and four vectors of
// columns are summed side by side, each in one register.
// CHECK: rows
// CHECK-LABEL: func.func
// CHECK: scf.for {{.*}} iter_args({{.*}}) -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
// CHECK: vector.load
// CHECK: arith.addf %{{.*}} : vector<8xf32>
// CHECK-NOT: vector.shuffle
// CHECK: return
func.func @main(%x: tensor<50x256xf32>) -> tensor<256xf32> {
  %0 = lathe.reduce_sum %x {axes = array<i64: 0>} : (tensor<50x256xf32>) -> tensor<256xf32>
  return %0 : tensor<256xf32>
}
