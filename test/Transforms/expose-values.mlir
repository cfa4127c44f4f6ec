// RUN: lathe-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(func.func(lathe-expose-values))' | FileCheck %s --check-prefixes=CHECK,WHOLE
// RUN: lathe-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(func.func(lathe-expose-values{form=largest}))' | FileCheck %s --check-prefixes=CHECK,LARGEST

// CHECK-LABEL: func.func @plain
// WHOLE-SAME: tensor<4x8xf32> {lathe.name = "value.1"}, tensor<4x8xf32> {lathe.name = "value.2"}, tensor<4x8xi1> {lathe.name = "value.3"}
// LARGEST-SAME: tensor<f32> {lathe.name = "value.1"}, tensor<f32> {lathe.name = "value.2"})
// CHECK: %[[E:.*]] = lathe.exp
// LARGEST: %[[A:.*]] = lathe.abs %[[E]]
// LARGEST: %[[R:.*]] = lathe.reduce_max %[[A]] {axes = array<i64: 1>
// LARGEST: %[[L:.*]] = lathe.reduce_max %[[R]] {axes = array<i64: 0>
// CHECK: %[[N:.*]] = lathe.add
// CHECK: %[[C:.*]] = lathe.compare
// WHOLE: return %[[N]], %[[E]], %[[N]], %[[C]] :
// LARGEST: return %[[N]], %[[L]], %{{[0-9]+}} : tensor<4x8xf32>, tensor<f32>, tensor<f32>
func.func @plain(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %one = lathe.constant dense<1.0> : tensor<f32>
  %0 = lathe.exp %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.add %0, %one : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %2 = lathe.compare lt, %0, %one : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xi1>
  return %1 : tensor<4x8xf32>
}

// -----

// What a loop computes is stacked, before the loop's own results.
// CHECK-LABEL: func.func @loop
// WHOLE-SAME: tensor<3x4xf32> {lathe.name = "value.0"}, tensor<4xf32> {lathe.name = "value.1"}
// LARGEST-SAME: tensor<3xf32> {lathe.name = "value.0"}, tensor<f32> {lathe.name = "value.1"}
// CHECK: %[[S:.*]]:2 = lathe.scan
// WHOLE: %[[E:.*]] = lathe.add
// WHOLE: lathe.yield %[[E]], %[[E]] : tensor<4xf32>, tensor<4xf32>
// LARGEST: %[[M:.*]] = lathe.reduce_max
// LARGEST: lathe.yield %{{.*}}, %[[M]] : tensor<4xf32>, tensor<f32>
// CHECK: return %[[S]]#0, %[[S]]#1, %{{.*}} :
func.func @loop(%x: tensor<4xf32>, %w: tensor<3x4xf32>) -> tensor<4xf32> {
  %y = lathe.scan init(%h = %x) inputs(%s = %w) : (tensor<4xf32>, tensor<3x4xf32>) -> tensor<4xf32> {
    %0 = lathe.add %h, %s : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    lathe.yield %0 : tensor<4xf32>
  }
  return %y : tensor<4xf32>
}

// -----

// The branch that is not taken gives zeros.
// CHECK-LABEL: func.func @branch
// WHOLE: lathe.if %arg0 : (tensor<i1>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)
// WHOLE: %[[N:.*]] = lathe.neg
// WHOLE: %[[Z:.*]] = lathe.constant dense<0.0
// WHOLE: lathe.yield %[[N]], %[[N]], %[[Z]]
// WHOLE: else
// WHOLE: %[[E:.*]] = lathe.exp
// WHOLE: %[[Z:.*]] = lathe.constant dense<0.0
// WHOLE: lathe.yield %[[E]], %[[Z]], %[[E]]
func.func @branch(%c: tensor<i1>, %x: tensor<4xf32>) -> tensor<4xf32> {
  %y = lathe.if %c : (tensor<i1>) -> tensor<4xf32> {
    %0 = lathe.neg %x : (tensor<4xf32>) -> tensor<4xf32>
    lathe.yield %0 : tensor<4xf32>
  } else {
    %0 = lathe.exp %x : (tensor<4xf32>) -> tensor<4xf32>
    lathe.yield %0 : tensor<4xf32>
  }
  return %y : tensor<4xf32>
}

// -----

// A while carries the values of its last iteration, or the largest of all.
// CHECK-LABEL: func.func @repeat
// CHECK: lathe.while
// CHECK: do
// CHECK: %[[M:.*]] = lathe.mul
// WHOLE: lathe.yield %[[M]], %[[M]] : tensor<4xf32>, tensor<4xf32>
// LARGEST: %[[L:.*]] = lathe.reduce_max
// LARGEST: %[[B:.*]] = lathe.max %{{.*}}, %[[L]]
// LARGEST: lathe.yield %[[M]], %[[B]] : tensor<4xf32>, tensor<f32>
func.func @repeat(%x: tensor<4xf32>, %limit: tensor<f32>) -> tensor<4xf32> {
  %y = lathe.while (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
    %0 = lathe.reduce_max %a {axes = array<i64: 0>, keepdims = false} : (tensor<4xf32>) -> tensor<f32>
    %1 = lathe.compare lt, %0, %limit : (tensor<f32>, tensor<f32>) -> tensor<i1>
    lathe.yield %1 : tensor<i1>
  } do {
  ^bb0(%a: tensor<4xf32>):
    %0 = lathe.mul %a, %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    lathe.yield %0 : tensor<4xf32>
  }
  return %y : tensor<4xf32>
}

// -----

func.func @open(%x: tensor<?xf32>) -> tensor<?xf32> {
  // expected-error @+1 {{expected static shapes and no calls where values are exposed}}
  %0 = lathe.exp %x : (tensor<?xf32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}
