// RUN: lathe-opt %s --lathe-recognize-attention --cse | FileCheck %s

// As exporters write it: the key is transposed in one go, the scores divided.
// CHECK-LABEL: func.func @masked
// CHECK: %[[Q:.*]] = lathe.transpose %arg0 {permutation = array<i64: 0, 2, 1, 3>}
// CHECK: %[[V:.*]] = lathe.transpose %arg2 {permutation = array<i64: 0, 2, 1, 3>}
// CHECK: %[[K:.*]] = lathe.transpose %arg1 {permutation = array<i64: 0, 2, 1, 3>}
// CHECK: lathe.attention %[[Q]], %[[K]], %[[V]], %arg3 {scale = 2.500000e-01 : f64}
// CHECK-NOT: lathe.softmax
func.func @masked(%q: tensor<1x5x2x16xf32>, %k: tensor<1x5x2x16xf32>, %v: tensor<1x5x2x16xf32>, %m: tensor<1x1x1x5xf32>) -> tensor<1x2x5x16xf32> {
  %four = lathe.constant dense<4.0> : tensor<f32>
  %0 = lathe.transpose %q {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x16xf32>) -> tensor<1x2x5x16xf32>
  %1 = lathe.transpose %k {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x5x2x16xf32>) -> tensor<1x2x16x5xf32>
  %2 = lathe.transpose %v {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x16xf32>) -> tensor<1x2x5x16xf32>
  %3 = lathe.matmul %0, %1 : (tensor<1x2x5x16xf32>, tensor<1x2x16x5xf32>) -> tensor<1x2x5x5xf32>
  %4 = lathe.div %3, %four : (tensor<1x2x5x5xf32>, tensor<f32>) -> tensor<1x2x5x5xf32>
  %5 = lathe.add %4, %m : (tensor<1x2x5x5xf32>, tensor<1x1x1x5xf32>) -> tensor<1x2x5x5xf32>
  %6 = lathe.softmax %5 {axis = 3 : i64} : (tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %7 = lathe.matmul %6, %2 : (tensor<1x2x5x5xf32>, tensor<1x2x5x16xf32>) -> tensor<1x2x5x16xf32>
  return %7 : tensor<1x2x5x16xf32>
}

// Rank 3, the scale split over query and key, no mask.
// CHECK-LABEL: func.func @rank3
// CHECK-DAG: %[[Q:.*]] = lathe.reshape %arg0 {shape = array<i64: 1, 2, 5, 16>}
// CHECK-DAG: %[[K:.*]] = lathe.reshape %arg1 {shape = array<i64: 1, 2, 5, 16>}
// CHECK: %[[A:.*]] = lathe.attention %[[Q]], %[[K]], %{{.*}} {scale = 2.500000e-01 : f64}
// CHECK: lathe.reshape %[[A]] {shape = array<i64: 2, 5, 16>}
func.func @rank3(%q: tensor<2x5x16xf32>, %k: tensor<2x5x16xf32>, %v: tensor<2x5x16xf32>) -> tensor<2x5x16xf32> {
  %half = lathe.constant dense<0.5> : tensor<f32>
  %0 = lathe.mul %q, %half : (tensor<2x5x16xf32>, tensor<f32>) -> tensor<2x5x16xf32>
  %1 = lathe.mul %k, %half : (tensor<2x5x16xf32>, tensor<f32>) -> tensor<2x5x16xf32>
  %2 = lathe.matmul %0, %1 {transpose_rhs} : (tensor<2x5x16xf32>, tensor<2x5x16xf32>) -> tensor<2x5x5xf32>
  %3 = lathe.softmax %2 : (tensor<2x5x5xf32>) -> tensor<2x5x5xf32>
  %4 = lathe.matmul %3, %v : (tensor<2x5x5xf32>, tensor<2x5x16xf32>) -> tensor<2x5x16xf32>
  return %4 : tensor<2x5x16xf32>
}

// A Boolean mask that hides with -inf.
// CHECK-LABEL: func.func @boolean
// CHECK: lathe.attention %arg0, %arg1, %arg2, %arg3 {scale = 1.000000e+00 : f64}
func.func @boolean(%q: tensor<1x2x5x16xf32>, %k: tensor<1x2x5x16xf32>, %v: tensor<1x2x5x16xf32>, %m: tensor<5x5xi1>) -> tensor<1x2x5x16xf32> {
  %inf = lathe.constant dense<0xFF800000> : tensor<f32>
  %0 = lathe.matmul %q, %k {transpose_rhs} : (tensor<1x2x5x16xf32>, tensor<1x2x5x16xf32>) -> tensor<1x2x5x5xf32>
  %1 = lathe.select %m, %0, %inf : (tensor<5x5xi1>, tensor<1x2x5x5xf32>, tensor<f32>) -> tensor<1x2x5x5xf32>
  %2 = lathe.softmax %1 : (tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %3 = lathe.matmul %2, %v : (tensor<1x2x5x5xf32>, tensor<1x2x5x16xf32>) -> tensor<1x2x5x16xf32>
  return %3 : tensor<1x2x5x16xf32>
}

// Refused: the weights are a result, too; a finite fill, which a row that sees
// nothing would average; a softmax over another dim.
// CHECK-LABEL: func.func @refused
// CHECK-NOT: lathe.attention
// CHECK: return
func.func @refused(%q: tensor<1x2x5x5xf32>, %k: tensor<1x2x5x5xf32>, %v: tensor<1x2x5x5xf32>, %m: tensor<5x5xi1>) -> (tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>) {
  %low = lathe.constant dense<-1.0e4> : tensor<f32>
  %0 = lathe.matmul %q, %k : (tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %1 = lathe.softmax %0 : (tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %2 = lathe.matmul %1, %v : (tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %3 = lathe.matmul %k, %q : (tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %4 = lathe.select %m, %3, %low : (tensor<5x5xi1>, tensor<1x2x5x5xf32>, tensor<f32>) -> tensor<1x2x5x5xf32>
  %5 = lathe.softmax %4 : (tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %6 = lathe.matmul %5, %v : (tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %7 = lathe.matmul %k, %v : (tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %8 = lathe.softmax %7 {axis = 2 : i64} : (tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  %9 = lathe.matmul %8, %v : (tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  return %1, %2, %6, %9 : tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>
}
