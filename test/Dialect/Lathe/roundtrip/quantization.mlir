// RUN: lathe-opt %s | lathe-opt | FileCheck %s
// RUN: lathe-opt -mlir-print-op-generic %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func @quantization
func.func @quantization(%x: tensor<2x3xf32>, %s: tensor<f32>, %z: tensor<i8>, %sc: tensor<3xf32>, %zc: tensor<3xui8>, %sr: tensor<2xf32>, %zr: tensor<2xi32>) {
  // CHECK: lathe.quantize %{{.*}}, %{{.*}}, %{{.*}} : (tensor<2x3xf32>, tensor<f32>, tensor<i8>) -> tensor<2x3xi8>
  %0 = lathe.quantize %x, %s, %z : (tensor<2x3xf32>, tensor<f32>, tensor<i8>) -> tensor<2x3xi8>
  // CHECK: lathe.quantize %{{.*}}, %{{.*}}, %{{.*}} : (tensor<2x3xf32>, tensor<3xf32>, tensor<3xui8>) -> tensor<2x3xui8>
  %1 = lathe.quantize %x, %sc, %zc : (tensor<2x3xf32>, tensor<3xf32>, tensor<3xui8>) -> tensor<2x3xui8>
  // CHECK: lathe.quantize %{{.*}}, %{{.*}}, %{{.*}} {axis = -2 : i64} : (tensor<2x3xf32>, tensor<2xf32>, tensor<2xi32>) -> tensor<2x3xi32>
  %2 = lathe.quantize %x, %sr, %zr {axis = -2 : i64} : (tensor<2x3xf32>, tensor<2xf32>, tensor<2xi32>) -> tensor<2x3xi32>
  // CHECK: lathe.dequantize %{{.*}}, %{{.*}}, %{{.*}} : (tensor<2x3xui8>, tensor<3xf32>, tensor<3xui8>) -> tensor<2x3xf32>
  %3 = lathe.dequantize %1, %sc, %zc : (tensor<2x3xui8>, tensor<3xf32>, tensor<3xui8>) -> tensor<2x3xf32>
  // CHECK: lathe.fake_quantize %{{.*}}, %{{.*}}, %{{.*}} {storage = !quant.any<i8<-127:127>:f32>} : (tensor<2x3xf32>, tensor<f32>, tensor<i8>) -> tensor<2x3xf32>
  %4 = lathe.fake_quantize %x, %s, %z {storage = !quant.any<i8<-127:127>:f32>} : (tensor<2x3xf32>, tensor<f32>, tensor<i8>) -> tensor<2x3xf32>
  return
}

// CHECK-LABEL: func @blocks
func.func @blocks(%x: tensor<2x7xf32>, %row: tensor<2x1xf32>, %zrow: tensor<2x1xui8>, %s: tensor<2x4xf32>, %z: tensor<2x4xi8>) {
  // CHECK: lathe.quantize %{{.*}}, %{{.*}}, %{{.*}} : (tensor<2x7xf32>, tensor<2x1xf32>, tensor<2x1xui8>) -> tensor<2x7xui8>
  %0 = lathe.quantize %x, %row, %zrow : (tensor<2x7xf32>, tensor<2x1xf32>, tensor<2x1xui8>) -> tensor<2x7xui8>
  // CHECK: lathe.quantize %{{.*}}, %{{.*}}, %{{.*}} {group = 2 : i64, storage = !quant.any<i4:f32>} : (tensor<2x7xf32>, tensor<2x4xf32>, tensor<2x4xi8>) -> tensor<2x7xi8>
  %1 = lathe.quantize %x, %s, %z {group = 2 : i64, storage = !quant.any<i4:f32>} : (tensor<2x7xf32>, tensor<2x4xf32>, tensor<2x4xi8>) -> tensor<2x7xi8>
  // CHECK: lathe.dequantize %{{.*}}, %{{.*}}, %{{.*}} {group = 2 : i64} : (tensor<2x7xi8>, tensor<2x4xf32>, tensor<2x4xi8>) -> tensor<2x7xf32>
  %2 = lathe.dequantize %1, %s, %z {group = 2 : i64} : (tensor<2x7xi8>, tensor<2x4xf32>, tensor<2x4xi8>) -> tensor<2x7xf32>
  return
}

// CHECK-LABEL: func @floats
func.func @floats(%x: tensor<2x8xf32>, %s: tensor<2x1xf32>, %z: tensor<2x1xf8E4M3FN>, %w: tensor<3x8xf8E4M3FN>) {
  // CHECK: lathe.quantize %{{.*}}, %{{.*}}, %{{.*}} : (tensor<2x8xf32>, tensor<2x1xf32>, tensor<2x1xf8E4M3FN>) -> tensor<2x8xf8E4M3FN>
  %0 = lathe.quantize %x, %s, %z : (tensor<2x8xf32>, tensor<2x1xf32>, tensor<2x1xf8E4M3FN>) -> tensor<2x8xf8E4M3FN>
  // CHECK: lathe.dequantize %{{.*}} : (tensor<2x8xf8E4M3FN>, tensor<2x1xf32>, tensor<2x1xf8E4M3FN>) -> tensor<2x8xf32>
  %1 = lathe.dequantize %0, %s, %z : (tensor<2x8xf8E4M3FN>, tensor<2x1xf32>, tensor<2x1xf8E4M3FN>) -> tensor<2x8xf32>
  // CHECK: lathe.linear %{{.*}}, %{{.*}} : (tensor<2x8xf8E4M3FN>, tensor<3x8xf8E4M3FN>) -> tensor<2x3xf32>
  %2 = lathe.linear %0, %w : (tensor<2x8xf8E4M3FN>, tensor<3x8xf8E4M3FN>) -> tensor<2x3xf32>
  // CHECK: lathe.pack %{{.*}} {transposed} : (tensor<3x8xf8E4M3FN>) -> tensor<1x8x32xf8E4M3FN>
  %3 = lathe.pack %w {transposed} : (tensor<3x8xf8E4M3FN>) -> tensor<1x8x32xf8E4M3FN>
  // CHECK: lathe.transpose %{{.*}} : (tensor<3x8xf8E4M3FN>) -> tensor<8x3xf8E4M3FN>
  %4 = lathe.transpose %w {permutation = array<i64: 1, 0>} : (tensor<3x8xf8E4M3FN>) -> tensor<8x3xf8E4M3FN>
  return
}
