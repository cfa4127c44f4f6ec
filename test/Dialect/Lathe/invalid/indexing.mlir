// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @gather_axis(%x: tensor<4x5xf32>, %i: tensor<2xi64>) {
  // expected-error @+2 {{'lathe.gather' op expected an axis of an input of rank 2, got 2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.gather %x, %i {axis = 2 : i64} : (tensor<4x5xf32>, tensor<2xi64>) -> tensor<4x2xf32>
  return
}

// -----

func.func @gather_scalar(%x: tensor<f32>, %i: tensor<2xi64>) {
  // expected-error @+2 {{expected an axis of an input of rank 0, got 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.gather %x, %i : (tensor<f32>, tensor<2xi64>) -> tensor<2xf32>
  return
}

// -----

func.func @gather_elements_rank(%x: tensor<4x5xf32>, %i: tensor<2xi64>) {
  // expected-error @+2 {{expected indices of the input's rank 2, got rank 1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.gather_elements %x, %i {axis = 0 : i64} : (tensor<4x5xf32>, tensor<2xi64>) -> tensor<2xf32>
  return
}

// -----

func.func @gather_elements_size(%x: tensor<4x5xf32>, %i: tensor<9x6xi64>) {
  // expected-error @+2 {{expected at most 5 indices in dim 1, got 6}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.gather_elements %x, %i {axis = 0 : i64} : (tensor<4x5xf32>, tensor<9x6xi64>) -> tensor<9x6xf32>
  return
}

// -----

func.func @gather_nd_open(%x: tensor<4x5xf32>, %i: tensor<2x?xi64>) {
  // expected-error @+2 {{expected indices with a last dim of static size, got [2, ?]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.gather_nd %x, %i : (tensor<4x5xf32>, tensor<2x?xi64>) -> tensor<2xf32>
  return
}

// -----

func.func @gather_nd_long(%x: tensor<4x5xf32>, %i: tensor<2x3xi64>) {
  // expected-error @+2 {{expected index tuples of at most 2 positions, got 3}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.gather_nd %x, %i : (tensor<4x5xf32>, tensor<2x3xi64>) -> tensor<2xf32>
  return
}

// -----

func.func @gather_nd_batch(%x: tensor<4x5xf32>, %i: tensor<2x1xi64>) {
  // expected-error @+2 {{expected equal batch dims, got 4 and 2 in dim 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.gather_nd %x, %i {batch_dims = 1 : i64} : (tensor<4x5xf32>, tensor<2x1xi64>) -> tensor<2xf32>
  return
}

// -----

func.func @gather_nd_batch_dims(%x: tensor<4x5xf32>, %i: tensor<2x1xi64>) {
  // expected-error @+2 {{expected 'batch_dims' below the rank of the indices and not above the input's, got -1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.gather_nd %x, %i {batch_dims = -1 : i64} : (tensor<4x5xf32>, tensor<2x1xi64>) -> tensor<2xf32>
  return
}

// -----

func.func @scatter_type(%x: tensor<4x5xf32>, %i: tensor<2x5xi64>, %u: tensor<2x5xf64>) {
  // expected-error @+2 {{expected updates of the input's element type}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.scatter_elements %x, %i, %u {axis = 0 : i64} : (tensor<4x5xf32>, tensor<2x5xi64>, tensor<2x5xf64>) -> tensor<4x5xf32>
  return
}

// -----

func.func @scatter_shape(%x: tensor<4x5xf32>, %i: tensor<2x5xi64>, %u: tensor<3x5xf32>) {
  // expected-error @+2 {{expected updates of shape [2, 5], got [3, 5]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.scatter_elements %x, %i, %u {axis = 0 : i64} : (tensor<4x5xf32>, tensor<2x5xi64>, tensor<3x5xf32>) -> tensor<4x5xf32>
  return
}

// -----

func.func @scatter_mode(%x: tensor<4xi1>, %i: tensor<2xi64>, %u: tensor<2xi1>) {
  // expected-error @+2 {{expected mode 'assign' for i1, got 'add'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.scatter_elements %x, %i, %u {axis = 0 : i64, mode = 1 : i32} : (tensor<4xi1>, tensor<2xi64>, tensor<2xi1>) -> tensor<4xi1>
  return
}

// -----

func.func @scatter_nd_shape(%x: tensor<4x5xf32>, %i: tensor<3x1xi64>, %u: tensor<3x4xf32>) {
  // expected-error @+2 {{expected updates of shape [3, 5], got [3, 4]}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.scatter_nd %x, %i, %u : (tensor<4x5xf32>, tensor<3x1xi64>, tensor<3x4xf32>) -> tensor<4x5xf32>
  return
}

// -----

func.func @embedding(%x: tensor<f32>, %i: tensor<3xi64>) {
  // expected-error @+2 {{'lathe.embedding' op expected an axis of an input of rank 0, got 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = lathe.embedding %x, %i : (tensor<f32>, tensor<3xi64>) -> tensor<3xf32>
  return
}
