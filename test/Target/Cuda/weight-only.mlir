// RUN: %lathe compile %s --emit cuda --arch sm_80 | FileCheck %s
// RUN: %lathe compile %s --emit kernels --target cuda | FileCheck %s --check-prefix=KERNELS

// A weight in bytes is dequantized where the product reads it, although it is
// known when the model is loaded: floats would be four times as many bytes.
// KERNELS: lathe.kernel "dequantize_linear_relu" schedule "contraction"
// KERNELS: lathe.dequantize
// KERNELS-NEXT: lathe.linear
// CHECK: // dequantize_linear_relu_{{[0-9a-f]+}}
// CHECK: // in{{[0-9]}}: 96x256xi8
// CHECK: #include "lathe/gemm_mma.cuh"
// CHECK: struct B {
// CHECK-NEXT: using Element = f16;
// CHECK-NEXT: static constexpr bool alongK = true;
// CHECK-NEXT: static constexpr int vector = 8;
// CHECK-NEXT: const i8 *base;
// CHECK-NEXT: const f16 *scale;
// CHECK-NEXT: template <int N>
// CHECK-NEXT: __device__ __forceinline__ Pack<f16, N>
// CHECK-NEXT: get(int batch, int n, int k) const {
// CHECK-NEXT: const Pack<i8, N> q = loadPack<N>(base + n * 256 + k);
// CHECK-NEXT: const float s = toFloat(scale[n]);
// CHECK-NEXT: Pack<f16, N> x;
// CHECK-NEXT: #pragma unroll
// CHECK-NEXT: for (int i = 0; i < N; ++i) {
// CHECK-NEXT: x.at[i] = toF16((float)q.at[i] * s);
// CHECK-NEXT: }
// CHECK-NEXT: return x;

// f32 is computed exactly; the zero point of a row of k is that of its bytes.
// KERNELS: lathe.kernel "dequantize_matmul" schedule "contraction"
// CHECK: // dequantize_matmul_{{[0-9a-f]+}}
// CHECK: #include "lathe/gemm_simt.cuh"
// CHECK: struct B {
// CHECK: const u8 *base;
// CHECK-NEXT: const float *scale;
// CHECK-NEXT: const u8 *zero;
// CHECK: const float s = scale[k];
// CHECK-NEXT: const float z = (float)zero[k];
// CHECK: x.at[i] = ((float)q.at[i] - z) * s;

// Floats that two products read are made once.
// KERNELS-NOT: dequantize_
lathe.parameter @w : tensor<96x256xi8>
lathe.parameter @s : tensor<96xf16>
func.func @main(%x: tensor<64x256xf16> {lathe.name = "x"}, %a: tensor<8x33xf32> {lathe.name = "a"},
                %b: tensor<33x40xui8> {lathe.name = "b"}, %t: tensor<33xf32> {lathe.name = "t"}, %z: tensor<33xui8> {lathe.name = "z"},
                %c: tensor<8x16xi8> {lathe.name = "c"}, %u: tensor<f32> {lathe.name = "u"}, %e: tensor<4x16xf32> {lathe.name = "e"})
    -> (tensor<64x96xf16> {lathe.name = "y"}, tensor<8x40xf32> {lathe.name = "y1"}, tensor<4x8xf32> {lathe.name = "y2"}, tensor<4x8xf32> {lathe.name = "y3"}) {
  %w = lathe.get_parameter @w : tensor<96x256xi8>
  %s = lathe.get_parameter @s : tensor<96xf16>
  %none = lathe.constant dense<0> : tensor<96xi8>
  %0 = lathe.dequantize %w, %s, %none {axis = 0 : i64} : (tensor<96x256xi8>, tensor<96xf16>, tensor<96xi8>) -> tensor<96x256xf16>
  %1 = lathe.linear %x, %0 : (tensor<64x256xf16>, tensor<96x256xf16>) -> tensor<64x96xf16>
  %2 = lathe.relu %1 : (tensor<64x96xf16>) -> tensor<64x96xf16>
  %3 = lathe.dequantize %b, %t, %z {axis = 0 : i64} : (tensor<33x40xui8>, tensor<33xf32>, tensor<33xui8>) -> tensor<33x40xf32>
  %4 = lathe.matmul %a, %3 : (tensor<8x33xf32>, tensor<33x40xf32>) -> tensor<8x40xf32>
  %zero = lathe.constant dense<0> : tensor<i8>
  %5 = lathe.dequantize %c, %u, %zero : (tensor<8x16xi8>, tensor<f32>, tensor<i8>) -> tensor<8x16xf32>
  %6 = lathe.linear %e, %5 : (tensor<4x16xf32>, tensor<8x16xf32>) -> tensor<4x8xf32>
  %7 = lathe.neg %e : (tensor<4x16xf32>) -> tensor<4x16xf32>
  %8 = lathe.linear %7, %5 : (tensor<4x16xf32>, tensor<8x16xf32>) -> tensor<4x8xf32>
  return %2, %4, %6, %8 : tensor<64x96xf16>, tensor<8x40xf32>, tensor<4x8xf32>, tensor<4x8xf32>
}
