// RUN: lathe compile %s --emit memref --isa avx2 | FileCheck %s

// The updates of two states are one kernel: items 0 to 2 are those of the first,
// item 3 is the second.
// CHECK: kernel updates_of_2 (rows, 4 work items
// CHECK-LABEL: func.func
// CHECK-SAME: %[[BEGIN:[a-z0-9]+]]: index, %[[END:[a-z0-9]+]]: index)
// CHECK: %[[FIRST:.*]] = arith.maxsi %[[BEGIN]], %
// CHECK: arith.minsi %[[END]], %
// CHECK: arith.subf %{{.*}} : vector<8xf32>
// CHECK: arith.maxsi %[[BEGIN]], %
// CHECK: arith.minsi %[[END]], %
// CHECK: arith.subf %{{.*}} : vector<8xf32>
lathe.parameter @a : tensor<10000xf32> {mutable, init = #lathe.init<zeros>}
lathe.parameter @b : tensor<8x8xf32> {mutable, init = #lathe.init<zeros>}
func.func @main(%g: tensor<10000xf32> {lathe.name = "g"}, %h: tensor<8x8xf32> {lathe.name = "h"}) {
  %a = lathe.get_parameter @a : tensor<10000xf32>
  %b = lathe.get_parameter @b : tensor<8x8xf32>
  %0 = lathe.sub %a, %g : (tensor<10000xf32>, tensor<10000xf32>) -> tensor<10000xf32>
  lathe.set_parameter @a, %0 : tensor<10000xf32>
  %1 = lathe.sub %b, %h : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  lathe.set_parameter @b, %1 : tensor<8x8xf32>
  return
}
