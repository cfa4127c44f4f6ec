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
