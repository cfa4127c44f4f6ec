//===- reduce.cuh - Many threads' values become one --------------*- CUDA
//-*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Trees of a fixed shape, so that the same input gives the same bits. Every
// thread that takes part gets the result.
//
//===----------------------------------------------------------------------===//

#pragma once

#include "lathe/device.cuh"

//===----------------------------------------------------------------------===//
// What two values become
//===----------------------------------------------------------------------===//

#define LATHE_JOIN(Name, expression)                                           \
  struct Name {                                                                \
    template <typename T> static __device__ __forceinline__ T join(T a, T b) { \
      return expression;                                                       \
    }                                                                          \
  };
LATHE_JOIN(Sum, a + b)
LATHE_JOIN(WrapSum, wrapAdd(a, b))
LATHE_JOIN(Product, a *b)
LATHE_JOIN(WrapProduct, wrapMul(a, b))
LATHE_JOIN(Maximum, maximum(a, b))
LATHE_JOIN(Minimum, minimum(a, b))
LATHE_JOIN(Larger, larger(a, b))
LATHE_JOIN(Smaller, smaller(a, b))
LATHE_JOIN(LargerUnsigned, ((u64)a > (u64)b ? a : b))
LATHE_JOIN(SmallerUnsigned, ((u64)a < (u64)b ? a : b))
LATHE_JOIN(And, (T)(a &b))
LATHE_JOIN(Or, (T)(a | b))
LATHE_JOIN(Xor, (T)(a ^ b))
#undef LATHE_JOIN

/// A value and where it stands; -1 where there is none yet.
template <typename T> struct Best {
  T value;
  i64 index;
};

/// The better of two. `Order::better(x, best)` says whether a later x takes the
/// place of an earlier one: of equal values the first stays, or the last if the
/// order prefers equals.
template <typename Order> struct Search {
  template <typename T> static __device__ __forceinline__ T join(T a, T b) {
    if (a.index < 0 || b.index < 0)
      return a.index < 0 ? b : a;
    const bool aWins = Order::better(a.value, b.value);
    const bool bWins = Order::better(b.value, a.value);
    if (aWins != bWins)
      return aWins ? a : b;
    return (a.index < b.index) == aWins ? b : a;
  }
};

//===----------------------------------------------------------------------===//
// Threads of a warp
//===----------------------------------------------------------------------===//

/// The value of the lane whose number differs by the bit `distance`; all lanes
/// of `mask` take part.
template <typename T> LATHE_FN T exchange(T x, int distance, u32 mask) {
  static_assert(sizeof(T) <= 4 || sizeof(T) % 4 == 0, "made of words");
  constexpr int words = sizeof(T) <= 4 ? 1 : sizeof(T) / 4;
  u32 bits[words] = {};
  copyBytes(bits, &x, sizeof(T));
#pragma unroll
  for (int i = 0; i < words; ++i)
    bits[i] = __shfl_xor_sync(mask, bits[i], distance);
  copyBytes(&x, bits, sizeof(T));
  return x;
}

/// Joins the values of `Width` neighbouring lanes (a power of two, at most 32).
template <typename Op, int Width, typename T> LATHE_FN T warpReduce(T x) {
  const u32 first = threadIdx.x % 32 / Width * Width;
  const u32 mask = Width == 32 ? 0xffffffffu : ((1u << Width) - 1) << first;
#pragma unroll
  for (int distance = Width / 2; distance > 0; distance /= 2)
    x = Op::join(x, exchange(x, distance, mask));
  return x;
}

//===----------------------------------------------------------------------===//
// Threads of a block
//===----------------------------------------------------------------------===//

/// Joins the values of all `Threads` threads of a block (a power of two, at
/// least 64).
template <typename Op, int Threads, typename T> LATHE_FN T blockReduce(T x) {
  constexpr int warps = Threads / 32;
  __shared__ T ofWarp[warps];
  x = warpReduce<Op, 32>(x);
  if (threadIdx.x % 32 == 0)
    ofWarp[threadIdx.x / 32] = x;
  __syncthreads();
  // Every warp does the rest, so that no second barrier is waited for by a
  // result.
  x = warpReduce<Op, warps>(ofWarp[threadIdx.x % warps]);
  // The next reduction writes to the same place.
  __syncthreads();
  return x;
}

/// Joins the values of the threads with the same x, in a block of 32 x `Lanes`
/// threads (a power of two).
template <typename Op, int Lanes, typename T> LATHE_FN T columnReduce(T x) {
  __shared__ T ofLane[Lanes][32];
  ofLane[threadIdx.y][threadIdx.x] = x;
  __syncthreads();
#pragma unroll
  for (int distance = Lanes / 2; distance > 0; distance /= 2) {
    if (threadIdx.y < distance)
      ofLane[threadIdx.y][threadIdx.x] =
          Op::join(ofLane[threadIdx.y][threadIdx.x],
                   ofLane[threadIdx.y + distance][threadIdx.x]);
    __syncthreads();
  }
  x = ofLane[0][threadIdx.x];
  // The next reduction writes to the same place.
  __syncthreads();
  return x;
}
