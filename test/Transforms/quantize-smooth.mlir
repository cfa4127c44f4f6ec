// RUN: lathe-opt %s --lathe-quantize="scheme=int8-static ranges=%S/Inputs/smooth-ranges.json" | FileCheck %s
// RUN: lathe-opt %s --lathe-quantize="scheme=int8-dynamic ranges=%S/Inputs/smooth-ranges.json" | FileCheck %s --check-prefix=DYNAMIC
// RUN: lathe-opt %s --lathe-quantize="scheme=int8-weights ranges=%S/Inputs/smooth-ranges.json" | FileCheck %s --check-prefix=WEIGHTS
// RUN: lathe-opt %s --lathe-quantize="scheme=int8-static ranges=%S/Inputs/smooth-ranges.json explain" -o /dev/null 2>&1 | FileCheck %s --check-prefix=WHY

lathe.parameter @w : tensor<6x4xf32>
lathe.parameter @v : tensor<4x6xf32>
lathe.parameter @f : tensor<2x4x1x1xf32>
lathe.parameter @ws : tensor<2x4x4xf32>

// What is divided in the activations is multiplied in the weights, and both products read the same integers.
// CHECK-LABEL: func.func @main
// CHECK: %[[D:.*]] = lathe.constant dense<[5.000000e-01, 2.500000e-01, 2.000000e+00, 1.000000e+00]> : tensor<4xf32>
// CHECK: %[[X:.*]] = lathe.mul %arg0, %[[D]]
// CHECK: %[[Q:.*]] = lathe.quantize %[[X]], {{.*}} -> tensor<3x4xui8>
// CHECK: %[[DX:.*]] = lathe.dequantize %[[Q]]
// CHECK: %[[M:.*]] = lathe.constant dense<[2.000000e+00, 4.000000e+00, 5.000000e-01, 1.000000e+00]> : tensor<4xf32>
// CHECK: %[[W:.*]] = lathe.mul %{{.*}}, %[[M]] : (tensor<6x4xf32>, tensor<4xf32>) -> tensor<6x4xf32>
// CHECK: lathe.quantize %[[W]]
// CHECK: lathe.linear %[[DX]],
// CHECK: dense<{{\[\[}}2.000000e+00], [4.000000e+00], [5.000000e-01], [1.000000e+00]]> : tensor<4x1xf32>
// CHECK: lathe.mul {{.*}} : (tensor<4x6xf32>, tensor<4x1xf32>) -> tensor<4x6xf32>
// CHECK: lathe.matmul %[[DX]],
// One list per layer, which the scan slices.
// CHECK: dense<{{\[\[}}1.000000e+00, 5.000000e-01, 2.500000e-01, 1.250000e-01], [1.250000e-01, 2.500000e-01, 5.000000e-01, 1.000000e+00]]> : tensor<2x4xf32>
// CHECK: dense<{{\[\[}}1.000000e+00, 2.000000e+00, 4.000000e+00, 8.000000e+00], [8.000000e+00, 4.000000e+00, 2.000000e+00, 1.000000e+00]]> : tensor<2x4xf32>
// CHECK: lathe.scan

// DYNAMIC: lathe.mul %arg0, %{{.*}} : (tensor<3x4xf32>, tensor<4xf32>)
// WEIGHTS-NOT: lathe.mul %arg0

// WHY: remark: {{.*}}is quantized: one, weights of 8 bits, a scale per channel, activations by the ranges, smoothed
// WHY: remark: {{.*}}is quantized: two, weights of 8 bits, a scale per channel, activations by the ranges
// WHY: remark: {{.*}}stays in floats: the ranges smooth 2 channels of 'short#0', expected 4
// WHY: remark: {{.*}}stays in floats: the ranges smooth 'window#0', which sums over windows
// WHY: remark: {{.*}}is quantized: layers, weights of 8 bits, a scale per channel, activations by the ranges, smoothed
// WHY: warning: 2 of 5 operands have no range of use in '{{.*}}smooth-ranges.json', and their products stay in floats: the first is 'short#0'
func.func @main(%x: tensor<3x4xf32>, %i: tensor<1x4x2x2xf32>) -> (tensor<3x6xf32>, tensor<3x6xf32>, tensor<3x6xf32>, tensor<1x2x2x2xf32>, tensor<3x4xf32>) {
  %w = lathe.get_parameter @w : tensor<6x4xf32>
  %v = lathe.get_parameter @v : tensor<4x6xf32>
  %f = lathe.get_parameter @f : tensor<2x4x1x1xf32>
  %ws = lathe.get_parameter @ws : tensor<2x4x4xf32>
  %0 = lathe.linear %x, %w : (tensor<3x4xf32>, tensor<6x4xf32>) -> tensor<3x6xf32> loc("one")
  %1 = lathe.matmul %x, %v : (tensor<3x4xf32>, tensor<4x6xf32>) -> tensor<3x6xf32> loc("two")
  %2 = lathe.linear %x, %w : (tensor<3x4xf32>, tensor<6x4xf32>) -> tensor<3x6xf32> loc("short")
  %3 = lathe.conv %i, %f : (tensor<1x4x2x2xf32>, tensor<2x4x1x1xf32>) -> tensor<1x2x2x2xf32> loc("window")
  %4 = lathe.scan init(%h = %x) inputs(%l = %ws) : (tensor<3x4xf32>, tensor<2x4x4xf32>) -> tensor<3x4xf32> {
    %5 = lathe.linear %h, %l : (tensor<3x4xf32>, tensor<4x4xf32>) -> tensor<3x4xf32> loc("layers")
    lathe.yield %5 : tensor<3x4xf32>
  }
  return %0, %1, %2, %3, %4 : tensor<3x6xf32>, tensor<3x6xf32>, tensor<3x6xf32>, tensor<1x2x2x2xf32>, tensor<3x4xf32>
}
