// RUN: lathe-opt %s -canonicalize | FileCheck %s

// CHECK-LABEL: func.func @identities
// CHECK-SAME: (%[[X:.*]]: tensor<2x3xf32>)
func.func @identities(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) {
  %0 = lathe.reshape %x {shape = array<i64: 2, -1>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %1 = lathe.transpose %x {permutation = array<i64: 0, -1>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %2 = lathe.broadcast %x {shape = array<i64: 1, 3>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %3 = lathe.slice %x {starts = array<i64: 0, -3>, ends = array<i64: 9223372036854775807, 3>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %4 = lathe.pad %x {low = array<i64: 0, 0>, high = array<i64: 0, 0>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %5 = lathe.tile %x {repeats = array<i64: 1, 1>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %6 = lathe.concat %x {axis = 0 : i64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: return %[[X]], %[[X]], %[[X]], %[[X]], %[[X]], %[[X]], %[[X]]
  return %0, %1, %2, %3, %4, %5, %6 : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>
}

// Sizes that are open in two places may have changed places.
// CHECK-LABEL: func.func @not_identities
func.func @not_identities(%x: tensor<?x?xf32>, %s: tensor<3x3xf32>, %o: tensor<?x3xf32>) -> (tensor<?x?xf32>, tensor<3x3xf32>, tensor<3x3xf32>, tensor<?x3xf32>, tensor<3x3xf32>) {
  // CHECK: lathe.dynamic_reshape
  %size = lathe.shape_of %x : (tensor<?x?xf32>) -> tensor<2xi64>
  %swapped = lathe.reverse %size {axes = array<i64: 0>} : (tensor<2xi64>) -> tensor<2xi64>
  %0 = lathe.dynamic_reshape %x, %swapped : (tensor<?x?xf32>, tensor<2xi64>) -> tensor<?x?xf32>
  // CHECK: lathe.transpose
  %1 = lathe.transpose %s {permutation = array<i64: 1, 0>} : (tensor<3x3xf32>) -> tensor<3x3xf32>
  // CHECK: lathe.slice
  %2 = lathe.slice %s {starts = array<i64: -1>, ends = array<i64: -9223372036854775808>, steps = array<i64: -1>} : (tensor<3x3xf32>) -> tensor<3x3xf32>
  // CHECK: lathe.slice
  %3 = lathe.slice %o {starts = array<i64: 1>, ends = array<i64: 9223372036854775807>} : (tensor<?x3xf32>) -> tensor<?x3xf32>
  // CHECK: lathe.pad
  %4 = lathe.pad %s {low = array<i64: 1, 0>, high = array<i64: -1, 0>} : (tensor<3x3xf32>) -> tensor<3x3xf32>
  return %0, %1, %2, %3, %4 : tensor<?x?xf32>, tensor<3x3xf32>, tensor<3x3xf32>, tensor<?x3xf32>, tensor<3x3xf32>
}

// CHECK-LABEL: func.func @chains
// CHECK-SAME: (%[[X:.*]]: tensor<2x3x4xf32>)
func.func @chains(%x: tensor<2x3x4xf32>) -> (tensor<24xf32>, tensor<4x2x3xf32>, tensor<2x3x4xf32>) {
  // CHECK-DAG: %[[R:.*]] = lathe.reshape %[[X]] {shape = array<i64: 24>} : (tensor<2x3x4xf32>) -> tensor<24xf32>
  %0 = lathe.reshape %x {shape = array<i64: 6, 4>} : (tensor<2x3x4xf32>) -> tensor<6x4xf32>
  %1 = lathe.reshape %0 {shape = array<i64: -1>} : (tensor<6x4xf32>) -> tensor<24xf32>
  // CHECK-DAG: %[[T:.*]] = lathe.transpose %[[X]] {permutation = array<i64: 2, 0, 1>} : (tensor<2x3x4xf32>) -> tensor<4x2x3xf32>
  %2 = lathe.transpose %x {permutation = array<i64: 0, 2, 1>} : (tensor<2x3x4xf32>) -> tensor<2x4x3xf32>
  %3 = lathe.transpose %2 {permutation = array<i64: 1, 0, 2>} : (tensor<2x4x3xf32>) -> tensor<4x2x3xf32>
  %4 = lathe.transpose %3 {permutation = array<i64: 1, 2, 0>} : (tensor<4x2x3xf32>) -> tensor<2x3x4xf32>
  // CHECK: return %[[R]], %[[T]], %[[X]]
  return %1, %3, %4 : tensor<24xf32>, tensor<4x2x3xf32>, tensor<2x3x4xf32>
}

// CHECK-LABEL: func.func @become_reshapes
// CHECK-SAME: (%[[X:.*]]: tensor<2x1x4xf32>, %[[Y:.*]]: tensor<?x1xf32>)
func.func @become_reshapes(%x: tensor<2x1x4xf32>, %y: tensor<?x1xf32>) -> (tensor<2x4xf32>, tensor<1x2x1x4x1xf32>, tensor<?xf32>) {
  // CHECK: lathe.reshape %[[X]] {shape = array<i64: 2, 4>} : (tensor<2x1x4xf32>) -> tensor<2x4xf32>
  %0 = lathe.squeeze %x {axes = array<i64>} : (tensor<2x1x4xf32>) -> tensor<2x4xf32>
  // CHECK: lathe.reshape %[[X]] {shape = array<i64: 1, 2, 1, 4, 1>}
  %1 = lathe.unsqueeze %x {axes = array<i64: 0, 4>} : (tensor<2x1x4xf32>) -> tensor<1x2x1x4x1xf32>
  // CHECK: lathe.squeeze %[[Y]]
  %2 = lathe.squeeze %y {axes = array<i64: 1>} : (tensor<?x1xf32>) -> tensor<?xf32>
  return %0, %1, %2 : tensor<2x4xf32>, tensor<1x2x1x4x1xf32>, tensor<?xf32>
}

// CHECK-LABEL: func.func @become_static
// CHECK-SAME: (%[[X:.*]]: tensor<?x3xf32>, %[[S:.*]]: tensor<2xi64>)
func.func @become_static(%x: tensor<?x3xf32>, %s: tensor<2xi64>) -> (tensor<3x?xf32>, tensor<?x3xf32>, tensor<?x1xf32>, tensor<?x5xf32>, tensor<?x6xf32>, tensor<6x3xf32>) {
  %shape = lathe.constant dense<[3, -1]> : tensor<2xi64>
  %size = lathe.constant dense<[1, 3]> : tensor<2xi64>
  %zero = lathe.constant dense<0> : tensor<1xi32>
  %one = lathe.constant dense<1> : tensor<1xi32>
  %pads = lathe.constant dense<[0, 1, 0, 1]> : tensor<4xi64>
  %repeats = lathe.constant dense<[1, 2]> : tensor<2xi64>
  // CHECK: lathe.reshape %[[X]] {shape = array<i64: 3, -1>} : (tensor<?x3xf32>) -> tensor<3x?xf32>
  %0 = lathe.dynamic_reshape %x, %shape : (tensor<?x3xf32>, tensor<2xi64>) -> tensor<3x?xf32>
  // CHECK: lathe.broadcast %[[X]] {shape = array<i64: 1, 3>} : (tensor<?x3xf32>) -> tensor<?x3xf32>
  %1 = lathe.dynamic_broadcast %x, %size : (tensor<?x3xf32>, tensor<2xi64>) -> tensor<?x3xf32>
  // CHECK: lathe.slice %[[X]] {axes = array<i64: 1>, ends = array<i64: 1>, starts = array<i64: 0>, steps = array<i64: 1>} : (tensor<?x3xf32>) -> tensor<?x1xf32>
  %2 = lathe.dynamic_slice %x, %zero, %one axes %one steps %one : (tensor<?x3xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>) -> tensor<?x1xf32>
  // CHECK: lathe.pad %[[X]] {high = array<i64: 0, 1>, low = array<i64: 0, 1>} : (tensor<?x3xf32>) -> tensor<?x5xf32>
  %3 = lathe.dynamic_pad %x, %pads : (tensor<?x3xf32>, tensor<4xi64>) -> tensor<?x5xf32>
  // CHECK: lathe.tile %[[X]] {repeats = array<i64: 1, 2>} : (tensor<?x3xf32>) -> tensor<?x6xf32>
  %4 = lathe.dynamic_tile %x, %repeats : (tensor<?x3xf32>, tensor<2xi64>) -> tensor<?x6xf32>
  // A written static result says as much as a constant.
  // CHECK: lathe.reshape %[[X]] {shape = array<i64: 6, 3>} : (tensor<?x3xf32>) -> tensor<6x3xf32>
  %5 = lathe.dynamic_reshape %x, %s : (tensor<?x3xf32>, tensor<2xi64>) -> tensor<6x3xf32>
  return %0, %1, %2, %3, %4, %5 : tensor<3x?xf32>, tensor<?x3xf32>, tensor<?x1xf32>, tensor<?x5xf32>, tensor<?x6xf32>, tensor<6x3xf32>
}

// CHECK-LABEL: func.func @constants
func.func @constants(%x: tensor<2x5xf32>) -> (tensor<3x2xi64>, tensor<3x2xi64>, tensor<2x2x2xi64>, tensor<2x2xi64>, tensor<2x4xi64>, tensor<2xi64>, tensor<2x4xi64>) {
  %0 = lathe.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi64>
  // CHECK-DAG: dense<{{\[\[}}1, 2], [3, 4], [5, 6]]> : tensor<3x2xi64>
  %1 = lathe.reshape %0 {shape = array<i64: 3, 2>} : (tensor<2x3xi64>) -> tensor<3x2xi64>
  // CHECK-DAG: dense<{{\[\[}}1, 4], [2, 5], [3, 6]]> : tensor<3x2xi64>
  %2 = lathe.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<2x3xi64>) -> tensor<3x2xi64>
  // CHECK-DAG: dense<{{\[\[\[}}7, 7], [8, 8]], {{\[\[}}7, 7], [8, 8]]]> : tensor<2x2x2xi64>
  %col = lathe.constant dense<[[7], [8]]> : tensor<2x1xi64>
  %3 = lathe.broadcast %col {shape = array<i64: 2, 2, 2>} : (tensor<2x1xi64>) -> tensor<2x2x2xi64>
  // CHECK-DAG: dense<{{\[\[}}3, 1], [6, 4]]> : tensor<2x2xi64>
  %4 = lathe.slice %0 {starts = array<i64: -1>, ends = array<i64: -9223372036854775808>, axes = array<i64: 1>, steps = array<i64: -2>} : (tensor<2x3xi64>) -> tensor<2x2xi64>
  // CHECK-DAG: dense<{{\[\[}}7, 1, 2, 3], [8, 4, 5, 6]]> : tensor<2x4xi64>
  %5 = lathe.concat %col, %0 {axis = -1 : i64} : (tensor<2x1xi64>, tensor<2x3xi64>) -> tensor<2x4xi64>
  // CHECK-DAG: dense<[2, 5]> : tensor<2xi64>
  %6 = lathe.shape_of %x : (tensor<2x5xf32>) -> tensor<2xi64>
  // CHECK-DAG: dense<{{\[\[}}7, 7, 7, 7], [8, 8, 8, 8]]> : tensor<2x4xi64>
  %7 = lathe.tile %col {repeats = array<i64: 1, 4>} : (tensor<2x1xi64>) -> tensor<2x4xi64>
  // CHECK-NOT: lathe.{{reshape|transpose|broadcast|slice|concat|shape_of|tile}}
  return %1, %2, %3, %4, %5, %6, %7 : tensor<3x2xi64>, tensor<3x2xi64>, tensor<2x2x2xi64>, tensor<2x2xi64>, tensor<2x4xi64>, tensor<2xi64>, tensor<2x4xi64>
}

// CHECK-LABEL: func.func @other_types
func.func @other_types() -> (tensor<3xi1>, tensor<2xf16>, tensor<2xui8>, tensor<0xi64>) {
  // CHECK-DAG: dense<[true, false, true]> : tensor<3xi1>
  %0 = lathe.constant dense<[false, true, false, true]> : tensor<4xi1>
  %1 = lathe.slice %0 {starts = array<i64: 3>, ends = array<i64: 0>, steps = array<i64: -1>} : (tensor<4xi1>) -> tensor<3xi1>
  // CHECK-DAG: dense<[2.000000e+00, 3.000000e+00]> : tensor<2xf16>
  %2 = lathe.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf16>
  %3 = lathe.slice %2 {starts = array<i64: 1>, ends = array<i64: 3>} : (tensor<3xf16>) -> tensor<2xf16>
  // CHECK-DAG: dense<[255, 7]> : tensor<2xui8>
  %4 = lathe.constant dense<255> : tensor<1xui8>
  %5 = lathe.constant dense<7> : tensor<1xui8>
  %6 = lathe.concat %4, %5 {axis = 0 : i64} : (tensor<1xui8>, tensor<1xui8>) -> tensor<2xui8>
  // CHECK-DAG: dense<> : tensor<0xi64>
  %7 = lathe.iota {shape = array<i64: 0>, axis = 0 : i64, dtype = i64} : () -> tensor<0xi64>
  return %1, %3, %6, %7 : tensor<3xi1>, tensor<2xf16>, tensor<2xui8>, tensor<0xi64>
}

// CHECK-LABEL: func.func @generated
func.func @generated() -> (tensor<2x3xi32>, tensor<3xf32>, tensor<3xi64>, tensor<4096xf32>) {
  // CHECK-DAG: dense<{{\[\[}}0, 1, 2], [0, 1, 2]]> : tensor<2x3xi32>
  %0 = lathe.iota {shape = array<i64: 2, 3>, axis = 1 : i64, dtype = i32} : () -> tensor<2x3xi32>
  // CHECK-DAG: dense<[1.000000e+00, 1.500000e+00, 2.000000e+00]> : tensor<3xf32>
  %a = lathe.constant dense<1.0> : tensor<f32>
  %b = lathe.constant dense<2.5> : tensor<f32>
  %c = lathe.constant dense<0.5> : tensor<f32>
  %1 = lathe.dynamic_range %a, %b, %c : (tensor<f32>, tensor<f32>, tensor<f32>) -> tensor<3xf32>
  // CHECK-DAG: dense<[5, 3, 1]> : tensor<3xi64>
  %d = lathe.constant dense<5> : tensor<i64>
  %e = lathe.constant dense<0> : tensor<i64>
  %f = lathe.constant dense<-2> : tensor<i64>
  %2 = lathe.dynamic_range %d, %e, %f : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<3xi64>
  // CHECK-DAG: dense<7.000000e+00> : tensor<4096xf32>
  %g = lathe.constant dense<7.0> : tensor<f32>
  %3 = lathe.broadcast %g {shape = array<i64: 4096>} : (tensor<f32>) -> tensor<4096xf32>
  return %0, %1, %2, %3 : tensor<2x3xi32>, tensor<3xf32>, tensor<3xi64>, tensor<4096xf32>
}

// Constants do not grow beyond 4096 elements.
// CHECK-LABEL: func.func @too_large
func.func @too_large() -> (tensor<4097xf32>, tensor<4097xi64>) {
  %0 = lathe.constant dense<7.0> : tensor<f32>
  // CHECK: lathe.broadcast
  %1 = lathe.broadcast %0 {shape = array<i64: 4097>} : (tensor<f32>) -> tensor<4097xf32>
  // CHECK: lathe.iota
  %2 = lathe.iota {shape = array<i64: 4097>, axis = 0 : i64, dtype = i64} : () -> tensor<4097xi64>
  return %1, %2 : tensor<4097xf32>, tensor<4097xi64>
}

// CHECK-LABEL: func.func @empty_inputs
// CHECK-SAME: (%[[X:.*]]: tensor<2x3xf32>, %[[E:.*]]: tensor<0x3xf32>)
func.func @empty_inputs(%x: tensor<2x3xf32>, %e: tensor<0x3xf32>) -> (tensor<2x3xf32>, tensor<4x3xf32>) {
  // CHECK: %[[C:.*]] = lathe.concat %[[X]], %[[X]] {axis = 0 : i64}
  %0 = lathe.concat %e, %x, %e {axis = 0 : i64} : (tensor<0x3xf32>, tensor<2x3xf32>, tensor<0x3xf32>) -> tensor<2x3xf32>
  %1 = lathe.concat %x, %e, %x {axis = 0 : i64} : (tensor<2x3xf32>, tensor<0x3xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
  // CHECK: return %[[X]], %[[C]]
  return %0, %1 : tensor<2x3xf32>, tensor<4x3xf32>
}
