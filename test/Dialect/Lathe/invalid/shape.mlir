// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @reshape_count(%x: tensor<4x6xf32>) {
  // expected-error @+2 {{'lathe.reshape' op cannot reshape [4, 6] to [5, 5]: the element counts differ}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.reshape %x {shape = array<i64: 5, 5>} : (tensor<4x6xf32>) -> tensor<5x5xf32>
  return
}

// -----

func.func @reshape_inferred_count(%x: tensor<4x6xf32>) {
  // expected-error @+2 {{cannot reshape [4, 6] to [5, -1]: the element counts differ}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.reshape %x {shape = array<i64: 5, -1>} : (tensor<4x6xf32>) -> tensor<5x?xf32>
  return
}

// -----

func.func @reshape_two_inferred(%x: tensor<4x6xf32>) {
  // expected-error @+2 {{expected at most one -1 in 'shape', got [-1, -1]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.reshape %x {shape = array<i64: -1, -1>} : (tensor<4x6xf32>) -> tensor<?x?xf32>
  return
}

// -----

func.func @reshape_negative(%x: tensor<4x6xf32>) {
  // expected-error @+2 {{expected sizes of -1 or more in 'shape', got -9223372036854775808}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.reshape %x {shape = array<i64: -9223372036854775808>} : (tensor<4x6xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @reshape_copy_outside(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected 0 in 'shape' only at a position of the input, got it at position 1 with an input of rank 1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.reshape %x {shape = array<i64: 4, 0>} : (tensor<4xf32>) -> tensor<4x?xf32>
  return
}

// -----

func.func @reshape_beside_zero(%x: tensor<0x4xf32>) {
  // expected-error @+2 {{cannot infer -1 beside a size of 0 in 'shape' [0, -1]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.reshape %x {allow_zero, shape = array<i64: 0, -1>} : (tensor<0x4xf32>) -> tensor<0x?xf32>
  return
}

// -----

func.func @reshape_overflow(%x: tensor<4611686018427387904x4xf32>) {
  // expected-error @+2 {{expected fewer than 2^63 elements, got [4611686018427387904, 4] to [-1]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.reshape %x {shape = array<i64: -1>} : (tensor<4611686018427387904x4xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @reshape_written(%x: tensor<4x6xf32>) {
  // expected-error @+2 {{inferred type(s) 'tensor<24xf32>' are incompatible with return type(s) of operation 'tensor<25xf32>'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.reshape %x {shape = array<i64: -1>} : (tensor<4x6xf32>) -> tensor<25xf32>
  return
}

// -----

func.func @dynamic_reshape_rank(%x: tensor<4x6xf32>, %s: tensor<1x2xi64>) {
  // expected-error @+2 {{expected 'shape' of rank 1, got rank 2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.dynamic_reshape %x, %s : (tensor<4x6xf32>, tensor<1x2xi64>) -> tensor<?x?xf32>
  return
}

// -----

func.func @dynamic_reshape_length(%x: tensor<4x6xf32>, %s: tensor<?xi64>) {
  // expected-error @+2 {{expected a 'shape' of known length}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.dynamic_reshape %x, %s : (tensor<4x6xf32>, tensor<?xi64>) -> tensor<?x?xf32>
  return
}

// -----

func.func @squeeze_size(%x: tensor<4x6xf32>) {
  // expected-error @+2 {{expected size 1 in dim 1 to squeeze it, got 6}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.squeeze %x {axes = array<i64: -1>} : (tensor<4x6xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @squeeze_axis(%x: tensor<4x1xf32>) {
  // expected-error @+2 {{expected different axes of an input of rank 2, got [1, -1]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.squeeze %x {axes = array<i64: 1, -1>} : (tensor<4x1xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @squeeze_open(%x: tensor<4x?xf32>) {
  // expected-error @+2 {{expected static sizes where 'axes' is empty, got [4, ?]; name the axes to squeeze}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.squeeze %x {axes = array<i64>} : (tensor<4x?xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @unsqueeze_axis(%x: tensor<4x1xf32>) {
  // expected-error @+2 {{expected different axes of a result of rank 3, got [3]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.unsqueeze %x {axes = array<i64: 3>} : (tensor<4x1xf32>) -> tensor<4x1x1xf32>
  return
}

// -----

func.func @transpose(%x: tensor<4x1xf32>) {
  // expected-error @+2 {{expected a permutation of 2 dims, got [0, 0]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.transpose %x {permutation = array<i64: 0, 0>} : (tensor<4x1xf32>) -> tensor<4x4xf32>
  return
}

// -----

func.func @broadcast(%x: tensor<4x2xf32>) {
  // expected-error @+2 {{cannot broadcast [4, 2] to [4, 3]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.broadcast %x {shape = array<i64: 4, 3>} : (tensor<4x2xf32>) -> tensor<4x3xf32>
  return
}

// -----

func.func @broadcast_negative(%x: tensor<4x2xf32>) {
  // expected-error @+2 {{expected sizes of 0 or more in 'shape', got -1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.broadcast %x {shape = array<i64: -1, 2>} : (tensor<4x2xf32>) -> tensor<4x2xf32>
  return
}

// -----

func.func @slice_counts(%x: tensor<4x2xf32>) {
  // expected-error @+2 {{expected as many 'ends', 'axes' and 'steps' as 'starts', got 2 starts, 1 ends, 0 axes, 0 steps}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.slice %x {starts = array<i64: 0, 0>, ends = array<i64: 1>} : (tensor<4x2xf32>) -> tensor<?x?xf32>
  return
}

// -----

func.func @slice_too_many(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected at most 1 sliced dims, got 2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.slice %x {starts = array<i64: 0, 0>, ends = array<i64: 1, 1>} : (tensor<4xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @slice_axes(%x: tensor<4x2xf32>) {
  // expected-error @+2 {{expected different axes of an input of rank 2, got [2]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.slice %x {starts = array<i64: 0>, ends = array<i64: 1>, axes = array<i64: 2>} : (tensor<4x2xf32>) -> tensor<?x?xf32>
  return
}

// -----

func.func @slice_step(%x: tensor<4x2xf32>) {
  // expected-error @+2 {{expected steps other than 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.slice %x {starts = array<i64: 0>, ends = array<i64: 1>, steps = array<i64: 0>} : (tensor<4x2xf32>) -> tensor<?x?xf32>
  return
}

// -----

func.func @dynamic_slice_axis(%x: tensor<4x2xf32>, %s: tensor<1xi64>) {
  %axes = lathe.constant dense<5> : tensor<1xi64>
  // expected-error @+2 {{expected axes of an input of rank 2, got 5}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.dynamic_slice %x, %s, %s axes %axes : (tensor<4x2xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x?xf32>
  return
}

// -----

func.func @concat_rank(%x: tensor<4x2xf32>, %y: tensor<4xf32>) {
  // expected-error @+2 {{expected inputs of equal rank, got [4, 2] and [4]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.concat %x, %y {axis = 0 : i64} : (tensor<4x2xf32>, tensor<4xf32>) -> tensor<?x?xf32>
  return
}

// -----

func.func @concat_sizes(%x: tensor<4x2xf32>, %y: tensor<4x3xf32>) {
  // expected-error @+2 {{expected inputs that differ in dim 0 only, got 2 and 3 in dim 1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.concat %x, %y {axis = 0 : i64} : (tensor<4x2xf32>, tensor<4x3xf32>) -> tensor<?x?xf32>
  return
}

// -----

func.func @concat_scalar(%x: tensor<f32>) {
  // expected-error @+2 {{expected an axis of inputs of rank 0, got 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.concat %x, %x {axis = 0 : i64} : (tensor<f32>, tensor<f32>) -> tensor<f32>
  return
}

// -----

func.func @concat_overflow(%x: tensor<4611686018427387904xf32>) {
  // expected-error @+2 {{expected a size below 2^63 in dim 0 of the result}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.concat %x, %x {axis = 0 : i64} : (tensor<4611686018427387904xf32>, tensor<4611686018427387904xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @pad_length(%x: tensor<4x2xf32>) {
  // expected-error @+2 {{expected 2 amounts at each end, got 1 and 2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.pad %x {low = array<i64: 1>, high = array<i64: 1, 1>} : (tensor<4x2xf32>) -> tensor<?x?xf32>
  return
}

// -----

func.func @pad_crop(%x: tensor<4xf32>) {
  // expected-error @+2 {{cannot crop dim 0 of size 4 by -3 and -2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.pad %x {low = array<i64: -3>, high = array<i64: -2>} : (tensor<4xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @pad_overflow(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected a size below 2^63 in dim 0 of the result}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.pad %x {low = array<i64: 9223372036854775807>, high = array<i64: 0>} : (tensor<4xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @pad_value(%x: tensor<4xf32>, %v: tensor<1xf32>) {
  // expected-error @+2 {{expected a rank-0 'value' of the input's element type}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.pad %x, %v {low = array<i64: 1>, high = array<i64: 0>} : (tensor<4xf32>, tensor<1xf32>) -> tensor<5xf32>
  return
}

// -----

func.func @pad_empty(%x: tensor<0xf32>) {
  // expected-error @+2 {{cannot fill dim 0 of size 0 in mode 'edge'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.pad %x {low = array<i64: 1>, high = array<i64: 0>, mode = 2 : i32} : (tensor<0xf32>) -> tensor<1xf32>
  return
}

// -----

func.func @dynamic_pad_length(%x: tensor<4xf32>, %p: tensor<3xi64>) {
  // expected-error @+2 {{expected 2 entries in 'pads', got 3}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.dynamic_pad %x, %p : (tensor<4xf32>, tensor<3xi64>) -> tensor<?xf32>
  return
}

// -----

func.func @tile_length(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected 1 repeats, got 2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.tile %x {repeats = array<i64: 1, 2>} : (tensor<4xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @tile_negative(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected repeats of 0 or more, got -1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.tile %x {repeats = array<i64: -1>} : (tensor<4xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @tile_overflow(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected a size below 2^63 in dim 0 of the result}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.tile %x {repeats = array<i64: 4611686018427387904>} : (tensor<4xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @dynamic_tile_length(%x: tensor<4xf32>, %p: tensor<3xi64>) {
  // expected-error @+2 {{expected 1 repeats, got 3}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.dynamic_tile %x, %p : (tensor<4xf32>, tensor<3xi64>) -> tensor<?xf32>
  return
}

// -----

func.func @reverse(%x: tensor<4xf32>) {
  // expected-error @+2 {{expected different axes of an input of rank 1, got [1]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.reverse %x {axes = array<i64: 1>} : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @iota_axis() {
  // expected-error @+2 {{expected an axis of a result of rank 0, got 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.iota {shape = array<i64>, axis = 0 : i64, dtype = f32} : () -> tensor<f32>
  return
}

// -----

func.func @iota_negative() {
  // expected-error @+2 {{expected sizes of 0 or more in 'shape', got -4}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.iota {shape = array<i64: -4>, axis = 0 : i64, dtype = f32} : () -> tensor<?xf32>
  return
}

// -----

func.func @iota_type() {
  // expected-error @+2 {{expected 'dtype' to be a number type}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.iota {shape = array<i64: 4>, axis = 0 : i64, dtype = index} : () -> tensor<4xf32>
  return
}

// -----

func.func @range_rank(%x: tensor<1xi64>) {
  // expected-error @+2 {{expected operands of rank 0, got rank 1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.dynamic_range %x, %x, %x : (tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?xi64>
  return
}

// -----

func.func @range_delta(%x: tensor<i64>) {
  %zero = lathe.constant dense<0> : tensor<i64>
  // expected-error @+2 {{expected a delta other than 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.dynamic_range %zero, %zero, %zero : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  return
}

// -----

func.func @range_endless() {
  %zero = lathe.constant dense<0.0> : tensor<f32>
  %inf = lathe.constant dense<0x7F800000> : tensor<f32>
  %one = lathe.constant dense<1.0> : tensor<f32>
  // expected-error @+2 {{expected a finite range with a delta other than 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.dynamic_range %zero, %inf, %one : (tensor<f32>, tensor<f32>, tensor<f32>) -> tensor<?xf32>
  return
}

// -----

func.func @dynamic_slice_positions(%x: tensor<4xf32>, %p: tensor<2xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.dynamic_slice' op expected at most 1 starts, one per dim, got 2}}
  %0 = lathe.dynamic_slice %x, %p, %p : (tensor<4xf32>, tensor<2xi64>, tensor<2xi64>) -> tensor<?xf32>
  return
}

// -----

func.func @dynamic_slice_steps(%x: tensor<4x5x6xf32>, %p: tensor<2xi64>, %s: tensor<3xi64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{'lathe.dynamic_slice' op expected 2 steps, as there are starts, got 3}}
  %0 = lathe.dynamic_slice %x, %p, %p steps %s : (tensor<4x5x6xf32>, tensor<2xi64>, tensor<2xi64>, tensor<3xi64>) -> tensor<?x?x6xf32>
  return
}
