// RUN: lathe-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(func.func(lathe-precision{type=bf16 explain}))' | FileCheck %s
// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-precision{type=f16}))' | FileCheck %s --check-prefix=HALF
// RUN: not lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-precision{type=i8}))' 2>&1 | FileCheck %s --check-prefix=WRONG
// WRONG: error: expected 'type' of bf16 or f16, got 'i8'

// An operand of two products is rounded once; the norm stays as it is.
// CHECK-LABEL: func.func @products
// CHECK-DAG: %[[X:.*]] = lathe.cast %arg0 to bf16
// CHECK-DAG: %[[W:.*]] = lathe.cast %arg1 to bf16
// CHECK: %[[A:.*]] = lathe.linear %[[X]], %[[W]] : (tensor<4x8xbf16>, tensor<8x8xbf16>) -> tensor<4x8xbf16>
// CHECK: %[[B:.*]] = lathe.cast %[[A]] to f32
// CHECK: %[[N:.*]] = lathe.rms_norm %[[B]]{{.*}} -> tensor<4x8xf32>
// CHECK: %[[C:.*]] = lathe.linear %[[X]], %{{.*}} : (tensor<4x8xbf16>, tensor<8x8xbf16>, tensor<8xbf16>) -> tensor<4x8xbf16>
// CHECK: %[[D:.*]] = lathe.cast %[[C]] to f32
// CHECK: return %[[N]], %[[D]]
// HALF-LABEL: func.func @products
// HALF: lathe.linear {{.*}} -> tensor<4x8xf16>
func.func @products(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>, %v: tensor<8x8xf32>, %b: tensor<8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  // expected-remark @+1 {{computes on 'bf16': its operands and result are 256 bytes instead of 512}}
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  // expected-remark @+1 {{keeps f32: only products, convolutions and attention compute on 'bf16'}}
  %1 = lathe.rms_norm %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  // expected-remark @+1 {{computes on 'bf16'}}
  %2 = lathe.linear %x, %v, %b : (tensor<4x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %1, %2 : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// Arithmetic between products is done in f32; what goes from one to the next is
// rounded once.
// CHECK-LABEL: func.func @arithmetic
// CHECK: %[[A:.*]] = lathe.matmul {{.*}} -> tensor<4x8xbf16>
// CHECK: %[[B:.*]] = lathe.cast %[[A]] to f32
// CHECK: %[[C:.*]] = lathe.gelu %[[B]] : (tensor<4x8xf32>) -> tensor<4x8xf32>
// CHECK: %[[D:.*]] = lathe.cast %[[C]] to bf16
// CHECK: lathe.matmul %[[D]]
func.func @arithmetic(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>) -> tensor<4x8xf32> {
  // expected-remark @+1 {{computes on 'bf16'}}
  %0 = lathe.matmul %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.gelu %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  // expected-remark @+1 {{computes on 'bf16'}}
  %2 = lathe.matmul %1, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  return %2 : tensor<4x8xf32>
}

// -----

// What chooses and moves rounded elements hands them on.
// CHECK-LABEL: func.func @choosing
// CHECK: %[[A:.*]] = lathe.conv {{.*}} -> tensor<1x4x8x8xbf16>
// CHECK: %[[B:.*]] = lathe.relu %[[A]] : (tensor<1x4x8x8xbf16>)
// CHECK: %[[C:.*]] = lathe.max_pool %[[B]] {{.*}} -> tensor<1x4x4x4xbf16>
// CHECK: %[[D:.*]] = lathe.reshape %[[C]] {{.*}} -> tensor<1x64xbf16>
// CHECK: lathe.linear %[[D]]
// CHECK-NOT: to f32
// CHECK: lathe.cast %{{.*}} to f32
func.func @choosing(%x: tensor<1x3x8x8xf32>, %f: tensor<4x3x1x1xf32>, %w: tensor<8x64xf32>) -> tensor<1x8xf32> {
  // expected-remark @+1 {{computes on 'bf16'}}
  %0 = lathe.conv %x, %f : (tensor<1x3x8x8xf32>, tensor<4x3x1x1xf32>) -> tensor<1x4x8x8xf32>
  // expected-remark @+1 {{hands on 'bf16': its operands and result are 1024 bytes instead of 2048}}
  %1 = lathe.relu %0 : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  // expected-remark @+1 {{hands on 'bf16'}}
  %2 = lathe.max_pool %1 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x4x8x8xf32>) -> tensor<1x4x4x4xf32>
  // expected-remark @+1 {{hands on 'bf16'}}
  %3 = lathe.reshape %2 {shape = array<i64: 1, 64>} : (tensor<1x4x4x4xf32>) -> tensor<1x64xf32>
  // expected-remark @+1 {{computes on 'bf16'}}
  %4 = lathe.linear %3, %w : (tensor<1x64xf32>, tensor<8x64xf32>) -> tensor<1x8xf32>
  return %4 : tensor<1x8xf32>
}

// -----

// Of two sides of a view, the one with fewer elements: in front of a broadcast,
// behind a slice.
// CHECK-LABEL: func.func @views
// CHECK-DAG: %[[X:.*]] = lathe.cast %arg0 to bf16 : (tensor<1x8xf32>)
// CHECK-DAG: lathe.broadcast %[[X]] {{.*}} -> tensor<4x8xbf16>
// CHECK-DAG: %[[S:.*]] = lathe.slice %arg1 {{.*}} -> tensor<8x8xf32>
// CHECK-DAG: lathe.cast %[[S]] to bf16
func.func @views(%x: tensor<1x8xf32>, %w: tensor<64x8xf32>) -> tensor<4x8xf32> {
  // expected-remark @+1 {{hands on 'bf16': its operands and result are 80 bytes instead of 160}}
  %0 = lathe.broadcast %x {shape = array<i64: 4, 8>} : (tensor<1x8xf32>) -> tensor<4x8xf32>
  // expected-remark @+1 {{keeps f32: fewer elements are rounded behind it}}
  %1 = lathe.slice %w {starts = array<i64: 0, 0>, ends = array<i64: 8, 8>} : (tensor<64x8xf32>) -> tensor<8x8xf32>
  // expected-remark @+1 {{computes on 'bf16'}}
  %2 = lathe.matmul %0, %1 : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  return %2 : tensor<4x8xf32>
}

// -----

// Read as f32, too, and not rounded before: stays.
// CHECK-LABEL: func.func @mixed
// CHECK: lathe.max {{.*}} -> tensor<4x8xf32>
func.func @mixed(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  // expected-remark @+1 {{computes on 'bf16'}}
  %0 = lathe.matmul %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.exp %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
  // expected-remark @+1 {{keeps f32: some of what it reads is not rounded, and some of its readers compute in f32}}
  %2 = lathe.max %0, %1 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  // expected-remark @+1 {{computes on 'bf16'}}
  %3 = lathe.matmul %2, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  return %2, %3 : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// A reduction between products sums up in f32.
// CHECK-LABEL: func.func @reduction
// CHECK: lathe.reduce_sum {{.*}} : (tensor<4x8xf32>) -> tensor<4x1xf32>
func.func @reduction(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>, %v: tensor<1x8xf32>) -> tensor<4x8xf32> {
  // expected-remark @+1 {{computes on 'bf16'}}
  %0 = lathe.matmul %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  // expected-remark @+1 {{keeps f32: only products}}
  %1 = lathe.reduce_sum %0 {axes = array<i64: 1>, keepdims = true} : (tensor<4x8xf32>) -> tensor<4x1xf32>
  // expected-remark @+1 {{computes on 'bf16'}}
  %2 = lathe.matmul %1, %v : (tensor<4x1xf32>, tensor<1x8xf32>) -> tensor<4x8xf32>
  return %2 : tensor<4x8xf32>
}

// -----

// In the body of a scan; what it carries stays f32.
// CHECK-LABEL: func.func @scan
// CHECK: lathe.scan init(%[[H:.*]] = %arg0)
// CHECK: %[[C:.*]] = lathe.cast %[[H]] to bf16
// CHECK: %[[D:.*]] = lathe.linear %[[C]], %{{.*}} -> tensor<4x8xbf16>
// CHECK: %[[E:.*]] = lathe.cast %[[D]] to f32
// CHECK: lathe.yield %[[E]] : tensor<4x8xf32>
func.func @scan(%x: tensor<4x8xf32>, %w: tensor<3x8x8xf32>) -> tensor<4x8xf32> {
  %0 = lathe.scan init(%h = %x) inputs(%v = %w) : (tensor<4x8xf32>, tensor<3x8x8xf32>) -> tensor<4x8xf32> {
    // expected-remark @+1 {{computes on 'bf16'}}
    %1 = lathe.linear %h, %v : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
    lathe.yield %1 : tensor<4x8xf32>
  }
  return %0 : tensor<4x8xf32>
}

// -----

// Refused: products of other types say what they want.
// CHECK-LABEL: func.func @other
// CHECK-NOT: lathe.cast
func.func @other(%x: tensor<4x8xf64>, %w: tensor<8x8xf64>) -> tensor<4x8xf64> {
  // expected-remark @+1 {{keeps its type: expected products of f32, this one reads tensor<4x8xf64>}}
  %0 = lathe.linear %x, %w : (tensor<4x8xf64>, tensor<8x8xf64>) -> tensor<4x8xf64>
  return %0 : tensor<4x8xf64>
}

// -----

// Refused: it runs once.
// CHECK-LABEL: func.func @weights_alone
// CHECK-NOT: lathe.cast
lathe.parameter @w : tensor<8x8xf32>
func.func @weights_alone() -> tensor<8x8xf32> {
  %w = lathe.get_parameter @w : tensor<8x8xf32>
  // expected-remark @+1 {{keeps its type: it is computed once, when weights are loaded}}
  %0 = lathe.matmul %w, %w : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  return %0 : tensor<8x8xf32>
}

// -----

// Refused: lathe-integer-products takes it.
// CHECK-LABEL: func.func @quantized
// CHECK-NOT: lathe.cast
func.func @quantized(%x: tensor<4x8xf32>, %q: tensor<8x8xi8>, %s: tensor<f32>, %z: tensor<i8>) -> tensor<4x8xf32> {
  %w = lathe.dequantize %q, %s, %z : (tensor<8x8xi8>, tensor<f32>, tensor<i8>) -> tensor<8x8xf32>
  // expected-remark @+1 {{keeps its type: its operands are quantized}}
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}

// -----

// Refused: the log-sum-exp has to stay exact.
// CHECK-LABEL: func.func @several
// CHECK-NOT: lathe.cast
func.func @several(%q: tensor<1x2x4x8xf32>) -> tensor<1x2x4x8xf32> {
  // expected-remark @+1 {{keeps its type: it has several results}}
  %0:2 = lathe.attention_training %q, %q, %q {scale = 1.0 : f64} : (tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> (tensor<1x2x4x8xf32>, tensor<1x2x4xf32>)
  return %0#0 : tensor<1x2x4x8xf32>
}

// -----

// Open sizes are not 0 bytes.
// CHECK-LABEL: func.func @open
func.func @open(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %y: tensor<?x?xf32>) -> (tensor<?x8xf32>, tensor<?x?xf32>) {
  // expected-remark @+1 {{computes on 'bf16': its operands and result are 128 bytes instead of 256, without those of open sizes}}
  %0 = lathe.linear %x, %w : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  // expected-remark @+1 {{computes on 'bf16': the sizes of its operands and result are open}}
  %1 = lathe.matmul %y, %y : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
  return %0, %1 : tensor<?x8xf32>, tensor<?x?xf32>
}
