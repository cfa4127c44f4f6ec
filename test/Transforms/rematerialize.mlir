// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-rematerialize{values=1 explain=true}))' | FileCheck %s
// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-rematerialize{stacked=1e30 values=1e30}))' | FileCheck %s --check-prefix=ALL
// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-rematerialize))' | FileCheck %s --check-prefix=STACKED

// Of what is made of each other the last but one is kept: as few bytes as the
// product, and less to do again.
// STACKED-LABEL: func.func @values
// STACKED: lathe.tanh
// STACKED-NOT: lathe.tanh
// STACKED-LABEL: func.func @layers
// STACKED: reverse
// STACKED: lathe.exp
// CHECK-LABEL: func.func @values
// CHECK-SAME: lathe.recomputed = {bytes_saved = 128 : i64, flops = 32 : i64, ops = [{at = {{.*}}, flops = 32 : i64, op = "lathe.tanh"}]}
// CHECK: %[[P:.*]] = lathe.linear
// CHECK: %[[E:.*]] = lathe.exp %[[P]]
// CHECK: lathe.tanh %[[E]]
// CHECK: lathe.constant
// CHECK-NOT: lathe.exp
// CHECK: %[[T:.*]] = lathe.tanh %[[E]]
// CHECK: lathe.mul %[[E]], %[[T]]
func.func @values(%x: tensor<4x16xf32>, %w: tensor<8x16xf32>) -> (tensor<f32>, tensor<4x8xf32>) {
  %p = lathe.linear %x, %w : (tensor<4x16xf32>, tensor<8x16xf32>) -> tensor<4x8xf32>
  %e = lathe.exp %p : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %t = lathe.tanh %e : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %loss = lathe.reduce_sum %t {axes = array<i64: 0, 1>} : (tensor<4x8xf32>) -> tensor<f32>
  %g = lathe.constant dense<2.0> : tensor<4x8xf32>
  %d0 = lathe.mul %e, %t : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %d1 = lathe.mul %d0, %g : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %loss, %d1 : tensor<f32>, tensor<4x8xf32>
}

// -----

// A reduction to less than a quarter, a product, a slice: kept, until all is
// made again that can be.
// CHECK-LABEL: func.func @kept
// CHECK: lathe.linear
// CHECK: lathe.slice
// CHECK: lathe.reduce_max
// CHECK: lathe.constant
// CHECK-NOT: lathe.linear
// CHECK-NOT: lathe.slice
// CHECK-NOT: lathe.reduce_max
// CHECK: return
// ALL-LABEL: func.func @kept
// ALL: lathe.constant
// ALL: lathe.linear
// ALL: lathe.slice
// ALL: lathe.mul
func.func @kept(%x: tensor<4x16xf32>, %w: tensor<16x16xf32>) -> (tensor<f32>, tensor<4x8xf32>) {
  %p = lathe.linear %x, %w : (tensor<4x16xf32>, tensor<16x16xf32>) -> tensor<4x16xf32>
  %s = lathe.slice %p {starts = array<i64: 0>, ends = array<i64: 8>, axes = array<i64: 1>} : (tensor<4x16xf32>) -> tensor<4x8xf32>
  %m = lathe.reduce_max %s {axes = array<i64: 1>, keepdims = true} : (tensor<4x8xf32>) -> tensor<4x1xf32>
  %c = lathe.sub %s, %m : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  %loss = lathe.reduce_sum %c {axes = array<i64: 0, 1>} : (tensor<4x8xf32>) -> tensor<f32>
  %g = lathe.constant dense<2.0> : tensor<4x8xf32>
  %d0 = lathe.mul %s, %g : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %d1 = lathe.mul %d0, %m : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  return %loss, %d1 : tensor<f32>, tensor<4x8xf32>
}

// -----

// GELU takes longer than to write its result and read it.
// CHECK-LABEL: func.func @gelu
// CHECK: lathe.gelu
// CHECK-NOT: lathe.gelu
// CHECK: return
func.func @gelu(%x: tensor<4x16xf32>, %w: tensor<8x16xf32>) -> (tensor<f32>, tensor<4x8xf32>) {
  %p = lathe.linear %x, %w : (tensor<4x16xf32>, tensor<8x16xf32>) -> tensor<4x8xf32>
  %t = lathe.gelu %p : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %loss = lathe.reduce_sum %t {axes = array<i64: 0, 1>} : (tensor<4x8xf32>) -> tensor<f32>
  %d = lathe.mul %p, %t : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %loss, %d : tensor<f32>, tensor<4x8xf32>
}

// -----

// Random numbers come from the key; a mask is not kept.
// CHECK-LABEL: func.func @dropout
// CHECK: lathe.random_uniform
// CHECK: lathe.constant dense<2.0
// CHECK: lathe.random_uniform
// CHECK: lathe.compare
func.func @dropout(%x: tensor<64x64xf32>, %key: tensor<2xi64>) -> (tensor<f32>, tensor<64x64xf32>) {
  %rate = lathe.constant dense<0.25> : tensor<f32>
  %zero = lathe.constant dense<0.0> : tensor<f32>
  %u = lathe.random_uniform %key {dtype = f32, shape = array<i64: 64, 64>, stream = 1 : i64} : (tensor<2xi64>) -> tensor<64x64xf32>
  %m = lathe.compare ge, %u, %rate : (tensor<64x64xf32>, tensor<f32>) -> tensor<64x64xi1>
  %y = lathe.select %m, %x, %zero : (tensor<64x64xi1>, tensor<64x64xf32>, tensor<f32>) -> tensor<64x64xf32>
  %loss = lathe.reduce_sum %y {axes = array<i64: 0, 1>} : (tensor<64x64xf32>) -> tensor<f32>
  %g = lathe.constant dense<2.0> : tensor<64x64xf32>
  %d = lathe.select %m, %g, %zero : (tensor<64x64xi1>, tensor<64x64xf32>, tensor<f32>) -> tensor<64x64xf32>
  return %loss, %d : tensor<f32>, tensor<64x64xf32>
}

// -----

// Of two stacked results of a layer one is made of the other. With no limit both
// are made of what the layer began with, which is stacked instead.
// CHECK-LABEL: func.func @layers
// CHECK: %[[F:.*]]:2 = lathe.scan init(%[[X:.*]] = %{{.*}}) inputs(%[[W:.*]] = %{{.*}}, %{{.*}} = %{{.*}})
// CHECK: %[[A:.*]] = lathe.linear %[[X]], %[[W]]
// CHECK: lathe.exp %[[A]]
// CHECK: %[[Y:.*]] = lathe.linear
// CHECK: lathe.yield %[[Y]], %[[A]] :
// CHECK: lathe.scan init(%[[D:.*]] = %{{.*}}) inputs(%[[SA:.*]] = %[[F]]#1) {reverse
// CHECK-NEXT: %[[R:.*]] = lathe.exp %[[SA]]
// CHECK-NEXT: %[[D1:.*]] = lathe.mul %[[D]], %[[R]]
// CHECK-NEXT: %[[D2:.*]] = lathe.mul %[[D1]], %[[SA]]
// ALL-LABEL: func.func @layers
// ALL-SAME: %[[WS:[^ ]*]]: tensor<6x32x8xf32>
// ALL: %[[F:.*]]:2 = lathe.scan init(%[[X:.*]] = %{{.*}}) inputs(
// ALL: %[[Y:.*]] = lathe.linear %{{.*}} : (tensor<4x32xf32>
// ALL: lathe.yield %[[Y]], %[[X]] :
// ALL: lathe.scan init(%{{.*}}) inputs(%[[SX:.*]] = %[[F]]#1, %[[SW:.*]] = %[[WS]]) {reverse
// ALL-NEXT: %[[A:.*]] = lathe.linear %[[SX]], %[[SW]]
// ALL-NEXT: lathe.exp %[[A]]
func.func @layers(%x: tensor<4x8xf32>, %us: tensor<6x32x8xf32>, %vs: tensor<6x8x32xf32>, %g: tensor<4x32xf32>) -> (tensor<f32>, tensor<4x32xf32>) {
  %y, %as, %es = lathe.scan init(%h = %x) inputs(%u = %us, %v = %vs) : (tensor<4x8xf32>, tensor<6x32x8xf32>, tensor<6x8x32xf32>) -> (tensor<4x8xf32>, tensor<6x4x32xf32>, tensor<6x4x32xf32>) {
    %a = lathe.linear %h, %u : (tensor<4x8xf32>, tensor<32x8xf32>) -> tensor<4x32xf32>
    %e = lathe.exp %a : (tensor<4x32xf32>) -> tensor<4x32xf32>
    %n = lathe.linear %e, %v : (tensor<4x32xf32>, tensor<8x32xf32>) -> tensor<4x8xf32>
    lathe.yield %n, %a, %e : tensor<4x8xf32>, tensor<4x32xf32>, tensor<4x32xf32>
  }
  %loss = lathe.reduce_sum %y {axes = array<i64: 0, 1>} : (tensor<4x8xf32>) -> tensor<f32>
  %dx = lathe.scan init(%d = %g) inputs(%a = %as, %e = %es) {reverse} : (tensor<4x32xf32>, tensor<6x4x32xf32>, tensor<6x4x32xf32>) -> tensor<4x32xf32> {
    %0 = lathe.mul %d, %e : (tensor<4x32xf32>, tensor<4x32xf32>) -> tensor<4x32xf32>
    %1 = lathe.mul %0, %a : (tensor<4x32xf32>, tensor<4x32xf32>) -> tensor<4x32xf32>
    lathe.yield %1 : tensor<4x32xf32>
  }
  return %loss, %dx : tensor<f32>, tensor<4x32xf32>
}

// -----

// What the loss alone reads of a loop is stacked already: the backward part
// reads it, too, and makes of it again what else was stacked.
// CHECK-LABEL: func.func @read_by_loss
// CHECK: %[[F:.*]]:2 = lathe.scan
// CHECK: %[[P:.*]] = lathe.matmul
// CHECK: lathe.yield %{{.*}}, %[[P]] :
// CHECK: lathe.reduce_sum %[[F]]#1
// CHECK: lathe.scan init(%[[D:.*]] = %{{.*}}) inputs(%[[S:.*]] = %[[F]]#1) {reverse
// CHECK-NEXT: %[[E:.*]] = lathe.exp %[[S]]
// CHECK-NEXT: %[[D1:.*]] = lathe.mul %[[D]], %[[E]]
// CHECK-NEXT: %[[T:.*]] = lathe.tanh %[[S]]
// CHECK-NEXT: lathe.mul %[[D1]], %[[T]]
func.func @read_by_loss(%xs: tensor<6x4x8xf32>, %w: tensor<8x8xf32>, %h0: tensor<4x8xf32>) -> (tensor<f32>, tensor<4x8xf32>) {
  %y, %ps, %es, %ts = lathe.scan init(%h = %h0) inputs(%x = %xs) : (tensor<4x8xf32>, tensor<6x4x8xf32>) -> (tensor<4x8xf32>, tensor<6x4x8xf32>, tensor<6x4x8xf32>, tensor<6x4x8xf32>) {
    %p = lathe.matmul %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
    %e = lathe.exp %p : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %t = lathe.tanh %p : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %m = lathe.mul %e, %t : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    %n = lathe.mul %h, %m : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    lathe.yield %n, %p, %e, %t : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>
  }
  %s0 = lathe.reduce_sum %y {axes = array<i64: 0, 1>} : (tensor<4x8xf32>) -> tensor<f32>
  %s1 = lathe.reduce_sum %ps {axes = array<i64: 0, 1, 2>} : (tensor<6x4x8xf32>) -> tensor<f32>
  %loss = lathe.add %s0, %s1 : (tensor<f32>, tensor<f32>) -> tensor<f32>
  %dh = lathe.scan init(%d = %h0) inputs(%e = %es, %t = %ts) {reverse} : (tensor<4x8xf32>, tensor<6x4x8xf32>, tensor<6x4x8xf32>) -> tensor<4x8xf32> {
    %0 = lathe.mul %d, %e : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    %1 = lathe.mul %0, %t : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    lathe.yield %1 : tensor<4x8xf32>
  }
  return %loss, %dh : tensor<f32>, tensor<4x8xf32>
}

// -----

// Two loops of the same direction are no pair: iterations do not meet.
// CHECK-LABEL: func.func @same_direction
// CHECK: lathe.scan
// CHECK: lathe.exp
// CHECK: lathe.scan
// CHECK-NOT: lathe.exp
// CHECK: return
func.func @same_direction(%x: tensor<4x8xf32>) -> (tensor<f32>, tensor<4x8xf32>) {
  %y, %as, %es = lathe.scan init(%h = %x) {trip_count = 6 : i64} : (tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<6x4x8xf32>, tensor<6x4x8xf32>) {
    %e = lathe.exp %h : (tensor<4x8xf32>) -> tensor<4x8xf32>
    lathe.yield %e, %h, %e : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>
  }
  %loss = lathe.reduce_sum %y {axes = array<i64: 0, 1>} : (tensor<4x8xf32>) -> tensor<f32>
  %dx = lathe.scan init(%d = %x) inputs(%a = %as, %e = %es) : (tensor<4x8xf32>, tensor<6x4x8xf32>, tensor<6x4x8xf32>) -> tensor<4x8xf32> {
    %0 = lathe.mul %d, %e : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    %1 = lathe.mul %0, %a : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    lathe.yield %1 : tensor<4x8xf32>
  }
  return %loss, %dx : tensor<f32>, tensor<4x8xf32>
}

// -----

// No train step: the first result is no loss.
// CHECK-LABEL: func.func @inference
// CHECK: lathe.exp
// CHECK-NOT: lathe.exp
// CHECK: return
func.func @inference(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %e = lathe.exp %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %s = lathe.mul %e, %x : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %t = lathe.mul %e, %e : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %s, %t : tensor<4x8xf32>, tensor<4x8xf32>
}
