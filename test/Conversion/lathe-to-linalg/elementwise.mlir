// RUN: lathe-opt %s --lathe-convert-to-linalg --split-input-file | FileCheck %s

// Broadcasting is in the maps; no operand is copied to its full size.
// CHECK: #[[$LHS:.*]] = affine_map<(d0, d1) -> (d0, 0)>
// CHECK: #[[$RHS:.*]] = affine_map<(d0, d1) -> (d1)>
// CHECK-LABEL: func.func @broadcast
// CHECK: linalg.generic {indexing_maps = [#[[$LHS]], #[[$RHS]], #{{.*}}], iterator_types = ["parallel", "parallel"]}
// CHECK: arith.addf
func.func @broadcast(%a: tensor<4x1xf32>, %b: tensor<5xf32>) -> tensor<4x5xf32> {
  %0 = lathe.add %a, %b : (tensor<4x1xf32>, tensor<5xf32>) -> tensor<4x5xf32>
  return %0 : tensor<4x5xf32>
}

// -----

// Booleans are bytes outside of the body, bits inside.
// CHECK-LABEL: func.func @boolean(
// CHECK-SAME: %{{.*}}: tensor<4xi8>) -> tensor<4xi8>
// CHECK: arith.cmpi ne
// CHECK: arith.xori %{{.*}} : i1
// CHECK: arith.extui %{{.*}} : i1 to i8
func.func @boolean(%x: tensor<4xi1>) -> tensor<4xi1> {
  %0 = lathe.not %x : (tensor<4xi1>) -> tensor<4xi1>
  return %0 : tensor<4xi1>
}

// -----

// Unsigned integers are signless in memory; their ops know. A division by zero
// never reaches the processor.
// CHECK-LABEL: func.func @unsigned(
// CHECK-SAME: tensor<4xi8>
// CHECK: %[[ZERO:.*]] = arith.cmpi eq, %[[B:.*]], %{{.*}} : i8
// CHECK: %[[SAFE:.*]] = arith.select %[[ZERO]], %{{.*}}, %[[B]]
// CHECK: arith.divui %{{.*}}, %[[SAFE]]
func.func @unsigned(%a: tensor<4xui8>, %b: tensor<4xui8>) -> tensor<4xui8> {
  %0 = lathe.div %a, %b : (tensor<4xui8>, tensor<4xui8>) -> tensor<4xui8>
  return %0 : tensor<4xui8>
}

// -----

// 16-bit floats compute in f32.
// CHECK-LABEL: func.func @half
// CHECK: arith.extf %{{.*}} : f16 to f32
// CHECK: math.exp %{{.*}} : f32
// CHECK: arith.truncf %{{.*}} : f32 to f16
func.func @half(%x: tensor<4xf16>) -> tensor<4xf16> {
  %0 = lathe.exp %x : (tensor<4xf16>) -> tensor<4xf16>
  return %0 : tensor<4xf16>
}

// -----

// A constant of one value is made in the body.
// CHECK-LABEL: func.func @splat
// CHECK: linalg.generic {{.*}} ins(%{{[^,]*}} : tensor<4xf32>)
// CHECK: %[[TWO:.*]] = arith.constant 2.0
// CHECK: arith.mulf %{{.*}}, %[[TWO]]
func.func @splat(%x: tensor<4xf32>) -> tensor<4xf32> {
  %two = lathe.constant dense<2.0> : tensor<f32>
  %0 = lathe.mul %x, %two : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
