// RUN: lathe-opt %s --lathe-quantize --split-input-file | FileCheck %s
// RUN: lathe-opt %s --lathe-quantize=explain --split-input-file --verify-diagnostics -o /dev/null
// RUN: lathe-opt %s --lathe-quantize=scheme=int8-weights --split-input-file | FileCheck %s --check-prefix=WEIGHTS
// RUN: lathe-opt %s --lathe-quantize="scheme=int4-weights group=64" --split-input-file | FileCheck %s --check-prefix=INT4
// RUN: lathe-opt %s --lathe-quantize="scheme=int4-weights group=64" --canonicalize --cse --split-input-file | FileCheck %s --check-prefix=INT4
// RUN: lathe-opt %s --lathe-quantize=scheme=fp8 --split-input-file | FileCheck %s --check-prefix=FP8
// RUN: lathe-opt %s --lathe-quantize="scheme=fp8 group=32" --split-input-file | FileCheck %s --check-prefix=BLOCKS

lathe.parameter @w : tensor<16x96xf32>
lathe.parameter @b : tensor<16xf32>

// CHECK-LABEL: func.func @dense
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<4x96xf32>
// CHECK: %[[W:.*]] = lathe.get_parameter @w
// CHECK: lathe.reduce_min %[[X]] {axes = array<i64: 1>, keepdims = true}
// CHECK: lathe.reduce_max %[[X]] {axes = array<i64: 1>, keepdims = true}
// CHECK: %[[ZX:.*]] = lathe.cast %{{.*}} -> tensor<4x1xui8>
// CHECK: %[[QX:.*]] = lathe.quantize %[[X]], %[[SX:.*]], %[[ZX]]{{.*}} -> tensor<4x96xui8>
// CHECK: %[[DX:.*]] = lathe.dequantize %[[QX]], %[[SX]], %[[ZX]]
// CHECK: %[[A:.*]] = lathe.abs %[[W]]
// CHECK: %[[M:.*]] = lathe.reduce_max %[[A]] {axes = array<i64: 1>, keepdims = true} {{.*}} -> tensor<16x1xf32>
// CHECK: %[[QW:.*]] = lathe.quantize %[[W]], %[[SW:.*]], %[[ZW:.*]] {{{.*}}storage = !quant.any<i8<-127:127>:f32>} {{.*}} -> tensor<16x96xi8>
// CHECK: %[[DW:.*]] = lathe.dequantize %[[QW]], %[[SW]], %[[ZW]]
// CHECK: lathe.linear %[[DX]], %[[DW]], %{{.*}} : (tensor<4x96xf32>, tensor<16x96xf32>, tensor<16xf32>)

// WEIGHTS-LABEL: func.func @dense
// WEIGHTS-NOT: ui8
// WEIGHTS-NOT: bf16
// WEIGHTS: lathe.quantize {{.*}} -> tensor<16x96xi8>
// WEIGHTS: lathe.linear %arg0, %{{.*}}, %{{.*}} :

// 96 elements in two groups of 64, the second filled up with zeros.
// INT4-LABEL: func.func @dense
// INT4: lathe.pad {{.*}} -> tensor<16x128xf32>
// Each scale that is tried is rounded to bf16, and so is the one that is taken.
// INT4: lathe.reshape {{.*}} -> tensor<16x2x64xf32>
// INT4-COUNT-3: lathe.cast {{.*}} to bf16 : (tensor<16x2x1xf32>) -> tensor<16x2x1xbf16>
// INT4: %[[SELECTED:.*]] = lathe.select {{.*}} -> tensor<16x2x1xbf16>
// INT4: %[[NARROW:.*]] = lathe.reshape %[[SELECTED]] {{.*}} -> tensor<16x2xbf16>
// INT4: %[[SCALE:.*]] = lathe.cast %[[NARROW]] to f32
// INT4: lathe.quantize {{.*}}, %[[SCALE]], {{.*}} {{{.*}}group = 64 : i64, storage = !quant.any<i4:f32>} : (tensor<16x96xf32>, tensor<16x2xf32>, tensor<16x2xi8>) -> tensor<16x96xi8>

// A scale per row of either side; the weight's largest number becomes 448.
// FP8-LABEL: func.func @dense
// FP8: lathe.reduce_max {{.*}} {axes = array<i64: 1>, keepdims = true} {{.*}} -> tensor<4x1xf32>
// FP8: lathe.constant dense<4.480000e+02>
// FP8: lathe.quantize %arg0, {{.*}} : (tensor<4x96xf32>, tensor<4x1xf32>, tensor<4x1xf8E4M3FN>) -> tensor<4x96xf8E4M3FN>
// FP8: lathe.reduce_max {{.*}} {axes = array<i64: 1>, keepdims = true} {{.*}} -> tensor<16x1xf32>
// FP8: lathe.quantize {{.*}} : (tensor<16x96xf32>, tensor<16x1xf32>, tensor<16x1xf8E4M3FN>) -> tensor<16x96xf8E4M3FN>

// BLOCKS-LABEL: func.func @dense
// BLOCKS: lathe.quantize %arg0, {{.*}} {group = 32 : i64} : (tensor<4x96xf32>, tensor<4x3xf32>, tensor<4x3xf8E4M3FN>) -> tensor<4x96xf8E4M3FN>
// BLOCKS: lathe.quantize {{.*}} {group = 32 : i64} : (tensor<16x96xf32>, tensor<16x3xf32>, tensor<16x3xf8E4M3FN>) -> tensor<16x96xf8E4M3FN>
func.func @dense(%x: tensor<4x96xf32>) -> tensor<4x16xf32> {
  %w = lathe.get_parameter @w : tensor<16x96xf32>
  %b = lathe.get_parameter @b : tensor<16xf32>
  // expected-remark-re @below {{is quantized: {{.*}}, weights of 8 bits, a scale per channel, activations by each row's range}}
  %0 = lathe.linear %x, %w, %b : (tensor<4x96xf32>, tensor<16x96xf32>, tensor<16xf32>) -> tensor<4x16xf32>
  return %0 : tensor<4x16xf32>
}

// -----

lathe.parameter @f : tensor<8x4x3x3xf32>

// One range for an image; a group of 4 bits takes windows of 64 / 9 channels.
// CHECK-LABEL: func.func @image
// CHECK: lathe.reduce_min {{.*}} {axes = array<i64: 1, 2, 3>, keepdims = true} {{.*}} -> tensor<2x1x1x1xf32>
// CHECK: lathe.reduce_max {{.*}} {axes = array<i64: 1, 2, 3>, keepdims = true} {{.*}} -> tensor<8x1x1x1xf32>
// CHECK: lathe.conv
// INT4-LABEL: func.func @image
// INT4: lathe.quantize {{.*}} {group = 7 : i64
func.func @image(%x: tensor<2x4x8x8xf32>) -> tensor<2x8x6x6xf32> {
  %f = lathe.get_parameter @f : tensor<8x4x3x3xf32>
  // expected-remark @below {{is quantized}}
  %0 = lathe.conv %x, %f : (tensor<2x4x8x8xf32>, tensor<8x4x3x3xf32>) -> tensor<2x8x6x6xf32>
  return %0 : tensor<2x8x6x6xf32>
}

// -----

// CHECK-LABEL: func.func @refused
// CHECK-NOT: lathe.quantize
lathe.parameter @w : tensor<8x8xf32>
lathe.parameter @v : tensor<8x8xf32>
lathe.parameter @h : tensor<8x8xf16>
lathe.parameter @i : tensor<8x8xi8>
lathe.parameter @m : tensor<8x8xf32> {mutable}
// expected-warning @below {{rounds none of}}
func.func @refused(%x: tensor<8x8xf32>, %y: tensor<8x8xf32>, %z: tensor<8x8xf16>, %q: tensor<8x8xi8>)
    -> (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf16>, tensor<8x8xi32>, tensor<8x8xf32>) {
  %w = lathe.get_parameter @w : tensor<8x8xf32>
  %v = lathe.get_parameter @v : tensor<8x8xf32>
  %h = lathe.get_parameter @h : tensor<8x8xf16>
  %i = lathe.get_parameter @i : tensor<8x8xi8>
  %m = lathe.get_parameter @m : tensor<8x8xf32>
  // expected-remark @below {{stays in floats: has no weight that is known at load}}
  %0 = lathe.matmul %x, %y : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  // expected-remark @below {{stays in floats: is computed when weights are loaded}}
  %1 = lathe.matmul %w, %v : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  // expected-remark @below {{stays in floats: takes 'f16', expected f32}}
  %2 = lathe.matmul %z, %h : (tensor<8x8xf16>, tensor<8x8xf16>) -> tensor<8x8xf16>
  // expected-remark @below {{stays in floats: computes in 'i32', not in floats}}
  %3 = lathe.matmul %q, %i : (tensor<8x8xi8>, tensor<8x8xi8>) -> tensor<8x8xi32>
  // expected-remark @below {{stays in floats: has no weight that is known at load}}
  %4 = lathe.matmul %x, %m : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  return %0, %1, %2, %3, %4 : tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf16>, tensor<8x8xi32>, tensor<8x8xf32>
}

// -----

// CHECK-LABEL: func.func @has_its_own
// CHECK-NOT: lathe.quantize
lathe.parameter @q : tensor<8x8xi8>
// expected-warning @below {{rounds none of}}
func.func @has_its_own(%x: tensor<8x8xf32>) -> tensor<8x8xf32> {
  %q = lathe.get_parameter @q : tensor<8x8xi8>
  %s = lathe.constant dense<0.5> : tensor<f32>
  %z = lathe.constant dense<0> : tensor<i8>
  %w = lathe.dequantize %q, %s, %z : (tensor<8x8xi8>, tensor<f32>, tensor<i8>) -> tensor<8x8xf32>
  // expected-remark @below {{stays in floats: is quantized by the model}}
  %0 = lathe.linear %x, %w : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  return %0 : tensor<8x8xf32>
}
