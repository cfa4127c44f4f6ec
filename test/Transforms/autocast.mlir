// RUN: lathe-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(func.func(lathe-autocast{type=bf16}))' | FileCheck %s
// RUN: not lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-autocast{type=i8}))' 2>&1 | FileCheck %s --check-prefix=WRONG
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
func.func @products(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>, %v: tensor<8x8xf32>, %b: tensor<8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %1 = lathe.rms_norm %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %2 = lathe.linear %x, %v, %b : (tensor<4x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %1, %2 : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// Refused: products of other types say what they want.
// CHECK-LABEL: func.func @other
// CHECK-NOT: lathe.cast
func.func @other(%x: tensor<4x8xf64>, %w: tensor<8x8xf64>) -> tensor<4x8xf64> {
  %0 = lathe.linear %x, %w : (tensor<4x8xf64>, tensor<8x8xf64>) -> tensor<4x8xf64>
  return %0 : tensor<4x8xf64>
}
