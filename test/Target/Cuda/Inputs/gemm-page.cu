// linear_add_22f617
//   lathe.linear  gemm-page.mlir:12
//   lathe.add  gemm-page.mlir:13
// in0: 512x3072xf16
// in1: 768x3072xf16
// in2: 768xf16
// in3: 512x768xf16
// out0: 512x768xf16
#include "lathe/device.cuh"
#include "lathe/gemm_mma.cuh"

// batch, m, n, k; parts of k, their depth
using Shape = ProductShape<1, 512, 768, 3072, 4, 768>;
// m, n of a block; m, n of a warp; stages
using Tile = MmaTile<128, 128, 64, 32, 3>;

struct A {
  using Element = f16;
  static constexpr bool alongK = true;
  static constexpr int vector = 8;
  const f16 *base;
  __device__ __forceinline__ const f16
  *at(int batch, int m, int k) const {
    return base + m * 3072 + k;
  }
};

struct B {
  using Element = f16;
  static constexpr bool alongK = true;
  static constexpr int vector = 8;
  const f16 *base;
  __device__ __forceinline__ const f16
  *at(int batch, int n, int k) const {
    return base + n * 3072 + k;
  }
};

struct Epilogue {
  using Sum = float;
  static constexpr int lanes = 8;
  const f16 *in2;
  const f16 *in3;
  f16 *out0;
  __device__ __forceinline__ void
  operator()(int batch, int m, int n, const Pack<float, 8> &sums) const {
    const Pack<f16, 8> x = loadPack<8>(in2 + n);
    const Pack<f16, 8> x1 = loadPack<8>(in3 + m * 768 + n);
    Pack<f16, 8> y0;
    #pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float v = toFloat(toF16((sums.at[i] + toFloat(x.at[i])))) + toFloat(x1.at[i]);
      y0.at[i] = toF16(v);
    }
    storePack(out0 + m * 768 + n, y0);
  }
};

// a block per 128 x 128 of the result and part of k
extern "C" __global__ void __launch_bounds__(256, 1)
linear_add_22f617(const f16 *__restrict__ in0, const f16 *__restrict__ in1, const f16 *__restrict__ in2, const f16 *__restrict__ in3, f16 *__restrict__ out0, u8 *__restrict__ scratch) {
  gemmMma<Shape, Tile>(A{in0}, B{in1}, PartialSums<Shape, float>{(float *)scratch});
}

// the parts of each sum, in their order
extern "C" __global__ void __launch_bounds__(256)
linear_add_22f617_1(const f16 *__restrict__ in0, const f16 *__restrict__ in1, const f16 *__restrict__ in2, const f16 *__restrict__ in3, f16 *__restrict__ out0, u8 *__restrict__ scratch) {
  joinParts<Shape>((const float *)scratch, Epilogue{in2, in3, out0});
}

