// RUN: lathe-opt %s --lathe-convert-to-linalg --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @reshape
// CHECK: tensor.collapse_shape %{{.*}} : tensor<2x6xf32> into tensor<12xf32>
// CHECK: tensor.expand_shape %{{.*}} : tensor<12xf32> into tensor<4x3xf32>
func.func @reshape(%x: tensor<2x6xf32>) -> tensor<4x3xf32> {
  %0 = lathe.reshape %x {shape = array<i64: 4, 3>} : (tensor<2x6xf32>) -> tensor<4x3xf32>
  return %0 : tensor<4x3xf32>
}

// -----

// Slices are reads at affine positions, backwards too.
// CHECK: affine_map<(d0, d1) -> (d0 * 2 + 1, -d1 + 8)>
// CHECK-LABEL: func.func @slice
func.func @slice(%x: tensor<7x9xf32>) -> tensor<3x9xf32> {
  %0 = lathe.slice %x {starts = array<i64: 1, -1>, ends = array<i64: 7, -9223372036854775808>,
                       steps = array<i64: 2, -1>} : (tensor<7x9xf32>) -> tensor<3x9xf32>
  return %0 : tensor<3x9xf32>
}

// -----

// CHECK-LABEL: func.func @concat
// CHECK: %[[A:.*]] = tensor.insert_slice %{{.*}} into %{{.*}}[0, 0] [2, 3] [1, 1]
// CHECK: tensor.insert_slice %{{.*}} into %[[A]][0, 3] [2, 1] [1, 1]
func.func @concat(%a: tensor<2x3xf32>, %b: tensor<2x1xf32>) -> tensor<2x4xf32> {
  %0 = lathe.concat %a, %b {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x1xf32>) -> tensor<2x4xf32>
  return %0 : tensor<2x4xf32>
}

// -----

// Negative padding crops before anything grows.
// CHECK-LABEL: func.func @pad
// CHECK: %[[PART:.*]] = tensor.extract_slice %{{.*}}[1, 0] [3, 3] [1, 1]
// CHECK: tensor.insert_slice %[[PART]] into %{{.*}}[0, 2] [3, 3] [1, 1]
func.func @pad(%x: tensor<4x5xf32>) -> tensor<4x5xf32> {
  %0 = lathe.pad %x {low = array<i64: -1, 2>, high = array<i64: 1, -2>} : (tensor<4x5xf32>) -> tensor<4x5xf32>
  return %0 : tensor<4x5xf32>
}

// -----

// Negative indices count from the end, the rest is clamped.
// CHECK-LABEL: func.func @gather
// CHECK: linalg.generic
// CHECK: arith.cmpi slt
// CHECK: arith.select
// CHECK: arith.minsi
// CHECK: arith.maxsi
// CHECK: tensor.extract %{{.*}}[%{{.*}}, %{{.*}}] : tensor<6x4xf32>
func.func @gather(%x: tensor<6x4xf32>, %i: tensor<3xi64>) -> tensor<3x4xf32> {
  %0 = lathe.gather %x, %i : (tensor<6x4xf32>, tensor<3xi64>) -> tensor<3x4xf32>
  return %0 : tensor<3x4xf32>
}

// -----

// Updates come in order.
// CHECK-LABEL: func.func @scatter
// CHECK: scf.for {{.*}} iter_args(%[[T:.*]] = %{{.*}}) -> (tensor<6xf32>)
// CHECK: %[[OLD:.*]] = tensor.extract %[[T]]
// CHECK: %[[NEW:.*]] = arith.addf %[[OLD]]
// CHECK: tensor.insert %[[NEW]] into %[[T]]
func.func @scatter(%x: tensor<6xf32>, %i: tensor<3xi64>, %u: tensor<3xf32>) -> tensor<6xf32> {
  %0 = lathe.scatter_elements %x, %i, %u {axis = 0 : i64, mode = 1 : i32}
      : (tensor<6xf32>, tensor<3xi64>, tensor<3xf32>) -> tensor<6xf32>
  return %0 : tensor<6xf32>
}

// -----

// The first multiplier of Philox; ten rounds.
// CHECK-LABEL: func.func @random
// CHECK-COUNT-10: arith.constant 3528531795 : i64
// CHECK-NOT: arith.constant 3528531795 : i64
// CHECK: return
func.func @random(%key: tensor<2xi64>) -> tensor<5xf32> {
  %0 = lathe.random_uniform %key {shape = array<i64: 5>, dtype = f32, stream = 3 : i64} : (tensor<2xi64>) -> tensor<5xf32>
  return %0 : tensor<5xf32>
}
