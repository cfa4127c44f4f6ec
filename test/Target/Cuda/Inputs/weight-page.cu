// dequantize_linear_f8097b
//   lathe.constant  weight-page.mlir:7
//   lathe.dequantize  weight-page.mlir:8
//   lathe.linear  weight-page.mlir:9
// in0: 96x256xi8
// in1: 96xf16
// in2: 64x256xf16
// out0: 64x96xf16
#include "lathe/device.cuh"
#include "lathe/gemm_mma.cuh"

// batch, m, n, k
using Shape = ProductShape<1, 64, 96, 256>;
// m, n of a block; m, n of a warp; stages
using Tile = MmaTile<32, 32, 16, 16, 4>;

struct A {
  using Element = f16;
  static constexpr bool alongK = true;
  static constexpr int vector = 8;
  const f16 *base;
  __device__ __forceinline__ const f16
  *at(int batch, int m, int k) const {
    return base + m * 256 + k;
  }
};

struct B {
  using Element = f16;
  static constexpr bool alongK = true;
  static constexpr int vector = 8;
  const i8 *base;
  const f16 *scale;
  template <int N>
  __device__ __forceinline__ Pack<f16, N>
  get(int batch, int n, int k) const {
    const Pack<i8, N> q = loadPack<N>(base + n * 256 + k);
    const float s = toFloat(scale[n]);
    Pack<f16, N> x;
    #pragma unroll
    for (int i = 0; i < N; ++i) {
      x.at[i] = toF16((float)q.at[i] * s);
    }
    return x;
  }
};

struct Epilogue {
  using Sum = float;
  static constexpr int lanes = 8;
  f16 *out0;
  __device__ __forceinline__ void
  operator()(int batch, int m, int n, const Pack<float, 8> &sums) const {
    Pack<f16, 8> y0;
    #pragma unroll
    for (int i = 0; i < 8; ++i) {
      y0.at[i] = toF16(sums.at[i]);
    }
    storePack(out0 + m * 96 + n, y0);
  }
};

// a block per 32 x 32 of the result
extern "C" __global__ void __launch_bounds__(128, 4)
dequantize_linear_f8097b(const i8 *__restrict__ in0, const f16 *__restrict__ in1, const f16 *__restrict__ in2, f16 *__restrict__ out0) {
  gemmMma<Shape, Tile>(A{in2}, B{in0, in1}, Epilogue{out0});
}

