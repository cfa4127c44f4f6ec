// RUN: lathe-opt %s --lathe-pack-weights --split-input-file | FileCheck %s

lathe.parameter @w : tensor<16x8xf32>
lathe.parameter @b : tensor<16xf32>
lathe.parameter @m : tensor<8x5xf32>
lathe.parameter @half : tensor<16x8xf16>
lathe.parameter @brain : tensor<16x7xbf16>
lathe.parameter @wide : tensor<16x8xf64>

// CHECK-LABEL: func.func @linear
// CHECK: %[[P:.*]] = lathe.pack %{{.*}} {transposed} : (tensor<16x8xf32>) -> tensor<1x8x32xf32>
// CHECK: %[[Y:.*]] = lathe.packed_matmul %{{.*}}, %[[P]] {n = 16 : i64}
// CHECK: lathe.add %[[Y]], %{{.*}} : (tensor<2x4x16xf32>, tensor<16xf32>)
func.func @linear(%x: tensor<2x4x8xf32>) -> tensor<2x4x16xf32> {
  %w = lathe.get_parameter @w : tensor<16x8xf32>
  %b = lathe.get_parameter @b : tensor<16xf32>
  %0 = lathe.linear %x, %w, %b : (tensor<2x4x8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<2x4x16xf32>
  return %0 : tensor<2x4x16xf32>
}

// CHECK-LABEL: func.func @matmul
// CHECK: %[[P:.*]] = lathe.pack %{{[^{]*}} : (tensor<8x5xf32>) -> tensor<1x8x32xf32>
// CHECK: lathe.packed_matmul %{{.*}}, %[[P]] {n = 5 : i64}
func.func @matmul(%x: tensor<3x4x8xf32>) -> tensor<3x4x5xf32> {
  %m = lathe.get_parameter @m : tensor<8x5xf32>
  %0 = lathe.matmul %x, %m : (tensor<3x4x8xf32>, tensor<8x5xf32>) -> tensor<3x4x5xf32>
  return %0 : tensor<3x4x5xf32>
}

// f16 is packed as it is, bf16 in pairs of neighbours along the depth.
// CHECK-LABEL: func.func @sixteen_bits
// CHECK: lathe.pack %{{.*}} {transposed} : (tensor<16x8xf16>) -> tensor<1x8x32xf16>
// CHECK: lathe.packed_matmul {{.*}} -> tensor<4x16xf16>
// CHECK: lathe.pack %{{.*}} {interleave = 2 : i64, transposed} : (tensor<16x7xbf16>) -> tensor<1x4x32x2xbf16>
// CHECK: lathe.packed_matmul {{.*}} -> tensor<4x16xbf16>
func.func @sixteen_bits(%h: tensor<4x8xf16>, %b: tensor<4x7xbf16>) -> (tensor<4x16xf16>, tensor<4x16xbf16>) {
  %half = lathe.get_parameter @half : tensor<16x8xf16>
  %brain = lathe.get_parameter @brain : tensor<16x7xbf16>
  %0 = lathe.linear %h, %half : (tensor<4x8xf16>, tensor<16x8xf16>) -> tensor<4x16xf16>
  %1 = lathe.linear %b, %brain : (tensor<4x7xbf16>, tensor<16x7xbf16>) -> tensor<4x16xbf16>
  return %0, %1 : tensor<4x16xf16>, tensor<4x16xbf16>
}

// Refused: computed at run time; f64; transposed on the left.
// CHECK-LABEL: func.func @refused
// CHECK-NOT: lathe.pack
// CHECK: lathe.linear
// CHECK: lathe.linear
// CHECK: lathe.matmul
func.func @refused(%x: tensor<4x8xf32>, %w: tensor<16x8xf32>, %h: tensor<4x8xf64>, %t: tensor<8x4xf32>) -> (tensor<4x16xf32>, tensor<4x16xf64>, tensor<4x5xf32>) {
  %wide = lathe.get_parameter @wide : tensor<16x8xf64>
  %m = lathe.get_parameter @m : tensor<8x5xf32>
  %0 = lathe.linear %x, %w : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  %1 = lathe.linear %h, %wide : (tensor<4x8xf64>, tensor<16x8xf64>) -> tensor<4x16xf64>
  %2 = lathe.matmul %t, %m {transpose_lhs} : (tensor<8x4xf32>, tensor<8x5xf32>) -> tensor<4x5xf32>
  return %0, %1, %2 : tensor<4x16xf32>, tensor<4x16xf64>, tensor<4x5xf32>
}

// -----

lathe.parameter @f : tensor<16x3x3x3xf32>
lathe.parameter @b : tensor<16xf32>
lathe.parameter @one : tensor<16x3x1x1xf32>
lathe.parameter @depthwise : tensor<3x1x3x3xf32>

// Padding stands before, the filter's columns run as the input lies.
// CHECK-LABEL: func.func @conv
// CHECK: %[[T:.*]] = lathe.transpose %{{.*}} {permutation = array<i64: 0, 2, 3, 1>}
// CHECK: %[[R:.*]] = lathe.reshape %[[T]] {shape = array<i64: 16, 27>}
// CHECK: %[[P:.*]] = lathe.pack %[[R]] {transposed} : (tensor<16x27xf32>) -> tensor<1x27x32xf32>
// CHECK: %[[X:.*]] = lathe.pad %{{.*}} {high = array<i64: 0, 0, 1, 0>, low = array<i64: 0, 1, 1, 0>}
// CHECK: %[[Y:.*]] = lathe.packed_conv %[[X]], %[[P]] {{{.*}}kernel = array<i64: 3, 3>, out_channels = 16 : i64, strides = array<i64: 2, 2>}
// CHECK: lathe.add %[[Y]], %{{.*}} : (tensor<1x4x4x16xf32>, tensor<16xf32>)
func.func @conv(%x: tensor<1x8x8x3xf32>) -> tensor<1x4x4x16xf32> {
  %f = lathe.get_parameter @f : tensor<16x3x3x3xf32>
  %b = lathe.get_parameter @b : tensor<16xf32>
  %0 = lathe.conv %x, %f, %b {layout = 1 : i32, strides = array<i64: 2, 2>, pad_low = array<i64: 1, 1>, pad_high = array<i64: 0, 1>} : (tensor<1x8x8x3xf32>, tensor<16x3x3x3xf32>, tensor<16xf32>) -> tensor<1x4x4x16xf32>
  return %0 : tensor<1x4x4x16xf32>
}

// CHECK-LABEL: func.func @pointwise
// CHECK: lathe.pack
// CHECK: lathe.packed_matmul %{{.*}} {n = 16 : i64} : (tensor<1x8x8x3xf32>, tensor<1x3x32xf32>) -> tensor<1x8x8x16xf32>
func.func @pointwise(%x: tensor<1x8x8x3xf32>) -> tensor<1x8x8x16xf32> {
  %f = lathe.get_parameter @one : tensor<16x3x1x1xf32>
  %0 = lathe.conv %x, %f {layout = 1 : i32} : (tensor<1x8x8x3xf32>, tensor<16x3x1x1xf32>) -> tensor<1x8x8x16xf32>
  return %0 : tensor<1x8x8x16xf32>
}


// A filter that is no weight is packed in every run.
// CHECK-LABEL: func.func @computed_filter
// CHECK-SAME: %[[X:.*]]: tensor<1x8x8x3xf32>, %[[F:.*]]: tensor<16x3x3x3xf32>
// CHECK: %[[T:.*]] = lathe.transpose %[[F]]
// CHECK: %[[R:.*]] = lathe.reshape %[[T]]
// CHECK: %[[P:.*]] = lathe.pack %[[R]] {transposed}
// CHECK: lathe.packed_conv %[[X]], %[[P]]
func.func @computed_filter(%x: tensor<1x8x8x3xf32>, %f: tensor<16x3x3x3xf32>) -> tensor<1x6x6x16xf32> {
  %0 = lathe.conv %x, %f {layout = 1 : i32} : (tensor<1x8x8x3xf32>, tensor<16x3x3x3xf32>) -> tensor<1x6x6x16xf32>
  return %0 : tensor<1x6x6x16xf32>
}

// Refused: groups; channels first.
// CHECK-LABEL: func.func @refused_conv
// CHECK-NOT: lathe.pack
// CHECK: lathe.conv
// CHECK: lathe.conv
func.func @refused_conv(%x: tensor<1x8x8x3xf32>, %z: tensor<1x3x8x8xf32>) -> (tensor<1x6x6x3xf32>, tensor<1x16x8x8xf32>) {
  %d = lathe.get_parameter @depthwise : tensor<3x1x3x3xf32>
  %f = lathe.get_parameter @one : tensor<16x3x1x1xf32>
  %0 = lathe.conv %x, %d {layout = 1 : i32, groups = 3 : i64} : (tensor<1x8x8x3xf32>, tensor<3x1x3x3xf32>) -> tensor<1x6x6x3xf32>
  %1 = lathe.conv %z, %f : (tensor<1x3x8x8xf32>, tensor<16x3x1x1xf32>) -> tensor<1x16x8x8xf32>
  return %0, %1 : tensor<1x6x6x3xf32>, tensor<1x16x8x8xf32>
}

// -----

// The slice of a stacked parameter counts as known.
// CHECK-LABEL: func.func @stacked
// CHECK: lathe.scan
// CHECK: lathe.pack %{{.*}} {transposed} : (tensor<8x8xf32>) -> tensor<1x8x32xf32>
// CHECK: lathe.packed_matmul
lathe.parameter @w : tensor<3x8x8xf32>
func.func @stacked(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %w = lathe.get_parameter @w : tensor<3x8x8xf32>
  %y = lathe.scan init(%h = %x) inputs(%wi = %w) : (tensor<4x8xf32>, tensor<3x8x8xf32>) -> tensor<4x8xf32> {
    %0 = lathe.linear %h, %wi : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
    lathe.yield %0 : tensor<4x8xf32>
  }
  return %y : tensor<4x8xf32>
}

// -----

// Weights that training changes are packed before the scan that uses them in all
// iterations, for its forward and for its backward products.
// CHECK-LABEL: func.func @recurrent
// CHECK-DAG: %[[P:.*]] = lathe.pack %{{.*}} {transposed} : (tensor<8x8xf32>) -> tensor<1x8x32xf32>
// CHECK-DAG: %[[Q:.*]] = lathe.pack %{{[^{]*}} : (tensor<8x8xf32>) -> tensor<1x8x32xf32>
// CHECK: lathe.scan
// CHECK: lathe.packed_matmul %{{.*}}, %[[P]] {n = 8 : i64}
// CHECK: lathe.packed_matmul %{{.*}}, %[[Q]] {n = 8 : i64}
lathe.parameter @w : tensor<8x8xf32> {mutable}
func.func @recurrent(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %w = lathe.get_parameter @w : tensor<8x8xf32>
  %y = lathe.scan init(%h = %x) {trip_count = 3 : i64} : (tensor<4x8xf32>) -> tensor<4x8xf32> {
    %0 = lathe.linear %h, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
    %1 = lathe.matmul %0, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
    lathe.yield %1 : tensor<4x8xf32>
  }
  return %y : tensor<4x8xf32>
}

// Refused: not the same in all iterations; one iteration; many rows.
// CHECK-LABEL: func.func @not_worth_it
// CHECK-NOT: lathe.pack
// CHECK: return
func.func @not_worth_it(%x: tensor<4x8xf32>, %m: tensor<8x8xf32>, %rows: tensor<513x8xf32>) -> (tensor<8x8xf32>, tensor<4x8xf32>, tensor<513x8xf32>) {
  %w = lathe.get_parameter @w : tensor<8x8xf32>
  %a = lathe.scan init(%v = %m) {trip_count = 3 : i64} : (tensor<8x8xf32>) -> tensor<8x8xf32> {
    %0 = lathe.matmul %v, %v : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    lathe.yield %0 : tensor<8x8xf32>
  }
  %b = lathe.scan init(%h = %x) {trip_count = 1 : i64} : (tensor<4x8xf32>) -> tensor<4x8xf32> {
    %0 = lathe.linear %h, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
    lathe.yield %0 : tensor<4x8xf32>
  }
  %c = lathe.scan init(%h = %rows) {trip_count = 3 : i64} : (tensor<513x8xf32>) -> tensor<513x8xf32> {
    %0 = lathe.linear %h, %w : (tensor<513x8xf32>, tensor<8x8xf32>) -> tensor<513x8xf32>
    lathe.yield %0 : tensor<513x8xf32>
  }
  return %a, %b, %c : tensor<8x8xf32>, tensor<4x8xf32>, tensor<513x8xf32>
}

// -----

lathe.parameter @w : tensor<16x8xi8>
lathe.parameter @u : tensor<8x5xui8>
lathe.parameter @f : tensor<16x3x3x3xi8>

// Bytes: four rows side by side, signed or not.
// CHECK-LABEL: func.func @bytes
// CHECK: %[[P:.*]] = lathe.pack %{{.*}} {interleave = 4 : i64, transposed} : (tensor<16x8xi8>) -> tensor<1x2x32x4xi8>
// CHECK: %[[Y:.*]] = lathe.packed_matmul %{{.*}}, %[[P]] {n = 16 : i64} : (tensor<4x8xui8>, tensor<1x2x32x4xi8>) -> tensor<4x16xi32>
// CHECK: lathe.add %[[Y]], %{{.*}} : (tensor<4x16xi32>, tensor<16xi32>)
// CHECK: %[[Q:.*]] = lathe.pack %{{.*}} {interleave = 4 : i64} : (tensor<8x5xui8>) -> tensor<1x2x32x4xui8>
// CHECK: lathe.packed_matmul %{{.*}}, %[[Q]] {n = 5 : i64}
func.func @bytes(%x: tensor<4x8xui8>, %b: tensor<16xi32>) -> (tensor<4x16xi32>, tensor<4x5xi32>) {
  %w = lathe.get_parameter @w : tensor<16x8xi8>
  %u = lathe.get_parameter @u : tensor<8x5xui8>
  %0 = lathe.linear %x, %w, %b : (tensor<4x8xui8>, tensor<16x8xi8>, tensor<16xi32>) -> tensor<4x16xi32>
  %1 = lathe.matmul %x, %u : (tensor<4x8xui8>, tensor<8x5xui8>) -> tensor<4x5xi32>
  return %0, %1 : tensor<4x16xi32>, tensor<4x5xi32>
}

// Three channels become four, of zeros in both.
// CHECK-LABEL: func.func @conv_bytes
// CHECK: %[[T:.*]] = lathe.transpose %{{.*}} {permutation = array<i64: 0, 2, 3, 1>}
// CHECK: %[[F:.*]] = lathe.pad %[[T]] {high = array<i64: 0, 0, 0, 1>, low = array<i64: 0, 0, 0, 0>}
// CHECK: %[[R:.*]] = lathe.reshape %[[F]] {shape = array<i64: 16, 36>}
// CHECK: %[[P:.*]] = lathe.pack %[[R]] {interleave = 4 : i64, transposed} : (tensor<16x36xi8>) -> tensor<1x9x32x4xi8>
// CHECK: %[[X:.*]] = lathe.pad %{{.*}} {high = array<i64: 0, 1, 1, 1>, low = array<i64: 0, 1, 1, 0>}
// CHECK: lathe.packed_conv %[[X]], %[[P]]
func.func @conv_bytes(%x: tensor<1x8x8x3xui8>) -> tensor<1x8x8x16xi32> {
  %f = lathe.get_parameter @f : tensor<16x3x3x3xi8>
  %0 = lathe.conv %x, %f {layout = 1 : i32, pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (tensor<1x8x8x3xui8>, tensor<16x3x3x3xi8>) -> tensor<1x8x8x16xi32>
  return %0 : tensor<1x8x8x16xi32>
}

// -----

lathe.parameter @w : tensor<16x8xi8>
lathe.parameter @s : tensor<16xf32>
lathe.parameter @one : tensor<f32>

// f32 by integers that are scaled: the integers are packed, and the scales.
// CHECK-LABEL: func.func @scaled
// CHECK: %[[P:.*]] = lathe.pack %{{.*}} {transposed} : (tensor<16x8xi8>) -> tensor<1x8x32xi8>
// CHECK: %[[S:.*]] = lathe.pack %{{.*}} {transposed} : (tensor<16x1xf32>) -> tensor<1x1x32xf32>
// CHECK: lathe.packed_matmul %{{.*}}, %[[P]], %[[S]] {n = 16 : i64}
// CHECK: lathe.broadcast %{{.*}} {shape = array<i64: 1, 8>} : (tensor<1x1xf32>) -> tensor<1x8xf32>
// CHECK: lathe.packed_matmul %{{.*}} {n = 8 : i64}
func.func @scaled(%x: tensor<4x8xf32>, %y: tensor<4x16xf32>) -> (tensor<4x16xf32>, tensor<4x8xf32>) {
  %w = lathe.get_parameter @w : tensor<16x8xi8>
  %s = lathe.get_parameter @s : tensor<16xf32>
  %one = lathe.get_parameter @one : tensor<f32>
  %zeros = lathe.constant dense<0> : tensor<16xi8>
  %zero = lathe.constant dense<0> : tensor<i8>
  %d = lathe.dequantize %w, %s, %zeros {axis = 0 : i64} : (tensor<16x8xi8>, tensor<16xf32>, tensor<16xi8>) -> tensor<16x8xf32>
  %0 = lathe.linear %x, %d : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  %e = lathe.dequantize %w, %one, %zero : (tensor<16x8xi8>, tensor<f32>, tensor<i8>) -> tensor<16x8xf32>
  %1 = lathe.matmul %y, %e : (tensor<4x16xf32>, tensor<16x8xf32>) -> tensor<4x8xf32>
  return %0, %1 : tensor<4x16xf32>, tensor<4x8xf32>
}

// Scales along the depth without groups, and a zero point: the f32 matrix is packed.
// CHECK-LABEL: func.func @weights_refused
// CHECK-COUNT-2: lathe.pack %{{.*}} : (tensor<16x8xf32>) -> tensor<1x8x32xf32>
// CHECK-NOT: xi8>) ->
func.func @weights_refused(%x: tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>) {
  %w = lathe.get_parameter @w : tensor<16x8xi8>
  %one = lathe.get_parameter @one : tensor<f32>
  %s = lathe.broadcast %one {shape = array<i64: 8>} : (tensor<f32>) -> tensor<8xf32>
  %zeros = lathe.constant dense<0> : tensor<8xi8>
  %three = lathe.constant dense<3> : tensor<i8>
  %d = lathe.dequantize %w, %s, %zeros {axis = 1 : i64} : (tensor<16x8xi8>, tensor<8xf32>, tensor<8xi8>) -> tensor<16x8xf32>
  %0 = lathe.linear %x, %d : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  %e = lathe.dequantize %w, %one, %three : (tensor<16x8xi8>, tensor<f32>, tensor<i8>) -> tensor<16x8xf32>
  %1 = lathe.linear %x, %e : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  return %0, %1 : tensor<4x16xf32>, tensor<4x16xf32>
}

// -----

lathe.parameter @w : tensor<16x64xi8>
lathe.parameter @s : tensor<16x2xf32>

// Numbers of 4 bits by their storage, with a scale for every 32 of a row: two in a byte.
// CHECK-LABEL: func.func @halves
// CHECK: %[[P:.*]] = lathe.pack %{{.*}} {bits = 4 : i64, transposed} : (tensor<16x64xi8>) -> tensor<1x32x32xui8>
// CHECK: %[[S:.*]] = lathe.pack %{{.*}} {transposed} : (tensor<16x2xf32>) -> tensor<1x2x32xf32>
// CHECK: lathe.packed_matmul %{{.*}}, %[[P]], %[[S]] {group = 32 : i64, n = 16 : i64}
func.func @halves(%x: tensor<4x64xf32>) -> tensor<4x16xf32> {
  %w = lathe.get_parameter @w : tensor<16x64xi8>
  %s = lathe.get_parameter @s : tensor<16x2xf32>
  %z = lathe.constant dense<0> : tensor<16x2xi8>
  %d = lathe.dequantize %w, %s, %z {axis = 1 : i64, group = 32 : i64, storage = !quant.any<i4<-7:7>:f32>} : (tensor<16x64xi8>, tensor<16x2xf32>, tensor<16x2xi8>) -> tensor<16x64xf32>
  %0 = lathe.linear %x, %d : (tensor<4x64xf32>, tensor<16x64xf32>) -> tensor<4x16xf32>
  return %0 : tensor<4x16xf32>
}

// -----

lathe.parameter @w : tensor<16x64xi8>
lathe.parameter @s : tensor<16x2xbf16>
lathe.parameter @t : tensor<2x64xbf16>

// Scales that are numbers of bf16 stay such beside 4 bits, for all columns alike, too; beside 8 bits they are widened first.
// CHECK-LABEL: func.func @narrow_scales
// CHECK: %[[P:.*]] = lathe.pack %{{.*}} {bits = 4 : i64, transposed} : (tensor<16x64xi8>) -> tensor<1x32x32xui8>
// CHECK: %[[S:.*]] = lathe.pack %{{.*}} {transposed} : (tensor<16x2xbf16>) -> tensor<1x2x32xbf16>
// CHECK: lathe.packed_matmul %{{.*}}, %[[P]], %[[S]] {group = 32 : i64, n = 16 : i64}
// CHECK: %[[T:.*]] = lathe.broadcast %{{.*}} : (tensor<1x1xbf16>) -> tensor<1x64xbf16>
// CHECK: lathe.pack %[[T]] : (tensor<1x64xbf16>) -> tensor<2x1x32xbf16>
// CHECK: lathe.pack %{{.*}} {transposed} : (tensor<16x2xf32>) -> tensor<1x2x32xf32>
func.func @narrow_scales(%x: tensor<4x64xf32>, %y: tensor<4x16xf32>) -> (tensor<4x16xf32>, tensor<4x64xf32>, tensor<4x16xf32>) {
  %w = lathe.get_parameter @w : tensor<16x64xi8>
  %s = lathe.get_parameter @s : tensor<16x2xbf16>
  %t = lathe.get_parameter @t : tensor<2x64xbf16>
  %z = lathe.constant dense<0> : tensor<16x2xi8>
  %zero = lathe.constant dense<0> : tensor<i8>
  %wide = lathe.cast %s to f32 : (tensor<16x2xbf16>) -> tensor<16x2xf32>
  %d = lathe.dequantize %w, %wide, %z {axis = 1 : i64, group = 32 : i64, storage = !quant.any<i4:f32>} : (tensor<16x64xi8>, tensor<16x2xf32>, tensor<16x2xi8>) -> tensor<16x64xf32>
  %0 = lathe.linear %x, %d : (tensor<4x64xf32>, tensor<16x64xf32>) -> tensor<4x16xf32>
  %first = lathe.reduce_max %t {axes = array<i64: 0, 1>} : (tensor<2x64xbf16>) -> tensor<bf16>
  %one = lathe.cast %first to f32 : (tensor<bf16>) -> tensor<f32>
  %e = lathe.dequantize %w, %one, %zero {storage = !quant.any<i4:f32>} : (tensor<16x64xi8>, tensor<f32>, tensor<i8>) -> tensor<16x64xf32>
  %1 = lathe.matmul %y, %e : (tensor<4x16xf32>, tensor<16x64xf32>) -> tensor<4x64xf32>
  %f = lathe.dequantize %w, %wide, %z {axis = 1 : i64, group = 32 : i64} : (tensor<16x64xi8>, tensor<16x2xf32>, tensor<16x2xi8>) -> tensor<16x64xf32>
  %2 = lathe.linear %x, %f : (tensor<4x64xf32>, tensor<16x64xf32>) -> tensor<4x16xf32>
  return %0, %1, %2 : tensor<4x16xf32>, tensor<4x64xf32>, tensor<4x16xf32>
}
