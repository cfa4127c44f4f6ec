// RUN: lathe-opt %s --lathe-quantize="scheme=int8-static ranges=%S/Inputs/ranges.json" | FileCheck %s
// RUN: lathe-opt %s --lathe-quantize="scheme=int8-static ranges=%S/Inputs/ranges.json explain" -o /dev/null 2>&1 | FileCheck %s --check-prefix=WHY
// RUN: lathe-opt %s --lathe-quantize="scheme=int8 ranges=%S/Inputs/ranges.json" | FileCheck %s --check-prefix=EITHER
// RUN: lathe-opt %s --lathe-quantize="scheme=fp8 ranges=%S/Inputs/ranges.json" | FileCheck %s --check-prefix=FLOATS
// RUN: lathe-opt %s --lathe-quantize="scheme=int8 ranges=%S/Inputs/ranges.json keep=l*s keep=one explain" -o /dev/null 2>&1 | FileCheck %s --check-prefix=KEEP
// RUN: sed 's/"sites"/"keep": ["one", "lay*"], "sites"/' %S/Inputs/ranges.json > %t.keep.json
// RUN: lathe-opt %s --lathe-quantize="scheme=int8-static ranges=%t.keep.json keep=unknown explain" -o /dev/null 2>&1 | FileCheck %s --check-prefix=FILE-KEEPS
// RUN: lathe-opt %s --lathe-quantize="scheme=int4-weights ranges=%t.keep.json explain" -o /dev/null 2>&1 | FileCheck %s --check-prefix=WEIGHTS
// RUN: sed 's/"sites"/"keep": ["one", "two"], "sites"/' %S/Inputs/ranges.json > %t.wrong.json
// RUN: not lathe-opt %s --lathe-quantize="scheme=int8 ranges=%t.wrong.json" 2>&1 | FileCheck %s --check-prefix=FILE-NAME
// RUN: sed 's/"sites"/"keep": "one", "sites"/' %S/Inputs/ranges.json > %t.text.json
// RUN: not lathe-opt %s --lathe-quantize="scheme=int8 ranges=%t.text.json" 2>&1 | FileCheck %s --check-prefix=FILE-LIST
// RUN: not lathe-opt %s --lathe-quantize="scheme=int8 keep=nothing" 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not lathe-opt %s --lathe-quantize="scheme=int8-static" 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not lathe-opt %s --lathe-quantize="scheme=int8 ranges=%S/Inputs/other-ranges.json" 2>&1 | FileCheck %s --check-prefix=OTHER
// RUN: not lathe-opt %s --lathe-quantize="scheme=int8 ranges=%s" 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: not lathe-opt %s --lathe-quantize="scheme=int9" 2>&1 | FileCheck %s --check-prefix=SCHEME
// RUN: not lathe-opt %s --lathe-quantize="scheme=int8 group=32" 2>&1 | FileCheck %s --check-prefix=ACTIVATIONS
// RUN: not lathe-opt %s --lathe-quantize="scheme=int4-weights group=48" 2>&1 | FileCheck %s --check-prefix=GROUP

// NAME: error: option 'keep': no product is called 'nothing', one is 'one'
// FILE-NAME: error: 'keep' of the ranges in '{{.*}}.wrong.json': no product is called 'two', one is 'one'
// FILE-LIST: error: cannot read the ranges '{{.*}}.text.json': expected 'keep' to be a list of names, got "one"
// NONE: error: expected 'ranges' for scheme 'int8-static'
// OTHER: error: the ranges in '{{.*}}other-ranges.json' are of another model: none is called 'one#0' or like another operand of a product
// FILE: error: {{.*}}quantize-ranges.mlir{{.*}}it is not valid JSON
// SCHEME: error: expected 'scheme' of int8, int8-dynamic, int8-static, int8-weights, int4-weights, fp8 or fp8-weights, got 'int9'
// ACTIVATIONS: error: expected 'group' for weights alone, which sums in integers cannot have, got scheme 'int8'
// GROUP: error: expected 'group' of 32, 64 or 128, got 48

lathe.parameter @w : tensor<8x8xf32>
lathe.parameter @ws : tensor<2x8x8xf32>

// (4.1 + 1) / 255 = 0.02, and 1 / 0.02 = 50.
// CHECK-LABEL: func.func @main
// CHECK: %[[S:.*]] = lathe.constant dense<2.000000e-02> : tensor<f32>
// CHECK: %[[Z:.*]] = lathe.constant dense<50> : tensor<ui8>
// CHECK: lathe.quantize %arg0, %[[S]], %[[Z]]{{.*}} -> tensor<4x8xui8>
// CHECK: lathe.linear
// One per layer; 0 is taken into the second range.
// CHECK: %[[SS:.*]] = lathe.constant dense<[0.00999999977, 2.000000e-01]> : tensor<2xf32>
// CHECK: %[[ZS:.*]] = lathe.constant dense<[100, 0]> : tensor<2xui8>
// CHECK: lathe.scan init(%[[X:.*]] = %{{.*}}) inputs(%{{.*}} = %{{.*}}, %[[SI:.*]] = %[[SS]], %[[ZI:.*]] = %[[ZS]])
// CHECK: lathe.quantize %[[X]], %[[SI]], %[[ZI]]
// CHECK-NOT: lathe.quantize %{{.*}} -> tensor<4x8xui8>
// CHECK: return

// The largest magnitude becomes 448; there is no zero point.
// FLOATS-LABEL: func.func @main
// FLOATS: %[[S:.*]] = lathe.constant dense<0.00915178563> : tensor<f32>
// FLOATS: lathe.quantize %arg0, %[[S]], %{{.*}} : (tensor<4x8xf32>, tensor<f32>, tensor<f8E4M3FN>) -> tensor<4x8xf8E4M3FN>
// FLOATS: lathe.scan
// FLOATS: lathe.quantize %{{.*}} : (tensor<4x8xf32>, tensor<f32>, tensor<f8E4M3FN>) -> tensor<4x8xf8E4M3FN>

// WHY: remark: {{.*}}is quantized: one, weights of 8 bits, a scale per channel, activations by the ranges
// WHY: remark: {{.*}}is quantized: layers, weights of 8 bits, a scale per channel, activations by the ranges
// WHY: remark: {{.*}}stays in floats: the ranges have 3 numbers for 'short#0', expected 1 or 2
// WHY: remark: {{.*}}stays in floats: the ranges have no 'unknown#0'

// EITHER: lathe.scan
// EITHER: lathe.reduce_min

// KEEP: remark: {{.*}}stays in floats: option 'keep' names it
// KEEP: remark: {{.*}}stays in floats: option 'keep' names it
// KEEP: remark: {{.*}}stays in floats: the ranges have 3
// KEEP: remark: {{.*}}is quantized: unknown, {{.*}}, activations by each row's range

// FILE-KEEPS: remark: {{.*}}stays in floats: the ranges keep it
// FILE-KEEPS: remark: {{.*}}stays in floats: the ranges keep it
// FILE-KEEPS: remark: {{.*}}stays in floats: the ranges have 3
// FILE-KEEPS: remark: {{.*}}stays in floats: option 'keep' names it

// WEIGHTS: remark: {{.*}}stays in floats: the ranges keep it
// WEIGHTS: remark: {{.*}}stays in floats: the ranges keep it
// WEIGHTS: remark: {{.*}}is quantized: short
// WEIGHTS: remark: {{.*}}is quantized: unknown
func.func @main(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %w = lathe.get_parameter @w : tensor<8x8xf32>
  %ws = lathe.get_parameter @ws : tensor<2x8x8xf32>
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> loc("one")
  %1 = lathe.scan init(%h = %0) inputs(%v = %ws) : (tensor<4x8xf32>, tensor<2x8x8xf32>) -> tensor<4x8xf32> {
    %2 = lathe.linear %h, %v : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> loc("layers")
    %3 = lathe.linear %2, %v : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> loc("short")
    lathe.yield %3 : tensor<4x8xf32>
  }
  %4 = lathe.linear %1, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> loc("unknown")
  return %1, %4 : tensor<4x8xf32>, tensor<4x8xf32>
}
