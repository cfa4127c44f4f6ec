// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @rank(%x: tensor<1x4xf32>, %f: tensor<8x4xf32>) {
  // expected-error @+2 {{'lathe.conv' op expected an input with 1 to 3 spatial dims, got rank 2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f : (tensor<1x4xf32>, tensor<8x4xf32>) -> tensor<1x8xf32>
  return
}

// -----

func.func @filter_rank(%x: tensor<1x4x8xf32>, %f: tensor<8x4x3x3xf32>) {
  // expected-error @+2 {{expected a filter of rank 3, got [8, 4, 3, 3]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f : (tensor<1x4x8xf32>, tensor<8x4x3x3xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @element_type(%x: tensor<1x4x8xf32>, %f: tensor<8x4x3xf16>) {
  // expected-error @+2 {{expected operands of one element type, or both of 8-bit integers, got 'f32' and 'f16'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f : (tensor<1x4x8xf32>, tensor<8x4x3xf16>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @strides_length(%x: tensor<1x4x8xf32>, %f: tensor<8x4x3xf32>) {
  // expected-error @+2 {{expected 1 entries in 'strides', got 2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {strides = array<i64: 1, 1>} : (tensor<1x4x8xf32>, tensor<8x4x3xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @dilation_zero(%x: tensor<1x4x8xf32>, %f: tensor<8x4x3xf32>) {
  // expected-error @+2 {{expected entries of 1 or more in 'dilations', got 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {dilations = array<i64: 0>} : (tensor<1x4x8xf32>, tensor<8x4x3xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @pad_negative(%x: tensor<1x4x8xf32>, %f: tensor<8x4x3xf32>) {
  // expected-error @+2 {{expected entries of 0 or more in 'pad_low', got -1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {pad_low = array<i64: -1>} : (tensor<1x4x8xf32>, tensor<8x4x3xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @groups(%x: tensor<1x4x8xf32>, %f: tensor<8x4x3xf32>) {
  // expected-error @+2 {{expected 'groups' of 1 or more, got 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {groups = 0 : i64} : (tensor<1x4x8xf32>, tensor<8x4x3xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @channels(%x: tensor<1x4x8xf32>, %f: tensor<8x3x3xf32>) {
  // expected-error @+2 {{expected a filter whose dim 1 times 2 groups is the input's [4] channels, got [8, 3, 3]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {groups = 2 : i64} : (tensor<1x4x8xf32>, tensor<8x3x3xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @out_channels(%x: tensor<1x4x8xf32>, %f: tensor<7x2x3xf32>) {
  // expected-error @+2 {{expected a multiple of 2 groups as output channels, got 7}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {groups = 2 : i64} : (tensor<1x4x8xf32>, tensor<7x2x3xf32>) -> tensor<1x7x6xf32>
  return
}

// -----

func.func @bias(%x: tensor<1x4x8xf32>, %f: tensor<8x4x3xf32>, %b: tensor<4xf32>) {
  // expected-error @+2 {{expected a bias of shape [8], got [4]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f, %b : (tensor<1x4x8xf32>, tensor<8x4x3xf32>, tensor<4xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @window(%x: tensor<1x4x4xf32>, %f: tensor<8x4x3xf32>) {
  // expected-error @+2 {{expected a window that fits the padded input in spatial dim 0, got kernel 3, dilation 4, size 4 and padding 1 and 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {dilations = array<i64: 4>, pad_low = array<i64: 1>} : (tensor<1x4x4xf32>, tensor<8x4x3xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @window_extremes(%x: tensor<1x4x4xf32>, %f: tensor<8x4x9223372036854775807xf32>) {
  // expected-error @+2 {{expected a window that fits the padded input}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {dilations = array<i64: 2147483648>, pad_low = array<i64: 2147483648>} : (tensor<1x4x4xf32>, tensor<8x4x9223372036854775807xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @result_extremes(%x: tensor<1x4x9223372036854775807xf32>, %f: tensor<8x4x1xf32>) {
  // expected-error @+2 {{expected at most 2^47 elements in the padded input}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {pad_low = array<i64: 2147483648>} : (tensor<1x4x9223372036854775807xf32>, tensor<8x4x1xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @packed_ranks(%x: tensor<1x10x4xf32>, %f: tensor<2x36x32xf32>) {
  // expected-error @+2 {{expected an input of rank 4 and a packed filter of rank 3 or 4, got [1, 10, 4] and [2, 36, 32]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.packed_conv %x, %f {kernel = array<i64: 3, 3>, out_channels = 40 : i64} : (tensor<1x10x4xf32>, tensor<2x36x32xf32>) -> tensor<1x8x8x40xf32>
  return
}

// -----

func.func @packed_kernel(%x: tensor<1x10x10x4xf32>, %f: tensor<2x36x32xf32>) {
  // expected-error @+2 {{expected 2 sizes of 1 or more in 'kernel', got [3]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.packed_conv %x, %f {kernel = array<i64: 3>, out_channels = 40 : i64} : (tensor<1x10x10x4xf32>, tensor<2x36x32xf32>) -> tensor<1x8x8x40xf32>
  return
}

// -----

func.func @packed_out(%x: tensor<1x10x10x4xf32>, %f: tensor<2x36x32xf32>) {
  // expected-error @+2 {{expected 'out_channels' of 1 or more, got 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.packed_conv %x, %f {kernel = array<i64: 3, 3>, out_channels = 0 : i64} : (tensor<1x10x10x4xf32>, tensor<2x36x32xf32>) -> tensor<1x8x8x40xf32>
  return
}

// -----

func.func @packed_panels(%x: tensor<1x10x10x4xf32>, %f: tensor<2x36x32xf32>) {
  // expected-error @+2 {{expected a filter packed from kernel [3, 3], [4] channels and 65 outputs, got [2, 36, 32]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.packed_conv %x, %f {kernel = array<i64: 3, 3>, out_channels = 65 : i64} : (tensor<1x10x10x4xf32>, tensor<2x36x32xf32>) -> tensor<1x8x8x65xf32>
  return
}

// -----

func.func @transpose_filter(%x: tensor<1x4x5xf32>, %f: tensor<3x4x3xf32>) {
  // expected-error @+2 {{expected a filter of rank 3 with [4] input channels in dim 0, got [3, 4, 3]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv_transpose %x, %f : (tensor<1x4x5xf32>, tensor<3x4x3xf32>) -> tensor<1x4x7xf32>
  return
}

// -----

func.func @transpose_groups(%x: tensor<1x4x5xf32>, %f: tensor<4x4x3xf32>) {
  // expected-error @+2 {{expected 'groups' that divide [4] input channels, got 3}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv_transpose %x, %f {groups = 3 : i64} : (tensor<1x4x5xf32>, tensor<4x4x3xf32>) -> tensor<1x12x7xf32>
  return
}

// -----

func.func @transpose_empty(%x: tensor<1x4x0xf32>, %f: tensor<4x4x3xf32>) {
  // expected-error @+2 {{expected sizes of 1 or more in spatial dim 0, got input 0 and kernel 3}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv_transpose %x, %f : (tensor<1x4x0xf32>, tensor<4x4x3xf32>) -> tensor<1x4x2xf32>
  return
}

// -----

func.func @entry_extremes(%x: tensor<1x4x4xf32>, %f: tensor<8x4x1xf32>) {
  // expected-error @+2 {{expected entries of at most 2147483648 in 'pad_low', got 4611686018427387904}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv %x, %f {pad_low = array<i64: 4611686018427387904>} : (tensor<1x4x4xf32>, tensor<8x4x1xf32>) -> tensor<1x8x6xf32>
  return
}

// -----

func.func @padded_extremes(%x: tensor<1x1x8x8x8xf32>) {
  // expected-error @+2 {{expected at most 2^47 elements in the padded input}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.avg_pool %x {kernel = array<i64: 2147483648, 2147483648, 2147483648>, pad_low = array<i64: 2147483648, 2147483648, 2147483648>} : (tensor<1x1x8x8x8xf32>) -> tensor<1x1x9x9x9xf32>
  return
}

// -----

func.func @transpose_pads(%x: tensor<1x4x5xf32>, %f: tensor<4x4x3xf32>) {
  // expected-error @+2 {{expected padding that leaves a size from 0 to 2^63 in spatial dim 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.conv_transpose %x, %f {pad_low = array<i64: 8>} : (tensor<1x4x5xf32>, tensor<4x4x3xf32>) -> tensor<1x4x2xf32>
  return
}

// -----

func.func @pool_kernel(%x: tensor<1x4x5xf32>) {
  // expected-error @+2 {{'lathe.max_pool' op expected 1 sizes from 1 to 2147483648 in 'kernel', got [0]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.max_pool %x {kernel = array<i64: 0>} : (tensor<1x4x5xf32>) -> tensor<1x4x5xf32>
  return
}

// -----

func.func @pool_index_layout(%x: tensor<1x4x5xf32>) {
  // expected-error @+2 {{expected layout 'channels_first', which the flat indices count in}}
  // expected-error @+1 {{failed to infer returned types}}
  %0:2 = lathe.max_pool_with_index %x {kernel = array<i64: 2>, layout = 1 : i32} : (tensor<1x4x5xf32>) -> (tensor<1x3x5xf32>, tensor<1x3x5xi64>)
  return
}

// -----

func.func @resize_nothing(%x: tensor<4x5xf32>) {
  // expected-error @+2 {{expected 'sizes' or 'scales'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.resize %x : (tensor<4x5xf32>) -> tensor<4x5xf32>
  return
}

// -----

func.func @resize_length(%x: tensor<4x5xf32>) {
  // expected-error @+2 {{expected 2 entries in 'sizes' or 'scales', got 1 and 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.resize %x {sizes = array<i64: 4>} : (tensor<4x5xf32>) -> tensor<4x5xf32>
  return
}

// -----

func.func @resize_scale(%x: tensor<4x5xf32>) {
  // expected-error @+2 {{expected scales above 0 in dim 1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.resize %x {scales = array<f64: 1.0, -2.0>} : (tensor<4x5xf32>) -> tensor<4x5xf32>
  return
}

// -----

func.func @resize_huge(%x: tensor<4x5xf32>) {
  // expected-error @+2 {{expected a size below 2^63 in dim 0 of the result}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.resize %x {scales = array<f64: 1.0e300, 1.0>} : (tensor<4x5xf32>) -> tensor<?x5xf32>
  return
}

// -----

func.func @resize_size(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected sizes of 0 or more, got -3}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.resize %x {sizes = array<i64: -3>} : (tensor<4xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @resize_empty(%x: tensor<0xf32>) {
  // expected-error @+2 {{cannot interpolate dim 0 of size 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.resize %x {sizes = array<i64: 3>} : (tensor<0xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @resize_roi(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected 'roi' with 2 entries exactly where 'coordinates' is tf_crop_and_resize, got 1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.resize %x {sizes = array<i64: 3>, coordinates = 4 : i32, roi = array<f64: 0.0>} : (tensor<4xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @resize_roi_numbers(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected finite numbers in 'roi'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.resize %x {sizes = array<i64: 3>, coordinates = 4 : i32, roi = array<f64: 0.0, 0x7FF0000000000000>} : (tensor<4xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @max_pool_gradient_kernel(%x: tensor<2x3x8x8xf32>, %g: tensor<2x3x4x8xf32>) {
  // expected-error @+1 {{'lathe.max_pool_gradient' op expected a size in 'kernel' for each of 2 spatial dims, got 1}}
  %0 = lathe.max_pool_gradient %x, %g {kernel = array<i64: 2>} : (tensor<2x3x8x8xf32>, tensor<2x3x4x8xf32>) -> tensor<2x3x8x8xf32>
  return
}

// -----

func.func @max_pool_gradient_size(%x: tensor<2x3x8x8xf32>, %g: tensor<2x3x4x8xf32>) {
  // expected-error @+1 {{'lathe.max_pool_gradient' op expected sizes of 1 or more in 'kernel'}}
  %0 = lathe.max_pool_gradient %x, %g {kernel = array<i64: 2, 0>} : (tensor<2x3x8x8xf32>, tensor<2x3x4x8xf32>) -> tensor<2x3x8x8xf32>
  return
}

// -----

func.func @max_pool_gradient_cotangent(%x: tensor<2x3x8x8xf32>, %g: tensor<2x3x4x8xf32>) {
  // expected-error @+1 {{'lathe.max_pool_gradient' op expected a cotangent of shape [2, 3, 4, 4] and the input's elements, got 'tensor<2x3x4x8xf32>'}}
  %0 = lathe.max_pool_gradient %x, %g {kernel = array<i64: 2, 2>} : (tensor<2x3x8x8xf32>, tensor<2x3x4x8xf32>) -> tensor<2x3x8x8xf32>
  return
}
