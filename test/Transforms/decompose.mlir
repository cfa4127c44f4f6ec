// RUN: lathe-opt %s -lathe-decompose -split-input-file | FileCheck %s
// RUN: lathe-opt %s -lathe-decompose="keep=lathe.attention,lathe.softmax" -split-input-file | FileCheck %s --check-prefix=LEFT
// RUN: not lathe-opt %s -lathe-decompose="keep=lathe.exp" -split-input-file 2>&1 | FileCheck %s --check-prefix=REFUSED
// RUN: not lathe-opt %s -lathe-decompose="keep=lathe.sofmax" -split-input-file 2>&1 | FileCheck %s --check-prefix=MISSPELT
// REFUSED: expected names of composite ops in 'keep', got 'lathe.exp'
// MISSPELT: expected names of composite ops in 'keep', got 'lathe.sofmax'

// CHECK-LABEL: func @softmax
// CHECK-SAME: (%[[X:.*]]: tensor<4x8xf32>)
// CHECK: %[[MAX:.*]] = lathe.reduce_max %[[X]] {axes = array<i64: 1>, keepdims = true} : (tensor<4x8xf32>) -> tensor<4x1xf32>
// CHECK: %[[SUB:.*]] = lathe.sub %[[X]], %[[MAX]]
// CHECK: %[[EXP:.*]] = lathe.exp %[[SUB]]
// CHECK: %[[SUM:.*]] = lathe.reduce_sum %[[EXP]] {axes = array<i64: 1>, keepdims = true}
// CHECK: %[[DIV:.*]] = lathe.div %[[EXP]], %[[SUM]]
// CHECK: return %[[DIV]]
// LEFT-LABEL: func @softmax
// LEFT: lathe.softmax
func.func @softmax(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = lathe.softmax %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}

// -----

// 16-bit floats compute in f32; open sizes stay open.
// CHECK-LABEL: func @log_softmax_half
// CHECK-SAME: (%[[X:.*]]: tensor<?x8xf16>)
// CHECK: %[[WIDE:.*]] = lathe.cast %[[X]] to f32
// CHECK: %[[MAX:.*]] = lathe.reduce_max %[[WIDE]] {axes = array<i64: 0>, keepdims = true} : (tensor<?x8xf32>) -> tensor<1x8xf32>
// CHECK: %[[SUB:.*]] = lathe.sub %[[WIDE]], %[[MAX]]
// CHECK: %[[EXP:.*]] = lathe.exp %[[SUB]]
// CHECK: %[[SUM:.*]] = lathe.reduce_sum %[[EXP]] {axes = array<i64: 0>, keepdims = true}
// CHECK: %[[LOG:.*]] = lathe.log %[[SUM]]
// CHECK: %[[OUT:.*]] = lathe.sub %[[SUB]], %[[LOG]]
// CHECK: lathe.cast %[[OUT]] to f16 : (tensor<?x8xf32>) -> tensor<?x8xf16>
func.func @log_softmax_half(%x: tensor<?x8xf16>) -> tensor<?x8xf16> {
  %0 = lathe.log_softmax %x {axis = 0 : i64} : (tensor<?x8xf16>) -> tensor<?x8xf16>
  return %0 : tensor<?x8xf16>
}

// -----

// CHECK-LABEL: func @layer_norm
// CHECK-SAME: (%[[X:.*]]: tensor<2x3x4xf32>, %[[S:.*]]: tensor<3x4xf32>, %[[B:.*]]: tensor<4xf32>)
// CHECK: %[[MEAN:.*]] = lathe.reduce_mean %[[X]] {axes = array<i64: 1, 2>, keepdims = true} : (tensor<2x3x4xf32>) -> tensor<2x1x1xf32>
// CHECK: %[[C:.*]] = lathe.sub %[[X]], %[[MEAN]]
// CHECK: %[[SQ:.*]] = lathe.mul %[[C]], %[[C]]
// CHECK: %[[VAR:.*]] = lathe.reduce_mean %[[SQ]] {axes = array<i64: 1, 2>, keepdims = true}
// CHECK: %[[EPS:.*]] = lathe.constant dense<2.500000e-01> : tensor<f32>
// CHECK: %[[SHIFT:.*]] = lathe.add %[[VAR]], %[[EPS]]
// CHECK: %[[INV:.*]] = lathe.rsqrt %[[SHIFT]]
// CHECK: %[[N:.*]] = lathe.mul %[[C]], %[[INV]]
// CHECK: %[[SC:.*]] = lathe.mul %[[N]], %[[S]]
// CHECK: %[[OUT:.*]] = lathe.add %[[SC]], %[[B]]
// CHECK: return %[[OUT]]
func.func @layer_norm(%x: tensor<2x3x4xf32>, %s: tensor<3x4xf32>, %b: tensor<4xf32>) -> tensor<2x3x4xf32> {
  %0 = lathe.layer_norm %x scale %s bias %b {axis = 1 : i64, epsilon = 0.25 : f64} : (tensor<2x3x4xf32>, tensor<3x4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
  return %0 : tensor<2x3x4xf32>
}

// -----

// CHECK-LABEL: func @rms_norm
// CHECK-SAME: (%[[X:.*]]: tensor<2x4xbf16>, %[[S:.*]]: tensor<4xbf16>)
// CHECK: %[[WIDE:.*]] = lathe.cast %[[X]] to f32
// CHECK: %[[SQ:.*]] = lathe.mul %[[WIDE]], %[[WIDE]]
// CHECK: lathe.reduce_mean %[[SQ]] {axes = array<i64: 1>, keepdims = true}
// CHECK: %[[INV:.*]] = lathe.rsqrt
// CHECK: %[[N:.*]] = lathe.mul %[[WIDE]], %[[INV]]
// CHECK: %[[WS:.*]] = lathe.cast %[[S]] to f32
// CHECK: %[[OUT:.*]] = lathe.mul %[[N]], %[[WS]]
// CHECK: lathe.cast %[[OUT]] to bf16
func.func @rms_norm(%x: tensor<2x4xbf16>, %s: tensor<4xbf16>) -> tensor<2x4xbf16> {
  %0 = lathe.rms_norm %x, %s : (tensor<2x4xbf16>, tensor<4xbf16>) -> tensor<2x4xbf16>
  return %0 : tensor<2x4xbf16>
}

// -----

// What depends on the statistics alone stays on vectors of channels.
// CHECK-LABEL: func @batch_norm
// CHECK-SAME: (%[[X:.*]]: tensor<2x3x4x4xf32>, %[[S:.*]]: tensor<3xf32>, %[[B:.*]]: tensor<3xf32>, %[[M:.*]]: tensor<3xf32>, %[[V:.*]]: tensor<3xf32>)
// CHECK: %[[SHIFT:.*]] = lathe.add %[[V]], %{{.*}} : (tensor<3xf32>, tensor<f32>) -> tensor<3xf32>
// CHECK: %[[DEV:.*]] = lathe.sqrt %[[SHIFT]]
// CHECK: %[[A:.*]] = lathe.div %[[S]], %[[DEV]]
// CHECK: %[[MA:.*]] = lathe.mul %[[M]], %[[A]]
// CHECK: %[[C:.*]] = lathe.sub %[[B]], %[[MA]]
// CHECK: %[[A3:.*]] = lathe.unsqueeze %[[A]] {axes = array<i64: 1, 2>} : (tensor<3xf32>) -> tensor<3x1x1xf32>
// CHECK: %[[XA:.*]] = lathe.mul %[[X]], %[[A3]]
// CHECK: %[[C3:.*]] = lathe.unsqueeze %[[C]]
// CHECK: %[[OUT:.*]] = lathe.add %[[XA]], %[[C3]]
// CHECK: return %[[OUT]]
func.func @batch_norm(%x: tensor<2x3x4x4xf32>, %s: tensor<3xf32>, %b: tensor<3xf32>, %m: tensor<3xf32>, %v: tensor<3xf32>) -> tensor<2x3x4x4xf32> {
  %0 = lathe.batch_norm %x, %s, %b, %m, %v : (tensor<2x3x4x4xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<2x3x4x4xf32>
  return %0 : tensor<2x3x4x4xf32>
}

// -----

// No row can lose all its keys: the composite in the composite goes, too, unless
// it is kept.
// CHECK-LABEL: func @attention
// CHECK-SAME: (%[[Q:.*]]: tensor<2x8x5x16xf32>, %[[K:.*]]: tensor<2x8x7x16xf32>, %[[V:.*]]: tensor<2x8x7x32xf32>)
// CHECK-NOT: lathe.reshape
// CHECK: %[[S:.*]] = lathe.matmul %[[Q]], %[[K]] {transpose_rhs} : (tensor<2x8x5x16xf32>, tensor<2x8x7x16xf32>) -> tensor<2x8x5x7xf32>
// CHECK: %[[SCALE:.*]] = lathe.constant dense<2.500000e-01> : tensor<f32>
// CHECK: %[[SS:.*]] = lathe.mul %[[S]], %[[SCALE]]
// CHECK: lathe.reduce_max %[[SS]] {axes = array<i64: 3>, keepdims = true}
// CHECK: %[[W:.*]] = lathe.div
// CHECK: %[[OUT:.*]] = lathe.matmul %[[W]], %[[V]] : (tensor<2x8x5x7xf32>, tensor<2x8x7x32xf32>) -> tensor<2x8x5x32xf32>
// CHECK: return %[[OUT]]
// LEFT-LABEL: func @attention
// LEFT-NEXT: lathe.attention
// LEFT-NEXT: return
func.func @attention(%q: tensor<2x8x5x16xf32>, %k: tensor<2x8x7x16xf32>, %v: tensor<2x8x7x32xf32>) -> tensor<2x8x5x32xf32> {
  %0 = lathe.attention %q, %k, %v : (tensor<2x8x5x16xf32>, tensor<2x8x7x16xf32>, tensor<2x8x7x32xf32>) -> tensor<2x8x5x32xf32>
  return %0 : tensor<2x8x5x32xf32>
}

// -----

// Heads that share a key head become rows of one product.
// CHECK-LABEL: func @grouped_query
// CHECK: lathe.reshape %{{.*}} {shape = array<i64: 2, 2, 20, 16>} : (tensor<2x8x5x16xf32>) -> tensor<2x2x20x16xf32>
// CHECK: lathe.matmul %{{.*}} {transpose_rhs} : (tensor<2x2x20x16xf32>, tensor<2x2x7x16xf32>) -> tensor<2x2x20x7xf32>
// CHECK: lathe.reshape %{{.*}} : (tensor<2x2x20x7xf32>) -> tensor<2x8x5x7xf32>
// CHECK: lathe.add %{{.*}}, %{{.*}} : (tensor<2x8x5x7xf32>, tensor<2x1x1x7xf32>) -> tensor<2x8x5x7xf32>
// CHECK: lathe.matmul %{{.*}} : (tensor<2x2x20x7xf32>, tensor<2x2x7x32xf32>) -> tensor<2x2x20x32xf32>
// CHECK: lathe.reshape %{{.*}} : (tensor<2x2x20x32xf32>) -> tensor<2x8x5x32xf32>
func.func @grouped_query(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %v: tensor<2x2x7x32xf32>, %m: tensor<2x1x1x7xf32>) -> tensor<2x8x5x32xf32> {
  %0 = lathe.attention %q, %k, %v, %m {scale = 1.0 : f64} : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>, tensor<2x1x1x7xf32>) -> tensor<2x8x5x32xf32>
  return %0 : tensor<2x8x5x32xf32>
}

// -----

// A masked row may see nothing: the shift and the divisor are replaced there.
// CHECK-LABEL: func @masked
// CHECK-SAME: %[[M:[a-z0-9]*]]: tensor<5x7xi1>)
// CHECK: %[[SS:.*]] = lathe.mul
// CHECK: %[[INF:.*]] = lathe.constant dense<0xFF800000> : tensor<f32>
// CHECK: %[[KEPT:.*]] = lathe.select %[[M]], %[[SS]], %[[INF]]
// CHECK: %[[ROW:.*]] = lathe.iota {axis = 0 : i64, dtype = i64, shape = array<i64: 5, 1>}
// CHECK: %[[COL:.*]] = lathe.iota {axis = 1 : i64, dtype = i64, shape = array<i64: 1, 7>}
// CHECK: %[[MORE:.*]] = lathe.constant dense<2> : tensor<i64>
// CHECK: %[[LAST:.*]] = lathe.add %[[ROW]], %[[MORE]]
// CHECK: %[[SEES:.*]] = lathe.compare le, %[[COL]], %[[LAST]] : (tensor<1x7xi64>, tensor<5x1xi64>) -> tensor<5x7xi1>
// CHECK: %[[CAUSAL:.*]] = lathe.select %[[SEES]], %[[KEPT]]
// CHECK: %[[MAX:.*]] = lathe.reduce_max %[[CAUSAL]]
// CHECK: %[[BLIND:.*]] = lathe.compare eq, %[[MAX]]
// CHECK: %[[SHIFT:.*]] = lathe.select %[[BLIND]], %{{.*}}, %[[MAX]]
// CHECK: lathe.sub %[[CAUSAL]], %[[SHIFT]]
// CHECK: %[[SUM:.*]] = lathe.reduce_sum
// CHECK: lathe.select %[[BLIND]], %{{.*}}, %[[SUM]]
func.func @masked(%q: tensor<1x2x5x4xf32>, %k: tensor<1x2x7x4xf32>, %v: tensor<1x2x7x4xf32>, %m: tensor<5x7xi1>) -> tensor<1x2x5x4xf32> {
  %0 = lathe.attention %q, %k, %v, %m {causal} : (tensor<1x2x5x4xf32>, tensor<1x2x7x4xf32>, tensor<1x2x7x4xf32>, tensor<5x7xi1>) -> tensor<1x2x5x4xf32>
  return %0 : tensor<1x2x5x4xf32>
}

// -----

// CHECK-LABEL: func @cross_entropy
// CHECK-SAME: (%[[X:.*]]: tensor<8x10xf32>, %[[L:.*]]: tensor<8xi64>)
// CHECK: %[[LOG:.*]] = lathe.log
// CHECK: %[[LOGS:.*]] = lathe.sub %{{.*}}, %[[LOG]]
// CHECK: %[[IOTA:.*]] = lathe.iota {axis = 0 : i64, dtype = i64, shape = array<i64: 10>}
// CHECK: %[[ROWS:.*]] = lathe.unsqueeze %[[L]] {axes = array<i64: 1>}
// CHECK: %[[HOT:.*]] = lathe.compare eq, %[[ROWS]], %[[IOTA]] : (tensor<8x1xi64>, tensor<10xi64>) -> tensor<8x10xi1>
// CHECK: %[[PICKED:.*]] = lathe.select %[[HOT]], %[[LOGS]]
// CHECK: %[[SUM:.*]] = lathe.reduce_sum %[[PICKED]] {axes = array<i64: 1>}
// CHECK: %[[LOSS:.*]] = lathe.neg %[[SUM]]
// CHECK: %[[MEAN:.*]] = lathe.reduce_mean %[[LOSS]] {axes = array<i64>} : (tensor<8xf32>) -> tensor<f32>
// CHECK: return %[[MEAN]]
func.func @cross_entropy(%x: tensor<8x10xf32>, %l: tensor<8xi64>) -> tensor<f32> {
  %0 = lathe.cross_entropy %x, %l : (tensor<8x10xf32>, tensor<8xi64>) -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

// CHECK-LABEL: func @cross_entropy_ignores
// CHECK-SAME: (%[[X:.*]]: tensor<8x10xf32>, %[[L:.*]]: tensor<8xi32>)
// CHECK: %[[LOSS:.*]] = lathe.neg
// CHECK: %[[UNIFORM:.*]] = lathe.reduce_mean
// CHECK: %[[A:.*]] = lathe.mul %[[LOSS]]
// CHECK: %[[B:.*]] = lathe.mul %[[UNIFORM]]
// CHECK: %[[SMOOTH:.*]] = lathe.sub %[[A]], %[[B]]
// CHECK: %[[IGNORED:.*]] = lathe.constant dense<-100> : tensor<i32>
// CHECK: %[[COUNTED:.*]] = lathe.compare ne, %[[L]], %[[IGNORED]]
// CHECK: %[[KEPT:.*]] = lathe.select %[[COUNTED]], %[[SMOOTH]]
// CHECK: %[[SUM:.*]] = lathe.reduce_sum %[[KEPT]] {axes = array<i64>}
// CHECK: %[[ONES:.*]] = lathe.cast %[[COUNTED]] to f32
// CHECK: %[[COUNT:.*]] = lathe.reduce_sum %[[ONES]] {axes = array<i64>}
// CHECK: lathe.div %[[SUM]], %[[COUNT]]
func.func @cross_entropy_ignores(%x: tensor<8x10xf32>, %l: tensor<8xi32>) -> tensor<f32> {
  %0 = lathe.cross_entropy %x, %l {ignore_index = -100 : i64, label_smoothing = 0.1 : f64} : (tensor<8x10xf32>, tensor<8xi32>) -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

// CHECK-LABEL: func @mse
// CHECK: %[[D:.*]] = lathe.sub
// CHECK: %[[SQ:.*]] = lathe.mul %[[D]], %[[D]]
// CHECK: %[[SUM:.*]] = lathe.reduce_sum %[[SQ]] {axes = array<i64>}
// CHECK: return %[[SUM]]
func.func @mse(%x: tensor<8x10xf32>, %y: tensor<8x10xf32>) -> tensor<f32> {
  %0 = lathe.mse %x, %y reduce sum : (tensor<8x10xf32>, tensor<8x10xf32>) -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

// CHECK-LABEL: func @dropout
// CHECK-SAME: (%[[X:.*]]: tensor<4x8xf32>, %[[KEY:.*]]: tensor<2xi64>)
// CHECK: %[[R:.*]] = lathe.random_uniform %[[KEY]] {dtype = f32, {{.*}}shape = array<i64: 4, 8>, stream = 3 : i64}
// CHECK: %[[RATE:.*]] = lathe.constant dense<7.500000e-01> : tensor<f32>
// CHECK: %[[KEEP:.*]] = lathe.compare ge, %[[R]], %[[RATE]]
// CHECK: %[[UP:.*]] = lathe.constant dense<4.000000e+00> : tensor<f32>
// CHECK: %[[SCALED:.*]] = lathe.mul %[[X]], %[[UP]]
// CHECK: lathe.select %[[KEEP]], %[[SCALED]], %{{.*}}
func.func @dropout(%x: tensor<4x8xf32>, %key: tensor<2xi64>) -> tensor<4x8xf32> {
  %0 = lathe.dropout %x, %key {rate = 0.75 : f64, stream = 3 : i64} : (tensor<4x8xf32>, tensor<2xi64>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}

// -----

// CHECK-LABEL: func @no_dropout
// CHECK-SAME: (%[[X:.*]]: tensor<?x8xf32>,
// CHECK-NEXT: return %[[X]]
func.func @no_dropout(%x: tensor<?x8xf32>, %key: tensor<2xi64>) -> tensor<?x8xf32> {
  %0 = lathe.dropout %x, %key {rate = 0.0 : f64, stream = 3 : i64} : (tensor<?x8xf32>, tensor<2xi64>) -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----

// CHECK-LABEL: func @quantize
// CHECK-SAME: (%[[X:.*]]: tensor<2x3x4xf32>, %[[S:.*]]: tensor<3xf32>, %[[Z:.*]]: tensor<3xui8>)
// CHECK: %[[S2:.*]] = lathe.unsqueeze %[[S]] {axes = array<i64: 1>} : (tensor<3xf32>) -> tensor<3x1xf32>
// CHECK: %[[ZF:.*]] = lathe.cast %[[Z]] to f32
// CHECK: %[[Z2:.*]] = lathe.unsqueeze %[[ZF]]
// CHECK: %[[D:.*]] = lathe.div %[[X]], %[[S2]]
// CHECK: %[[R:.*]] = lathe.round %[[D]]
// CHECK: %[[SUM:.*]] = lathe.add %[[R]], %[[Z2]]
// CHECK: lathe.cast %[[SUM]] to ui8
func.func @quantize(%x: tensor<2x3x4xf32>, %s: tensor<3xf32>, %z: tensor<3xui8>) -> tensor<2x3x4xui8> {
  %0 = lathe.quantize %x, %s, %z : (tensor<2x3x4xf32>, tensor<3xf32>, tensor<3xui8>) -> tensor<2x3x4xui8>
  return %0 : tensor<2x3x4xui8>
}

// -----

// CHECK-LABEL: func @dequantize
// CHECK-SAME: (%[[X:.*]]: tensor<2x3xi8>, %[[W:.*]]: tensor<2x3xi32>, %[[S:.*]]: tensor<f32>, %[[Z:.*]]: tensor<i8>, %[[Y:.*]]: tensor<i32>)
// CHECK: %[[ZF:.*]] = lathe.cast %[[Z]] to f32
// CHECK: %[[XF:.*]] = lathe.cast %[[X]] to f32
// CHECK: %[[D:.*]] = lathe.sub %[[XF]], %[[ZF]]
// CHECK: lathe.mul %[[D]], %[[S]]
// CHECK: %[[YL:.*]] = lathe.cast %[[Y]] to i64
// CHECK: %[[WL:.*]] = lathe.cast %[[W]] to i64
// CHECK: %[[DL:.*]] = lathe.sub %[[WL]], %[[YL]]
// CHECK: %[[DF:.*]] = lathe.cast %[[DL]] to f32
// CHECK: lathe.mul %[[DF]], %[[S]]
func.func @dequantize(%x: tensor<2x3xi8>, %w: tensor<2x3xi32>, %s: tensor<f32>, %z: tensor<i8>, %y: tensor<i32>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %0 = lathe.dequantize %x, %s, %z : (tensor<2x3xi8>, tensor<f32>, tensor<i8>) -> tensor<2x3xf32>
  %1 = lathe.dequantize %w, %s, %y : (tensor<2x3xi32>, tensor<f32>, tensor<i32>) -> tensor<2x3xf32>
  return %0, %1 : tensor<2x3xf32>, tensor<2x3xf32>
}

// -----

// Refused, and left as they are: sizes that a decomposition needs are open, or
// the written type is vaguer than what a decomposition makes.
// CHECK-LABEL: func @open_sizes
// CHECK-NEXT: lathe.attention
// CHECK-NEXT: lathe.dropout
// CHECK-NEXT: lathe.cross_entropy
// CHECK-NEXT: lathe.softmax
// CHECK-NEXT: return
func.func @open_sizes(%q: tensor<?x8x5x16xf32>, %key: tensor<2xi64>, %x: tensor<8x?xf32>, %l: tensor<8xi64>, %y: tensor<8x4xf32>) -> (tensor<?x8x5x16xf32>, tensor<?x8x5x16xf32>, tensor<f32>, tensor<8x?xf32>) {
  %0 = lathe.attention %q, %q, %q : (tensor<?x8x5x16xf32>, tensor<?x8x5x16xf32>, tensor<?x8x5x16xf32>) -> tensor<?x8x5x16xf32>
  %1 = lathe.dropout %q, %key {rate = 0.75 : f64, stream = 3 : i64} : (tensor<?x8x5x16xf32>, tensor<2xi64>) -> tensor<?x8x5x16xf32>
  %2 = lathe.cross_entropy %x, %l : (tensor<8x?xf32>, tensor<8xi64>) -> tensor<f32>
  %3 = lathe.softmax %y : (tensor<8x4xf32>) -> tensor<8x?xf32>
  return %0, %1, %2, %3 : tensor<?x8x5x16xf32>, tensor<?x8x5x16xf32>, tensor<f32>, tensor<8x?xf32>
}

// -----

// With the log-sum-exp, 0 where a row may see nothing.
// CHECK-LABEL: func @attention_training
// CHECK: %[[MAX:.*]] = lathe.reduce_max
// CHECK: %[[NONE:.*]] = lathe.compare eq, %[[MAX]]
// CHECK: %[[SHIFT:.*]] = lathe.select %[[NONE]]
// CHECK: %[[SUM:.*]] = lathe.reduce_sum
// CHECK: %[[SAFE:.*]] = lathe.select %[[NONE]], %{{.*}}, %[[SUM]]
// CHECK: %[[LOG:.*]] = lathe.log %[[SAFE]]
// CHECK: %[[LSE:.*]] = lathe.add %[[SHIFT]], %[[LOG]]
// CHECK: lathe.reshape %[[LSE]] {shape = array<i64: 2, 8, 5>}
func.func @attention_training(%q: tensor<2x8x5x16xf32>, %k: tensor<2x8x4x16xf32>) -> (tensor<2x8x5x16xf32>, tensor<2x8x5xf32>) {
  %0:2 = lathe.attention_training %q, %k, %k {causal} : (tensor<2x8x5x16xf32>, tensor<2x8x4x16xf32>, tensor<2x8x4x16xf32>) -> (tensor<2x8x5x16xf32>, tensor<2x8x5xf32>)
  return %0#0, %0#1 : tensor<2x8x5x16xf32>, tensor<2x8x5xf32>
}

// -----

// Two products for scores and the weights' gradient, three with the results;
// heads that share a key head are rows of one product, and so add up.
// CHECK-LABEL: func @attention_backward
// CHECK: lathe.matmul %{{.*}} {transpose_rhs} : (tensor<2x2x20x16xf32>, tensor<2x2x7x16xf32>) -> tensor<2x2x20x7xf32>
// CHECK: %[[P:.*]] = lathe.exp
// CHECK: lathe.matmul %{{.*}} {transpose_rhs} : (tensor<2x2x20x32xf32>, tensor<2x2x7x32xf32>) -> tensor<2x2x20x7xf32>
// CHECK: lathe.matmul %{{.*}} : (tensor<2x2x20x7xf32>, tensor<2x2x7x16xf32>) -> tensor<2x2x20x16xf32>
// CHECK: lathe.matmul %{{.*}} {transpose_lhs} : (tensor<2x2x20x7xf32>, tensor<2x2x20x16xf32>) -> tensor<2x2x7x16xf32>
// CHECK: lathe.matmul %{{.*}} {transpose_lhs} : (tensor<2x2x20x7xf32>, tensor<2x2x20x32xf32>) -> tensor<2x2x7x32xf32>
func.func @attention_backward(%q: tensor<2x8x5x16xf32>, %k: tensor<2x2x7x16xf32>, %v: tensor<2x2x7x32xf32>, %g: tensor<2x8x5x32xf32>, %r: tensor<2x8x5xf32>) -> (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>) {
  %0:3 = lathe.attention_backward %q, %k, %v, %g, %r, %r : (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>, tensor<2x8x5x32xf32>, tensor<2x8x5xf32>, tensor<2x8x5xf32>) -> (tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>)
  return %0#0, %0#1, %0#2 : tensor<2x8x5x16xf32>, tensor<2x2x7x16xf32>, tensor<2x2x7x32xf32>
}

// -----

// More than 32 are joined in parts; 32 are left alone.
// CHECK-LABEL: func @concat_of_many
// CHECK-SAME: (%[[X:.*]]: tensor<1x2xf32>, %[[Y:.*]]: tensor<1x2xf32>)
// CHECK: %[[FIRST:.*]] = lathe.concat %[[X]], %[[Y]], %[[X]], {{.*}} {axis = -2 : i64} : {{.*}} -> tensor<32x2xf32>
// CHECK: %[[REST:.*]] = lathe.concat %[[X]], %[[Y]] {axis = -2 : i64} : {{.*}} -> tensor<2x2xf32>
// CHECK: %[[ALL:.*]] = lathe.concat %[[FIRST]], %[[REST]] {axis = -2 : i64} : {{.*}} -> tensor<34x2xf32>
// CHECK: %[[WHOLE:.*]] = lathe.concat {{.*}} -> tensor<32x2xf32>
// CHECK: return %[[ALL]], %[[WHOLE]]
func.func @concat_of_many(%x: tensor<1x2xf32>, %y: tensor<1x2xf32>) -> (tensor<34x2xf32>, tensor<32x2xf32>) {
  %0 = lathe.concat %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y {axis = -2 : i64} : (tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>) -> tensor<34x2xf32>
  %1 = lathe.concat %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y, %x, %y {axis = -2 : i64} : (tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>) -> tensor<32x2xf32>
  return %0, %1 : tensor<34x2xf32>, tensor<32x2xf32>
}
