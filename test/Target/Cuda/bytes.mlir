// RUN: %lathe compile %s --emit cuda --arch sm_80 | FileCheck %s

// Each side says whether its bytes are signed; buffers are of signless ones.
// The bias is added in i32, and the rounding to bytes is part of the kernel.
// CHECK: // linear_cast_mul_quantize_{{[0-9a-f]+}}
// CHECK: // in0: 64x256xui8
// CHECK: // in1: 96x256xi8
// CHECK: // out0: 64x96xui8
// CHECK: #include "lathe/gemm_mma.cuh"
// CHECK: using Shape = ProductShape<1, 64, 96, 256>;
// CHECK: struct A {
// CHECK-NEXT: using Element = u8;
// CHECK-NEXT: static constexpr bool alongK = true;
// CHECK-NEXT: static constexpr int vector = 16;
// CHECK-NEXT: const u8 *base;
// CHECK: struct B {
// CHECK-NEXT: using Element = i8;
// CHECK: struct Epilogue {
// CHECK-NEXT: using Sum = i32;
// CHECK-NEXT: static constexpr int lanes = 4;
// CHECK: wrapAdd(sums.at[i], x.at[i])
// CHECK: storePack(out0 + m * 96 + n, y0);
// CHECK: gemmMma<Shape, Tile>(A{(const u8 *)in0}, B{in1}, Epilogue{

// A convolution of bytes reads its window where it is, padding as zero.
// CHECK: // conv_{{[0-9a-f]+}}
// CHECK: #include "lathe/gemm_mma.cuh"
// CHECK: struct A {
// CHECK-NEXT: using Element = i8;
// CHECK: struct B {
// CHECK-NEXT: using Element = u8;
// CHECK: __device__ __forceinline__ const u8
// CHECK-NEXT: *at(int batch, int n, int k) const {
// CHECK: return nullptr;
// CHECK: gemmMma<Shape, Tile>(A{in1}, B{(const u8 *)in0}, Epilogue{out0});

func.func @main(%x: tensor<64x256xui8> {lathe.name = "x"}, %w: tensor<96x256xi8> {lathe.name = "w"},
                %b: tensor<96xi32> {lathe.name = "b"}, %s: tensor<96xf32> {lathe.name = "s"},
                %t: tensor<f32> {lathe.name = "t"}, %z: tensor<ui8> {lathe.name = "z"},
                %image: tensor<1x8x9x9xui8> {lathe.name = "image"}, %filter: tensor<16x8x3x3xi8> {lathe.name = "filter"})
    -> (tensor<64x96xui8> {lathe.name = "y"}, tensor<1x16x9x9xi32> {lathe.name = "c"}) {
  %0 = lathe.linear %x, %w, %b : (tensor<64x256xui8>, tensor<96x256xi8>, tensor<96xi32>) -> tensor<64x96xi32>
  %1 = lathe.cast %0 to f32 : (tensor<64x96xi32>) -> tensor<64x96xf32>
  %2 = lathe.mul %1, %s : (tensor<64x96xf32>, tensor<96xf32>) -> tensor<64x96xf32>
  %3 = lathe.quantize %2, %t, %z : (tensor<64x96xf32>, tensor<f32>, tensor<ui8>) -> tensor<64x96xui8>
  %4 = lathe.conv %image, %filter {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (tensor<1x8x9x9xui8>, tensor<16x8x3x3xi8>) -> tensor<1x16x9x9xi32>
  return %3, %4 : tensor<64x96xui8>, tensor<1x16x9x9xi32>
}
