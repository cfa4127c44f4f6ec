// RUN: lathe-opt %s -canonicalize | FileCheck %s

// Constants: integers.

// CHECK-LABEL: func @shape_arithmetic
func.func @shape_arithmetic() -> (tensor<3xi64>, tensor<3xi64>, tensor<3xi64>, tensor<3xi64>) {
  %a = lathe.constant dense<[7, -7, 9]> : tensor<3xi64>
  %b = lathe.constant dense<2> : tensor<i64>
  // CHECK-DAG: dense<[9, -5, 11]> : tensor<3xi64>
  %0 = lathe.add %a, %b : (tensor<3xi64>, tensor<i64>) -> tensor<3xi64>
  // CHECK-DAG: dense<[-5, 9, -7]> : tensor<3xi64>
  %1 = lathe.sub %b, %a : (tensor<i64>, tensor<3xi64>) -> tensor<3xi64>
  // CHECK-DAG: dense<[14, -14, 18]> : tensor<3xi64>
  %2 = lathe.mul %a, %b : (tensor<3xi64>, tensor<i64>) -> tensor<3xi64>
  // CHECK-DAG: dense<[49, 49, 81]> : tensor<3xi64>
  %3 = lathe.pow %a, %b : (tensor<3xi64>, tensor<i64>) -> tensor<3xi64>
  return %0, %1, %2, %3 : tensor<3xi64>, tensor<3xi64>, tensor<3xi64>, tensor<3xi64>
}

// CHECK-LABEL: func @division
func.func @division() -> (tensor<4xi32>, tensor<4xi32>, tensor<4xi32>, tensor<2xi8>, tensor<2xui8>) {
  %a = lathe.constant dense<[7, -7, 7, -7]> : tensor<4xi32>
  %b = lathe.constant dense<[2, 2, -2, 0]> : tensor<4xi32>
  // CHECK-DAG: dense<[3, -3, -3, 0]> : tensor<4xi32>
  %0 = lathe.div %a, %b : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  // CHECK-DAG: dense<[1, -1, 1, 0]> : tensor<4xi32>
  %1 = lathe.rem %a, %b : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  // CHECK-DAG: dense<[1, 1, -1, 0]> : tensor<4xi32>
  %2 = lathe.mod %a, %b : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  // The quotient that does not fit wraps.
  %c = lathe.constant dense<-128> : tensor<2xi8>
  %d = lathe.constant dense<[-1, 3]> : tensor<2xi8>
  // CHECK-DAG: dense<[-128, -42]> : tensor<2xi8>
  %3 = lathe.div %c, %d : (tensor<2xi8>, tensor<2xi8>) -> tensor<2xi8>
  %e = lathe.constant dense<200> : tensor<2xui8>
  %f = lathe.constant dense<[3, 255]> : tensor<2xui8>
  // CHECK-DAG: dense<[66, 0]> : tensor<2xui8>
  %4 = lathe.div %e, %f : (tensor<2xui8>, tensor<2xui8>) -> tensor<2xui8>
  return %0, %1, %2, %3, %4 : tensor<4xi32>, tensor<4xi32>, tensor<4xi32>, tensor<2xi8>, tensor<2xui8>
}

// CHECK-LABEL: func @wrapping_and_bits
func.func @wrapping_and_bits() -> (tensor<2xi8>, tensor<2xui8>, tensor<3xi8>, tensor<3xi8>, tensor<2xi1>, tensor<2xi8>) {
  %a = lathe.constant dense<[127, -128]> : tensor<2xi8>
  %one = lathe.constant dense<1> : tensor<i8>
  // CHECK-DAG: dense<[-128, -127]> : tensor<2xi8>
  %0 = lathe.add %a, %one : (tensor<2xi8>, tensor<i8>) -> tensor<2xi8>
  %b = lathe.constant dense<[0, 255]> : tensor<2xui8>
  %two = lathe.constant dense<2> : tensor<ui8>
  // CHECK-DAG: dense<[254, 253]> : tensor<2xui8>
  %1 = lathe.sub %b, %two : (tensor<2xui8>, tensor<ui8>) -> tensor<2xui8>
  %s = lathe.constant dense<[1, 7, 8]> : tensor<3xi8>
  %m = lathe.constant dense<-3> : tensor<i8>
  // CHECK-DAG: dense<[-6, -128, 0]> : tensor<3xi8>
  %2 = lathe.shl %m, %s : (tensor<i8>, tensor<3xi8>) -> tensor<3xi8>
  // CHECK-DAG: dense<[-2, -1, -1]> : tensor<3xi8>
  %3 = lathe.shr %m, %s : (tensor<i8>, tensor<3xi8>) -> tensor<3xi8>
  %p = lathe.constant dense<[true, false]> : tensor<2xi1>
  // CHECK-DAG: dense<[false, true]> : tensor<2xi1>
  %4 = lathe.not %p : (tensor<2xi1>) -> tensor<2xi1>
  // CHECK-DAG: dense<[127, -128]> : tensor<2xi8>
  %5 = lathe.abs %a : (tensor<2xi8>) -> tensor<2xi8>
  return %0, %1, %2, %3, %4, %5 : tensor<2xi8>, tensor<2xui8>, tensor<3xi8>, tensor<3xi8>, tensor<2xi1>, tensor<2xi8>
}

// Constants: floats.

// CHECK-LABEL: func @float_constants
func.func @float_constants() -> (tensor<3xf32>, tensor<3xf32>, tensor<4xf32>, tensor<f64>, tensor<2xf32>, tensor<2xf32>) {
  %a = lathe.constant dense<[1.5, -2.5, 2.5]> : tensor<3xf32>
  // CHECK-DAG: dense<[1.000000e+00, -3.000000e+00, 2.000000e+00]> : tensor<3xf32>
  %0 = lathe.floor %a : (tensor<3xf32>) -> tensor<3xf32>
  // Ties go to the even neighbour.
  // CHECK-DAG: dense<[2.000000e+00, -2.000000e+00, 2.000000e+00]> : tensor<3xf32>
  %1 = lathe.round %a : (tensor<3xf32>) -> tensor<3xf32>
  %b = lathe.constant dense<[1.0, -1.0, 0.0, 0.5]> : tensor<4xf32>
  %z = lathe.constant dense<0.0> : tensor<f32>
  // CHECK-DAG: dense<[0x7F800000, 0xFF800000, 0x{{[7F]}}FC00000, 0x7F800000]> : tensor<4xf32>
  %2 = lathe.div %b, %z : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %t = lathe.constant dense<2.0> : tensor<f64>
  // CHECK-DAG: dense<1.4142135623730951> : tensor<f64>
  %3 = lathe.sqrt %t : (tensor<f64>) -> tensor<f64>
  %n = lathe.constant dense<[0x7FC00000, 1.0]> : tensor<2xf32>
  %two = lathe.constant dense<2.0> : tensor<f32>
  // NaN wins on either side.
  // CHECK-DAG: dense<[0x7FC00000, 2.000000e+00]> : tensor<2xf32>
  %4 = lathe.max %two, %n : (tensor<f32>, tensor<2xf32>) -> tensor<2xf32>
  // CHECK-DAG: dense<[0x7FC00000, 1.000000e+00]> : tensor<2xf32>
  %5 = lathe.min %n, %two : (tensor<2xf32>, tensor<f32>) -> tensor<2xf32>
  return %0, %1, %2, %3, %4, %5 : tensor<3xf32>, tensor<3xf32>, tensor<4xf32>, tensor<f64>, tensor<2xf32>, tensor<2xf32>
}

// CHECK-LABEL: func @rounds_to_the_type
func.func @rounds_to_the_type() -> (tensor<f16>, tensor<bf16>) {
  %a = lathe.constant dense<2048.0> : tensor<f16>
  %b = lathe.constant dense<1.0> : tensor<f16>
  // CHECK-DAG: dense<2.048000e+03> : tensor<f16>
  %0 = lathe.add %a, %b : (tensor<f16>, tensor<f16>) -> tensor<f16>
  %c = lathe.constant dense<257> : tensor<i32>
  // CHECK-DAG: dense<2.560000e+02> : tensor<bf16>
  %1 = lathe.cast %c to bf16 : (tensor<i32>) -> tensor<bf16>
  return %0, %1 : tensor<f16>, tensor<bf16>
}

// CHECK-LABEL: func @casts
func.func @casts() -> (tensor<5xi8>, tensor<5xui8>, tensor<5xi1>, tensor<2xi8>, tensor<2xi32>, tensor<1xf32>) {
  %a = lathe.constant dense<[1.9, -1.9, 300.0, -300.0, 0x7FC00000]> : tensor<5xf32>
  // CHECK-DAG: dense<[1, -1, 127, -128, 0]> : tensor<5xi8>
  %0 = lathe.cast %a to i8 : (tensor<5xf32>) -> tensor<5xi8>
  // CHECK-DAG: dense<[1, 0, 255, 0, 0]> : tensor<5xui8>
  %1 = lathe.cast %a to ui8 : (tensor<5xf32>) -> tensor<5xui8>
  %b = lathe.constant dense<[0.0, -0.0, 0.5, -1.0, 0x7FC00000]> : tensor<5xf32>
  // CHECK-DAG: dense<[false, false, true, true, true]> : tensor<5xi1>
  %2 = lathe.cast %b to i1 : (tensor<5xf32>) -> tensor<5xi1>
  %c = lathe.constant dense<[300, -129]> : tensor<2xi32>
  // CHECK-DAG: dense<[44, 127]> : tensor<2xi8>
  %3 = lathe.cast %c to i8 : (tensor<2xi32>) -> tensor<2xi8>
  %p = lathe.constant dense<[true, false]> : tensor<2xi1>
  // CHECK-DAG: dense<[1, 0]> : tensor<2xi32>
  %4 = lathe.cast %p to i32 : (tensor<2xi1>) -> tensor<2xi32>
  %u = lathe.constant dense<18446744073709551615> : tensor<1xui64>
  // CHECK-DAG: dense<1.84467441E+19> : tensor<1xf32>
  %5 = lathe.cast %u to f32 : (tensor<1xui64>) -> tensor<1xf32>
  return %0, %1, %2, %3, %4, %5 : tensor<5xi8>, tensor<5xui8>, tensor<5xi1>, tensor<2xi8>, tensor<2xi32>, tensor<1xf32>
}

// CHECK-LABEL: func @compare_and_select
func.func @compare_and_select() -> (tensor<3xi1>, tensor<3xi1>, tensor<2xi1>, tensor<2x2xi64>) {
  %a = lathe.constant dense<[1.0, 2.0, 0x7FC00000]> : tensor<3xf32>
  %b = lathe.constant dense<2.0> : tensor<f32>
  // CHECK-DAG: dense<[true, true, false]> : tensor<3xi1>
  %0 = lathe.compare le, %a, %b : (tensor<3xf32>, tensor<f32>) -> tensor<3xi1>
  // CHECK-DAG: dense<[true, false, true]> : tensor<3xi1>
  %1 = lathe.compare ne, %a, %b : (tensor<3xf32>, tensor<f32>) -> tensor<3xi1>
  %u = lathe.constant dense<[200, 100]> : tensor<2xui8>
  %v = lathe.constant dense<150> : tensor<ui8>
  // CHECK-DAG: dense<[true, false]> : tensor<2xi1>
  %2 = lathe.compare gt, %u, %v : (tensor<2xui8>, tensor<ui8>) -> tensor<2xi1>
  %c = lathe.constant dense<[[true], [false]]> : tensor<2x1xi1>
  %x = lathe.constant dense<[1, 2]> : tensor<2xi64>
  %y = lathe.constant dense<-1> : tensor<i64>
  // CHECK-DAG: dense<{{\[\[}}1, 2], [-1, -1]]> : tensor<2x2xi64>
  %3 = lathe.select %c, %x, %y : (tensor<2x1xi1>, tensor<2xi64>, tensor<i64>) -> tensor<2x2xi64>
  return %0, %1, %2, %3 : tensor<3xi1>, tensor<3xi1>, tensor<2xi1>, tensor<2x2xi64>
}

// CHECK-LABEL: func @broadcast_constants
func.func @broadcast_constants() -> (tensor<2x3xi32>, tensor<1000000xf32>, tensor<0x3xi32>) {
  %a = lathe.constant dense<[[10], [20]]> : tensor<2x1xi32>
  %b = lathe.constant dense<[1, 2, 3]> : tensor<3xi32>
  // CHECK-DAG: dense<{{\[\[}}11, 12, 13], [21, 22, 23]]> : tensor<2x3xi32>
  %0 = lathe.add %a, %b : (tensor<2x1xi32>, tensor<3xi32>) -> tensor<2x3xi32>
  // One value everywhere folds at any size.
  %s = lathe.constant dense<2.0> : tensor<1000000xf32>
  // CHECK-DAG: dense<4.000000e+00> : tensor<1000000xf32>
  %1 = lathe.mul %s, %s : (tensor<1000000xf32>, tensor<1000000xf32>) -> tensor<1000000xf32>
  %e = lathe.constant dense<> : tensor<0x3xi32>
  // CHECK-DAG: dense<> : tensor<0x3xi32>
  %2 = lathe.add %e, %b : (tensor<0x3xi32>, tensor<3xi32>) -> tensor<0x3xi32>
  return %0, %1, %2 : tensor<2x3xi32>, tensor<1000000xf32>, tensor<0x3xi32>
}

// Above the limit a constant would only take room.
// CHECK-LABEL: func @too_large
func.func @too_large() -> tensor<64x65xi32> {
  %a = lathe.constant dense<"0x0100000002000000030000000400000005000000060000000700000008000000090000000A0000000B0000000C0000000D0000000E0000000F000000100000001100000012000000130000001400000015000000160000001700000018000000190000001A0000001B0000001C0000001D0000001E0000001F000000200000002100000022000000230000002400000025000000260000002700000028000000290000002A0000002B0000002C0000002D0000002E0000002F000000300000003100000032000000330000003400000035000000360000003700000038000000390000003A0000003B0000003C0000003D0000003E0000003F0000004000000041000000"> : tensor<65xi32>
  %b = lathe.constant dense<1> : tensor<64x1xi32>
  // CHECK: lathe.add
  %0 = lathe.add %a, %b : (tensor<65xi32>, tensor<64x1xi32>) -> tensor<64x65xi32>
  return %0 : tensor<64x65xi32>
}

// Identities.

// CHECK-LABEL: func @neutral
// CHECK-SAME: (%[[I:.*]]: tensor<4xi32>, %[[F:.*]]: tensor<4xf32>, %[[B:.*]]: tensor<4xi1>)
func.func @neutral(%i: tensor<4xi32>, %f: tensor<4xf32>, %b: tensor<4xi1>) -> (tensor<4xi32>, tensor<4xi32>, tensor<4xi32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xi1>, tensor<4xi1>) {
  %zero = lathe.constant dense<0> : tensor<i32>
  %one = lathe.constant dense<1> : tensor<4xi32>
  %0 = lathe.add %zero, %i : (tensor<i32>, tensor<4xi32>) -> tensor<4xi32>
  %1 = lathe.mul %i, %one : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  %2 = lathe.div %i, %one : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  %fzero = lathe.constant dense<0.0> : tensor<f32>
  %fminus = lathe.constant dense<-0.0> : tensor<f32>
  %fone = lathe.constant dense<1.0> : tensor<f32>
  %3 = lathe.sub %f, %fzero : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %4 = lathe.add %f, %fminus : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %5 = lathe.mul %fone, %f : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %6 = lathe.div %f, %fone : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %7 = lathe.pow %f, %fone : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %true = lathe.constant dense<true> : tensor<i1>
  %false = lathe.constant dense<false> : tensor<i1>
  %8 = lathe.and %b, %true : (tensor<4xi1>, tensor<i1>) -> tensor<4xi1>
  %9 = lathe.or %false, %b : (tensor<i1>, tensor<4xi1>) -> tensor<4xi1>
  // CHECK: return %[[I]], %[[I]], %[[I]], %[[F]], %[[F]], %[[F]], %[[F]], %[[F]], %[[B]], %[[B]]
  return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9 : tensor<4xi32>, tensor<4xi32>, tensor<4xi32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xi1>, tensor<4xi1>
}

// x + 0.0 makes 0.0 of -0.0, x * 0.0 is not 0.0 for NaN and infinity, and 0 - x
// is no x.
// CHECK-LABEL: func @not_neutral
func.func @not_neutral(%f: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %zero = lathe.constant dense<0.0> : tensor<f32>
  // CHECK: lathe.add
  %0 = lathe.add %f, %zero : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  // CHECK: lathe.mul
  %1 = lathe.mul %f, %zero : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  // CHECK: lathe.sub
  %2 = lathe.sub %zero, %f : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  return %0, %1, %2 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// The constant stretches x, or may.
// CHECK-LABEL: func @neutral_but_broadcasts
func.func @neutral_but_broadcasts(%a: tensor<4xi32>, %b: tensor<?x4xi32>) -> (tensor<2x4xi32>, tensor<?x4xi32>) {
  %zeros = lathe.constant dense<0> : tensor<2x4xi32>
  // CHECK: lathe.add
  %0 = lathe.add %a, %zeros : (tensor<4xi32>, tensor<2x4xi32>) -> tensor<2x4xi32>
  // CHECK: lathe.add
  %1 = lathe.add %b, %zeros : (tensor<?x4xi32>, tensor<2x4xi32>) -> tensor<?x4xi32>
  return %0, %1 : tensor<2x4xi32>, tensor<?x4xi32>
}

// CHECK-LABEL: func @absorbing
func.func @absorbing(%i: tensor<4xi32>, %b: tensor<4x1xi1>, %o: tensor<?xi32>) -> (tensor<4xi32>, tensor<4xi32>, tensor<4x3xi1>, tensor<4x1xi1>, tensor<?xi32>) {
  %zero = lathe.constant dense<0> : tensor<i32>
  // CHECK-DAG: %[[Z:.*]] = lathe.constant dense<0> : tensor<4xi32>
  %0 = lathe.mul %i, %zero : (tensor<4xi32>, tensor<i32>) -> tensor<4xi32>
  %1 = lathe.and %zero, %i : (tensor<i32>, tensor<4xi32>) -> tensor<4xi32>
  %false = lathe.constant dense<false> : tensor<3xi1>
  // CHECK-DAG: %[[F:.*]] = lathe.constant dense<false> : tensor<4x3xi1>
  %2 = lathe.and %b, %false : (tensor<4x1xi1>, tensor<3xi1>) -> tensor<4x3xi1>
  %true = lathe.constant dense<true> : tensor<i1>
  // CHECK-DAG: %[[T:.*]] = lathe.constant dense<true> : tensor<4x1xi1>
  %3 = lathe.or %b, %true : (tensor<4x1xi1>, tensor<i1>) -> tensor<4x1xi1>
  // The size is not known yet.
  // CHECK: %[[M:.*]] = lathe.mul
  %4 = lathe.mul %o, %zero : (tensor<?xi32>, tensor<i32>) -> tensor<?xi32>
  // CHECK: return %[[Z]], %[[Z]], %[[F]], %[[T]], %[[M]]
  return %0, %1, %2, %3, %4 : tensor<4xi32>, tensor<4xi32>, tensor<4x3xi1>, tensor<4x1xi1>, tensor<?xi32>
}

// CHECK-LABEL: func @select_known
// CHECK-SAME: (%[[A:.*]]: tensor<4xf32>, %[[B:.*]]: tensor<4xf32>, %{{.*}}: tensor<4xi1>)
func.func @select_known(%a: tensor<4xf32>, %b: tensor<4xf32>, %c: tensor<4xi1>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %true = lathe.constant dense<true> : tensor<i1>
  %false = lathe.constant dense<false> : tensor<4xi1>
  %0 = lathe.select %true, %a, %b : (tensor<i1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = lathe.select %false, %a, %b : (tensor<4xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %2 = lathe.select %c, %a, %a : (tensor<4xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  // CHECK: return %[[A]], %[[B]], %[[A]]
  return %0, %1, %2 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// CHECK-LABEL: func @twice
// CHECK-SAME: (%[[A:.*]]: tensor<?xf32>, %[[B:.*]]: tensor<?xi1>)
func.func @twice(%a: tensor<?xf32>, %b: tensor<?xi1>) -> (tensor<?xf32>, tensor<?xi1>, tensor<?xf32>, tensor<?xf32>) {
  %0 = lathe.neg %a : (tensor<?xf32>) -> tensor<?xf32>
  %1 = lathe.neg %0 : (tensor<?xf32>) -> tensor<?xf32>
  %2 = lathe.not %b : (tensor<?xi1>) -> tensor<?xi1>
  %3 = lathe.not %2 : (tensor<?xi1>) -> tensor<?xi1>
  %4 = lathe.max %a, %a : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  // CHECK: %[[RELU:.*]] = lathe.relu %[[A]]
  %5 = lathe.relu %a : (tensor<?xf32>) -> tensor<?xf32>
  // CHECK-NOT: lathe.relu
  %6 = lathe.relu %5 : (tensor<?xf32>) -> tensor<?xf32>
  // CHECK: return %[[A]], %[[B]], %[[A]], %[[RELU]]
  return %1, %3, %4, %6 : tensor<?xf32>, tensor<?xi1>, tensor<?xf32>, tensor<?xf32>
}

// CHECK-LABEL: func @casts_that_lose_nothing
// CHECK-SAME: (%[[A:.*]]: tensor<?xf16>, %[[B:.*]]: tensor<?xi1>, %[[C:.*]]: tensor<?xui8>)
func.func @casts_that_lose_nothing(%a: tensor<?xf16>, %b: tensor<?xi1>, %c: tensor<?xui8>) -> (tensor<?xf16>, tensor<?xf16>, tensor<?xi1>, tensor<?xui8>) {
  %0 = lathe.cast %a to f16 : (tensor<?xf16>) -> tensor<?xf16>
  %1 = lathe.cast %a to f32 : (tensor<?xf16>) -> tensor<?xf32>
  %2 = lathe.cast %1 to f16 : (tensor<?xf32>) -> tensor<?xf16>
  %3 = lathe.cast %b to i32 : (tensor<?xi1>) -> tensor<?xi32>
  %4 = lathe.cast %3 to i1 : (tensor<?xi32>) -> tensor<?xi1>
  %5 = lathe.cast %c to bf16 : (tensor<?xui8>) -> tensor<?xbf16>
  %6 = lathe.cast %5 to ui8 : (tensor<?xbf16>) -> tensor<?xui8>
  // CHECK: return %[[A]], %[[A]], %[[B]], %[[C]]
  return %0, %2, %4, %6 : tensor<?xf16>, tensor<?xf16>, tensor<?xi1>, tensor<?xui8>
}

// CHECK-LABEL: func @casts_that_lose
func.func @casts_that_lose(%a: tensor<?xf16>, %b: tensor<?xi8>, %c: tensor<?xi32>) -> (tensor<?xf16>, tensor<?xi8>, tensor<?xi32>) {
  // CHECK-COUNT-6: lathe.cast
  %1 = lathe.cast %a to bf16 : (tensor<?xf16>) -> tensor<?xbf16>
  %2 = lathe.cast %1 to f16 : (tensor<?xbf16>) -> tensor<?xf16>
  %3 = lathe.cast %b to ui8 : (tensor<?xi8>) -> tensor<?xui8>
  %4 = lathe.cast %3 to i8 : (tensor<?xui8>) -> tensor<?xi8>
  %5 = lathe.cast %c to f32 : (tensor<?xi32>) -> tensor<?xf32>
  %6 = lathe.cast %5 to i32 : (tensor<?xf32>) -> tensor<?xi32>
  return %2, %4, %6 : tensor<?xf16>, tensor<?xi8>, tensor<?xi32>
}
