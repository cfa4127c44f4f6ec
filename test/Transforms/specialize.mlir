// RUN: split-file %s %t
// RUN: lathe-opt %t/sizes.mlir -lathe-specialize="shapes=2x8" | FileCheck %t/sizes.mlir
// RUN: lathe-opt %t/names.mlir -lathe-specialize="dims=batch=3,sequence=5" | FileCheck %t/names.mlir
// What the shape of one argument tells of a name holds for the others.
// RUN: lathe-opt %t/names.mlir -lathe-specialize="shapes=3x5" | FileCheck %t/names.mlir
// RUN: lathe-opt %t/shapes.mlir -lathe-specialize="shapes=4x6" | FileCheck %t/shapes.mlir
// RUN: lathe-opt %t/calls.mlir -lathe-specialize="shapes=4" | FileCheck %t/calls.mlir
// RUN: lathe-opt %t/loops.mlir -lathe-specialize="shapes=4x2;3x2x2" | FileCheck %t/loops.mlir
// RUN: lathe-opt %t/branches.mlir -lathe-specialize="shapes=4;" | FileCheck %t/branches.mlir
// RUN: lathe-opt %t/never.mlir -lathe-specialize="shapes=0x2" | FileCheck %t/never.mlir

//--- never.mlir
// A scan over nothing.
// CHECK: func.func @main(%{{.*}}: tensor<0x2xf32>, %[[H:.*]]: tensor<2xf32>) -> (tensor<2xf32>, tensor<0x2xf32>)
func.func @main(%x: tensor<?x2xf32>, %h: tensor<2xf32>) -> (tensor<2xf32>, tensor<?x2xf32>) {
  // CHECK-NEXT: %[[E:.*]] = lathe.constant dense<> : tensor<0x2xf32>
  // CHECK-NEXT: return %[[H]], %[[E]]
  %0:2 = lathe.scan init(%a = %h) inputs(%b = %x) : (tensor<2xf32>, tensor<?x2xf32>) -> (tensor<2xf32>, tensor<?x2xf32>) {
    %1 = lathe.add %a, %b : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    lathe.yield %1, %1 : tensor<2xf32>, tensor<2xf32>
  }
  return %0#0, %0#1 : tensor<2xf32>, tensor<?x2xf32>
}

//--- sizes.mlir
// CHECK: func.func @main(%[[X:.*]]: tensor<2x8xf32>) -> tensor<16xf32>
func.func @main(%x: tensor<?x8xf32>) -> tensor<?xf32> {
  %size = lathe.constant dense<-1> : tensor<1xi64>
  %dead = lathe.neg %x : (tensor<?x8xf32>) -> tensor<?x8xf32>
  // CHECK-NEXT: %[[R:.*]] = lathe.reshape %[[X]] {shape = array<i64: 16>} : (tensor<2x8xf32>) -> tensor<16xf32>
  %0 = lathe.dynamic_reshape %x, %size : (tensor<?x8xf32>, tensor<1xi64>) -> tensor<?xf32>
  // CHECK-NEXT: return %[[R]] : tensor<16xf32>
  return %0 : tensor<?xf32>
}

//--- names.mlir
// CHECK: func.func @entry(%{{.*}}: tensor<3x5xi64> {{.*}}, %{{.*}}: tensor<3x4xf32> {{.*}}) -> (tensor<3x5xi64>, tensor<3x4xf32>)
func.func @entry(%x: tensor<?x?xi64> {lathe.name = "ids", lathe.dims = ["batch", "sequence"]},
                 %y: tensor<?x4xf32> {lathe.name = "y", lathe.dims = ["batch", ""]}) -> (tensor<?x?xi64>, tensor<?x4xf32>) {
  return %x, %y : tensor<?x?xi64>, tensor<?x4xf32>
}

//--- shapes.mlir
// The shape arithmetic of an exported model: x.view(x.shape[0], 2, -1), then
// a mask of the sequence's length.
// CHECK: func.func @main(%[[X:.*]]: tensor<4x6xf32>) -> (tensor<4x2x3xf32>, tensor<1x6xi64>)
func.func @main(%x: tensor<?x?xf32>) -> (tensor<?x?x?xf32>, tensor<?x?xi64>) {
  // CHECK-DAG: %[[C:.*]] = lathe.constant dense<{{\[\[}}0, 1, 2, 3, 4, 5]]> : tensor<1x6xi64>
  %zero = lathe.constant dense<0> : tensor<i64>
  %one = lathe.constant dense<1> : tensor<i64>
  %two = lathe.constant dense<2> : tensor<1xi64>
  %rest = lathe.constant dense<-1> : tensor<1xi64>
  %shape = lathe.shape_of %x : (tensor<?x?xf32>) -> tensor<2xi64>
  %batch = lathe.gather %shape, %zero : (tensor<2xi64>, tensor<i64>) -> tensor<i64>
  %b1 = lathe.unsqueeze %batch {axes = array<i64: 0>} : (tensor<i64>) -> tensor<1xi64>
  %view = lathe.concat %b1, %two, %rest {axis = 0 : i64} : (tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<3xi64>
  // CHECK-DAG: %[[R:.*]] = lathe.reshape %[[X]] {shape = array<i64: 4, 2, 3>} : (tensor<4x6xf32>) -> tensor<4x2x3xf32>
  %0 = lathe.dynamic_reshape %x, %view : (tensor<?x?xf32>, tensor<3xi64>) -> tensor<?x?x?xf32>
  %last = lathe.dynamic_slice %shape, %rest, %two : (tensor<2xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?xi64>
  %length = lathe.squeeze %last {axes = array<i64: 0>} : (tensor<?xi64>) -> tensor<i64>
  %range = lathe.dynamic_range %zero, %length, %one : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %row = lathe.unsqueeze %range {axes = array<i64: 0>} : (tensor<?xi64>) -> tensor<?x?xi64>
  // CHECK: return %[[R]], %[[C]]
  return %0, %row : tensor<?x?x?xf32>, tensor<?x?xi64>
}

//--- calls.mlir
// CHECK-NOT: @twice
// CHECK: func.func @main(%[[X:.*]]: tensor<4xf32>) -> tensor<4xf32>
func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> {
  // CHECK-NEXT: %[[A:.*]] = lathe.add %[[X]], %[[X]] : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  // CHECK-NEXT: %[[B:.*]] = lathe.add %[[A]], %[[A]]
  // CHECK-NEXT: %[[C:.*]] = lathe.add %[[B]], %[[B]]
  // CHECK-NEXT: return %[[C]]
  %0 = call @four(%x) : (tensor<?xf32>) -> tensor<?xf32>
  %1 = call @twice(%0) : (tensor<?xf32>) -> tensor<?xf32>
  return %1 : tensor<?xf32>
}
func.func private @four(%x: tensor<?xf32>) -> tensor<?xf32> {
  %0 = call @twice(%x) : (tensor<?xf32>) -> tensor<?xf32>
  %1 = call @twice(%0) : (tensor<?xf32>) -> tensor<?xf32>
  return %1 : tensor<?xf32>
}
// CHECK-NOT: @four
func.func private @twice(%x: tensor<?xf32>) -> tensor<?xf32> {
  %0 = lathe.add %x, %x : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

//--- loops.mlir
// CHECK: func.func @main(%[[X:.*]]: tensor<4x2xf32>, %[[W:.*]]: tensor<3x2x2xf32>) -> (tensor<4x2xf32>, tensor<3x2xi64>, tensor<4x2xf32>, tensor<4x2xf32>)
func.func @main(%x: tensor<?x2xf32>, %w: tensor<?x2x2xf32>) -> (tensor<?x2xf32>, tensor<?x2xi64>, tensor<?x2xf32>, tensor<?x2xf32>) {
  // CHECK: %[[S:.*]]:2 = lathe.scan init(%[[H:.*]] = %[[X]]) inputs(%[[M:.*]] = %[[W]]) : (tensor<4x2xf32>, tensor<3x2x2xf32>) -> (tensor<4x2xf32>, tensor<3x2xi64>)
  %0:2 = lathe.scan init(%h = %x) inputs(%m = %w) : (tensor<?x2xf32>, tensor<?x2x2xf32>) -> (tensor<?x2xf32>, tensor<?x2xi64>) {
    // CHECK: lathe.matmul %[[H]], %[[M]] : (tensor<4x2xf32>, tensor<2x2xf32>) -> tensor<4x2xf32>
    %1 = lathe.matmul %h, %m : (tensor<?x2xf32>, tensor<2x2xf32>) -> tensor<?x2xf32>
    // The shape is a constant by now.
    // CHECK-NOT: lathe.shape_of
    %2 = lathe.shape_of %h : (tensor<?x2xf32>) -> tensor<2xi64>
    lathe.yield %1, %2 : tensor<?x2xf32>, tensor<2xi64>
  }
  // CHECK: %[[L:.*]]:2 = lathe.while ({{.*}}) : (tensor<4x2xf32>, tensor<i64>) -> (tensor<4x2xf32>, tensor<i64>)
  %i = lathe.constant dense<0> : tensor<i64>
  %one = lathe.constant dense<1> : tensor<i64>
  %limit = lathe.constant dense<3> : tensor<i64>
  %3:2 = lathe.while (%a = %0#0, %n = %i) : (tensor<?x2xf32>, tensor<i64>) -> (tensor<?x2xf32>, tensor<i64>) {
    %4 = lathe.compare lt, %n, %limit : (tensor<i64>, tensor<i64>) -> tensor<i1>
    lathe.yield %4 : tensor<i1>
  } do {
  ^bb0(%a: tensor<?x2xf32>, %n: tensor<i64>):
    // CHECK: lathe.neg %{{.*}} : (tensor<4x2xf32>) -> tensor<4x2xf32>
    %4 = lathe.neg %a : (tensor<?x2xf32>) -> tensor<?x2xf32>
    %5 = lathe.add %n, %one : (tensor<i64>, tensor<i64>) -> tensor<i64>
    lathe.yield %4, %5 : tensor<?x2xf32>, tensor<i64>
  }
  // The condition is false from the start.
  %false = lathe.constant dense<false> : tensor<i1>
  %6 = lathe.while (%a = %x) : (tensor<?x2xf32>) -> tensor<?x2xf32> {
    lathe.yield %false : tensor<i1>
  } do {
  ^bb0(%a: tensor<?x2xf32>):
    lathe.yield %a : tensor<?x2xf32>
  }
  // CHECK: return %[[S]]#0, %[[S]]#1, %[[L]]#0, %[[X]]
  return %0#0, %0#1, %3#0, %6 : tensor<?x2xf32>, tensor<?x2xi64>, tensor<?x2xf32>, tensor<?x2xf32>
}

//--- branches.mlir
// CHECK: func.func @main(%[[X:.*]]: tensor<4xf32>, %[[C:.*]]: tensor<i1>) -> (tensor<4xf32>, tensor<4xf32>)
func.func @main(%x: tensor<?xf32>, %c: tensor<i1>) -> (tensor<?xf32>, tensor<?xf32>) {
  %shape = lathe.shape_of %x : (tensor<?xf32>) -> tensor<1xi64>
  %is_four = lathe.constant dense<[false, false, false, false, true]> : tensor<5xi1>
  %length = lathe.squeeze %shape {axes = array<i64: 0>} : (tensor<1xi64>) -> tensor<i64>
  %long = lathe.gather %is_four, %length : (tensor<5xi1>, tensor<i64>) -> tensor<i1>
  // CHECK-NEXT: %[[N:.*]] = lathe.neg %[[X]] : (tensor<4xf32>) -> tensor<4xf32>
  %0 = lathe.if %long : (tensor<i1>) -> tensor<?xf32> {
    %1 = lathe.neg %x : (tensor<?xf32>) -> tensor<?xf32>
    lathe.yield %1 : tensor<?xf32>
  } else {
    lathe.yield %x : tensor<?xf32>
  }
  // CHECK-NEXT: %[[I:.*]] = lathe.if %[[C]] : (tensor<i1>) -> tensor<4xf32>
  %2 = lathe.if %c : (tensor<i1>) -> tensor<?xf32> {
    lathe.yield %0 : tensor<?xf32>
  } else {
    lathe.yield %x : tensor<?xf32>
  }
  // CHECK: return %[[N]], %[[I]]
  return %0, %2 : tensor<?xf32>, tensor<?xf32>
}
