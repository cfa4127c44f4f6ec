// RUN: %lathe compile %s --emit cuda --arch sm_90a | FileCheck %s --check-prefixes=ALL,NEW
// RUN: %lathe compile %s --emit cuda --arch sm_80 | FileCheck %s --check-prefixes=ALL,OLD
//
// 8-bit floats on tensor cores, and as f16 where those do not know them.

// ALL: // in0: 64x256xf8E4M3FN
// NEW: using Element = e4m3;
// NEW: *at(int batch, int m, int k) const
// NEW: using Element = e4m3;
// OLD: using Element = f16;
// OLD: const e4m3 *base;
// OLD: get(int batch, int m, int k) const
// OLD: x.at[i] = toF16(toFloat(q.at[i]));
// OLD: using Element = f16;
// ALL: gemmMma<Shape, Tile>(A{in0}, B{in1},
func.func @main(%x: tensor<64x256xf8E4M3FN> {lathe.name = "x"}, %weight: tensor<96x256xf8E4M3FN> {lathe.name = "weight"}) -> (tensor<64x96xf32> {lathe.name = "y"}) {
  %0 = lathe.linear %x, %weight : (tensor<64x256xf8E4M3FN>, tensor<96x256xf8E4M3FN>) -> tensor<64x96xf32>
  return %0 : tensor<64x96xf32>
}
