//===- async.cuh - Copies to shared memory that run beside the sums ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// cp.async: every thread starts copies, closes a group of them, and later waits
// until all but the youngest groups have arrived. What arrived is seen by the
// thread that copied it; by others after a barrier.
//
//===----------------------------------------------------------------------===//

#pragma once
#include "lathe/device.cuh"

/// The address of shared memory as PTX wants it; on the host, of the block's
/// dynamic shared memory alone.
LATHE_FN u32 sharedAddress(const void *pointer) {
#if LATHE_HOST
  return (u32)((const u8 *)pointer - dynamicShared());
#else
  return (u32)__cvta_generic_to_shared(pointer);
#endif
}

/// Starts a copy of `Bytes` (4, 8 or 16, both sides aligned to that); writes
/// zeros where `isInside` is false, and then reads nothing.
template <int Bytes>
LATHE_FN void copyAsync(void *to, const void *from, bool isInside) {
#if LATHE_HOST
  lathe_sim_cp_async(to, from, Bytes, isInside ? Bytes : 0);
#else
  const u32 bytes = isInside ? Bytes : 0;
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     sharedAddress(to)),
                 "l"(from), "r"(bytes)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(
                     sharedAddress(to)),
                 "l"(from), "n"(Bytes), "r"(bytes)
                 : "memory");
#endif
}

/// Closes a group, which may be empty.
LATHE_FN void commitCopies() {
#if LATHE_HOST
  lathe_sim_cp_async_commit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most `Left` groups of this thread are on their way.
template <int Left> LATHE_FN void waitForCopies() {
#if LATHE_HOST
  lathe_sim_cp_async_wait(Left);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
#endif
}
