// RUN: lathe-opt %s --lathe-quantize="scheme=int4-weights" --split-input-file | FileCheck %s
// RUN: lathe-opt %s --lathe-quantize="scheme=int4-weights explain" --split-input-file --verify-diagnostics -o /dev/null
// RUN: lathe-opt %s --lathe-quantize="scheme=int4-weights" --lathe-integer-products --canonicalize --split-input-file | FileCheck %s --check-prefix=LOOKUP

lathe.parameter @table : tensor<100x64xf32>

// A scale per row, of 8 bits in every scheme.
// CHECK-LABEL: func.func @embedding
// CHECK: lathe.reduce_max {{.*}} {axes = array<i64: 1>, keepdims = true} {{.*}} -> tensor<100x1xf32>
// CHECK: lathe.quantize {{.*}} {{{.*}}storage = !quant.any<i8<-127:127>:f32>} {{.*}} -> tensor<100x64xi8>
// CHECK: %[[T:.*]] = lathe.dequantize
// CHECK: lathe.embedding %[[T]], %arg0
// LOOKUP-LABEL: func.func @embedding
// LOOKUP: %[[Q:.*]] = lathe.quantize
// LOOKUP-DAG: %[[S:.*]] = lathe.gather %{{.*}}, %arg0 {{.*}} -> tensor<2x7x1xf32>
// LOOKUP-DAG: %[[R:.*]] = lathe.gather %[[Q]], %arg0 {{.*}} -> tensor<2x7x64xi8>
// LOOKUP: lathe.dequantize %[[R]], %[[S]], {{.*}} -> tensor<2x7x64xf32>
func.func @embedding(%ids: tensor<2x7xi64>) -> tensor<2x7x64xf32> {
  %t = lathe.get_parameter @table : tensor<100x64xf32>
  // expected-remark-re @below {{is quantized: {{.*}}, weights of 8 bits, a scale per channel}}
  %0 = lathe.embedding %t, %ids : (tensor<100x64xf32>, tensor<2x7xi64>) -> tensor<2x7x64xf32>
  return %0 : tensor<2x7x64xf32>
}

// -----

lathe.parameter @table : tensor<8x100x4xf32>

// LOOKUP-LABEL: func.func @gather
// LOOKUP: lathe.gather {{.*}} {axis = 1 : i64} : {{.*}} -> tensor<1x7x1xf32>
// LOOKUP: lathe.gather {{.*}} {axis = 1 : i64} : {{.*}} -> tensor<8x7x4xi8>
func.func @gather(%ids: tensor<7xi64>) -> tensor<8x7x4xf32> {
  %t = lathe.get_parameter @table : tensor<8x100x4xf32>
  // expected-remark @below {{is quantized}}
  %0 = lathe.gather %t, %ids {axis = 1 : i64} : (tensor<8x100x4xf32>, tensor<7xi64>) -> tensor<8x7x4xf32>
  return %0 : tensor<8x7x4xf32>
}

// -----

// CHECK-LABEL: func.func @activations
// CHECK-NOT: lathe.quantize
// expected-warning @below {{rounds none of}}
func.func @activations(%t: tensor<100x64xf32>, %i: tensor<100x64xi32>, %ids: tensor<7xi64>) -> (tensor<7x64xf32>, tensor<7x64xi32>) {
  // expected-remark @below {{stays in floats: has no weight that is known at load}}
  %0 = lathe.gather %t, %ids : (tensor<100x64xf32>, tensor<7xi64>) -> tensor<7x64xf32>
  // expected-remark @below {{stays in floats: reads a table of 'i32', not of floats}}
  %1 = lathe.gather %i, %ids : (tensor<100x64xi32>, tensor<7xi64>) -> tensor<7x64xi32>
  return %0, %1 : tensor<7x64xf32>, tensor<7x64xi32>
}

// -----

lathe.parameter @table : tensor<100x64xf32>

// CHECK-LABEL: func.func @known
// CHECK-NOT: lathe.quantize
// expected-warning @below {{rounds none of}}
func.func @known() -> tensor<2x64xf32> {
  %t = lathe.get_parameter @table : tensor<100x64xf32>
  %ids = lathe.constant dense<[3, 5]> : tensor<2xi64>
  // expected-remark @below {{stays in floats: is computed when weights are loaded}}
  %0 = lathe.gather %t, %ids : (tensor<100x64xf32>, tensor<2xi64>) -> tensor<2x64xf32>
  return %0 : tensor<2x64xf32>
}
