// RUN: lathe-opt %s --lathe-integer-products --canonicalize --split-input-file | FileCheck %s
// RUN: lathe-opt %s --lathe-integer-products=explain --split-input-file --verify-diagnostics -o /dev/null

// A scale and a zero point per row, a symmetric weight: the sum of the weight's
// columns is all that is needed beside the product.
// CHECK-LABEL: func.func @rows
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x4x8xui8>, %[[S:[a-z0-9]+]]: tensor<2x4x1xf32>, %[[Z:[a-z0-9]+]]: tensor<2x4x1xui8>, %[[W:[a-z0-9]+]]: tensor<16x8xi8>, %[[SW:[a-z0-9]+]]: tensor<16x1xf32>, %[[B:[a-z0-9]+]]: tensor<16xf32>
// CHECK-NOT: lathe.dequantize
// CHECK-DAG: %[[SUM:.*]] = lathe.linear %[[X]], %[[W]] : (tensor<2x4x8xui8>, tensor<16x8xi8>) -> tensor<2x4x16xi32>
// CHECK-DAG: %[[WIDE:.*]] = lathe.cast %[[W]]
// CHECK-DAG: %[[COLUMNS:.*]] = lathe.reduce_sum %[[WIDE]] {axes = array<i64: 1>, keepdims = true}
// CHECK-DAG: %[[FLAT:.*]] = lathe.reshape %[[COLUMNS]] {shape = array<i64: 16>}
// CHECK-DAG: %[[ZERO:.*]] = lathe.cast %[[Z]]
// CHECK: %[[PART:.*]] = lathe.mul %[[ZERO]], %[[FLAT]] : (tensor<2x4x1xi32>, tensor<16xi32>)
// CHECK: %[[EXACT:.*]] = lathe.sub %[[SUM]], %[[PART]]
// CHECK: %[[F:.*]] = lathe.cast %[[EXACT]]
// CHECK: %[[A:.*]] = lathe.mul %[[F]], %[[S]]
// CHECK: %[[C:.*]] = lathe.mul %[[A]], %{{.*}} : (tensor<2x4x16xf32>, tensor<16xf32>)
// CHECK: lathe.add %[[C]], %[[B]]
func.func @rows(%x: tensor<2x4x8xui8>, %s: tensor<2x4x1xf32>, %z: tensor<2x4x1xui8>,
                %w: tensor<16x8xi8>, %sw: tensor<16x1xf32>, %b: tensor<16xf32>) -> tensor<2x4x16xf32> {
  %zw = lathe.constant dense<0> : tensor<16x1xi8>
  %0 = lathe.dequantize %x, %s, %z : (tensor<2x4x8xui8>, tensor<2x4x1xf32>, tensor<2x4x1xui8>) -> tensor<2x4x8xf32>
  %1 = lathe.dequantize %w, %sw, %zw : (tensor<16x8xi8>, tensor<16x1xf32>, tensor<16x1xi8>) -> tensor<16x8xf32>
  %2 = lathe.linear %0, %1, %b : (tensor<2x4x8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<2x4x16xf32>
  return %2 : tensor<2x4x16xf32>
}

// -----

// Both zero points; scales of single numbers are multiplied with each other.
// CHECK-LABEL: func.func @both
// CHECK: lathe.matmul %{{.*}}, %{{.*}} {transpose_rhs} : (tensor<4x8xui8>, tensor<6x8xui8>) -> tensor<4x6xi32>
// CHECK-COUNT-2: lathe.reduce_sum
// CHECK: lathe.mul %{{.*}}, %{{.*}} : (tensor<f32>, tensor<f32>) -> tensor<f32>
func.func @both(%x: tensor<4x8xui8>, %y: tensor<6x8xui8>, %s: tensor<f32>, %z: tensor<ui8>) -> tensor<4x6xf32> {
  %0 = lathe.dequantize %x, %s, %z : (tensor<4x8xui8>, tensor<f32>, tensor<ui8>) -> tensor<4x8xf32>
  %1 = lathe.dequantize %y, %s, %z : (tensor<6x8xui8>, tensor<f32>, tensor<ui8>) -> tensor<6x8xf32>
  %2 = lathe.matmul %0, %1 {transpose_rhs} : (tensor<4x8xf32>, tensor<6x8xf32>) -> tensor<4x6xf32>
  return %2 : tensor<4x6xf32>
}

// -----

// Padding is what stands for 0.
// CHECK-LABEL: func.func @padded
// CHECK: %[[P:.*]] = lathe.pad %{{.*}}, %{{.*}} {high = array<i64: 0, 0, 1, 1>, low = array<i64: 0, 0, 1, 1>} : (tensor<1x2x6x6xui8>, tensor<ui8>) -> tensor<1x2x8x8xui8>
// CHECK: lathe.conv %[[P]], %{{.*}} : (tensor<1x2x8x8xui8>, tensor<3x2x3x3xi8>) -> tensor<1x3x6x6xi32>
func.func @padded(%x: tensor<1x2x6x6xui8>, %s: tensor<f32>, %z: tensor<ui8>, %w: tensor<3x2x3x3xi8>, %sw: tensor<3xf32>) -> tensor<1x3x6x6xf32> {
  %zw = lathe.constant dense<0> : tensor<3xi8>
  %0 = lathe.dequantize %x, %s, %z : (tensor<1x2x6x6xui8>, tensor<f32>, tensor<ui8>) -> tensor<1x2x6x6xf32>
  %1 = lathe.dequantize %w, %sw, %zw {axis = 0 : i64} : (tensor<3x2x3x3xi8>, tensor<3xf32>, tensor<3xi8>) -> tensor<3x2x3x3xf32>
  %2 = lathe.conv %0, %1 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (tensor<1x2x6x6xf32>, tensor<3x2x3x3xf32>) -> tensor<1x3x6x6xf32>
  return %2 : tensor<1x3x6x6xf32>
}

// -----

// CHECK-LABEL: func.func @weights_alone
// CHECK: lathe.linear %{{.*}}, %{{.*}} : (tensor<4x8xf32>, tensor<16x8xf32>)
func.func @weights_alone(%x: tensor<4x8xf32>, %w: tensor<16x8xi8>, %s: tensor<f32>, %z: tensor<i8>) -> tensor<4x16xf32> {
  %0 = lathe.dequantize %w, %s, %z : (tensor<16x8xi8>, tensor<f32>, tensor<i8>) -> tensor<16x8xf32>
  // expected-remark @below {{stays in floats: operand 0 is not quantized}}
  %1 = lathe.linear %x, %0 : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  return %1 : tensor<4x16xf32>
}

// -----

// CHECK-LABEL: func.func @groups
// CHECK: lathe.linear %{{.*}}, %{{.*}} : (tensor<4x8xf32>, tensor<16x8xf32>)
func.func @groups(%x: tensor<4x8xi8>, %w: tensor<16x8xi8>, %s: tensor<f32>, %z: tensor<i8>, %sw: tensor<16x2xf32>, %zw: tensor<16x2xi8>) -> tensor<4x16xf32> {
  %0 = lathe.dequantize %x, %s, %z : (tensor<4x8xi8>, tensor<f32>, tensor<i8>) -> tensor<4x8xf32>
  %1 = lathe.dequantize %w, %sw, %zw {group = 4 : i64} : (tensor<16x8xi8>, tensor<16x2xf32>, tensor<16x2xi8>) -> tensor<16x8xf32>
  // expected-remark @below {{stays in floats: has scales that differ along axis 1, which the op sums over}}
  %2 = lathe.linear %0, %1 : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  return %2 : tensor<4x16xf32>
}

// -----

// CHECK-LABEL: func.func @along_the_sum
// CHECK: lathe.matmul %{{.*}}, %{{.*}} : (tensor<4x8xf32>, tensor<8x16xf32>)
func.func @along_the_sum(%x: tensor<4x8xi8>, %w: tensor<8x16xi8>, %s: tensor<f32>, %z: tensor<i8>, %sw: tensor<8xf32>, %zw: tensor<8xi8>) -> tensor<4x16xf32> {
  %0 = lathe.dequantize %x, %s, %z : (tensor<4x8xi8>, tensor<f32>, tensor<i8>) -> tensor<4x8xf32>
  %1 = lathe.dequantize %w, %sw, %zw {axis = 0 : i64} : (tensor<8x16xi8>, tensor<8xf32>, tensor<8xi8>) -> tensor<8x16xf32>
  // expected-remark @below {{stays in floats: has scales that differ along axis 0, which the op sums over}}
  %2 = lathe.matmul %0, %1 : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  return %2 : tensor<4x16xf32>
}

// -----

// CHECK-LABEL: func.func @wide
func.func @wide(%x: tensor<4x8xi16>, %s: tensor<f32>, %z: tensor<i16>) -> tensor<4x4xf32> {
  %0 = lathe.dequantize %x, %s, %z : (tensor<4x8xi16>, tensor<f32>, tensor<i16>) -> tensor<4x8xf32>
  // expected-remark @below {{stays in floats: takes products of 8-bit integers, not of 'i16'}}
  %1 = lathe.linear %0, %0 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x4xf32>
  return %1 : tensor<4x4xf32>
}

// -----

// 8-bit floats are summed up in f32.
// CHECK-LABEL: func.func @floats
// CHECK: %[[P:.*]] = lathe.linear %{{.*}}, %{{.*}} : (tensor<4x8xf8E4M3FN>, tensor<16x8xf8E4M3FN>) -> tensor<4x16xf32>
// CHECK: %[[A:.*]] = lathe.mul %[[P]], %{{.*}} : (tensor<4x16xf32>, tensor<4x1xf32>)
// CHECK: lathe.mul %[[A]], %{{.*}} : (tensor<4x16xf32>, tensor<16xf32>)
func.func @floats(%x: tensor<4x8xf8E4M3FN>, %s: tensor<4x1xf32>, %w: tensor<16x8xf8E4M3FN>, %sw: tensor<16x1xf32>) -> tensor<4x16xf32> {
  %z = lathe.constant dense<0.0> : tensor<4x1xf8E4M3FN>
  %zw = lathe.constant dense<0.0> : tensor<16x1xf8E4M3FN>
  %0 = lathe.dequantize %x, %s, %z : (tensor<4x8xf8E4M3FN>, tensor<4x1xf32>, tensor<4x1xf8E4M3FN>) -> tensor<4x8xf32>
  %1 = lathe.dequantize %w, %sw, %zw : (tensor<16x8xf8E4M3FN>, tensor<16x1xf32>, tensor<16x1xf8E4M3FN>) -> tensor<16x8xf32>
  %2 = lathe.linear %0, %1 : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  return %2 : tensor<4x16xf32>
}

// -----

func.func @zero_points_of_floats(%x: tensor<4x8xf8E4M3FN>, %s: tensor<f32>, %z: tensor<f8E4M3FN>) -> tensor<4x4xf32> {
  %0 = lathe.dequantize %x, %s, %z : (tensor<4x8xf8E4M3FN>, tensor<f32>, tensor<f8E4M3FN>) -> tensor<4x8xf32>
  // expected-remark @below {{stays in floats: takes 8-bit floats with a zero point that is the constant 0}}
  %1 = lathe.linear %0, %0 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x4xf32>
  return %1 : tensor<4x4xf32>
}

// -----

func.func @mixed(%x: tensor<4x8xf8E4M3FN>, %w: tensor<4x8xi8>, %s: tensor<f32>, %z: tensor<i8>) -> tensor<4x4xf32> {
  %zx = lathe.constant dense<0.0> : tensor<f8E4M3FN>
  %0 = lathe.dequantize %x, %s, %zx : (tensor<4x8xf8E4M3FN>, tensor<f32>, tensor<f8E4M3FN>) -> tensor<4x8xf32>
  %1 = lathe.dequantize %w, %s, %z : (tensor<4x8xi8>, tensor<f32>, tensor<i8>) -> tensor<4x8xf32>
  // expected-remark @below {{stays in floats: takes two operands of 8-bit floats or none, not 'f8E4M3FN' and 'i8'}}
  %2 = lathe.linear %0, %1 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x4xf32>
  return %2 : tensor<4x4xf32>
}

// -----

// The largest of numbers is quantized before: rounding keeps their order.
// CHECK-LABEL: func.func @maximum
// CHECK: %[[Q:.*]] = lathe.quantize %{{.*}} -> tensor<1x8x8x16xui8>
// CHECK: %[[P:.*]] = lathe.max_pool %[[Q]] {{.*}} : (tensor<1x8x8x16xui8>) -> tensor<1x4x4x16xui8>
// CHECK: return %[[P]]
func.func @maximum(%x: tensor<1x8x8x16xf32>) -> tensor<1x4x4x16xui8> {
  %s = lathe.constant dense<0.1> : tensor<f32>
  %z = lathe.constant dense<3> : tensor<ui8>
  %0 = lathe.max_pool %x {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>, layout = 1 : i32} : (tensor<1x8x8x16xf32>) -> tensor<1x4x4x16xf32>
  %1 = lathe.quantize %0, %s, %z : (tensor<1x4x4x16xf32>, tensor<f32>, tensor<ui8>) -> tensor<1x4x4x16xui8>
  return %1 : tensor<1x4x4x16xui8>
}

// -----

// Somebody else reads the floats; a scale that is not known may be negative; one
// that is turns the order around.
// CHECK-LABEL: func.func @maximum_stays
// CHECK-COUNT-3: lathe.max_pool %{{.*}} : (tensor<1x8x8x16xf32>) -> tensor<1x4x4x16xf32>
func.func @maximum_stays(%x: tensor<1x8x8x16xf32>, %y: tensor<1x8x8x16xf32>, %w: tensor<1x8x8x16xf32>, %t: tensor<f32>) -> (tensor<1x4x4x16xf32>, tensor<1x4x4x16xui8>, tensor<1x4x4x16xui8>, tensor<1x4x4x16xui8>) {
  %s = lathe.constant dense<0.1> : tensor<f32>
  %n = lathe.constant dense<-0.1> : tensor<f32>
  %z = lathe.constant dense<3> : tensor<ui8>
  %0 = lathe.max_pool %x {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>, layout = 1 : i32} : (tensor<1x8x8x16xf32>) -> tensor<1x4x4x16xf32>
  %1 = lathe.quantize %0, %s, %z : (tensor<1x4x4x16xf32>, tensor<f32>, tensor<ui8>) -> tensor<1x4x4x16xui8>
  %2 = lathe.max_pool %y {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>, layout = 1 : i32} : (tensor<1x8x8x16xf32>) -> tensor<1x4x4x16xf32>
  %3 = lathe.quantize %2, %t, %z : (tensor<1x4x4x16xf32>, tensor<f32>, tensor<ui8>) -> tensor<1x4x4x16xui8>
  %4 = lathe.max_pool %w {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>, layout = 1 : i32} : (tensor<1x8x8x16xf32>) -> tensor<1x4x4x16xf32>
  %5 = lathe.quantize %4, %n, %z : (tensor<1x4x4x16xf32>, tensor<f32>, tensor<ui8>) -> tensor<1x4x4x16xui8>
  return %0, %1, %3, %5 : tensor<1x4x4x16xf32>, tensor<1x4x4x16xui8>, tensor<1x4x4x16xui8>, tensor<1x4x4x16xui8>
}
