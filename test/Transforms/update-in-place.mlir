// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-form-kernels, lathe-update-in-place{explain=true}))' --verify-diagnostics | FileCheck %s

// CHECK-LABEL: func.func @momentum
// CHECK: lathe.kernel
// CHECK-SAME: (%[[A:.*]] = %{{.*}}, %[[B:.*]] = %{{.*}}, %[[C:.*]] = %{{.*}})
// CHECK: lathe.in_place = array<i64: 1, 2, 0, 0>
// CHECK: lathe.set_parameter @w, %{{.*}} in_place
// CHECK: lathe.set_parameter @m, %{{.*}} in_place
lathe.parameter @w : tensor<8xf32> {mutable}
lathe.parameter @m : tensor<8xf32> {mutable}
func.func @momentum(%g: tensor<8xf32>) {
  %w = lathe.get_parameter @w : tensor<8xf32>
  %m = lathe.get_parameter @m : tensor<8xf32>
  %0 = lathe.add %m, %g : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %1 = lathe.sub %w, %0 : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  lathe.set_parameter @w, %1 : tensor<8xf32>
  lathe.set_parameter @m, %0 : tensor<8xf32>
  return
}

// -----

// A kernel that does not read the old value may always write over it.
// CHECK-LABEL: func.func @overwrite
// CHECK-NOT: lathe.in_place
// CHECK: lathe.set_parameter @w, %{{.*}} in_place
lathe.parameter @w : tensor<8xf32> {mutable}
func.func @overwrite(%g: tensor<4x8xf32>) -> tensor<8xf32> {
  %w = lathe.get_parameter @w : tensor<8xf32>
  %0 = lathe.exp %w : (tensor<8xf32>) -> tensor<8xf32>
  %1 = lathe.reduce_sum %g {axes = array<i64: 0>} : (tensor<4x8xf32>) -> tensor<8xf32>
  lathe.set_parameter @w, %1 : tensor<8xf32>
  return %0 : tensor<8xf32>
}

// -----

// CHECK-LABEL: func.func @returned
// CHECK: lathe.set_parameter @w, %{{[0-9a-z]+}} : tensor
lathe.parameter @w : tensor<8xf32> {mutable}
func.func @returned(%g: tensor<8xf32>) -> tensor<8xf32> {
  %w = lathe.get_parameter @w : tensor<8xf32>
  %0 = lathe.sub %w, %g : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  // expected-remark @+1 {{is copied: the old value is read after the new one is computed}}
  lathe.set_parameter @w, %0 : tensor<8xf32>
  return %w : tensor<8xf32>
}

// -----

// The same through an alias, and in a loop.
// CHECK-LABEL: func.func @indirect
// CHECK-COUNT-2: lathe.set_parameter @{{.*}}, %{{[0-9a-z#]+}} : tensor
lathe.parameter @w : tensor<8xf32> {mutable}
lathe.parameter @v : tensor<8xf32> {mutable}
func.func @indirect(%g: tensor<8xf32>, %gs: tensor<3x8xf32>) -> (tensor<2x4xf32>, tensor<3x8xf32>) {
  %w = lathe.get_parameter @w : tensor<8xf32>
  %v = lathe.get_parameter @v : tensor<8xf32>
  %0 = lathe.sub %w, %g : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %1 = lathe.sub %v, %g : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %alias = lathe.reshape %w {shape = array<i64: 2, 4>} : (tensor<8xf32>) -> tensor<2x4xf32>
  %s = lathe.scan inputs(%e = %gs) : (tensor<3x8xf32>) -> tensor<3x8xf32> {
    %2 = lathe.mul %e, %v : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    lathe.yield %2 : tensor<8xf32>
  }
  // expected-remark @+1 {{is copied: the old value is read after the new one is computed}}
  lathe.set_parameter @w, %0 : tensor<8xf32>
  // expected-remark @+1 {{is copied: the old value is read after the new one is computed}}
  lathe.set_parameter @v, %1 : tensor<8xf32>
  return %alias, %s : tensor<2x4xf32>, tensor<3x8xf32>
}

// -----

// Two states change places: neither may be written before the end.
// CHECK-LABEL: func.func @swap
// CHECK-COUNT-2: lathe.set_parameter @{{.*}}, %{{[0-9a-z#]+}} : tensor
lathe.parameter @a : tensor<8xf32> {mutable}
lathe.parameter @b : tensor<8xf32> {mutable}
func.func @swap() {
  %a = lathe.get_parameter @a : tensor<8xf32>
  %b = lathe.get_parameter @b : tensor<8xf32>
  // expected-remark @+1 {{is copied: no kernel of this block computes the value}}
  lathe.set_parameter @a, %b : tensor<8xf32>
  // expected-remark @+1 {{is copied: no kernel of this block computes the value}}
  lathe.set_parameter @b, %a : tensor<8xf32>
  return
}

// -----

// Every element of the new value needs all of the old one.
// CHECK-LABEL: func.func @normalize
// CHECK-COUNT-1: lathe.set_parameter @{{.*}}, %{{[0-9a-z#]+}} : tensor
lathe.parameter @w : tensor<8x8xf32> {mutable}
func.func @normalize() {
  %w = lathe.get_parameter @w : tensor<8x8xf32>
  %0 = lathe.reduce_sum %w {axes = array<i64: 1>, keepdims = true} : (tensor<8x8xf32>) -> tensor<8x1xf32>
  %1 = lathe.div %w, %0 : (tensor<8x8xf32>, tensor<8x1xf32>) -> tensor<8x8xf32>
  // expected-remark @+1 {{is copied: the kernel is not one loop over the elements}}
  lathe.set_parameter @w, %1 : tensor<8x8xf32>
  return
}

// -----

// Another result of the kernel is made from the old value.
// CHECK-LABEL: func.func @side
// CHECK-COUNT-1: lathe.set_parameter @{{.*}}, %{{[0-9a-z#]+}} : tensor
lathe.parameter @w : tensor<8xf32> {mutable}
func.func @side(%g: tensor<8xf32>) -> tensor<8xf32> {
  %w = lathe.get_parameter @w : tensor<8xf32>
  %0 = lathe.add %w, %g : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %2 = lathe.exp %w : (tensor<8xf32>) -> tensor<8xf32>
  %3 = lathe.mul %0, %2 : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  // expected-remark @+1 {{is copied: the kernel reads the old value for something else, too}}
  lathe.set_parameter @w, %0 : tensor<8xf32>
  return %3 : tensor<8xf32>
}

// -----

// A sum of products: the product is done before the sum is read.
// CHECK-LABEL: func.func @accumulate
// CHECK: lathe.scan {{.*}} {lathe.in_place = array<i64: 0>}
// CHECK: lathe.kernel "matmul_add"
// CHECK-SAME: lathe.in_place = array<i64: 0, 2>
func.func @accumulate(%x: tensor<4x8x16xf32>, %y: tensor<4x8x32xf32>) -> tensor<16x32xf32> {
  %zero = lathe.constant dense<0.0> : tensor<16x32xf32>
  %0 = lathe.scan init(%sum = %zero) inputs(%a = %x, %b = %y) : (tensor<16x32xf32>, tensor<4x8x16xf32>, tensor<4x8x32xf32>) -> tensor<16x32xf32> {
    %1 = lathe.matmul %a, %b {transpose_lhs} : (tensor<8x16xf32>, tensor<8x32xf32>) -> tensor<16x32xf32>
    %2 = lathe.add %sum, %1 : (tensor<16x32xf32>, tensor<16x32xf32>) -> tensor<16x32xf32>
    lathe.yield %2 : tensor<16x32xf32>
  }
  return %0 : tensor<16x32xf32>
}

// -----

// The product reads what it would write over; two values that change places.
// CHECK-LABEL: func.func @refused
// CHECK-NOT: lathe.in_place
func.func @refused(%x: tensor<16x16xf32>, %y: tensor<16x16xf32>) -> (tensor<16x16xf32>, tensor<16x16xf32>, tensor<16x16xf32>) {
  // expected-remark @+3 {{copies carried value 0: a product reads the old value in another order}}
  // expected-remark @+2 {{copies carried value 1: no kernel of the body computes it}}
  // expected-remark @+1 {{copies carried value 2: the old value is read after the new one is computed}}
  %0:3 = lathe.scan init(%a = %x, %b = %y, %c = %y) {trip_count = 4 : i64} : (tensor<16x16xf32>, tensor<16x16xf32>, tensor<16x16xf32>) -> (tensor<16x16xf32>, tensor<16x16xf32>, tensor<16x16xf32>) {
    %1 = lathe.matmul %a, %a : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
    %2 = lathe.add %1, %a : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
    %3 = lathe.softmax %b : (tensor<16x16xf32>) -> tensor<16x16xf32>
    lathe.yield %2, %c, %3 : tensor<16x16xf32>, tensor<16x16xf32>, tensor<16x16xf32>
  }
  return %0#0, %0#1, %0#2 : tensor<16x16xf32>, tensor<16x16xf32>, tensor<16x16xf32>
}

// -----

// The product reads what comes of the value it would write over.
// CHECK-LABEL: func.func @derived
// CHECK-NOT: lathe.in_place
func.func @derived(%x: tensor<16x16xf32>, %y: tensor<16x16xf32>) -> tensor<16x16xf32> {
  // expected-remark @+1 {{copies carried value 0: a product reads the old value in another order}}
  %0 = lathe.scan init(%a = %x) {trip_count = 4 : i64} : (tensor<16x16xf32>) -> tensor<16x16xf32> {
    %kernel = lathe.kernel "neg_matmul_add" schedule "contraction" (%old = %a, %w = %y) : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32> {
      %1 = lathe.neg %old : (tensor<16x16xf32>) -> tensor<16x16xf32>
      %2 = lathe.matmul %1, %w : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
      %3 = lathe.add %2, %old : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
      lathe.yield %3 : tensor<16x16xf32>
    }
    lathe.yield %kernel : tensor<16x16xf32>
  }
  return %0 : tensor<16x16xf32>
}
