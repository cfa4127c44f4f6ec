//===- sim.cuh - CUDA's built-ins on the host --------------------*- CUDA
//-*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What NVRTC knows without a header, for the host compiler: the text of a
// kernel compiles unchanged, and lib/Runtime/Sim runs it. Nothing is included,
// so that a kernel compiles in a twentieth of a second.
//
// The functions lathe_sim_* are the simulator's. Device helpers whose PTX has a
// host body (mma, ldmatrix, mbarriers, TMA) build on those of the section "For
// models of instructions".
//
//===----------------------------------------------------------------------===//

#pragma once

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
/// With emulated TLS the simulator gives every block its own copy. `used`, lest
/// the compiler knows what stands in a variable that nobody writes.
#define __shared__ __attribute__((used)) static thread_local
#define __constant__ static
// A barrier changes memory behind the compiler's back; on the host it is a mere
// call, which by the rules of restrict could not.
#define __restrict__
#define __restrict

#define LATHE_SIM_FN static inline __attribute__((always_inline))
// What threads do together is neither copied into branches nor merged from
// them.
#define LATHE_SIM_TOGETHER __attribute__((convergent, nomerge))

//===----------------------------------------------------------------------===//
// What the wrapper of a kernel says of a launch; the same in Runtime/Sim.h
//===----------------------------------------------------------------------===//

/// One pointer argument.
struct LatheSimArgument {
  long long bytes;
  unsigned elementBytes;
  unsigned alignment; ///< the text relies on this and no more; 0: 256 bytes
  unsigned output;    ///< 1: written; an element nobody writes is an error
  unsigned partial;   ///< 1: an output that may keep elements nobody wrote
};

struct LatheSimLaunch {
  unsigned structBytes; ///< sizeof(LatheSimLaunch)
  unsigned checked;     ///< 1: compiled with checks
  const char *kernel;
  unsigned grid[3], block[3], cluster[3];
  unsigned dynamicShared; ///< bytes
  unsigned fibers;        ///< 0: no barrier, no collective
  unsigned number;        ///< of this grid in its kernel, from 0
  unsigned grids;         ///< of the kernel
  unsigned argumentCount;
  const LatheSimArgument *arguments;
  long long scratchBytes; ///< 0: none; otherwise the last argument
};

extern "C" {
/// Runs the blocks [begin, end) of a grid; `kernel` calls the __global__
/// function with the pointers in `args` (and scratch behind them, where there
/// is some).
void lathe_sim_launch(const LatheSimLaunch *launch, void (*kernel)(void **args),
                      void **args, void *scratch, long long begin,
                      long long end);
}

/// What cuTensorMapEncodeTiled gets: a tensor, the innermost dim first, and a
/// box of it; the same in Runtime/Sim/Async.h.
struct LatheSimTensorMap {
  const void *base;
  unsigned elementBytes, rank;
  unsigned long long dims[5];    ///< elements
  unsigned long long strides[4]; ///< bytes, of dims 1 and up
  unsigned box[5];               ///< elements
  unsigned swizzle;              ///< bytes: 0, 32, 64 or 128
};

//===----------------------------------------------------------------------===//
// Where a thread is
//===----------------------------------------------------------------------===//

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1)
      : x(x), y(y), z(z) {}
};

extern "C" {
// By value: reading a member is no memory access that would be checked.
__attribute__((const)) uint3 lathe_sim_thread_idx();
__attribute__((const)) uint3 lathe_sim_block_idx();
__attribute__((const)) uint3 lathe_sim_block_dim();
__attribute__((const)) uint3 lathe_sim_grid_dim();
__attribute__((const)) void *lathe_sim_dynamic_shared();
}
#define threadIdx (lathe_sim_thread_idx())
#define blockIdx (lathe_sim_block_idx())
#define blockDim (lathe_sim_block_dim())
#define gridDim (lathe_sim_grid_dim())
static constexpr int warpSize = 32;

//===----------------------------------------------------------------------===//
// Barriers and warp collectives
//===----------------------------------------------------------------------===//

extern "C" {
enum LatheSimBarrier { kSimSync, kSimCount, kSimAnd, kSimOr };
LATHE_SIM_TOGETHER int lathe_sim_syncthreads(int kind, int predicate);
/// bar.sync id, threads (wait = 1) or bar.arrive id, threads (wait = 0).
LATHE_SIM_TOGETHER void lathe_sim_named_barrier(int id, int threads, int wait);
LATHE_SIM_TOGETHER void lathe_sim_syncwarp(unsigned mask);
enum LatheSimShuffle { kSimIndex, kSimUp, kSimDown, kSimXor };
LATHE_SIM_TOGETHER unsigned long long lathe_sim_shfl(int kind, unsigned mask,
                                                     unsigned long long value,
                                                     int lane, int width);
/// The lanes of `mask` whose predicate is not 0.
LATHE_SIM_TOGETHER unsigned lathe_sim_ballot(unsigned mask, int predicate);
LATHE_SIM_TOGETHER unsigned lathe_sim_activemask();
}

LATHE_SIM_FN void __syncthreads() { lathe_sim_syncthreads(kSimSync, 0); }
LATHE_SIM_FN int __syncthreads_count(int predicate) {
  return lathe_sim_syncthreads(kSimCount, predicate);
}
LATHE_SIM_FN int __syncthreads_and(int predicate) {
  return lathe_sim_syncthreads(kSimAnd, predicate);
}
LATHE_SIM_FN int __syncthreads_or(int predicate) {
  return lathe_sim_syncthreads(kSimOr, predicate);
}
LATHE_SIM_FN void __syncwarp(unsigned mask = 0xffffffff) {
  lathe_sim_syncwarp(mask);
}
LATHE_SIM_FN void __threadfence() { __asm__ volatile("" ::: "memory"); }
LATHE_SIM_FN void __threadfence_block() { __asm__ volatile("" ::: "memory"); }

template <typename T>
LATHE_SIM_FN T latheSimShuffle(int kind, unsigned mask, T value, int lane,
                               int width) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  unsigned long long bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = lathe_sim_shfl(kind, mask, bits, lane, width);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}
template <typename T>
LATHE_SIM_FN T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  return latheSimShuffle(kSimIndex, mask, value, lane, width);
}
template <typename T>
LATHE_SIM_FN T __shfl_up_sync(unsigned mask, T value, unsigned by,
                              int width = 32) {
  return latheSimShuffle(kSimUp, mask, value, (int)by, width);
}
template <typename T>
LATHE_SIM_FN T __shfl_down_sync(unsigned mask, T value, unsigned by,
                                int width = 32) {
  return latheSimShuffle(kSimDown, mask, value, (int)by, width);
}
template <typename T>
LATHE_SIM_FN T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32) {
  return latheSimShuffle(kSimXor, mask, value, by, width);
}
LATHE_SIM_FN unsigned __ballot_sync(unsigned mask, int predicate) {
  return lathe_sim_ballot(mask, predicate);
}
LATHE_SIM_FN int __any_sync(unsigned mask, int predicate) {
  return lathe_sim_ballot(mask, predicate) != 0;
}
LATHE_SIM_FN int __all_sync(unsigned mask, int predicate) {
  return lathe_sim_ballot(mask, !predicate) == 0;
}
LATHE_SIM_FN unsigned __activemask() { return lathe_sim_activemask(); }

//===----------------------------------------------------------------------===//
// Atomics, for integers: floats have none, because their sums would depend on
// the order
//===----------------------------------------------------------------------===//

#define LATHE_SIM_ATOMICS(T)                                                   \
  LATHE_SIM_FN T atomicAdd(T *at, T value) {                                   \
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);                    \
  }                                                                            \
  LATHE_SIM_FN T atomicExch(T *at, T value) {                                  \
    return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);                   \
  }                                                                            \
  LATHE_SIM_FN T atomicCAS(T *at, T expected, T value) {                       \
    __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_RELAXED, \
                                __ATOMIC_RELAXED);                             \
    return expected;                                                           \
  }                                                                            \
  LATHE_SIM_FN T atomicAnd(T *at, T value) {                                   \
    return __atomic_fetch_and(at, value, __ATOMIC_RELAXED);                    \
  }                                                                            \
  LATHE_SIM_FN T atomicOr(T *at, T value) {                                    \
    return __atomic_fetch_or(at, value, __ATOMIC_RELAXED);                     \
  }                                                                            \
  LATHE_SIM_FN T atomicXor(T *at, T value) {                                   \
    return __atomic_fetch_xor(at, value, __ATOMIC_RELAXED);                    \
  }                                                                            \
  LATHE_SIM_FN T atomicMax(T *at, T value) {                                   \
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);                             \
    while (old < value &&                                                      \
           !__atomic_compare_exchange_n(at, &old, value, false,                \
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) { \
    }                                                                          \
    return old;                                                                \
  }                                                                            \
  LATHE_SIM_FN T atomicMin(T *at, T value) {                                   \
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);                             \
    while (value < old &&                                                      \
           !__atomic_compare_exchange_n(at, &old, value, false,                \
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) { \
    }                                                                          \
    return old;                                                                \
  }
LATHE_SIM_ATOMICS(int)
LATHE_SIM_ATOMICS(unsigned)
LATHE_SIM_ATOMICS(unsigned long long)
#undef LATHE_SIM_ATOMICS

//===----------------------------------------------------------------------===//
// For models of instructions
//===----------------------------------------------------------------------===//

/// A function that only computes: its accesses are not checked.
#define LATHE_SIM_MODEL static __attribute__((noinline, no_sanitize("thread")))

extern "C" {
/// The lanes of a warp meet. Every lane brings `size` bytes and gets those of
/// all 32 in `all`; lanes the block does not have are left as they are. Like
/// mma and ldmatrix it orders no memory accesses.
LATHE_SIM_TOGETHER void lathe_sim_warp_exchange(void *mine, int size,
                                                void *all);
/// The threads of a group (a warp: 32, a warp group: 128) meet; the last one
/// runs `body` once for all, with the `mine` of each in order.
LATHE_SIM_TOGETHER void lathe_sim_group_call(int threads, void *mine,
                                             void (*body)(void **mine));

/// The same later: what each thread brings is kept, and `body` runs when a
/// thread waits until at most `groupsLeft` groups of such calls are open. A
/// commit closes a group (wgmma).
LATHE_SIM_TOGETHER void lathe_sim_group_defer(int threads, void *mine, int size,
                                              void (*body)(void **mine));
void lathe_sim_group_commit();
void lathe_sim_group_wait(int groupsLeft);

/// Sleeps until ready(state); `what` names it in the message about a deadlock.
LATHE_SIM_TOGETHER void lathe_sim_wait(bool (*ready)(void *state), void *state,
                                       const char *what);
/// What this thread did, and what it knows to be done, is known to those that
/// acquire `object` afterwards: an arrival at an mbarrier, and its wait.
void lathe_sim_release(const void *object);
void lathe_sim_acquire(const void *object);

/// cp.async: the bytes arrive at the wait, as late as they may. Bytes beyond
/// `sourceBytes` are zero.
void lathe_sim_cp_async(void *shared, const void *global, int bytes,
                        int sourceBytes);
void lathe_sim_cp_async_commit();
void lathe_sim_cp_async_wait(int groupsLeft);

/// mbarriers: `count` arrivals that expect `bytes` of boxes besides; a wait for
/// the end of the phase of this parity; what this thread initialized is shown
/// to copies of boxes (fence.mbarrier_init), and what it wrote to wgmma, too
/// (fence.proxy.async).
void lathe_sim_mbarrier_init(void *at, unsigned count);
LATHE_SIM_TOGETHER void lathe_sim_mbarrier_arrive(void *at, unsigned count,
                                                  unsigned bytes);
LATHE_SIM_TOGETHER void lathe_sim_mbarrier_wait(void *at, unsigned parity);
void lathe_sim_mbarrier_fence();
void lathe_sim_proxy_fence();
/// cp.async.bulk.tensor: starts the copy of the box at `place`, a coordinate
/// per dim, the innermost first. It arrives as late as it may.
void lathe_sim_copy_box(void *to, const LatheSimTensorMap *map,
                        const int *place, void *barrier);
/// A read of shared memory by an instruction of the asynchronous proxy.
void lathe_sim_async_read(const void *at, int bytes);

/// An access of `bytes` at once: aligned to its size, or an error.
void lathe_sim_vector_access(const void *at, int bytes);
/// Stops the launch with this sentence.
__attribute__((noreturn)) void lathe_sim_fail(const char *sentence);
}
#define __trap() lathe_sim_fail("reached __trap()")

//===----------------------------------------------------------------------===//
// Bits and numbers
//===----------------------------------------------------------------------===//

LATHE_SIM_FN int __popc(unsigned x) { return __builtin_popcount(x); }
LATHE_SIM_FN int __popcll(unsigned long long x) {
  return __builtin_popcountll(x);
}
LATHE_SIM_FN int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
LATHE_SIM_FN int __clzll(long long x) {
  return x ? __builtin_clzll((unsigned long long)x) : 64;
}
LATHE_SIM_FN int __ffs(int x) { return __builtin_ffs(x); }
LATHE_SIM_FN int __ffsll(long long x) { return __builtin_ffsll(x); }
LATHE_SIM_FN unsigned __brev(unsigned x) { return __builtin_bitreverse32(x); }
LATHE_SIM_FN unsigned __umulhi(unsigned a, unsigned b) {
  return (unsigned)(((unsigned long long)a * b) >> 32);
}
LATHE_SIM_FN int __mulhi(int a, int b) {
  return (int)(((long long)a * b) >> 32);
}
LATHE_SIM_FN unsigned long long __umul64hi(unsigned long long a,
                                           unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
LATHE_SIM_FN float __int_as_float(int x) {
  return __builtin_bit_cast(float, x);
}
LATHE_SIM_FN int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
LATHE_SIM_FN float __uint_as_float(unsigned x) {
  return __builtin_bit_cast(float, x);
}
LATHE_SIM_FN unsigned __float_as_uint(float x) {
  return __builtin_bit_cast(unsigned, x);
}

#define LATHE_SIM_MIN_MAX(T)                                                   \
  LATHE_SIM_FN T min(T a, T b) { return b < a ? b : a; }                       \
  LATHE_SIM_FN T max(T a, T b) { return a < b ? b : a; }
LATHE_SIM_MIN_MAX(int)
LATHE_SIM_MIN_MAX(unsigned)
LATHE_SIM_MIN_MAX(long long)
LATHE_SIM_MIN_MAX(unsigned long long)
#undef LATHE_SIM_MIN_MAX

extern "C" {
#define LATHE_SIM_UNARY(name)                                                  \
  __attribute__((const)) double name(double);                                  \
  __attribute__((const)) float name##f(float);
#define LATHE_SIM_BINARY(name)                                                 \
  __attribute__((const)) double name(double, double);                          \
  __attribute__((const)) float name##f(float, float);
LATHE_SIM_UNARY(exp)
LATHE_SIM_UNARY(exp2)
LATHE_SIM_UNARY(exp10)
LATHE_SIM_UNARY(expm1)
LATHE_SIM_UNARY(log)
LATHE_SIM_UNARY(log2)
LATHE_SIM_UNARY(log10)
LATHE_SIM_UNARY(log1p)
LATHE_SIM_UNARY(sin)
LATHE_SIM_UNARY(cos)
LATHE_SIM_UNARY(tan)
LATHE_SIM_UNARY(asin)
LATHE_SIM_UNARY(acos)
LATHE_SIM_UNARY(atan)
LATHE_SIM_UNARY(sinh)
LATHE_SIM_UNARY(cosh)
LATHE_SIM_UNARY(tanh)
LATHE_SIM_UNARY(asinh)
LATHE_SIM_UNARY(acosh)
LATHE_SIM_UNARY(atanh)
LATHE_SIM_UNARY(erf)
LATHE_SIM_UNARY(erfc)
LATHE_SIM_UNARY(lgamma)
LATHE_SIM_UNARY(tgamma)
LATHE_SIM_UNARY(sqrt)
LATHE_SIM_UNARY(cbrt)
LATHE_SIM_UNARY(fabs)
LATHE_SIM_UNARY(floor)
LATHE_SIM_UNARY(ceil)
LATHE_SIM_UNARY(trunc)
LATHE_SIM_UNARY(round)
LATHE_SIM_UNARY(rint)
LATHE_SIM_UNARY(nearbyint)
LATHE_SIM_BINARY(pow)
LATHE_SIM_BINARY(atan2)
LATHE_SIM_BINARY(fmod)
LATHE_SIM_BINARY(remainder)
LATHE_SIM_BINARY(hypot)
LATHE_SIM_BINARY(fmin)
LATHE_SIM_BINARY(fmax)
LATHE_SIM_BINARY(fdim)
LATHE_SIM_BINARY(copysign)
__attribute__((const)) double fma(double, double, double);
__attribute__((const)) float fmaf(float, float, float);
#undef LATHE_SIM_UNARY
#undef LATHE_SIM_BINARY
}
LATHE_SIM_FN float rsqrtf(float x) { return 1.0f / sqrtf(x); }
LATHE_SIM_FN double rsqrt(double x) { return 1.0 / sqrt(x); }
LATHE_SIM_FN float __expf(float x) { return expf(x); }
LATHE_SIM_FN float __logf(float x) { return logf(x); }
LATHE_SIM_FN float __fdividef(float a, float b) { return a / b; }
LATHE_SIM_FN float __fadd_rn(float a, float b) { return a + b; }
LATHE_SIM_FN float __fsub_rn(float a, float b) { return a - b; }
LATHE_SIM_FN float __fmul_rn(float a, float b) { return a * b; }
LATHE_SIM_FN float __fdiv_rn(float a, float b) { return a / b; }
LATHE_SIM_FN float __fmaf_rn(float a, float b, float c) {
  return fmaf(a, b, c);
}
LATHE_SIM_FN float __fsqrt_rn(float a) { return sqrtf(a); }
