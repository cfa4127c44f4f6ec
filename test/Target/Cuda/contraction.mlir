// RUN: %lathe compile %s --emit cuda --arch sm_90a | FileCheck %s
// RUN: %lathe compile %s --emit cuda --arch sm_80 | FileCheck %s --check-prefix=OLDER

// A dense layer: the epilogue takes four columns at a time, its bias as a
// vector; the product is exact f32.
// CHECK: // [[NAME:linear_gelu_[0-9a-f]+]]
// CHECK: #include "lathe/gemm_simt.cuh"
// CHECK: using Shape = ProductShape<1, 128, 3072, 768>;
// CHECK: using Tile = SimtTile<64, 64, 16, 8, 4, 3>;
// CHECK: struct A {
// CHECK: static constexpr bool alongK = true;
// CHECK: static constexpr int vector = 4;
// CHECK: return base + m * 768 + k;
// CHECK: struct B {
// CHECK: return base + n * 768 + k;
// CHECK: struct Epilogue {
// CHECK: static constexpr int lanes = 4;
// CHECK: const Pack<float, 4> x = loadPack<4>(in2 + n);
// CHECK: const float v = sums.at[i] + x.at[i];
// CHECK: storePack(out0 + m * 3072 + n, y0);
// CHECK: extern "C" __global__ void __launch_bounds__(128, 4)
// CHECK: [[NAME]](
// CHECK: gemmSimt<Shape, Tile>(A{in0}, B{in1}, Epilogue{in2, out0});

// Few tiles and a deep k: two grids, with scratch.
// CHECK: // [[DEEP:linear_[0-9a-f]+]]
// CHECK: using Shape = ProductShape<1, 16, 64, 4096, [[PARTS:[0-9]+]], {{[0-9]+}}>;
// CHECK: [[DEEP]]({{.*}}, u8 *__restrict__ scratch)
// CHECK: gemmSimt<Shape, Tile>(A{in0}, B{in1}, PartialSums<Shape, float>{(float *)scratch});
// CHECK: [[DEEP]]_1({{.*}}, u8 *__restrict__ scratch)
// CHECK: joinParts<Shape>((const float *)scratch, Epilogue{out0});

// Tensor cores; both sides transposed, so that neighbours are along m and k;
// heads are views.
// CHECK: // [[HALF:matmul_[0-9a-f]+]]
// CHECK: #include "lathe/gemm_mma.cuh"
// CHECK: using Shape = ProductShape<6, 40, 24, 32>;
// CHECK: using Tile = MmaTile<
// CHECK: struct A {
// CHECK: using Element = bf16;
// CHECK: static constexpr bool alongK = false;
// CHECK: static constexpr int vector = 8;
// CHECK: return base + (batch / 3) * 1280 + m + k * 40;
// CHECK: struct B {
// CHECK: static constexpr bool alongK = true;
// CHECK: return base + (batch % 3) * 768 + n * 32 + k;
// CHECK: gemmMma<Shape, Tile>(A{in0}, B{in1}, Epilogue{out0});

// One right-hand side for the whole batch: its rows are rows of one product.
// An odd number of columns has no vectors.
// CHECK: using Shape = ProductShape<1, 35, 9, 11>;
// CHECK: static constexpr int vector = 1;
// CHECK: static constexpr int lanes = 1;

// CHECK: nothing to compute

// Large enough for tiles of 256 x 128 by warp groups, where there are such;
// lines are multiples of 16 bytes, and so TMA brings them.
// CHECK: using Shape = ProductShape<1, 4096, 4096, 64>;
// CHECK: using Tile = TmaTile<256, 4>;
// CHECK: struct A {
// CHECK-NEXT: using Element = f16;
// CHECK-NEXT: static constexpr bool alongK = true;
// CHECK-NEXT: static constexpr bool hasBatch = false;
// CHECK: const TensorMap &tensor;
// CHECK: __launch_bounds__(384, 1)
// CHECK: f16 *__restrict__ out0, const __grid_constant__ TensorMap tensorA, const __grid_constant__ TensorMap tensorB)
// CHECK: gemmTma<Shape, Tile>(A{tensorA}, B{tensorB}, Epilogue{out0});
// OLDER: using Shape = ProductShape<1, 4096, 4096, 64>;
// OLDER: using Tile = MmaTile<128, 128, 64, 32, 3>;

func.func @main(%x: tensor<128x768xf32> {lathe.name = "x"}, %w: tensor<3072x768xf32> {lathe.name = "w"},
                %b: tensor<3072xf32> {lathe.name = "b"},
                %x1: tensor<16x4096xf32> {lathe.name = "x1"}, %w1: tensor<64x4096xf32> {lathe.name = "w1"},
                %x2: tensor<2x1x32x40xbf16> {lathe.name = "x2"}, %w2: tensor<1x3x24x32xbf16> {lathe.name = "w2"},
                %x3: tensor<5x7x11xf32> {lathe.name = "x3"}, %w3: tensor<11x9xf32> {lathe.name = "w3"},
                %x4: tensor<0x4xf32> {lathe.name = "x4"}, %w4: tensor<4x3xf32> {lathe.name = "w4"},
                %x5: tensor<4096x64xf16> {lathe.name = "x5"}, %w5: tensor<4096x64xf16> {lathe.name = "w5"})
    -> (tensor<128x3072xf32> {lathe.name = "y"}, tensor<16x64xf32> {lathe.name = "y1"},
        tensor<2x3x40x24xbf16> {lathe.name = "y2"}, tensor<5x7x9xf32> {lathe.name = "y3"},
        tensor<0x3xf32> {lathe.name = "y4"}, tensor<4096x4096xf16> {lathe.name = "y5"}) {
  %0 = lathe.linear %x, %w, %b : (tensor<128x768xf32>, tensor<3072x768xf32>, tensor<3072xf32>) -> tensor<128x3072xf32>
  %1 = lathe.gelu %0 : (tensor<128x3072xf32>) -> tensor<128x3072xf32>
  %2 = lathe.linear %x1, %w1 : (tensor<16x4096xf32>, tensor<64x4096xf32>) -> tensor<16x64xf32>
  %3 = lathe.matmul %x2, %w2 {transpose_lhs, transpose_rhs} : (tensor<2x1x32x40xbf16>, tensor<1x3x24x32xbf16>) -> tensor<2x3x40x24xbf16>
  %4 = lathe.matmul %x3, %w3 : (tensor<5x7x11xf32>, tensor<11x9xf32>) -> tensor<5x7x9xf32>
  %5 = lathe.matmul %x4, %w4 : (tensor<0x4xf32>, tensor<4x3xf32>) -> tensor<0x3xf32>
  %6 = lathe.linear %x5, %w5 : (tensor<4096x64xf16>, tensor<4096x64xf16>) -> tensor<4096x4096xf16>
  return %1, %2, %3, %4, %5, %6 : tensor<128x3072xf32>, tensor<16x64xf32>, tensor<2x3x40x24xbf16>, tensor<5x7x9xf32>, tensor<0x3xf32>, tensor<4096x4096xf16>
}
