// RUN: lathe-opt %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func.func @gradient
func.func @gradient(%x: tensor<?xf32>) -> (tensor<?xf32>, tensor<1xf32>) {
  %0 = lathe.reduce_sum %x {axes = array<i64: 0>, keepdims = true} : (tensor<?xf32>) -> tensor<1xf32>
  // CHECK: %{{.*}}:2 = lathe.gradient %{{.*}}, %{{.*}}, %{{.*}} : (tensor<1xf32>, tensor<?xf32>, tensor<1xf32>) -> (tensor<?xf32>, tensor<1xf32>)
  %1:2 = lathe.gradient %0, %x, %0 : (tensor<1xf32>, tensor<?xf32>, tensor<1xf32>) -> (tensor<?xf32>, tensor<1xf32>)
  return %1#0, %1#1 : tensor<?xf32>, tensor<1xf32>
}
