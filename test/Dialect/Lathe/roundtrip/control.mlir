// RUN: lathe-opt %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func.func @kernel
func.func @kernel(%x: tensor<4x8xf32>, %weight: tensor<16x8xf32>) -> tensor<4x16xf32> {
  // CHECK: %[[K:.*]] = lathe.kernel "linear_relu" schedule "contraction" (%[[A:.*]] = %{{.*}}, %[[W:.*]] = %{{.*}}) : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32> {
  // CHECK-NEXT: lathe.linear %[[A]], %[[W]]
  %0 = lathe.kernel "linear_relu" schedule "contraction" (%a = %x, %w = %weight)
      : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32> {
    %1 = lathe.linear %a, %w : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
    %2 = lathe.relu %1 : (tensor<4x16xf32>) -> tensor<4x16xf32>
    // CHECK: lathe.yield %{{.*}} : tensor<4x16xf32>
    lathe.yield %2 : tensor<4x16xf32>
  }
  // CHECK: return %[[K]]
  return %0 : tensor<4x16xf32>
}

// CHECK-LABEL: func.func @kernel_without_inputs
func.func @kernel_without_inputs() -> (tensor<4xi64>, tensor<2xi64>) {
  // CHECK: %{{.*}}:2 = lathe.kernel "iota" schedule "opaque" () : () -> (tensor<4xi64>, tensor<2xi64>) attributes {cost = 3 : i64} {
  %0:2 = lathe.kernel "iota" schedule "opaque" () : () -> (tensor<4xi64>, tensor<2xi64>)
      attributes {cost = 3 : i64} {
    %1 = lathe.iota {axis = 0 : i64, dtype = i64, shape = array<i64: 4>} : () -> tensor<4xi64>
    %2 = lathe.iota {axis = 0 : i64, dtype = i64, shape = array<i64: 2>} : () -> tensor<2xi64>
    lathe.yield %1, %2 : tensor<4xi64>, tensor<2xi64>
  }
  return %0#0, %0#1 : tensor<4xi64>, tensor<2xi64>
}

// CHECK-LABEL: func.func @scan
func.func @scan(%x: tensor<8x64xf32>, %weights: tensor<6x64x64xf32>) -> (tensor<8x64xf32>, tensor<6x8x64xf32>) {
  // CHECK: %{{.*}}:2 = lathe.scan init(%[[H:.*]] = %{{.*}}) inputs(%[[W:.*]] = %{{.*}}) {reverse} : (tensor<8x64xf32>, tensor<6x64x64xf32>) -> (tensor<8x64xf32>, tensor<6x8x64xf32>) {
  // CHECK-NEXT: lathe.linear %[[H]], %[[W]]
  %y:2 = lathe.scan init(%h = %x) inputs(%w = %weights) {reverse}
      : (tensor<8x64xf32>, tensor<6x64x64xf32>) -> (tensor<8x64xf32>, tensor<6x8x64xf32>) {
    %0 = lathe.linear %h, %w : (tensor<8x64xf32>, tensor<64x64xf32>) -> tensor<8x64xf32>
    lathe.yield %0, %0 : tensor<8x64xf32>, tensor<8x64xf32>
  }
  return %y#0, %y#1 : tensor<8x64xf32>, tensor<6x8x64xf32>
}

// CHECK-LABEL: func.func @scan_by_count
func.func @scan_by_count(%x: tensor<f32>) -> tensor<f32> {
  // CHECK: lathe.scan init(%{{.*}} = %{{.*}}) {trip_count = 3 : i64} : (tensor<f32>) -> tensor<f32> {
  %y = lathe.scan init(%h = %x) {trip_count = 3} : (tensor<f32>) -> tensor<f32> {
    %0 = lathe.add %h, %h : (tensor<f32>, tensor<f32>) -> tensor<f32>
    lathe.yield %0 : tensor<f32>
  }
  return %y : tensor<f32>
}

// CHECK-LABEL: func.func @scan_without_carry
func.func @scan_without_carry(%x: tensor<5x2xf32>) -> tensor<5x2xf32> {
  // CHECK: lathe.scan inputs(%{{.*}} = %{{.*}}) : (tensor<5x2xf32>) -> tensor<5x2xf32> {
  %y = lathe.scan inputs(%h = %x) : (tensor<5x2xf32>) -> tensor<5x2xf32> {
    lathe.yield %h : tensor<2xf32>
  }
  return %y : tensor<5x2xf32>
}

// CHECK-LABEL: func.func @if
func.func @if(%c: tensor<i1>, %x: tensor<?xf32>) -> tensor<?xf32> {
  // CHECK: lathe.if %{{.*}} : (tensor<i1>) -> tensor<?xf32> {
  %0 = lathe.if %c : (tensor<i1>) -> tensor<?xf32> {
    lathe.yield %x : tensor<?xf32>
  // CHECK: } else {
  } else {
    %1 = lathe.neg %x : (tensor<?xf32>) -> tensor<?xf32>
    lathe.yield %1 : tensor<?xf32>
  }
  return %0 : tensor<?xf32>
}

// CHECK-LABEL: func.func @while
func.func @while(%x: tensor<4xf32>, %i: tensor<i64>) -> tensor<4xf32> {
  %limit = lathe.constant dense<3> : tensor<i64>
  %one = lathe.constant dense<1> : tensor<i64>
  // CHECK: %{{.*}}:2 = lathe.while (%{{.*}} = %{{.*}}, %[[B:.*]] = %{{.*}}) : (tensor<4xf32>, tensor<i64>) -> (tensor<4xf32>, tensor<i64>) {
  %0:2 = lathe.while (%a = %x, %b = %i) : (tensor<4xf32>, tensor<i64>) -> (tensor<4xf32>, tensor<i64>) {
    // CHECK-NEXT: lathe.compare lt, %[[B]]
    %1 = lathe.compare lt, %b, %limit : (tensor<i64>, tensor<i64>) -> tensor<i1>
    lathe.yield %1 : tensor<i1>
  // CHECK: } do {
  // CHECK-NEXT: ^bb0(%{{.*}}: tensor<4xf32>, %{{.*}}: tensor<i64>):
  } do {
  ^bb0(%a: tensor<4xf32>, %b: tensor<i64>):
    %1 = lathe.neg %a : (tensor<4xf32>) -> tensor<4xf32>
    %2 = lathe.add %b, %one : (tensor<i64>, tensor<i64>) -> tensor<i64>
    lathe.yield %1, %2 : tensor<4xf32>, tensor<i64>
  }
  return %0#0 : tensor<4xf32>
}
