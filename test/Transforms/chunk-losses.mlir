// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-chunk-losses{min-bytes=4096 chunk-bytes=1024 explain=true}))' --verify-diagnostics | FileCheck %s
// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-chunk-losses))' | FileCheck %s --check-prefix=SMALL
// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-chunk-losses{min-bytes=0}))' | FileCheck %s --check-prefix=ANY
// SMALL-NOT: linear_cross_entropy

// 1024 bytes are 8 rows of 32 logits.
// CHECK-LABEL: func.func @mean
// CHECK: %[[LOSS:.*]], %{{.*}}, %{{.*}} = lathe.linear_cross_entropy %arg0, %arg1, %arg2 {chunk = 8 : i64} : (tensor<64x16xf32>, tensor<32x16xf32>, tensor<64xi64>)
// CHECK-NOT: lathe.linear
// CHECK: return %[[LOSS]]
func.func @mean(%x: tensor<64x16xf32>, %w: tensor<32x16xf32>, %l: tensor<64xi64>) -> tensor<f32> {
  %0 = lathe.linear %x, %w : (tensor<64x16xf32>, tensor<32x16xf32>) -> tensor<64x32xf32>
  %1 = lathe.cross_entropy %0, %l : (tensor<64x32xf32>, tensor<64xi64>) -> tensor<f32>
  return %1 : tensor<f32>
}

// -----

// Bias, attributes, a batch of sequences; 60 rows are 10 chunks of 6. The loss
// of logits that are widened stays f32.
// CHECK-LABEL: func.func @mixed
// CHECK: lathe.linear_cross_entropy %arg0, %arg1, %arg3, %arg2 {chunk = 6 : i64, ignore_index = -1 : i64, label_smoothing = 1.000000e-01 : f64}
// CHECK-SAME: -> (tensor<f32>, tensor<2x30x16xf32>, tensor<32x16xf32>, tensor<32xf32>)
func.func @mixed(%x: tensor<2x30x16xbf16>, %w: tensor<32x16xbf16>, %b: tensor<32xbf16>, %l: tensor<2x30xi64>) -> tensor<f32> {
  %0 = lathe.linear %x, %w, %b : (tensor<2x30x16xbf16>, tensor<32x16xbf16>, tensor<32xbf16>) -> tensor<2x30x32xbf16>
  %1 = lathe.cast %0 to f32 : (tensor<2x30x32xbf16>) -> tensor<2x30x32xf32>
  %2 = lathe.cross_entropy %1, %l {ignore_index = -1 : i64, label_smoothing = 0.1 : f64} : (tensor<2x30x32xf32>, tensor<2x30xi64>) -> tensor<f32>
  return %2 : tensor<f32>
}

// -----

// CHECK-LABEL: func.func @logits
// CHECK-NOT: linear_cross_entropy
func.func @logits(%x: tensor<64x16xf32>, %w: tensor<32x16xf32>, %l: tensor<64xi64>) -> (tensor<f32>, tensor<64x32xf32>) {
  %0 = lathe.linear %x, %w : (tensor<64x16xf32>, tensor<32x16xf32>) -> tensor<64x32xf32>
  // expected-remark @+1 {{keeps its logits: the logits are used elsewhere, too}}
  %1 = lathe.cross_entropy %0, %l : (tensor<64x32xf32>, tensor<64xi64>) -> tensor<f32>
  return %1, %0 : tensor<f32>, tensor<64x32xf32>
}

// -----

// CHECK-LABEL: func.func @others
// CHECK-NOT: linear_cross_entropy
func.func @others(%x: tensor<64x16xf32>, %y: tensor<8x16xf32>, %w: tensor<32x16xf32>, %l: tensor<64xi64>, %k: tensor<8xi64>, %z: tensor<64x32xf32>) {
  %0 = lathe.linear %x, %w : (tensor<64x16xf32>, tensor<32x16xf32>) -> tensor<64x32xf32>
  // expected-remark @+1 {{keeps its logits: it is no mean}}
  %1 = lathe.cross_entropy %0, %l reduce sum : (tensor<64x32xf32>, tensor<64xi64>) -> tensor<f32>
  %2 = lathe.linear %y, %w : (tensor<8x16xf32>, tensor<32x16xf32>) -> tensor<8x32xf32>
  // expected-remark @+1 {{keeps its logits: they take 1024 bytes, which is less than 4096}}
  %3 = lathe.cross_entropy %2, %k : (tensor<8x32xf32>, tensor<8xi64>) -> tensor<f32>
  // expected-remark @+1 {{keeps its logits: the logits are not those of a linear}}
  %4 = lathe.cross_entropy %z, %l : (tensor<64x32xf32>, tensor<64xi64>) -> tensor<f32>
  return
}

// -----

// However little is asked for, there are no rows to make a chunk of.
// CHECK-LABEL: func.func @none
// CHECK-NOT: linear_cross_entropy
// ANY-LABEL: func.func @none
// ANY: lathe.linear %
// ANY: lathe.cross_entropy
func.func @none(%x: tensor<0x16xf32>, %w: tensor<32x16xf32>, %l: tensor<0xi64>) -> tensor<f32> {
  %0 = lathe.linear %x, %w : (tensor<0x16xf32>, tensor<32x16xf32>) -> tensor<0x32xf32>
  // expected-remark @+1 {{keeps its logits: there are none}}
  %1 = lathe.cross_entropy %0, %l : (tensor<0x32xf32>, tensor<0xi64>) -> tensor<f32>
  return %1 : tensor<f32>
}
