// RUN: lathe-opt %s --lathe-convert-to-linalg --split-input-file | FileCheck %s

// Batch dims of size 1 stretch in the map; f16 accumulates in f32.
// CHECK: #[[$A:.*]] = affine_map<(d0, d1, d2, d3) -> (0, d1, d3)>
// CHECK: #[[$B:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
// CHECK-LABEL: func.func @matmul
// CHECK: linalg.generic {indexing_maps = [#[[$A]], #[[$B]], #{{[a-z0-9]+}}]
// CHECK-SAME: ["parallel", "parallel", "parallel", "reduction"]
// CHECK-SAME: outs(%{{.*}} : tensor<3x4x5xf32>)
// CHECK: arith.mulf %{{.*}} : f32
func.func @matmul(%a: tensor<1x4x8xf16>, %b: tensor<3x5x8xf16>) -> tensor<3x4x5xf16> {
  %0 = lathe.matmul %a, %b {transpose_rhs} : (tensor<1x4x8xf16>, tensor<3x5x8xf16>) -> tensor<3x4x5xf16>
  return %0 : tensor<3x4x5xf16>
}

// -----

// The columns beyond n are cut off again.
// CHECK-LABEL: func.func @packed
// CHECK: tensor.collapse_shape %{{.*}} : tensor<4x2x32xf32> into tensor<4x64xf32>
// CHECK: tensor.extract_slice %{{.*}}[0, 0] [4, 45] [1, 1]
func.func @packed(%a: tensor<4x8xf32>, %b: tensor<2x8x32xf32>) -> tensor<4x45xf32> {
  %0 = lathe.packed_matmul %a, %b {n = 45 : i64} : (tensor<4x8xf32>, tensor<2x8x32xf32>) -> tensor<4x45xf32>
  return %0 : tensor<4x45xf32>
}

// -----

// Groups are a dim of their own; padding is a tensor of zeros around the input.
// CHECK: #[[$X:.*]] = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7) -> (d0, d1, d5, d3 * 2 + d6, d4 + d7 * 3)>
// CHECK-LABEL: func.func @conv
// CHECK: tensor.insert_slice %{{.*}} into %{{.*}}[0, 0, 1, 0] [1, 4, 9, 9] [1, 1, 1, 1] : tensor<1x4x9x9xf32> into tensor<1x4x10x9xf32>
// CHECK: tensor.expand_shape %{{.*}} into tensor<1x2x2x10x9xf32>
// CHECK: linalg.generic {indexing_maps = [#[[$X]],
func.func @conv(%x: tensor<1x4x9x9xf32>, %w: tensor<6x2x3x3xf32>) -> tensor<1x6x4x3xf32> {
  %0 = lathe.conv %x, %w {strides = array<i64: 2, 1>, dilations = array<i64: 1, 3>, pad_low = array<i64: 1, 0>,
                          pad_high = array<i64: 0, 0>, groups = 2 : i64}
      : (tensor<1x4x9x9xf32>, tensor<6x2x3x3xf32>) -> tensor<1x6x4x3xf32>
  return %0 : tensor<1x6x4x3xf32>
}

// -----

// Padding never wins a maximum.
// CHECK-LABEL: func.func @max_pool
// CHECK: %[[LEAST:.*]] = arith.constant 0xFF800000 : f32
// CHECK: linalg.fill ins(%[[LEAST]] : f32) outs(%{{.*}} : tensor<1x2x6x6xf32>)
func.func @max_pool(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> {
  %0 = lathe.max_pool %x {kernel = array<i64: 3, 3>, pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>}
      : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  return %0 : tensor<1x2x4x4xf32>
}

// -----

// Positions and weights are tables; a dim that keeps its size is not touched.
// CHECK-LABEL: func.func @resize
// CHECK: arith.constant dense<{{.*}}> : tensor<8x2xi64>
// CHECK: arith.constant dense<{{.*}}> : tensor<8x2xf32>
// CHECK-NOT: tensor<1x
// CHECK: return
func.func @resize(%x: tensor<3x4xf32>) -> tensor<3x8xf32> {
  %0 = lathe.resize %x {sizes = array<i64: 3, 8>, mode = 1 : i32} : (tensor<3x4xf32>) -> tensor<3x8xf32>
  return %0 : tensor<3x8xf32>
}
