// RUN: lathe-opt %s --split-input-file --lathe-augment='flip=true crop=2' | FileCheck %s
// RUN: lathe-opt %s --split-input-file --lathe-augment='flip=true' | FileCheck %s --check-prefix=FLIP
// RUN: lathe-opt %s --split-input-file --lathe-augment | FileCheck %s --check-prefix=NOTHING
// NOTHING-NOT: gather_elements

// Bytes stay bytes, and the key is a new argument.
// CHECK-LABEL: func.func @loss
// CHECK-SAME: (%[[X:.*]]: tensor<8x6x5xui8> {lathe.name = "image"}, %[[K:.*]]: tensor<2xi64> {lathe.name = "random_key"})
// CHECK: %[[P:.*]] = lathe.pad %[[X]] {high = array<i64: 0, 2, 2>, low = array<i64: 0, 2, 2>}
// CHECK: lathe.random_uniform %[[K]] {{.*}}shape = array<i64: 8, 1, 1>
// CHECK: lathe.select
// CHECK: lathe.random_uniform %[[K]] {{.*}}high = 5.000000e+00
// CHECK: lathe.random_uniform %[[K]] {{.*}}high = 5.000000e+00
// CHECK: %[[G:.*]] = lathe.gather_elements %{{.*}} {axis = 1 : i64} : (tensor<8x90xui8>, tensor<8x30xi64>) -> tensor<8x30xui8>
// CHECK: %[[R:.*]] = lathe.reshape %[[G]]
// CHECK: lathe.cast %[[R]] to f32
// FLIP-LABEL: func.func @loss
// FLIP-NOT: lathe.pad
// FLIP: lathe.random_uniform
// FLIP-NOT: lathe.random_uniform
// FLIP: lathe.gather_elements %{{.*}} : (tensor<8x30xui8>, tensor<8x30xi64>)
// FLIP: return
func.func @loss(%x: tensor<8x6x5xui8> {lathe.name = "image"}) -> tensor<f32> {
  %0 = lathe.cast %x to f32 : (tensor<8x6x5xui8>) -> tensor<8x6x5xf32>
  %1 = lathe.reduce_mean %0 {axes = array<i64: 0, 1, 2>} : (tensor<8x6x5xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}

// -----

// Channels first; the key that is there; labels are no images.
// CHECK-LABEL: func.func @loss
// CHECK-SAME: (%[[K:.*]]: tensor<2xi64> {lathe.name = "random_key"}, %[[X:.*]]: tensor<8x3x6x5xf32>, %{{.*}}: tensor<8xi64>)
// CHECK: lathe.random_uniform %[[K]]
// CHECK: lathe.gather_elements %{{.*}} {axis = 2 : i64} : (tensor<8x3x90xf32>, tensor<8x3x30xi64>) -> tensor<8x3x30xf32>
func.func @loss(%key: tensor<2xi64> {lathe.name = "random_key"}, %x: tensor<8x3x6x5xf32>, %y: tensor<8xi64>) -> tensor<f32> {
  %1 = lathe.reduce_mean %x {axes = array<i64: 0, 1, 2, 3>} : (tensor<8x3x6x5xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}

// -----

// Channels last.
// CHECK-LABEL: func.func @loss
// CHECK: lathe.gather_elements %{{.*}} {axis = 1 : i64} : (tensor<8x90x3xf32>, tensor<8x30x3xi64>) -> tensor<8x30x3xf32>
func.func @loss(%x: tensor<8x6x5x3xf32>) -> tensor<f32> {
  %1 = lathe.reduce_mean %x {axes = array<i64: 0, 1, 2, 3>} : (tensor<8x6x5x3xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}
