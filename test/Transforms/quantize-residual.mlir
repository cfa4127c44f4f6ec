// RUN: lathe-opt %s --lathe-quantize="scheme=int8-static ranges=%S/Inputs/residual-ranges.json" --split-input-file | FileCheck %s

lathe.parameter @w : tensor<4x4x1x1xf32>

// What a convolution reads in bytes the sum around it reads in bytes, too: no image of
// floats is stored between blocks. What stands before the product reads floats.
// CHECK-LABEL: func.func @image
// CHECK: %[[R:.*]] = lathe.relu %arg0
// CHECK: %[[E:.*]] = lathe.exp %[[R]]
// CHECK: %[[Q:.*]] = lathe.quantize %[[R]]
// CHECK: %[[D:.*]] = lathe.dequantize %[[Q]]
// CHECK: %[[C:.*]] = lathe.conv %[[D]]
// CHECK: %[[A:.*]] = lathe.add %[[C]], %[[D]]
// CHECK: lathe.mul %[[A]], %[[E]]
func.func @image(%x: tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32> {
  %w = lathe.get_parameter @w : tensor<4x4x1x1xf32>
  %0 = lathe.relu %x : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %1 = lathe.exp %0 : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %2 = lathe.conv %0, %w : (tensor<1x4x8x8xf32>, tensor<4x4x1x1xf32>) -> tensor<1x4x8x8xf32> loc("first")
  %3 = lathe.add %2, %0 : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %4 = lathe.mul %3, %1 : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  return %4 : tensor<1x4x8x8xf32>
}

// -----

lathe.parameter @w : tensor<4x4x1x1xf32>
lathe.parameter @v : tensor<8x8xf32>

// Two ranges of one value, and a product that sums along one axis: what else reads the
// value keeps the floats.
// CHECK-LABEL: func.func @kept
// CHECK: %[[R:.*]] = lathe.relu %arg0
// CHECK: %[[L:.*]] = lathe.relu %arg1
// CHECK: lathe.add %{{.*}}, %[[R]] : (tensor<1x4x8x8xf32>
// CHECK: lathe.add %{{.*}}, %[[L]] : (tensor<2x8xf32>
func.func @kept(%x: tensor<1x4x8x8xf32>, %y: tensor<2x8xf32>) -> (tensor<1x4x8x8xf32>, tensor<2x8xf32>) {
  %w = lathe.get_parameter @w : tensor<4x4x1x1xf32>
  %v = lathe.get_parameter @v : tensor<8x8xf32>
  %0 = lathe.relu %x : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %1 = lathe.conv %0, %w : (tensor<1x4x8x8xf32>, tensor<4x4x1x1xf32>) -> tensor<1x4x8x8xf32> loc("second")
  %2 = lathe.conv %0, %w : (tensor<1x4x8x8xf32>, tensor<4x4x1x1xf32>) -> tensor<1x4x8x8xf32> loc("third")
  %3 = lathe.add %1, %2 : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %l = lathe.relu %y : (tensor<2x8xf32>) -> tensor<2x8xf32>
  %4 = lathe.add %3, %0 : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %5 = lathe.linear %l, %v : (tensor<2x8xf32>, tensor<8x8xf32>) -> tensor<2x8xf32> loc("line")
  %6 = lathe.add %5, %l : (tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x8xf32>
  return %4, %6 : tensor<1x4x8x8xf32>, tensor<2x8xf32>
}
