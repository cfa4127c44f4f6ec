// RUN: lathe-opt %s -canonicalize | FileCheck %s

// CHECK-LABEL: func.func @gather
func.func @gather() -> (tensor<i64>, tensor<2x2xi64>, tensor<2x1xi64>) {
  %0 = lathe.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi64>
  %shape = lathe.constant dense<[10, 20, 30]> : tensor<3xi64>
  %last = lathe.constant dense<-1> : tensor<i64>
  // CHECK-DAG: dense<30> : tensor<i64>
  %1 = lathe.gather %shape, %last : (tensor<3xi64>, tensor<i64>) -> tensor<i64>
  // CHECK-DAG: dense<{{\[\[}}3, 1], [6, 4]]> : tensor<2x2xi64>
  %i = lathe.constant dense<[2, -3]> : tensor<2xi32>
  %2 = lathe.gather %0, %i {axis = 1 : i64} : (tensor<2x3xi64>, tensor<2xi32>) -> tensor<2x2xi64>
  // CHECK-DAG: dense<{{\[\[}}20], [10]]> : tensor<2x1xi64>
  %j = lathe.constant dense<[[1], [0]]> : tensor<2x1xi64>
  %3 = lathe.gather %shape, %j : (tensor<3xi64>, tensor<2x1xi64>) -> tensor<2x1xi64>
  // CHECK-NOT: lathe.gather
  return %1, %2, %3 : tensor<i64>, tensor<2x2xi64>, tensor<2x1xi64>
}

// CHECK-LABEL: func.func @out_of_range
func.func @out_of_range() -> tensor<i64> {
  %shape = lathe.constant dense<[10, 20, 30]> : tensor<3xi64>
  %i = lathe.constant dense<3> : tensor<i64>
  // CHECK: lathe.gather
  %0 = lathe.gather %shape, %i : (tensor<3xi64>, tensor<i64>) -> tensor<i64>
  return %0 : tensor<i64>
}
