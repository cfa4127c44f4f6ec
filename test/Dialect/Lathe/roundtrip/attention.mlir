// RUN: lathe-opt %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func @attention
func.func @attention(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %v: tensor<2x2x7x32xf32>, %m: tensor<2x1x1x7xf32>, %b: tensor<5x7xi1>, %o: tensor<?x8x?x16xf32>) {
  // CHECK: lathe.attention %{{.*}}, %{{.*}}, %{{.*}} : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>) -> tensor<2x8x5x32xf32>
  %0 = lathe.attention %q, %k, %v : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>) -> tensor<2x8x5x32xf32>
  // CHECK: lathe.attention %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {scale = 2.500000e-01 : f64} : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>, tensor<2x1x1x7xf32>) -> tensor<2x8x5x32xf32>
  %1 = lathe.attention %q, %k, %v, %m {scale = 2.500000e-01 : f64} : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>, tensor<2x1x1x7xf32>) -> tensor<2x8x5x32xf32>
  // CHECK: lathe.attention %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {causal} : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>, tensor<5x7xi1>) -> tensor<2x8x5x32xf32>
  %2 = lathe.attention %q, %k, %v, %b {causal} : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>, tensor<5x7xi1>) -> tensor<2x8x5x32xf32>
  // CHECK: lathe.attention %{{.*}}, %{{.*}}, %{{.*}} : (tensor<?x8x?x16xf32>, tensor<?x8x?x16xf32>, tensor<?x8x?x16xf32>) -> tensor<?x8x?x16xf32>
  %3 = lathe.attention %o, %o, %o : (tensor<?x8x?x16xf32>, tensor<?x8x?x16xf32>, tensor<?x8x?x16xf32>) -> tensor<?x8x?x16xf32>
  return
}

// CHECK-LABEL: func @training
func.func @training(%q: tensor<2x8x5x16xf16>, %k: tensor<2x2x7x16xf16>, %v: tensor<2x2x7x32xf16>, %m: tensor<5x7xi1>, %o: tensor<?x8x?x16xf64>) {
  // CHECK: lathe.attention_training %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {causal, scale = 5.000000e-01 : f64} : (tensor<2x8x5x16xf16>, tensor<2x2x7x16xf16>, tensor<2x2x7x32xf16>, tensor<5x7xi1>) -> (tensor<2x8x5x32xf16>, tensor<2x8x5xf32>)
  %0:2 = lathe.attention_training %q, %k, %v, %m {causal, scale = 0.5 : f64} : (tensor<2x8x5x16xf16>, tensor<2x2x7x16xf16>, tensor<2x2x7x32xf16>, tensor<5x7xi1>) -> (tensor<2x8x5x32xf16>, tensor<2x8x5xf32>)
  // CHECK: lathe.attention_backward %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {causal, scale = 5.000000e-01 : f64} : (tensor<2x8x5x16xf16>, tensor<2x2x7x16xf16>, tensor<2x2x7x32xf16>, tensor<2x8x5x32xf16>, tensor<2x8x5xf32>, tensor<2x8x5xf32>, tensor<5x7xi1>) -> (tensor<2x8x5x16xf16>, tensor<2x2x7x16xf16>, tensor<2x2x7x32xf16>)
  %1:3 = lathe.attention_backward %q, %k, %v, %0#0, %0#1, %0#1, %m {causal, scale = 0.5 : f64} : (tensor<2x8x5x16xf16>, tensor<2x2x7x16xf16>, tensor<2x2x7x32xf16>, tensor<2x8x5x32xf16>, tensor<2x8x5xf32>, tensor<2x8x5xf32>, tensor<5x7xi1>) -> (tensor<2x8x5x16xf16>, tensor<2x2x7x16xf16>, tensor<2x2x7x32xf16>)
  // CHECK: lathe.attention_training %{{.*}}, %{{.*}}, %{{.*}} : (tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>) -> (tensor<?x8x?x16xf64>, tensor<?x8x?xf64>)
  %2:2 = lathe.attention_training %o, %o, %o : (tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>) -> (tensor<?x8x?x16xf64>, tensor<?x8x?xf64>)
  // CHECK: lathe.attention_backward %{{.*}} : (tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?xf64>, tensor<?x8x?xf64>) -> (tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>)
  %3:3 = lathe.attention_backward %o, %o, %o, %2#0, %2#1, %2#1 : (tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?xf64>, tensor<?x8x?xf64>) -> (tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>, tensor<?x8x?x16xf64>)
  return
}

// Heads third: all but the mask and log_sum_exp.
// CHECK-LABEL: func @heads_third
func.func @heads_third(%q: tensor<2x5x8x16xf32>, %k: tensor<2x7x2x16xf32>, %v: tensor<2x7x2x32xf32>, %m: tensor<2x8x5x7xf32>, %d: tensor<2x5x8xf32>) {
  // CHECK: lathe.attention %{{.*}} {layout = 1 : i32} : (tensor<2x5x8x16xf32>, tensor<2x7x2x16xf32>, tensor<2x7x2x32xf32>, tensor<2x8x5x7xf32>) -> tensor<2x5x8x32xf32>
  %0 = lathe.attention %q, %k, %v, %m {layout = 1 : i32} : (tensor<2x5x8x16xf32>, tensor<2x7x2x16xf32>, tensor<2x7x2x32xf32>, tensor<2x8x5x7xf32>) -> tensor<2x5x8x32xf32>
  // CHECK: lathe.attention_training %{{.*}} {layout = 1 : i32} : {{.*}} -> (tensor<2x5x8x32xf32>, tensor<2x8x5xf32>)
  %1:2 = lathe.attention_training %q, %k, %v {layout = 1 : i32} : (tensor<2x5x8x16xf32>, tensor<2x7x2x16xf32>, tensor<2x7x2x32xf32>) -> (tensor<2x5x8x32xf32>, tensor<2x8x5xf32>)
  // CHECK: lathe.attention_backward %{{.*}} {layout = 1 : i32} : {{.*}} -> (tensor<2x5x8x16xf32>, tensor<2x7x2x16xf32>, tensor<2x7x2x32xf32>)
  %2:3 = lathe.attention_backward %q, %k, %v, %0, %1#1, %d {layout = 1 : i32} : (tensor<2x5x8x16xf32>, tensor<2x7x2x16xf32>, tensor<2x7x2x32xf32>, tensor<2x5x8x32xf32>, tensor<2x8x5xf32>, tensor<2x5x8xf32>) -> (tensor<2x5x8x16xf32>, tensor<2x7x2x16xf32>, tensor<2x7x2x32xf32>)
  return
}
