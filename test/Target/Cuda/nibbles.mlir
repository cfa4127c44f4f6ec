// RUN: %lathe compile %s --emit cuda --arch sm_80 | FileCheck %s
//
// Weights of 4 bits are packed at load, two to a byte, and read from there.

// CHECK: //   lathe.pack
// CHECK: //   lathe.packed_matmul
// CHECK: struct B {
// CHECK: static constexpr bool alongK = false;
// CHECK: static constexpr int vector = 4;
// CHECK: const u8 *base;
// CHECK: const float *scale;
// CHECK: const Pack<u8, N> q = loadPack<N>(base + (column / 32 * 128 + row / 2) * 32 + column % 32);
// CHECK: const Pack<float, N> s = loadPack<N>(scale + (column / 32 * 4 + row / 64) * 32 + column % 32);
// CHECK: x.at[i] = (float)((q.at[i] >> row % 2 * 4 & 15) - 8) * s.at[i];
// CHECK: B{(const u8 *)in{{[0-9]+}}, in{{[0-9]+}}}
// CHECK: const bf16 *scale;
// CHECK: const Pack<bf16, N> s = loadPack<N>(scale + (column / 32 * 4 + row / 64) * 32 + column % 32);
// CHECK: x.at[i] = (float)((q.at[i] >> row % 2 * 4 & 15) - 8) * toFloat(s.at[i]);
lathe.parameter @weight : tensor<96x256xi8>
lathe.parameter @scale : tensor<96x4xf32>
lathe.parameter @narrow : tensor<96x4xbf16>
func.func @main(%x: tensor<64x256xf32> {lathe.name = "x"}) -> (tensor<64x96xf32> {lathe.name = "y"}, tensor<64x96xf32> {lathe.name = "z"}) {
  %weight = lathe.get_parameter @weight : tensor<96x256xi8>
  %scale = lathe.get_parameter @scale : tensor<96x4xf32>
  %zero = lathe.constant dense<0> : tensor<96x4xi8>
  %0 = lathe.dequantize %weight, %scale, %zero {group = 64 : i64, storage = !quant.any<i4:f32>} : (tensor<96x256xi8>, tensor<96x4xf32>, tensor<96x4xi8>) -> tensor<96x256xf32>
  %1 = lathe.linear %x, %0 : (tensor<64x256xf32>, tensor<96x256xf32>) -> tensor<64x96xf32>
  %narrow = lathe.get_parameter @narrow : tensor<96x4xbf16>
  %wide = lathe.cast %narrow to f32 : (tensor<96x4xbf16>) -> tensor<96x4xf32>
  %2 = lathe.dequantize %weight, %wide, %zero {group = 64 : i64, storage = !quant.any<i4:f32>} : (tensor<96x256xi8>, tensor<96x4xf32>, tensor<96x4xi8>) -> tensor<96x256xf32>
  %3 = lathe.linear %x, %2 : (tensor<64x256xf32>, tensor<96x256xf32>) -> tensor<64x96xf32>
  return %1, %3 : tensor<64x96xf32>, tensor<64x96xf32>
}
