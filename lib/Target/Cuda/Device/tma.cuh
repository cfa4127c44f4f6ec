//===- tma.cuh - Boxes of tensors, and barriers that count bytes ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Of sm_90 and newer. One thread starts the copy of a box of a tensor to shared
// memory, and an mbarrier counts its bytes; what lies outside of the tensor
// arrives as zeros, and counts.
//
// An mbarrier goes through phases 0, 1, 2, ... A phase is over when all
// arrivals have come and as many bytes as they expect. Who waits names the
// parity of a phase, and goes on when that phase, and not the next, is over: so
// the phase "before 0" of parity 1 is over from the beginning (PTX ISA,
// "mbarrier").
//
// With a swizzle of 128 bytes, bits 4 to 6 of an address are combined with bits
// 7 to 9; with 64 bytes, bits 4 and 5 with 7 and 8; with 32 bytes, bit 4 with
// bit 7. Lines of the box must have as many bytes.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/async.cuh"

#if LATHE_HOST
using TensorMap = LatheSimTensorMap;
#else
/// CUtensorMap, which the driver fills in.
struct alignas(64) TensorMap {
  u64 words[16];
};
#endif

/// An object in shared memory; its 8 bytes are the hardware's.
using Mbarrier = u64;

/// By one thread, before anybody else names it.
LATHE_FN void initBarrier(Mbarrier *barrier, u32 arrivals) {
#if LATHE_HOST
  lathe_sim_mbarrier_init(barrier, arrivals);
#else
  asm volatile(
      "mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(sharedAddress(barrier)),
      "r"(arrivals)
      : "memory");
#endif
}
/// By the thread that initialized barriers: copies of boxes know them.
LATHE_FN void showBarriers() {
#if LATHE_HOST
  lathe_sim_mbarrier_fence();
#else
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
LATHE_FN void arriveAt(Mbarrier *barrier) {
#if LATHE_HOST
  lathe_sim_mbarrier_arrive(barrier, 1, 0);
#else
  asm volatile(
      "mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(sharedAddress(barrier))
      : "memory");
#endif
}
/// Arrives, and makes the phase wait for so many bytes of boxes.
LATHE_FN void arriveAndExpect(Mbarrier *barrier, u32 bytes) {
#if LATHE_HOST
  lathe_sim_mbarrier_arrive(barrier, 1, bytes);
#else
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                   sharedAddress(barrier)),
               "r"(bytes)
               : "memory");
#endif
}
/// Waits until the phase of this parity is over. What was done before the
/// arrivals, and the boxes, are seen.
LATHE_FN void waitForPhase(Mbarrier *barrier, u32 parity) {
#if LATHE_HOST
  lathe_sim_mbarrier_wait(barrier, parity);
#else
  asm volatile("{\n"
               ".reg .pred over;\n"
               "again:\n"
               "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
               "@!over bra again;\n"
               "}" ::"r"(sharedAddress(barrier)),
               "r"(parity)
               : "memory");
#endif
}

/// Starts the copy of the box of `map` at these coordinates, the innermost
/// first, to a multiple of 128 in shared memory; with a swizzle of 128 bytes
/// the pattern begins at multiples of 1024.
LATHE_FN void copyBox(void *to, const TensorMap &map, Mbarrier *barrier, int x,
                      int y) {
#if LATHE_HOST
  const int place[] = {x, y};
  if (map.rank != 2)
    lathe_sim_fail("copies a box of 2 dims of a tensor that has others");
  lathe_sim_copy_box(to, &map, place, barrier);
#else
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile"
      ".mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          sharedAddress(to)),
      "l"(&map), "r"(x), "r"(y), "r"(sharedAddress(barrier))
      : "memory");
#endif
}
LATHE_FN void copyBox(void *to, const TensorMap &map, Mbarrier *barrier, int x,
                      int y, int z) {
#if LATHE_HOST
  const int place[] = {x, y, z};
  if (map.rank != 3)
    lathe_sim_fail("copies a box of 3 dims of a tensor that has others");
  lathe_sim_copy_box(to, &map, place, barrier);
#else
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile"
      ".mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(
          sharedAddress(to)),
      "l"(&map), "r"(x), "r"(y), "r"(z), "r"(sharedAddress(barrier))
      : "memory");
#endif
}

/// All warps of a warp group, on sm_90a, not on sm_90: from now on a thread has
/// so many registers, a multiple of 8 from 24 to 256, fewer or more than
/// before.
template <int Registers> LATHE_FN void giveRegisters() {
  static_assert(Registers % 8 == 0 && Registers >= 24 && Registers <= 256,
                "what setmaxnreg takes");
#if !LATHE_HOST
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
#endif
}
template <int Registers> LATHE_FN void takeRegisters() {
  static_assert(Registers % 8 == 0 && Registers >= 24 && Registers <= 256,
                "what setmaxnreg takes");
#if !LATHE_HOST
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
#endif
}

/// A barrier of some warps of a block: 1 to 15, because 0 is __syncthreads.
template <int Threads> LATHE_FN void syncSome(int barrier) {
#if LATHE_HOST
  lathe_sim_named_barrier(barrier, Threads, 1);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(Threads) : "memory");
#endif
}
