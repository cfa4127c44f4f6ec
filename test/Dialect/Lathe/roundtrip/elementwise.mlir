// RUN: lathe-opt %s | lathe-opt | FileCheck %s
// RUN: lathe-opt -mlir-print-op-generic %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func @float_unary
func.func @float_unary(%x: tensor<4x?xf32>) {
  // CHECK: lathe.exp %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %0 = lathe.exp %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.log %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %1 = lathe.log %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.sqrt %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %2 = lathe.sqrt %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.rsqrt %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %3 = lathe.rsqrt %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.reciprocal %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %4 = lathe.reciprocal %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.sin %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %5 = lathe.sin %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.cos %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %6 = lathe.cos %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.tan %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %7 = lathe.tan %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.asin %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %8 = lathe.asin %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.acos %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %9 = lathe.acos %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.atan %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %10 = lathe.atan %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.sinh %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %11 = lathe.sinh %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.cosh %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %12 = lathe.cosh %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.asinh %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %13 = lathe.asinh %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.acosh %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %14 = lathe.acosh %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.atanh %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %15 = lathe.atanh %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.tanh %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %16 = lathe.tanh %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.erf %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %17 = lathe.erf %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.sigmoid %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %18 = lathe.sigmoid %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.silu %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %19 = lathe.silu %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.softplus %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %20 = lathe.softplus %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.floor %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %21 = lathe.floor %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.ceil %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %22 = lathe.ceil %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.round %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %23 = lathe.round %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.gelu %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %24 = lathe.gelu %x : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.gelu %{{.*}} {tanh} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  %t = lathe.gelu %x {tanh} : (tensor<4x?xf32>) -> tensor<4x?xf32>
  // CHECK: lathe.is_nan %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xi1>
  %n = lathe.is_nan %x : (tensor<4x?xf32>) -> tensor<4x?xi1>
  // CHECK: lathe.is_inf %{{.*}} : (tensor<4x?xf32>) -> tensor<4x?xi1>
  %i = lathe.is_inf %x : (tensor<4x?xf32>) -> tensor<4x?xi1>
  return
}

// CHECK-LABEL: func @every_element_type
func.func @every_element_type(%f64: tensor<2xf64>, %f32: tensor<2xf32>, %f16: tensor<2xf16>, %bf16: tensor<2xbf16>, %i64: tensor<2xi64>, %i32: tensor<2xi32>, %i16: tensor<2xi16>, %i8: tensor<2xi8>, %ui64: tensor<2xui64>, %ui32: tensor<2xui32>, %ui16: tensor<2xui16>, %ui8: tensor<2xui8>) {
  // CHECK: lathe.abs %{{.*}} : (tensor<2xf64>) -> tensor<2xf64>
  %0 = lathe.abs %f64 : (tensor<2xf64>) -> tensor<2xf64>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xf32>) -> tensor<2xf32>
  %1 = lathe.abs %f32 : (tensor<2xf32>) -> tensor<2xf32>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xf16>) -> tensor<2xf16>
  %2 = lathe.abs %f16 : (tensor<2xf16>) -> tensor<2xf16>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xbf16>) -> tensor<2xbf16>
  %3 = lathe.abs %bf16 : (tensor<2xbf16>) -> tensor<2xbf16>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xi64>) -> tensor<2xi64>
  %4 = lathe.abs %i64 : (tensor<2xi64>) -> tensor<2xi64>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xi32>) -> tensor<2xi32>
  %5 = lathe.abs %i32 : (tensor<2xi32>) -> tensor<2xi32>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xi16>) -> tensor<2xi16>
  %6 = lathe.abs %i16 : (tensor<2xi16>) -> tensor<2xi16>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xi8>) -> tensor<2xi8>
  %7 = lathe.abs %i8 : (tensor<2xi8>) -> tensor<2xi8>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xui64>) -> tensor<2xui64>
  %8 = lathe.abs %ui64 : (tensor<2xui64>) -> tensor<2xui64>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xui32>) -> tensor<2xui32>
  %9 = lathe.abs %ui32 : (tensor<2xui32>) -> tensor<2xui32>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xui16>) -> tensor<2xui16>
  %10 = lathe.abs %ui16 : (tensor<2xui16>) -> tensor<2xui16>
  // CHECK: lathe.abs %{{.*}} : (tensor<2xui8>) -> tensor<2xui8>
  %11 = lathe.abs %ui8 : (tensor<2xui8>) -> tensor<2xui8>
  return
}

// CHECK-LABEL: func @numeric_unary
func.func @numeric_unary(%x: tensor<3xi32>) {
  // CHECK: lathe.relu %{{.*}} : (tensor<3xi32>) -> tensor<3xi32>
  %0 = lathe.relu %x : (tensor<3xi32>) -> tensor<3xi32>
  // CHECK: lathe.neg %{{.*}} : (tensor<3xi32>) -> tensor<3xi32>
  %1 = lathe.neg %x : (tensor<3xi32>) -> tensor<3xi32>
  // CHECK: lathe.abs %{{.*}} : (tensor<3xi32>) -> tensor<3xi32>
  %2 = lathe.abs %x : (tensor<3xi32>) -> tensor<3xi32>
  // CHECK: lathe.sign %{{.*}} : (tensor<3xi32>) -> tensor<3xi32>
  %3 = lathe.sign %x : (tensor<3xi32>) -> tensor<3xi32>
  // CHECK: lathe.not %{{.*}} : (tensor<3xi32>) -> tensor<3xi32>
  %4 = lathe.not %x : (tensor<3xi32>) -> tensor<3xi32>
  return
}

// CHECK-LABEL: func @binary_broadcasts
func.func @binary_broadcasts(%a: tensor<2x1x4xi32>, %b: tensor<3x1xi32>) {
  // CHECK: lathe.add %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %0 = lathe.add %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.sub %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %1 = lathe.sub %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.mul %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %2 = lathe.mul %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.div %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %3 = lathe.div %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.pow %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %4 = lathe.pow %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.max %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %5 = lathe.max %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.min %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %6 = lathe.min %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.rem %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %7 = lathe.rem %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.mod %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %8 = lathe.mod %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.and %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %9 = lathe.and %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.or %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %10 = lathe.or %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.xor %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %11 = lathe.xor %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.shl %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %12 = lathe.shl %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  // CHECK: lathe.shr %{{.*}}, %{{.*}} : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  %13 = lathe.shr %a, %b : (tensor<2x1x4xi32>, tensor<3x1xi32>) -> tensor<2x3x4xi32>
  return
}

// CHECK-LABEL: func @open_sizes
func.func @open_sizes(%a: tensor<?x4xf32>, %b: tensor<?x1xf32>, %c: tensor<7x1xf32>, %s: tensor<f32>) {
  // CHECK: lathe.add %{{.*}}, %{{.*}} : (tensor<?x4xf32>, tensor<?x1xf32>) -> tensor<?x4xf32>
  %0 = lathe.add %a, %b : (tensor<?x4xf32>, tensor<?x1xf32>) -> tensor<?x4xf32>
  // CHECK: lathe.mul %{{.*}}, %{{.*}} : (tensor<?x4xf32>, tensor<7x1xf32>) -> tensor<7x4xf32>
  %1 = lathe.mul %a, %c : (tensor<?x4xf32>, tensor<7x1xf32>) -> tensor<7x4xf32>
  // CHECK: lathe.mul %{{.*}}, %{{.*}} : (tensor<?x4xf32>, tensor<7x1xf32>) -> tensor<?x?xf32>
  %2 = lathe.mul %a, %c : (tensor<?x4xf32>, tensor<7x1xf32>) -> tensor<?x?xf32>
  // CHECK: lathe.sub %{{.*}}, %{{.*}} : (tensor<f32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  %3 = lathe.sub %s, %a : (tensor<f32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// CHECK-LABEL: func @no_elements_and_rank_0
func.func @no_elements_and_rank_0(%e: tensor<0x4xf32>, %o: tensor<1x4xf32>, %s: tensor<f32>) {
  // CHECK: lathe.add %{{.*}}, %{{.*}} : (tensor<0x4xf32>, tensor<1x4xf32>) -> tensor<0x4xf32>
  %0 = lathe.add %e, %o : (tensor<0x4xf32>, tensor<1x4xf32>) -> tensor<0x4xf32>
  // CHECK: lathe.max %{{.*}}, %{{.*}} : (tensor<f32>, tensor<f32>) -> tensor<f32>
  %1 = lathe.max %s, %s : (tensor<f32>, tensor<f32>) -> tensor<f32>
  return
}

// CHECK-LABEL: func @compare
func.func @compare(%a: tensor<4xf32>, %b: tensor<f32>, %p: tensor<4xi1>) {
  // CHECK: lathe.compare eq, %{{.*}}, %{{.*}} : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  %0 = lathe.compare eq, %a, %b : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  // CHECK: lathe.compare ne, %{{.*}}, %{{.*}} : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  %1 = lathe.compare ne, %a, %b : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  // CHECK: lathe.compare lt, %{{.*}}, %{{.*}} : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  %2 = lathe.compare lt, %a, %b : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  // CHECK: lathe.compare le, %{{.*}}, %{{.*}} : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  %3 = lathe.compare le, %a, %b : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  // CHECK: lathe.compare gt, %{{.*}}, %{{.*}} : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  %4 = lathe.compare gt, %a, %b : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  // CHECK: lathe.compare ge, %{{.*}}, %{{.*}} : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  %5 = lathe.compare ge, %a, %b : (tensor<4xf32>, tensor<f32>) -> tensor<4xi1>
  // CHECK: lathe.compare eq, %{{.*}}, %{{.*}} : (tensor<4xi1>, tensor<4xi1>) -> tensor<4xi1>
  %b6 = lathe.compare eq, %p, %p : (tensor<4xi1>, tensor<4xi1>) -> tensor<4xi1>
  return
}

// CHECK-LABEL: func @select_and_cast
func.func @select_and_cast(%c: tensor<4x1xi1>, %a: tensor<3xf32>, %b: tensor<f32>) {
  // CHECK: lathe.select %{{.*}}, %{{.*}}, %{{.*}} : (tensor<4x1xi1>, tensor<3xf32>, tensor<f32>) -> tensor<4x3xf32>
  %0 = lathe.select %c, %a, %b : (tensor<4x1xi1>, tensor<3xf32>, tensor<f32>) -> tensor<4x3xf32>
  // CHECK: lathe.cast %{{.*}} to i8 : (tensor<3xf32>) -> tensor<3xi8>
  %1 = lathe.cast %a to i8 : (tensor<3xf32>) -> tensor<3xi8>
  // CHECK: lathe.cast %{{.*}} to bf16 : (tensor<4x1xi1>) -> tensor<4x1xbf16>
  %2 = lathe.cast %c to bf16 : (tensor<4x1xi1>) -> tensor<4x1xbf16>
  return
}
