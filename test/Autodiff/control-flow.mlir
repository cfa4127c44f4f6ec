// RUN: lathe-opt %s --split-input-file --lathe-autograd=wrt=inputs --canonicalize --cse | FileCheck %s

// The forward loop stacks what its reverse needs (the carried value and the
// tanh); slices of the inputs are taken again. The captured bias is summed.
// CHECK-LABEL: func.func @loss_grad(
// CHECK-SAME: %[[X:.*]]: tensor<3xf32>, %[[W:.*]]: tensor<4x3x3xf32>, %[[B:.*]]: tensor<3xf32>)
// CHECK: %[[F:.*]]:3 = lathe.scan init(%{{.*}} = %[[X]]) inputs(%{{.*}} = %[[W]]) : (tensor<3xf32>, tensor<4x3x3xf32>) -> (tensor<3xf32>, tensor<4x3xf32>, tensor<4x3xf32>)
// CHECK: lathe.tanh
// CHECK: lathe.yield %{{.*}}, %{{.*}}, %{{.*}} : tensor<3xf32>, tensor<3xf32>, tensor<3xf32>
// CHECK: %[[R:.*]]:3 = lathe.scan init(%[[G:.*]] = %{{.*}}, %[[S:.*]] = %{{.*}}) inputs(
// CHECK-SAME: {reverse, trip_count = 4 : i64}
// CHECK-SAME: -> (tensor<3xf32>, tensor<3xf32>, tensor<4x3x3xf32>)
// CHECK: %[[SUM:.*]] = lathe.add %[[S]],
// CHECK: lathe.yield %{{.*}}, %[[SUM]], %{{.*}} : tensor<3xf32>, tensor<3xf32>, tensor<3x3xf32>
// CHECK: return %{{.*}}, %[[R]]#0, %[[R]]#2, %[[R]]#1
func.func @loss(%x: tensor<3xf32>, %ws: tensor<4x3x3xf32>, %b: tensor<3xf32>) -> tensor<f32> {
  %0 = lathe.scan init(%h = %x) inputs(%w = %ws) : (tensor<3xf32>, tensor<4x3x3xf32>) -> tensor<3xf32> {
    %1 = lathe.linear %h, %w, %b : (tensor<3xf32>, tensor<3x3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %2 = lathe.tanh %1 : (tensor<3xf32>) -> tensor<3xf32>
    lathe.yield %2 : tensor<3xf32>
  }
  %3 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<3xf32>) -> tensor<f32>
  return %3 : tensor<f32>
}

// -----

// The branch that is taken gives its values for the way back; the other zeros.
// CHECK-LABEL: func.func @loss_grad(
// CHECK-SAME: %{{.*}}: tensor<3xf32>, %[[C:.*]]: tensor<i1>)
// CHECK: %[[F:.*]]:2 = lathe.if %[[C]] : (tensor<i1>) -> (tensor<3xf32>, tensor<3xf32>)
// CHECK: %[[E:.*]] = lathe.exp
// CHECK: lathe.sin %[[E]]
// CHECK: lathe.yield %{{.*}}, %[[E]]
// CHECK: else
// CHECK: lathe.yield %{{.*}}, %{{.*}}
// CHECK: %[[R:.*]] = lathe.if %[[C]] : (tensor<i1>) -> tensor<3xf32>
// CHECK: lathe.cos %[[F]]#1
// CHECK: else
// CHECK: return %{{.*}}, %[[R]]
func.func @loss(%x: tensor<3xf32>, %c: tensor<i1>) -> tensor<f32> {
  %0 = lathe.if %c : (tensor<i1>) -> tensor<3xf32> {
    %1 = lathe.exp %x : (tensor<3xf32>) -> tensor<3xf32>
    %2 = lathe.sin %1 : (tensor<3xf32>) -> tensor<3xf32>
    lathe.yield %2 : tensor<3xf32>
  } else {
    lathe.yield %x : tensor<3xf32>
  }
  %3 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<3xf32>) -> tensor<f32>
  return %3 : tensor<f32>
}

// -----

// A counted loop becomes a scan: 0, 2, 4, 6.
// CHECK-LABEL: func.func @loss_grad(
// CHECK-NOT: lathe.while
// CHECK: lathe.scan {{.*}} {trip_count = 4 : i64}
// CHECK: lathe.scan {{.*}} {reverse, trip_count = 4 : i64}
func.func @loss(%x: tensor<f32>) -> tensor<f32> {
  %zero = lathe.constant dense<0> : tensor<i64>
  %two = lathe.constant dense<2> : tensor<i64>
  %seven = lathe.constant dense<7> : tensor<i64>
  %r:2 = lathe.while (%a = %x, %i = %zero) : (tensor<f32>, tensor<i64>) -> (tensor<f32>, tensor<i64>) {
    %0 = lathe.compare gt, %seven, %i : (tensor<i64>, tensor<i64>) -> tensor<i1>
    lathe.yield %0 : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>, %i: tensor<i64>):
    %1 = lathe.sin %a : (tensor<f32>) -> tensor<f32>
    %2 = lathe.add %two, %i : (tensor<i64>, tensor<i64>) -> tensor<i64>
    lathe.yield %1, %2 : tensor<f32>, tensor<i64>
  }
  return %r#0 : tensor<f32>
}

// -----

// Up to the last number of its type: 7, 67, and 127 ends it.
// CHECK-LABEL: func.func @loss_grad(
// CHECK-NOT: lathe.while
// CHECK: lathe.scan {{.*}} {trip_count = 2 : i64}
func.func @loss(%x: tensor<f32>) -> tensor<f32> {
  %start = lathe.constant dense<7> : tensor<i8>
  %step = lathe.constant dense<60> : tensor<i8>
  %limit = lathe.constant dense<127> : tensor<i8>
  %r:2 = lathe.while (%a = %x, %i = %start) : (tensor<f32>, tensor<i8>) -> (tensor<f32>, tensor<i8>) {
    %0 = lathe.compare lt, %i, %limit : (tensor<i8>, tensor<i8>) -> tensor<i1>
    lathe.yield %0 : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>, %i: tensor<i8>):
    %1 = lathe.sin %a : (tensor<f32>) -> tensor<f32>
    %2 = lathe.add %i, %step : (tensor<i8>, tensor<i8>) -> tensor<i8>
    lathe.yield %1, %2 : tensor<f32>, tensor<i8>
  }
  return %r#0 : tensor<f32>
}

// -----

// And down to the first: 3, 2, 1.
// CHECK-LABEL: func.func @loss_grad(
// CHECK-NOT: lathe.while
// CHECK: lathe.scan {{.*}} {trip_count = 3 : i64}
func.func @loss(%x: tensor<f32>) -> tensor<f32> {
  %start = lathe.constant dense<3> : tensor<ui8>
  %step = lathe.constant dense<1> : tensor<ui8>
  %limit = lathe.constant dense<0> : tensor<ui8>
  %r:2 = lathe.while (%a = %x, %i = %start) : (tensor<f32>, tensor<ui8>) -> (tensor<f32>, tensor<ui8>) {
    %0 = lathe.compare gt, %i, %limit : (tensor<ui8>, tensor<ui8>) -> tensor<i1>
    lathe.yield %0 : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>, %i: tensor<ui8>):
    %1 = lathe.sin %a : (tensor<f32>) -> tensor<f32>
    %2 = lathe.sub %i, %step : (tensor<ui8>, tensor<ui8>) -> tensor<ui8>
    lathe.yield %1, %2 : tensor<f32>, tensor<ui8>
  }
  return %r#0 : tensor<f32>
}
