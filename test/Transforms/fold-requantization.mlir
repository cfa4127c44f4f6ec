// RUN: lathe-opt %s --lathe-fold-requantization --split-input-file | FileCheck %s
// RUN: lathe-opt %s --lathe-fold-requantization=explain --split-input-file --verify-diagnostics -o /dev/null

// The end of a residual block: the factor goes into the scales of the sum, the
// bias and the shortcut's scale; 1 / 0.5 = 2.
// CHECK-LABEL: func.func @block
// CHECK-DAG: %[[TWO:.+]] = lathe.constant dense<2.000000e+00> : tensor<f32>
// CHECK-DAG: %[[EIGHTH:.+]] = lathe.constant dense<2.500000e-01> : tensor<f32>
// CHECK-DAG: %[[S:.+]] = lathe.mul %{{.*}}, %[[TWO]] : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
// CHECK-DAG: %[[F:.+]] = lathe.mul %{{.*}}, %[[S]] : (tensor<4x8xf32>, tensor<8xf32>)
// CHECK-DAG: %[[B:.+]] = lathe.mul %{{.*}}, %[[TWO]] : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
// CHECK-DAG: %[[G:.+]] = lathe.add %[[F]], %[[B]]
// CHECK-DAG: %[[D:.+]] = lathe.dequantize %arg1, %[[EIGHTH]]
// CHECK: %[[A:.+]] = lathe.add %[[G]], %[[D]]
// CHECK: %[[R:.+]] = lathe.relu %[[A]]
// CHECK: %[[ONE:.+]] = lathe.constant dense<1.000000e+00> : tensor<f32>
// CHECK: lathe.quantize %[[R]], %[[ONE]]
lathe.parameter @scales : tensor<8xf32>
lathe.parameter @bias : tensor<8xf32>
func.func @block(%sum: tensor<4x8xi32>, %shortcut: tensor<4x8xui8>) -> (tensor<4x8xui8>, tensor<4x8xf32>) {
  %scales = lathe.get_parameter @scales : tensor<8xf32>
  %bias = lathe.get_parameter @bias : tensor<8xf32>
  %s = lathe.constant dense<0.125> : tensor<f32>
  %t = lathe.constant dense<0.5> : tensor<f32>
  %z = lathe.constant dense<0> : tensor<ui8>
  %c = lathe.cast %sum to f32 : (tensor<4x8xi32>) -> tensor<4x8xf32>
  %f = lathe.mul %c, %scales : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  %g = lathe.add %f, %bias : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  %d = lathe.dequantize %shortcut, %s, %z : (tensor<4x8xui8>, tensor<f32>, tensor<ui8>) -> tensor<4x8xf32>
  %a = lathe.add %g, %d : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %r = lathe.relu %a : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lathe.quantize %r, %t, %z : (tensor<4x8xf32>, tensor<f32>, tensor<ui8>) -> tensor<4x8xui8>
  return %q, %d : tensor<4x8xui8>, tensor<4x8xf32>
}

// -----

// A product of two readings of the same bytes takes the factor once.
// CHECK-LABEL: func.func @square
// CHECK: %[[OLD:.+]] = lathe.dequantize %arg0
// CHECK: %[[HALF:.+]] = lathe.constant dense<5.000000e-01> : tensor<f32>
// CHECK: %[[NEW:.+]] = lathe.dequantize %arg0, %[[HALF]]
// CHECK: lathe.mul %[[NEW]], %[[OLD]]
func.func @square(%x: tensor<8xui8>) -> tensor<8xui8> {
  %s = lathe.constant dense<0.25> : tensor<f32>
  %t = lathe.constant dense<0.5> : tensor<f32>
  %z = lathe.constant dense<0> : tensor<ui8>
  %d = lathe.dequantize %x, %s, %z : (tensor<8xui8>, tensor<f32>, tensor<ui8>) -> tensor<8xf32>
  %m = lathe.mul %d, %d : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %q = lathe.quantize %m, %t, %z : (tensor<8xf32>, tensor<f32>, tensor<ui8>) -> tensor<8xui8>
  return %q : tensor<8xui8>
}

// -----

// min and max of relu6, and what moves elements.
// CHECK-LABEL: func.func @relu6
// CHECK-DAG: lathe.constant dense<1.200000e+01> : tensor<f32>
// CHECK-DAG: lathe.constant dense<5.000000e-01> : tensor<f32>
// CHECK: lathe.quantize %{{.*}} : (tensor<2x4xf32>
func.func @relu6(%x: tensor<8xui8>) -> tensor<2x4xui8> {
  %s = lathe.constant dense<0.25> : tensor<f32>
  %t = lathe.constant dense<0.5> : tensor<f32>
  %six = lathe.constant dense<6.0> : tensor<f32>
  %none = lathe.constant dense<0.0> : tensor<f32>
  %z = lathe.constant dense<0> : tensor<ui8>
  %d = lathe.dequantize %x, %s, %z : (tensor<8xui8>, tensor<f32>, tensor<ui8>) -> tensor<8xf32>
  %low = lathe.max %d, %none : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
  %high = lathe.min %low, %six : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
  %r = lathe.reshape %high {shape = array<i64: 2, 4>} : (tensor<8xf32>) -> tensor<2x4xf32>
  %q = lathe.quantize %r, %t, %z : (tensor<2x4xf32>, tensor<f32>, tensor<ui8>) -> tensor<2x4xui8>
  return %q : tensor<2x4xui8>
}

// -----

// CHECK-LABEL: func.func @gelu
// CHECK: lathe.quantize %{{.*}}, %arg1
func.func @gelu(%x: tensor<8xf32>, %s: tensor<f32>) -> (tensor<8xui8>, tensor<8xui8>) {
  %t = lathe.constant dense<0.5> : tensor<f32>
  %z = lathe.constant dense<0> : tensor<ui8>
  %g = lathe.gelu %x : (tensor<8xf32>) -> tensor<8xf32>
  // expected-remark @below {{divides by its scale: 'lathe.gelu' takes no factor}}
  %q = lathe.quantize %g, %t, %z : (tensor<8xf32>, tensor<f32>, tensor<ui8>) -> tensor<8xui8>
  // expected-remark @below {{divides by its scale: it is not one constant number}}
  %p = lathe.quantize %x, %s, %z : (tensor<8xf32>, tensor<f32>, tensor<ui8>) -> tensor<8xui8>
  return %q, %p : tensor<8xui8>, tensor<8xui8>
}

// -----

// CHECK-LABEL: func.func @read_twice
// CHECK: %[[T:.+]] = lathe.constant dense<5.000000e-01>
// CHECK: lathe.quantize %{{.*}}, %[[T]],
// CHECK: lathe.quantize %{{.*}}, %[[T]],
func.func @read_twice(%x: tensor<8xui8>, %y: tensor<8xf32>) -> (tensor<8xui8>, tensor<8xf32>, tensor<8xui8>) {
  %s = lathe.constant dense<0.25> : tensor<f32>
  %t = lathe.constant dense<0.5> : tensor<f32>
  %z = lathe.constant dense<0> : tensor<ui8>
  %d = lathe.dequantize %x, %s, %z : (tensor<8xui8>, tensor<f32>, tensor<ui8>) -> tensor<8xf32>
  %r = lathe.relu %d : (tensor<8xf32>) -> tensor<8xf32>
  // expected-remark @below {{divides by its scale: others read the result of 'lathe.relu', too}}
  %q = lathe.quantize %r, %t, %z : (tensor<8xf32>, tensor<f32>, tensor<ui8>) -> tensor<8xui8>
  %a = lathe.add %d, %y : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  // expected-remark @below {{divides by its scale: nothing takes a factor before it}}
  %p = lathe.quantize %a, %t, %z : (tensor<8xf32>, tensor<f32>, tensor<ui8>) -> tensor<8xui8>
  return %q, %r, %p : tensor<8xui8>, tensor<8xf32>, tensor<8xui8>
}

// -----

// Weights are divided once.
// CHECK-LABEL: func.func @weight
// CHECK: %[[S:.+]] = lathe.constant dense<5.000000e-01>
// CHECK: lathe.quantize %{{.*}}, %[[S]]
lathe.parameter @w : tensor<8xf32>
func.func @weight() -> tensor<8xi8> {
  %w = lathe.get_parameter @w : tensor<8xf32>
  %t = lathe.constant dense<0.5> : tensor<f32>
  %z = lathe.constant dense<0> : tensor<i8>
  %q = lathe.quantize %w, %t, %z : (tensor<8xf32>, tensor<f32>, tensor<i8>) -> tensor<8xi8>
  return %q : tensor<8xi8>
}

// -----

// 1e25 / 1e-7 is an f32, 1e32 / 1e-7 is none: 0 times it would be NaN.
// CHECK-LABEL: func.func @overflow
// CHECK-DAG: lathe.constant dense<{{1\.0*E\+32|9.99.*E\+31}}> : tensor<f32>
// CHECK: %[[ONE:.+]] = lathe.constant dense<1.000000e+00> : tensor<f32>
// CHECK: lathe.quantize %{{.*}}, %[[ONE]],
// CHECK: lathe.quantize
func.func @overflow(%x: tensor<8xui8>, %y: tensor<8xui8>) -> (tensor<8xui8>, tensor<8xui8>) {
  %s = lathe.constant dense<1.0e+25> : tensor<f32>
  %u = lathe.constant dense<1.0e+32> : tensor<f32>
  %t = lathe.constant dense<1.0e-07> : tensor<f32>
  %z = lathe.constant dense<7> : tensor<ui8>
  %d = lathe.dequantize %x, %s, %z : (tensor<8xui8>, tensor<f32>, tensor<ui8>) -> tensor<8xf32>
  %q = lathe.quantize %d, %t, %z : (tensor<8xf32>, tensor<f32>, tensor<ui8>) -> tensor<8xui8>
  %e = lathe.dequantize %y, %u, %z : (tensor<8xui8>, tensor<f32>, tensor<ui8>) -> tensor<8xf32>
  // expected-remark @below {{divides by its scale: a constant before it would leave the numbers of f32}}
  %p = lathe.quantize %e, %t, %z : (tensor<8xf32>, tensor<f32>, tensor<ui8>) -> tensor<8xui8>
  return %q, %p : tensor<8xui8>, tensor<8xui8>
}

// -----

// Read twice by one sum, bytes are read once with the factor.
// CHECK-LABEL: func.func @twice
// CHECK: %[[NEW:.+]] = lathe.dequantize %arg0
// CHECK-NOT: lathe.dequantize
// CHECK: lathe.add %[[NEW]], %[[NEW]]
func.func @twice(%x: tensor<8xui8>) -> tensor<8xui8> {
  %s = lathe.constant dense<0.25> : tensor<f32>
  %t = lathe.constant dense<0.5> : tensor<f32>
  %z = lathe.constant dense<0> : tensor<ui8>
  %d = lathe.dequantize %x, %s, %z : (tensor<8xui8>, tensor<f32>, tensor<ui8>) -> tensor<8xf32>
  %m = lathe.add %d, %d : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %q = lathe.quantize %m, %t, %z : (tensor<8xf32>, tensor<f32>, tensor<ui8>) -> tensor<8xui8>
  return %q : tensor<8xui8>
}
