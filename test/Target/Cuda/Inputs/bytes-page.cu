// quantize_105ac0
//   lathe.cast  bytes-page.mlir:13
// in0: ui8
// out0: f32
#include "lathe/device.cuh"

// a thread per element
extern "C" __global__ void __launch_bounds__(32)
quantize_105ac0(const i8 *__restrict__ in0, float *__restrict__ out0) {
  if (threadIdx.x != 0)
    return;
  const i8 s = in0[0];
  out0[0] = (float)(u8)s;
}

// linear_cast_mul_quantize_69c480
//   lathe.linear  bytes-page.mlir:10
//   lathe.cast  bytes-page.mlir:11
//   lathe.mul  bytes-page.mlir:12
//   lathe.div  bytes-page.mlir:13
//   lathe.round  bytes-page.mlir:13
//   lathe.add  bytes-page.mlir:13
//   lathe.cast  bytes-page.mlir:13
// in0: 512x768xui8
// in1: 768x768xi8
// in2: 768xi32
// in3: 768xf32
// in4: f32
// in5: f32
// out0: 512x768xui8
#include "lathe/device.cuh"
#include "lathe/gemm_mma.cuh"

// batch, m, n, k
using Shape = ProductShape<1, 512, 768, 768>;
// m, n of a block; m, n of a warp; stages
using Tile = MmaTile<64, 64, 32, 32, 4>;

struct A {
  using Element = u8;
  static constexpr bool alongK = true;
  static constexpr int vector = 16;
  const u8 *base;
  __device__ __forceinline__ const u8
  *at(int batch, int m, int k) const {
    return base + m * 768 + k;
  }
};

struct B {
  using Element = i8;
  static constexpr bool alongK = true;
  static constexpr int vector = 16;
  const i8 *base;
  __device__ __forceinline__ const i8
  *at(int batch, int n, int k) const {
    return base + n * 768 + k;
  }
};

struct Epilogue {
  using Sum = i32;
  static constexpr int lanes = 4;
  const i32 *in2;
  const float *in3;
  const float *in4;
  const float *in5;
  i8 *out0;
  __device__ __forceinline__ void
  operator()(int batch, int m, int n, const Pack<i32, 4> &sums) const {
    const Pack<i32, 4> x = loadPack<4>(in2 + n);
    const Pack<float, 4> x1 = loadPack<4>(in3 + n);
    const float x2 = in4[0];
    const float x3 = in5[0];
    Pack<i8, 4> y0;
    #pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float v = ((float)wrapAdd(sums.at[i], x.at[i]) * x1.at[i]) / x2;
      const float v1 = rintf(v) + x3;
      const bool v2 = v1 < 0.0f;
      const bool v3 = v1 >= 256.0f;
      const i8 v4 = v2 ? (i8)0 : (i8)(u8)(((v1 != v1) | (v2 | v3)) ? 0.0f : v1);
      y0.at[i] = v3 ? ((i8)-1) : v4;
    }
    storePack(out0 + m * 768 + n, y0);
  }
};

// a block per 64 x 64 of the result
extern "C" __global__ void __launch_bounds__(128, 4)
linear_cast_mul_quantize_69c480(const i8 *__restrict__ in0, const i8 *__restrict__ in1, const i32 *__restrict__ in2, const float *__restrict__ in3, const float *__restrict__ in4, const float *__restrict__ in5, i8 *__restrict__ out0) {
  gemmMma<Shape, Tile>(A{(const u8 *)in0}, B{in1}, Epilogue{in2, in3, in4, in5, out0});
}

