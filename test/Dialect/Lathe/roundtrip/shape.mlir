// RUN: lathe-opt %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func.func @constants
func.func @constants() {
  // CHECK: lathe.constant dense<1.000000e+00> : tensor<2x3xf32>
  %0 = lathe.constant dense<1.0> : tensor<2x3xf32>
  // CHECK: lathe.constant dense<> : tensor<0xi64>
  %1 = lathe.constant dense<> : tensor<0xi64>
  // CHECK: lathe.constant {lathe.name = "mask"} dense<true> : tensor<i1>
  %2 = lathe.constant {lathe.name = "mask"} dense<true> : tensor<i1>
  // CHECK: lathe.constant dense<[1, 255]> : tensor<2xui8>
  %3 = lathe.constant dense<[1, 255]> : tensor<2xui8>
  return
}

// CHECK-LABEL: func.func @reshape
func.func @reshape(%x: tensor<2x3x?xf32>, %y: tensor<4x6xf32>, %s: tensor<3xi64>) {
  // CHECK: lathe.reshape %{{.*}} {shape = array<i64: 0, -1, 3>} : (tensor<2x3x?xf32>) -> tensor<2x?x3xf32>
  %0 = lathe.reshape %x {shape = array<i64: 0, -1, 3>} : (tensor<2x3x?xf32>) -> tensor<2x?x3xf32>
  // The size that is copied cancels, so -1 is known.
  // CHECK: lathe.reshape %{{.*}} {shape = array<i64: -1, 1, 0>} : (tensor<2x3x?xf32>) -> tensor<6x1x?xf32>
  %1 = lathe.reshape %x {shape = array<i64: -1, 1, 0>} : (tensor<2x3x?xf32>) -> tensor<6x1x?xf32>
  // CHECK: lathe.reshape %{{.*}} {shape = array<i64: 3, -1>} : (tensor<4x6xf32>) -> tensor<3x8xf32>
  %2 = lathe.reshape %y {shape = array<i64: 3, -1>} : (tensor<4x6xf32>) -> tensor<3x8xf32>
  // CHECK: lathe.dynamic_reshape %{{.*}}, %{{.*}} : (tensor<4x6xf32>, tensor<3xi64>) -> tensor<?x?x?xf32>
  %3 = lathe.dynamic_reshape %y, %s : (tensor<4x6xf32>, tensor<3xi64>) -> tensor<?x?x?xf32>
  return
}

// CHECK-LABEL: func.func @zeros
func.func @zeros(%x: tensor<0x4xf32>) {
  // CHECK: lathe.reshape %{{.*}} {allow_zero, shape = array<i64: 2, 0>}
  %0 = lathe.reshape %x {allow_zero, shape = array<i64: 2, 0>} : (tensor<0x4xf32>) -> tensor<2x0xf32>
  // CHECK: lathe.slice %{{.*}} : (tensor<0x4xf32>) -> tensor<0x4xf32>
  %1 = lathe.slice %x {starts = array<i64: 0>, ends = array<i64: 9223372036854775807>} : (tensor<0x4xf32>) -> tensor<0x4xf32>
  // CHECK: lathe.concat %{{.*}}, %{{.*}} {axis = 0 : i64} : (tensor<0x4xf32>, tensor<0x4xf32>) -> tensor<0x4xf32>
  %2 = lathe.concat %x, %x {axis = 0 : i64} : (tensor<0x4xf32>, tensor<0x4xf32>) -> tensor<0x4xf32>
  // CHECK: lathe.reverse
  %3 = lathe.reverse %x {axes = array<i64: 0>} : (tensor<0x4xf32>) -> tensor<0x4xf32>
  return
}

// CHECK-LABEL: func.func @scalars
func.func @scalars(%x: tensor<f32>) {
  // CHECK: lathe.reshape %{{.*}} {shape = array<i64: 1, 1>} : (tensor<f32>) -> tensor<1x1xf32>
  %0 = lathe.reshape %x {shape = array<i64: 1, 1>} : (tensor<f32>) -> tensor<1x1xf32>
  // CHECK: lathe.unsqueeze %{{.*}} {axes = array<i64: -1>} : (tensor<f32>) -> tensor<1xf32>
  %1 = lathe.unsqueeze %x {axes = array<i64: -1>} : (tensor<f32>) -> tensor<1xf32>
  // CHECK: lathe.transpose %{{.*}} {permutation = array<i64>} : (tensor<f32>) -> tensor<f32>
  %2 = lathe.transpose %x {permutation = array<i64>} : (tensor<f32>) -> tensor<f32>
  // CHECK: lathe.broadcast %{{.*}} {shape = array<i64: 2, 3>} : (tensor<f32>) -> tensor<2x3xf32>
  %3 = lathe.broadcast %x {shape = array<i64: 2, 3>} : (tensor<f32>) -> tensor<2x3xf32>
  // CHECK: lathe.shape_of %{{.*}} : (tensor<f32>) -> tensor<0xi64>
  %4 = lathe.shape_of %x : (tensor<f32>) -> tensor<0xi64>
  // CHECK: lathe.pad
  %5 = lathe.pad %x {low = array<i64>, high = array<i64>} : (tensor<f32>) -> tensor<f32>
  return
}

// CHECK-LABEL: func.func @views
func.func @views(%x: tensor<2x1x?xf32>, %s: tensor<4xi64>) {
  // CHECK: lathe.squeeze %{{.*}} {axes = array<i64: -2>} : (tensor<2x1x?xf32>) -> tensor<2x?xf32>
  %0 = lathe.squeeze %x {axes = array<i64: -2>} : (tensor<2x1x?xf32>) -> tensor<2x?xf32>
  // CHECK: lathe.unsqueeze %{{.*}} {axes = array<i64: 0, -1>} : (tensor<2x1x?xf32>) -> tensor<1x2x1x?x1xf32>
  %1 = lathe.unsqueeze %x {axes = array<i64: 0, -1>} : (tensor<2x1x?xf32>) -> tensor<1x2x1x?x1xf32>
  // CHECK: lathe.transpose %{{.*}} {permutation = array<i64: 2, 0, 1>} : (tensor<2x1x?xf32>) -> tensor<?x2x1xf32>
  %2 = lathe.transpose %x {permutation = array<i64: 2, 0, 1>} : (tensor<2x1x?xf32>) -> tensor<?x2x1xf32>
  // CHECK: lathe.broadcast %{{.*}} {shape = array<i64: 3, 1>} : (tensor<2x1x?xf32>) -> tensor<2x3x?xf32>
  %3 = lathe.broadcast %x {shape = array<i64: 3, 1>} : (tensor<2x1x?xf32>) -> tensor<2x3x?xf32>
  // CHECK: lathe.dynamic_broadcast %{{.*}}, %{{.*}} : (tensor<2x1x?xf32>, tensor<4xi64>) -> tensor<?x2x?x?xf32>
  %4 = lathe.dynamic_broadcast %x, %s : (tensor<2x1x?xf32>, tensor<4xi64>) -> tensor<?x2x?x?xf32>
  return
}

// CHECK-LABEL: func.func @slices
func.func @slices(%x: tensor<8x?x5xf32>, %s: tensor<2xi64>) {
  // CHECK: (tensor<8x?x5xf32>) -> tensor<3x?x5xf32>
  %0 = lathe.slice %x {starts = array<i64: 1>, ends = array<i64: -1>, steps = array<i64: 2>} : (tensor<8x?x5xf32>) -> tensor<3x?x5xf32>
  // Backwards to the front.
  // CHECK: (tensor<8x?x5xf32>) -> tensor<8x?x5xf32>
  %1 = lathe.slice %x {starts = array<i64: -1>, ends = array<i64: -9223372036854775808>, axes = array<i64: 2>, steps = array<i64: -1>} : (tensor<8x?x5xf32>) -> tensor<8x?x5xf32>
  // Every other extreme is clamped.
  // CHECK: (tensor<8x?x5xf32>) -> tensor<0x?x1xf32>
  %2 = lathe.slice %x {starts = array<i64: 9223372036854775807, -9223372036854775808>, ends = array<i64: -9223372036854775808, 9223372036854775807>, axes = array<i64: 0, 2>, steps = array<i64: 1, 9223372036854775807>} : (tensor<8x?x5xf32>) -> tensor<0x?x1xf32>
  // CHECK: (tensor<8x?x5xf32>) -> tensor<1x?x5xf32>
  %3 = lathe.slice %x {starts = array<i64: 9223372036854775807>, ends = array<i64: -9223372036854775808>, steps = array<i64: -9223372036854775808>} : (tensor<8x?x5xf32>) -> tensor<1x?x5xf32>
  // CHECK: lathe.dynamic_slice %{{.*}}, %{{.*}}, %{{.*}} : (tensor<8x?x5xf32>, tensor<2xi64>, tensor<2xi64>) -> tensor<?x?x5xf32>
  %4 = lathe.dynamic_slice %x, %s, %s : (tensor<8x?x5xf32>, tensor<2xi64>, tensor<2xi64>) -> tensor<?x?x5xf32>
  %axes = lathe.constant dense<[2, 1]> : tensor<2xi64>
  // CHECK: lathe.dynamic_slice %{{.*}}, %{{.*}}, %{{.*}} axes %{{.*}} steps %{{.*}} : ({{.*}}) -> tensor<8x?x?xf32>
  %5 = lathe.dynamic_slice %x, %s, %s axes %axes steps %s : (tensor<8x?x5xf32>, tensor<2xi64>, tensor<2xi64>, tensor<2xi64>, tensor<2xi64>) -> tensor<8x?x?xf32>
  return
}

// CHECK-LABEL: func.func @movement
func.func @movement(%x: tensor<2x?xf32>, %y: tensor<2x3xf32>, %v: tensor<f32>, %p: tensor<4xi64>, %r: tensor<2xi64>) {
  // CHECK: lathe.concat %{{.*}}, %{{.*}} {axis = -1 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  %0 = lathe.concat %y, %y {axis = -1 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  // What one input leaves open another one tells.
  // CHECK: lathe.concat %{{.*}}, %{{.*}} {axis = 0 : i64} : (tensor<2x?xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
  %1 = lathe.concat %x, %y {axis = 0 : i64} : (tensor<2x?xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
  // CHECK: lathe.pad %{{.*}}, %{{.*}} {high = array<i64: 0, -1>, low = array<i64: 1, 2>} : (tensor<2x3xf32>, tensor<f32>) -> tensor<3x4xf32>
  %2 = lathe.pad %y, %v {low = array<i64: 1, 2>, high = array<i64: 0, -1>} : (tensor<2x3xf32>, tensor<f32>) -> tensor<3x4xf32>
  // CHECK: lathe.pad %{{.*}} {high = array<i64: 0, 5>, low = array<i64: 0, 5>, mode = 1 : i32} : (tensor<2x3xf32>) -> tensor<2x13xf32>
  %3 = lathe.pad %y {low = array<i64: 0, 5>, high = array<i64: 0, 5>, mode = 1 : i32} : (tensor<2x3xf32>) -> tensor<2x13xf32>
  // CHECK: lathe.dynamic_pad %{{.*}}, %{{.*}} : (tensor<2x3xf32>, tensor<4xi64>) -> tensor<?x?xf32>
  %4 = lathe.dynamic_pad %y, %p : (tensor<2x3xf32>, tensor<4xi64>) -> tensor<?x?xf32>
  // CHECK: lathe.tile %{{.*}} {repeats = array<i64: 3, 0>} : (tensor<2x?xf32>) -> tensor<6x0xf32>
  %5 = lathe.tile %x {repeats = array<i64: 3, 0>} : (tensor<2x?xf32>) -> tensor<6x0xf32>
  // CHECK: lathe.dynamic_tile %{{.*}}, %{{.*}} : (tensor<2x3xf32>, tensor<2xi64>) -> tensor<?x?xf32>
  %6 = lathe.dynamic_tile %y, %r : (tensor<2x3xf32>, tensor<2xi64>) -> tensor<?x?xf32>
  // CHECK: lathe.reverse %{{.*}} {axes = array<i64: -1>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %7 = lathe.reverse %y {axes = array<i64: -1>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}

// CHECK-LABEL: func.func @generated
func.func @generated(%x: tensor<2x?xf32>, %n: tensor<i64>) {
  // CHECK: lathe.shape_of %{{.*}} : (tensor<2x?xf32>) -> tensor<2xi64>
  %0 = lathe.shape_of %x : (tensor<2x?xf32>) -> tensor<2xi64>
  // CHECK: lathe.iota {axis = -1 : i64, dtype = f16, shape = array<i64: 2, 3>} : () -> tensor<2x3xf16>
  %1 = lathe.iota {axis = -1 : i64, dtype = f16, shape = array<i64: 2, 3>} : () -> tensor<2x3xf16>
  // CHECK: lathe.dynamic_range %{{.*}}, %{{.*}}, %{{.*}} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %2 = lathe.dynamic_range %n, %n, %n : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %a = lathe.constant dense<9223372036854775807> : tensor<i64>
  %b = lathe.constant dense<-9223372036854775808> : tensor<i64>
  // Extremes do not overflow: both ends are reached.
  // CHECK: (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<2xi64>
  %3 = lathe.dynamic_range %a, %b, %b : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<2xi64>
  return
}
