// RUN: %lathe compile %s --emit cuda | FileCheck %s

// Heads are views of what the projections wrote; the result is written in the
// order of the next projection. Keys are shared by two heads each.
// CHECK: // attention_{{[0-9a-f]+}}
// CHECK: #include "lathe/attention_simt.cuh"
// CHECK: using Shape = AttentionShape<8, 100, 100, 64, 64, true>;
// CHECK: using Tile = SimtAttentionTile<64, 64, 64>;
// CHECK: struct Q {
// CHECK: return base + (batch / 4) * 25600 + (batch % 4) * 64 + query * 256 + k;
// CHECK: struct K {
// CHECK: return base + {{.*}}((batch / 2) % 2) * 64 + key * 128 + k;
// CHECK: struct V {
// CHECK: static constexpr bool alongK = false;
// CHECK: static constexpr int vector = 4;
// CHECK: struct Score {
// CHECK: return score;
// CHECK: storePack(out0 + (batch / 4) * 25600 + (batch % 4) * 64 + query * 256 + column, y0);
// CHECK: attentionSimt<Shape, Tile>(Q{in0}, K{in1}, V{in2}, 0.125f, Score{}, Epilogue{out0}, NoLogSumExp{});

// Tensor cores, a Boolean mask.
// CHECK: #include "lathe/attention_mma.cuh"
// CHECK: using Shape = AttentionShape<8, 100, 100, 40, 40, false>;
// CHECK: using Tile = MmaAttentionTile<64, 64, 64>;
// CHECK: struct Score {
// CHECK: const i8 *in1;
// CHECK: return in1[(batch / 4) * 100 + key] ? score : hiddenScore();
// CHECK: attentionMma<Shape, Tile>(

// Heads of more than 128 places have no skeleton.
// CHECK: // attention_{{[0-9a-f]+}}
// CHECK: a thread per element
func.func @main(%q: tensor<2x100x4x64xf32> {lathe.name = "q"}, %k: tensor<2x100x2x64xf32> {lathe.name = "k"},
                %v: tensor<2x100x2x64xf32> {lathe.name = "v"}, %h: tensor<2x4x100x40xbf16> {lathe.name = "h"},
                %mask: tensor<2x1x1x100xi1> {lathe.name = "mask"}, %w: tensor<1x1x3x160xf32> {lathe.name = "w"})
    -> (tensor<2x100x256xf32> {lathe.name = "y"}, tensor<2x4x100x40xbf16> {lathe.name = "y1"}, tensor<1x1x3x160xf32> {lathe.name = "y2"}) {
  %0 = lathe.transpose %q {permutation = array<i64: 0, 2, 1, 3>} : (tensor<2x100x4x64xf32>) -> tensor<2x4x100x64xf32>
  %1 = lathe.transpose %k {permutation = array<i64: 0, 2, 1, 3>} : (tensor<2x100x2x64xf32>) -> tensor<2x2x100x64xf32>
  %2 = lathe.transpose %v {permutation = array<i64: 0, 2, 1, 3>} : (tensor<2x100x2x64xf32>) -> tensor<2x2x100x64xf32>
  %3 = lathe.attention %0, %1, %2 {causal} : (tensor<2x4x100x64xf32>, tensor<2x2x100x64xf32>, tensor<2x2x100x64xf32>) -> tensor<2x4x100x64xf32>
  %4 = lathe.transpose %3 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<2x4x100x64xf32>) -> tensor<2x100x4x64xf32>
  %5 = lathe.reshape %4 {shape = array<i64: 2, 100, 256>} : (tensor<2x100x4x64xf32>) -> tensor<2x100x256xf32>
  %6 = lathe.attention %h, %h, %h, %mask : (tensor<2x4x100x40xbf16>, tensor<2x4x100x40xbf16>, tensor<2x4x100x40xbf16>, tensor<2x1x1x100xi1>) -> tensor<2x4x100x40xbf16>
  %7 = lathe.attention %w, %w, %w : (tensor<1x1x3x160xf32>, tensor<1x1x3x160xf32>, tensor<1x1x3x160xf32>) -> tensor<1x1x3x160xf32>
  return %5, %6, %7 : tensor<2x100x256xf32>, tensor<2x4x100x40xbf16>, tensor<1x1x3x160xf32>
}
