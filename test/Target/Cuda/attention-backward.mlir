// RUN: %lathe compile %s --emit cuda | FileCheck %s

// The log-sum-exp is written, one number per query.
// CHECK: // attention_training_{{[0-9a-f]+}}
// CHECK: struct LogSumExp {
// CHECK: out1[batch * 100 + query] = sums.at[0];
// CHECK: attentionMma<Shape, Tile>({{.*}}, Epilogue{out0}, LogSumExp{out1});

// A grid by queries and one by keys, in which the operands change places; keys are
// shared by two heads.
// CHECK: // attention_backward_{{[0-9a-f]+}}
// CHECK: #include "lathe/attention_backward_mma.cuh"
// CHECK: using Shape = BackwardShape<8, 2, 100, 90, 40, 40, true>;
// CHECK: using Tile = MmaBackwardTile<64, 64, 64>;
// CHECK: struct Q {
// CHECK: return base + (batch / 4) * 16000 + (batch % 4) * 40 + query * 160 + k;
// CHECK: struct Saved {
// CHECK: return logSumExpOf[batch * 100 + query];
// CHECK: attentionBackwardMma<Shape, Tile, false>(Q{in[[Q:[0-9]]]}, G{in[[G:[0-9]]]}, K{in[[K:[0-9]]]}, V{in[[V:[0-9]]]}, {{.*}}, DQuery{out0}, DQuery{out0});
// CHECK: attentionBackwardMma<Shape, Tile, true>(K{in[[K]]}, V{in[[V]]}, Q{in[[Q]]}, G{in[[G]]}, {{.*}}, DKey{out1}, DValue{out2});

// CHECK: // attention_backward_{{[0-9a-f]+}}
// CHECK: using Tile = SimtBackwardTile<48, 48>;
// CHECK: attentionBackwardSimt<Shape, Tile, true>(
func.func @main(%q: tensor<2x100x4x40xbf16>, %k: tensor<2x2x90x40xbf16>, %g: tensor<2x4x100x40xbf16>, %delta: tensor<2x4x100xf32>, %x: tensor<1x2x9x33xf32>, %r: tensor<1x2x9xf32>)
    -> (tensor<2x4x100x40xbf16>, tensor<2x4x100x40xbf16>, tensor<2x2x90x40xbf16>, tensor<2x2x90x40xbf16>, tensor<1x2x9x33xf32>, tensor<1x2x9x33xf32>, tensor<1x2x9x33xf32>) {
  %0 = lathe.transpose %q {permutation = array<i64: 0, 2, 1, 3>} : (tensor<2x100x4x40xbf16>) -> tensor<2x4x100x40xbf16>
  %1:2 = lathe.attention_training %g, %k, %k {causal} : (tensor<2x4x100x40xbf16>, tensor<2x2x90x40xbf16>, tensor<2x2x90x40xbf16>) -> (tensor<2x4x100x40xbf16>, tensor<2x4x100xf32>)
  %2:3 = lathe.attention_backward %0, %k, %k, %g, %1#1, %delta {causal} : (tensor<2x4x100x40xbf16>, tensor<2x2x90x40xbf16>, tensor<2x2x90x40xbf16>, tensor<2x4x100x40xbf16>, tensor<2x4x100xf32>, tensor<2x4x100xf32>) -> (tensor<2x4x100x40xbf16>, tensor<2x2x90x40xbf16>, tensor<2x2x90x40xbf16>)
  %3:3 = lathe.attention_backward %x, %x, %x, %x, %r, %r : (tensor<1x2x9x33xf32>, tensor<1x2x9x33xf32>, tensor<1x2x9x33xf32>, tensor<1x2x9x33xf32>, tensor<1x2x9xf32>, tensor<1x2x9xf32>) -> (tensor<1x2x9x33xf32>, tensor<1x2x9x33xf32>, tensor<1x2x9x33xf32>)
  return %1#0, %2#0, %2#1, %2#2, %3#0, %3#1, %3#2 : tensor<2x4x100x40xbf16>, tensor<2x4x100x40xbf16>, tensor<2x2x90x40xbf16>, tensor<2x2x90x40xbf16>, tensor<1x2x9x33xf32>, tensor<1x2x9x33xf32>, tensor<1x2x9x33xf32>
}
