// RUN: lathe-opt %s --pass-pipeline="builtin.module(func.func(lathe-expand-gradients,canonicalize,cse))" -split-input-file -verify-diagnostics | FileCheck %s

// CHECK-LABEL: func.func @product(
// CHECK-SAME: %[[A:.*]]: tensor<f32>, %[[B:.*]]: tensor<f32>
// CHECK: %[[C:.*]] = lathe.add %[[A]], %[[B]]
// CHECK: %[[D:.*]] = lathe.mul %[[C]], %[[A]]
// CHECK: %[[DA:.*]] = lathe.add %[[C]], %[[A]]
// CHECK: return %[[D]], %[[DA]], %[[A]]
func.func @product(%a: tensor<f32>, %b: tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<f32>) {
  %c = lathe.add %a, %b : (tensor<f32>, tensor<f32>) -> tensor<f32>
  %d = lathe.mul %c, %a : (tensor<f32>, tensor<f32>) -> tensor<f32>
  %da, %db = lathe.gradient %d, %a, %b : (tensor<f32>, tensor<f32>, tensor<f32>) -> (tensor<f32>, tensor<f32>)
  return %d, %da, %db : tensor<f32>, tensor<f32>, tensor<f32>
}

// What the value does not depend on gets zeros; a value may be [1], and what we
// differentiate by may lie between.
// CHECK-LABEL: func.func @between(
// CHECK-SAME: %[[X:.*]]: tensor<1xf32>, %{{.*}}: tensor<2xf32>
// CHECK-DAG: %[[TWO:.*]] = lathe.constant dense<2.0{{.*}}> : tensor<1xf32>
// CHECK-DAG: %[[ZERO:.*]] = lathe.constant dense<0.0{{.*}}> : tensor<2xf32>
// CHECK: return %{{.*}}, %[[TWO]], %[[ZERO]]
func.func @between(%x: tensor<1xf32>, %other: tensor<2xf32>) -> (tensor<1xf32>, tensor<1xf32>, tensor<2xf32>) {
  %m = lathe.exp %x : (tensor<1xf32>) -> tensor<1xf32>
  %y = lathe.add %m, %m : (tensor<1xf32>, tensor<1xf32>) -> tensor<1xf32>
  %dm, %do = lathe.gradient %y, %m, %other : (tensor<1xf32>, tensor<1xf32>, tensor<2xf32>) -> (tensor<1xf32>, tensor<2xf32>)
  return %y, %dm, %do : tensor<1xf32>, tensor<1xf32>, tensor<2xf32>
}

// A derivative of a derivative: 6 x.
// CHECK-LABEL: func.func @twice(
// CHECK-NOT: lathe.gradient
// CHECK: return
func.func @twice(%x: tensor<f32>) -> tensor<f32> {
  %0 = lathe.mul %x, %x : (tensor<f32>, tensor<f32>) -> tensor<f32>
  %1 = lathe.mul %0, %x : (tensor<f32>, tensor<f32>) -> tensor<f32>
  %2 = lathe.gradient %1, %x : (tensor<f32>, tensor<f32>) -> tensor<f32>
  %3 = lathe.gradient %2, %x : (tensor<f32>, tensor<f32>) -> tensor<f32>
  return %3 : tensor<f32>
}

// -----

func.func @no_rule(%x: tensor<4x3xf32>) -> tensor<4x3xf32> {
  // expected-error @+1 {{'lathe.pack' op has no derivative rule, and the gradient of the loss must pass through it}}
  %0 = lathe.pack %x {panel = 3 : i64} : (tensor<4x3xf32>) -> tensor<1x4x3xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<1x4x3xf32>) -> tensor<f32>
  %2 = lathe.gradient %1, %x : (tensor<f32>, tensor<4x3xf32>) -> tensor<4x3xf32>
  return %2 : tensor<4x3xf32>
}

// -----

func.func @open(%x: tensor<?xf32>) -> tensor<?xf32> {
  %0 = lathe.reduce_sum %x {axes = array<i64>} : (tensor<?xf32>) -> tensor<f32>
  // expected-error @+1 {{expected static shapes, got 'tensor<?xf32>': lathe-specialize makes them so}}
  %1 = lathe.gradient %0, %x : (tensor<f32>, tensor<?xf32>) -> tensor<?xf32>
  return %1 : tensor<?xf32>
}

// -----

func.func @nested(%x: tensor<f32>, %c: tensor<i1>) -> tensor<f32> {
  %0 = lathe.if %c : (tensor<i1>) -> tensor<f32> {
    %1 = lathe.exp %x : (tensor<f32>) -> tensor<f32>
    // expected-error @+1 {{expected to stand in the top block of a function}}
    %2 = lathe.gradient %1, %x : (tensor<f32>, tensor<f32>) -> tensor<f32>
    lathe.yield %2 : tensor<f32>
  } else {
    lathe.yield %x : tensor<f32>
  }
  return %0 : tensor<f32>
}
