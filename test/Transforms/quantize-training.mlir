// RUN: lathe-opt %s --lathe-quantize="scheme=int4-weights training" --split-input-file | FileCheck %s
// RUN: lathe-opt %s --lathe-quantize="scheme=int4-weights training explain" --split-input-file --verify-diagnostics -o /dev/null
// RUN: lathe-opt %s --lathe-quantize="scheme=int8-dynamic training" --split-input-file | FileCheck %s --check-prefix=DYNAMIC

// Training changes it, so that it is not known at load.
lathe.parameter @w : tensor<16x96xf32> {mutable}

// CHECK-LABEL: func.func @dense
// CHECK: %[[W:.*]] = lathe.get_parameter @w
// CHECK: %[[F:.*]] = lathe.fake_quantize %[[W]], {{.*}} {{{.*}}group = 32 : i64, storage = !quant.any<i4:f32>}
// CHECK: lathe.linear %arg0, %[[F]]
// DYNAMIC-LABEL: func.func @dense
// DYNAMIC: %[[X:.*]] = lathe.fake_quantize %arg0, %{{.*}}, %{{.*}} : {{.*}}tensor<4x1xui8>
// DYNAMIC: %[[F:.*]] = lathe.fake_quantize
// DYNAMIC: lathe.linear %[[X]], %[[F]]
func.func @dense(%x: tensor<4x96xf32>) -> tensor<4x16xf32> {
  %w = lathe.get_parameter @w : tensor<16x96xf32>
  // expected-remark @below {{is quantized}}
  %0 = lathe.linear %x, %w : (tensor<4x96xf32>, tensor<16x96xf32>) -> tensor<4x16xf32>
  return %0 : tensor<4x16xf32>
}

// -----

lathe.parameter @stack : tensor<3x96x96xf32> {mutable}

// CHECK-LABEL: func.func @layers
// CHECK: lathe.scan
// CHECK: lathe.fake_quantize
// CHECK: lathe.linear
func.func @layers(%x: tensor<4x96xf32>) -> tensor<4x96xf32> {
  %w = lathe.get_parameter @stack : tensor<3x96x96xf32>
  %0 = lathe.scan init(%h = %x) inputs(%one = %w) : (tensor<4x96xf32>, tensor<3x96x96xf32>) -> tensor<4x96xf32> {
    // expected-remark @below {{is quantized}}
    %1 = lathe.linear %h, %one : (tensor<4x96xf32>, tensor<96x96xf32>) -> tensor<4x96xf32>
    lathe.yield %1 : tensor<4x96xf32>
  }
  return %0 : tensor<4x96xf32>
}

// -----

// CHECK-LABEL: func.func @scores
// CHECK-NOT: fake_quantize
// expected-warning @below {{rounds none of}}
func.func @scores(%a: tensor<4x8xf32>, %b: tensor<8x4xf32>) -> tensor<4x4xf32> {
  // expected-remark @below {{stays in floats: has no weight that is a parameter}}
  %0 = lathe.matmul %a, %b : (tensor<4x8xf32>, tensor<8x4xf32>) -> tensor<4x4xf32>
  return %0 : tensor<4x4xf32>
}
