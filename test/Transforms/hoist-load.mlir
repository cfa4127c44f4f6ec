// RUN: lathe-opt %s --lathe-hoist-load --split-input-file | FileCheck %s

// The pack moves to load and comes back as an argument; a parameter read as it
// is stays where it is.
// CHECK-LABEL: func.func private @main_load() -> tensor<1x8x32xf32>
// CHECK-SAME: lathe.load_for = @main
// CHECK: %[[W:.*]] = lathe.get_parameter @w
// CHECK: %[[P:.*]] = lathe.pack %[[W]]
// CHECK: return %[[P]]
// CHECK-LABEL: func.func @main(
// CHECK-SAME: %{{.*}}: tensor<4x8xf32> {lathe.name = "x"}, %[[PACKED:[a-z0-9]+]]: tensor<1x8x32xf32> {lathe.persistent = 0 : i64})
// CHECK-NOT: lathe.pack
// CHECK: %[[B:.*]] = lathe.get_parameter @b
// CHECK: lathe.packed_matmul %{{.*}}, %[[PACKED]]
// CHECK: lathe.add %{{.*}}, %[[B]]
lathe.parameter @w : tensor<16x8xf32>
lathe.parameter @b : tensor<16xf32>
func.func @main(%x: tensor<4x8xf32> {lathe.name = "x"}) -> tensor<4x16xf32> {
  %w = lathe.get_parameter @w : tensor<16x8xf32>
  %b = lathe.get_parameter @b : tensor<16xf32>
  %p = lathe.pack %w {transposed} : (tensor<16x8xf32>) -> tensor<1x8x32xf32>
  %0 = lathe.packed_matmul %x, %p {n = 16 : i64} : (tensor<4x8xf32>, tensor<1x8x32xf32>) -> tensor<4x16xf32>
  %1 = lathe.add %0, %b : (tensor<4x16xf32>, tensor<16xf32>) -> tensor<4x16xf32>
  return %1 : tensor<4x16xf32>
}

// -----

// Refused: nothing but parameters and reshapes of them, which cost nothing.
// CHECK-NOT: @main_load
// CHECK-LABEL: func.func @main(%{{.*}}: tensor<4x8xf32>) ->
lathe.parameter @b : tensor<2x4xf32>
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %b = lathe.get_parameter @b : tensor<2x4xf32>
  %0 = lathe.reshape %b {shape = array<i64: 8>} : (tensor<2x4xf32>) -> tensor<8xf32>
  %1 = lathe.add %x, %0 : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// -----

// Refused: a broadcast that an elementwise op reads would only take memory. The
// same broadcast is kept for a contraction.
// CHECK-LABEL: func.func private @main_load() -> tensor<64x64xf32>
// CHECK: lathe.broadcast
// CHECK-LABEL: func.func @main(
// CHECK: %[[S:.*]] = lathe.broadcast %{{.*}} {shape = array<i64: 64, 64>}
// CHECK: lathe.add %{{.*}}, %[[S]]
lathe.parameter @s : tensor<1xf32>
lathe.parameter @t : tensor<1xf32>
func.func @main(%x: tensor<64x64xf32>) -> tensor<64x64xf32> {
  %s = lathe.get_parameter @s : tensor<1xf32>
  %t = lathe.get_parameter @t : tensor<1xf32>
  %0 = lathe.broadcast %s {shape = array<i64: 64, 64>} : (tensor<1xf32>) -> tensor<64x64xf32>
  %1 = lathe.add %x, %0 : (tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  %2 = lathe.broadcast %t {shape = array<i64: 64, 64>} : (tensor<1xf32>) -> tensor<64x64xf32>
  %3 = lathe.matmul %1, %2 : (tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  return %3 : tensor<64x64xf32>
}

// -----

// Work on the slice of a stacked parameter becomes a loop that runs at load, and
// the model's loop reads slices of what it made. The bias goes on as it was.
// CHECK-LABEL: func.func private @main_load() -> tensor<3x1x8x32xf32>
// CHECK: %[[W:.*]] = lathe.get_parameter @w
// CHECK: %[[S:.*]] = lathe.scan inputs(%[[SLICE:.*]] = %[[W]])
// CHECK-NEXT: %[[P:.*]] = lathe.pack %[[SLICE]]
// CHECK-NEXT: lathe.yield %[[P]]
// CHECK: return %[[S]]
// CHECK-LABEL: func.func @main(
// CHECK-SAME: %[[PACKED:[a-z0-9]+]]: tensor<3x1x8x32xf32> {lathe.persistent = 0 : i64})
// CHECK: %[[B:.*]] = lathe.get_parameter @b
// CHECK: lathe.scan init(%[[H:.*]] = %{{.*}}) inputs(%[[BI:.*]] = %[[B]], %[[PI:.*]] = %[[PACKED]])
// CHECK-NOT: lathe.pack
// CHECK: lathe.packed_matmul %[[H]], %[[PI]]
// CHECK: lathe.add %{{.*}}, %[[BI]]
lathe.parameter @w : tensor<3x8x8xf32>
lathe.parameter @b : tensor<3x8xf32>
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %w = lathe.get_parameter @w : tensor<3x8x8xf32>
  %b = lathe.get_parameter @b : tensor<3x8xf32>
  %y = lathe.scan init(%h = %x) inputs(%wi = %w, %bi = %b) : (tensor<4x8xf32>, tensor<3x8x8xf32>, tensor<3x8xf32>) -> tensor<4x8xf32> {
    %p = lathe.pack %wi {transposed} : (tensor<8x8xf32>) -> tensor<1x8x32xf32>
    %0 = lathe.packed_matmul %h, %p {n = 8 : i64} : (tensor<4x8xf32>, tensor<1x8x32xf32>) -> tensor<4x8xf32>
    %1 = lathe.add %0, %bi : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
    lathe.yield %1 : tensor<4x8xf32>
  }
  return %y : tensor<4x8xf32>
}

// -----

// Work in a loop that does not depend on the iteration is known at load, too.
// CHECK-LABEL: func.func private @main_load() -> tensor<8x8xf32>
// CHECK: lathe.mul
// CHECK-LABEL: func.func @main(
// CHECK: lathe.scan
// CHECK-NOT: lathe.mul
// CHECK: lathe.linear
lathe.parameter @w : tensor<8x8xf32>
func.func @main(%x: tensor<4x8xf32>, %z: tensor<3x8xf32>) -> tensor<4x8xf32> {
  %w = lathe.get_parameter @w : tensor<8x8xf32>
  %y = lathe.scan init(%h = %x) inputs(%zi = %z) : (tensor<4x8xf32>, tensor<3x8xf32>) -> tensor<4x8xf32> {
    %0 = lathe.mul %w, %w : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    %1 = lathe.linear %h, %0, %zi : (tensor<4x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
    lathe.yield %1 : tensor<4x8xf32>
  }
  return %y : tensor<4x8xf32>
}

// -----

// Refused: a mutable parameter is known in a run alone.
// CHECK-NOT: @main_load
// CHECK-LABEL: func.func @main(
// CHECK: lathe.pack
lathe.parameter @w : tensor<16x8xf32> {mutable}
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x16xf32> {
  %w = lathe.get_parameter @w : tensor<16x8xf32>
  %p = lathe.pack %w {transposed} : (tensor<16x8xf32>) -> tensor<1x8x32xf32>
  %0 = lathe.packed_matmul %x, %p {n = 16 : i64} : (tensor<4x8xf32>, tensor<1x8x32xf32>) -> tensor<4x16xf32>
  return %0 : tensor<4x16xf32>
}

// -----

// Refused: zeros, however often they are read, above 16 MiB.
// CHECK-NOT: @main_load
// CHECK-LABEL: func.func @main(
// CHECK: lathe.broadcast
func.func @main(%i: tensor<4x1xi64>, %u: tensor<4x1024xf32>) -> tensor<8192x1024xf32> {
  %zero = lathe.constant dense<0.0> : tensor<f32>
  %zeros = lathe.broadcast %zero {shape = array<i64: 8192, 1024>} : (tensor<f32>) -> tensor<8192x1024xf32>
  %0 = lathe.scatter_nd %zeros, %i, %u : (tensor<8192x1024xf32>, tensor<4x1xi64>, tensor<4x1024xf32>) -> tensor<8192x1024xf32>
  return %0 : tensor<8192x1024xf32>
}
