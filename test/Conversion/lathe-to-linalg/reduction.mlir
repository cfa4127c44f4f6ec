// RUN: lathe-opt %s --lathe-convert-to-linalg --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @mean
// CHECK: %[[INIT:.*]] = linalg.fill ins(%{{.*}} : f32) outs(%{{.*}} : tensor<4xf32>)
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}}["parallel", "reduction"]{{.*}} outs(%[[INIT]] : tensor<4xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[SUM]] : tensor<4xf32>) outs(%{{.*}} : tensor<4xf16>)
// CHECK: arith.divf
// CHECK: tensor.expand_shape {{.*}} into tensor<4x1xf16>
func.func @mean(%x: tensor<4x8xf16>) -> tensor<4x1xf16> {
  %0 = lathe.reduce_mean %x {axes = array<i64: 1>, keepdims = true} : (tensor<4x8xf16>) -> tensor<4x1xf16>
  return %0 : tensor<4x1xf16>
}

// -----

// The largest unsigned byte starts a minimum.
// CHECK-LABEL: func.func @minimum
// CHECK: %[[MOST:.*]] = arith.constant -1 : i8
// CHECK: linalg.fill ins(%[[MOST]] : i8)
// CHECK: arith.minui
func.func @minimum(%x: tensor<4x8xui8>) -> tensor<8xui8> {
  %0 = lathe.reduce_min %x {axes = array<i64: 0>} : (tensor<4x8xui8>) -> tensor<8xui8>
  return %0 : tensor<8xui8>
}

// -----

// NaN beats every number, once.
// CHECK-LABEL: func.func @argmax
// CHECK: linalg.generic
// CHECK-SAME: outs(%{{.*}}, %{{.*}} : tensor<4xf32>, tensor<4xi64>)
// CHECK: arith.cmpf ogt
// CHECK: arith.cmpf uno
// CHECK: linalg.index 1
func.func @argmax(%x: tensor<4x8xf32>) -> tensor<4xi64> {
  %0 = lathe.argmax %x {axis = 1 : i64} : (tensor<4x8xf32>) -> tensor<4xi64>
  return %0 : tensor<4xi64>
}

// -----

// CHECK-LABEL: func.func @cumsum
// CHECK: scf.for
// CHECK: scf.for {{.*}} iter_args(%[[OUT:.*]] = %{{.*}}, %[[SUM:.*]] = %{{.*}}) -> (tensor<4x8xf32>, f32)
// CHECK: %[[NEXT:.*]] = arith.addf %[[SUM]]
// CHECK: tensor.insert %[[NEXT]] into %[[OUT]]
func.func @cumsum(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = lathe.cumsum %x {axis = 1 : i64} : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}

// -----

// Few are kept in order by insertion, many are sorted by merging.
// CHECK-LABEL: func.func @few
// CHECK: scf.while
func.func @few(%x: tensor<100xf32>) -> (tensor<3xf32>, tensor<3xi64>) {
  %0:2 = lathe.top_k %x {k = 3 : i64} : (tensor<100xf32>) -> (tensor<3xf32>, tensor<3xi64>)
  return %0#0, %0#1 : tensor<3xf32>, tensor<3xi64>
}

// CHECK-LABEL: func.func @many
// CHECK-NOT: scf.while
// CHECK: arith.remui
func.func @many(%x: tensor<100xf32>) -> (tensor<90xf32>, tensor<90xi64>) {
  %0:2 = lathe.top_k %x {k = 90 : i64} : (tensor<100xf32>) -> (tensor<90xf32>, tensor<90xi64>)
  return %0#0, %0#1 : tensor<90xf32>, tensor<90xi64>
}
