// RUN: lathe-opt %s -canonicalize | FileCheck %s

// Where nobody reads the log-sum-exp, it is attention.
// CHECK-LABEL: func @unread
// CHECK-NEXT: lathe.attention %{{.*}}, %{{.*}}, %{{.*}} {causal, scale = 5.000000e-01 : f64}
// CHECK-NEXT: return
func.func @unread(%q: tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32> {
  %0:2 = lathe.attention_training %q, %q, %q {causal, scale = 0.5 : f64} : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) -> (tensor<1x2x3x4xf32>, tensor<1x2x3xf32>)
  return %0#0 : tensor<1x2x3x4xf32>
}

// CHECK-LABEL: func @read
// CHECK-NEXT: lathe.attention_training
// CHECK-NEXT: return
func.func @read(%q: tensor<1x2x3x4xf32>, %m: tensor<3x3xi1>) -> tensor<1x2x3xf32> {
  %0:2 = lathe.attention_training %q, %q, %q, %m : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<3x3xi1>) -> (tensor<1x2x3x4xf32>, tensor<1x2x3xf32>)
  return %0#1 : tensor<1x2x3xf32>
}

// CHECK-LABEL: func @unread_third
// CHECK-NEXT: lathe.attention %{{.*}} {layout = 1 : i32} : {{.*}} -> tensor<1x3x2x4xf32>
func.func @unread_third(%q: tensor<1x3x2x4xf32>) -> tensor<1x3x2x4xf32> {
  %0:2 = lathe.attention_training %q, %q, %q {layout = 1 : i32} : (tensor<1x3x2x4xf32>, tensor<1x3x2x4xf32>, tensor<1x3x2x4xf32>) -> (tensor<1x3x2x4xf32>, tensor<1x2x3xf32>)
  return %0#0 : tensor<1x3x2x4xf32>
}
