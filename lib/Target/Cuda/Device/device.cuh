//===- device.cuh - What every kernel's text builds on -----------*- CUDA
//-*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Element types, conversions and arithmetic with the meaning of Lathe's ops. No
// header of the toolkit is included: they would take longer to compile than the
// kernels. Where the host's text differs, LATHE_HOST tells the two apart.
//
//===----------------------------------------------------------------------===//

#pragma once

#ifdef __CUDACC__
#define LATHE_HOST 0
#else
#define LATHE_HOST 1
#include "lathe/sim.cuh"
#endif

typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define LATHE_FN static __device__ __forceinline__
/// The same in a class, behind `static` where it is one.
#define LATHE_MEMBER __device__ __forceinline__

//===----------------------------------------------------------------------===//
// Bits
//===----------------------------------------------------------------------===//

#if LATHE_HOST
#define copyBytes __builtin_memcpy
#else
#define copyBytes memcpy
#endif

template <typename To, typename From> LATHE_FN To bitCast(From from) {
  static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
  To to;
  copyBytes(&to, &from, sizeof(To));
  return to;
}
LATHE_FN float floatFromBits(u32 bits) { return bitCast<float>(bits); }
LATHE_FN double doubleFromBits(u64 bits) { return bitCast<double>(bits); }

//===----------------------------------------------------------------------===//
// 8- and 16-bit floats: storage only, arithmetic is done in float
//===----------------------------------------------------------------------===//

struct f16 {
  u16 bits;
};
struct bf16 {
  u16 bits;
};
/// e4m3fn: up to 448, no infinities, NaN where the last seven bits are ones.
struct e4m3 {
  u8 bits;
};

LATHE_FN float toFloat(f16 x) {
#if LATHE_HOST
  return (float)bitCast<_Float16>(x.bits);
#else
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.bits));
  return r;
#endif
}
/// Rounds to nearest, ties to even.
LATHE_FN f16 toF16(float x) {
#if LATHE_HOST
  return {bitCast<u16>((_Float16)x)};
#else
  f16 r;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
  return r;
#endif
}
LATHE_FN float toFloat(bf16 x) { return floatFromBits((u32)x.bits << 16); }
/// Rounds to nearest, ties to even; NaN stays NaN.
LATHE_FN bf16 toBF16(float x) {
#if !LATHE_HOST
  bf16 r;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
  return r;
#else
  u32 bits = bitCast<u32>(x);
  if (x != x)
    return {(u16)((bits >> 16) | 0x40)};
  return {(u16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
#endif
}

LATHE_FN float toFloat(e4m3 x) {
#if !LATHE_HOST && __CUDA_ARCH__ >= 890
  u32 pair;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pair) : "h"((u16)x.bits));
  return toFloat(f16{(u16)pair});
#else
  // As an f16 of another bias.
  const u32 size = x.bits & 0x7f;
  const float value = toFloat(f16{(u16)(size << 7)}) * 256.0f;
  const u32 word = size == 0x7f ? 0x7fc00000u : bitCast<u32>(value);
  return floatFromBits(word | (u32)(x.bits & 0x80) << 24);
#endif
}
/// Rounds to nearest, ties to even; what is too large becomes 448, NaN stays.
LATHE_FN e4m3 toE4M3(float x) {
#if !LATHE_HOST && __CUDA_ARCH__ >= 890
  u16 pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;"
      : "=h"(pair)
      : "f"(0.0f), "f"(x));
  return {(u8)pair};
#else
  const u32 word = bitCast<u32>(x), size = word & 0x7fffffffu;
  u32 result;
  if (size > 0x7f800000u)
    result = 0x7f;
  else if (size >= 0x43e00000u) // 448
    result = 0x7e;
  else if (size < 0x3c800000u) // 2^-6: the sum's last bit counts 2^-9
    result = bitCast<u32>(floatFromBits(size) + 16384.0f) - 0x46800000u;
  else
    result = (size - (120u << 23) + 0x7ffffu + (size >> 20 & 1)) >> 20;
  return {(u8)(result | (word >> 24 & 0x80))};
#endif
}

//===----------------------------------------------------------------------===//
// Integers: sums, differences and products wrap around
//===----------------------------------------------------------------------===//

#define LATHE_WRAPPING(Type, Unsigned)                                         \
  LATHE_FN Type wrapAdd(Type a, Type b) {                                      \
    return (Type)((Unsigned)a + (Unsigned)b);                                  \
  }                                                                            \
  LATHE_FN Type wrapSub(Type a, Type b) {                                      \
    return (Type)((Unsigned)a - (Unsigned)b);                                  \
  }                                                                            \
  LATHE_FN Type wrapMul(Type a, Type b) {                                      \
    return (Type)((Unsigned)a * (Unsigned)b);                                  \
  }
LATHE_WRAPPING(i8, u32)
LATHE_WRAPPING(i16, u32)
LATHE_WRAPPING(i32, u32)
LATHE_WRAPPING(i64, u64)
#undef LATHE_WRAPPING

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

/// NaN wins, as in numpy.maximum and numpy.minimum.
template <typename T> LATHE_FN T maximum(T a, T b) {
  return a != a ? a : b != b ? b : a > b ? a : b;
}
template <typename T> LATHE_FN T minimum(T a, T b) {
  return a != a ? a : b != b ? b : a < b ? a : b;
}
/// A number wins over NaN, as in fmax and fmin.
template <typename T> LATHE_FN T maxNumber(T a, T b) {
  return a != a ? b : b != b ? a : a > b ? a : b;
}
template <typename T> LATHE_FN T minNumber(T a, T b) {
  return a != a ? b : b != b ? a : a < b ? a : b;
}

template <typename T> LATHE_FN T smaller(T a, T b) { return a < b ? a : b; }
template <typename T> LATHE_FN T larger(T a, T b) { return a > b ? a : b; }

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// Shared memory whose size the launch decides, aligned to 1024 bytes.
LATHE_FN unsigned char *dynamicShared() {
#if LATHE_HOST
  return (unsigned char *)lathe_sim_dynamic_shared();
#else
  extern __shared__ __align__(1024) unsigned char latheDynamicShared[];
  return latheDynamicShared;
#endif
}

/// `N` neighbouring elements, moved in one instruction where they fill 4, 8 or
/// 16 bytes and stand at a multiple of that.
template <typename T, int N> struct alignas(sizeof(T) * N) Pack {
  T at[N];
};
template <int N, typename T> LATHE_FN Pack<T, N> loadPack(const T *from) {
#if LATHE_HOST
  // The host's buffers begin anywhere, the device's at multiples of 256: the
  // simulator checks the distance from the beginning.
  lathe_sim_vector_access(from, sizeof(Pack<T, N>));
  Pack<T, N> pack;
  copyBytes(&pack, from, sizeof(pack));
  return pack;
#else
  return *(const Pack<T, N> *)from;
#endif
}
template <int N, typename T>
LATHE_FN void storePack(T *to, const Pack<T, N> &pack) {
#if LATHE_HOST
  lathe_sim_vector_access(to, sizeof(Pack<T, N>));
  copyBytes(to, &pack, sizeof(pack));
#else
  *(Pack<T, N> *)to = pack;
#endif
}
