//===- Tsan.cpp - The callbacks of -fsanitize=thread ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The compiler calls these before every access to memory that another thread
// might see. ThreadSanitizer's own library is not linked: threads here are
// fibers it knows nothing of.
//
//===----------------------------------------------------------------------===//

#include "Checker.h"
#include "Functions.h"

#include <cstring>

using namespace lathe::sim;

#define SITE __builtin_return_address(0)

static void check(const void *address, unsigned bytes, Access kind,
                  void *site) {
  // The wrapper of a kernel is instrumented, too.
  Thread *self = current;
  if (self && self->checker)
    self->checker->access(reinterpret_cast<uintptr_t>(address), bytes, kind,
                          site);
}

static void checkAligned(const void *address, unsigned bytes, Access kind,
                         void *site) {
  Thread *self = current;
  if (self && self->checker) {
    // The compiler takes 8 bytes for enough where 16 are accessed.
    if (reinterpret_cast<uintptr_t>(address) % (bytes > 8 ? 8 : bytes))
      self->checker->vector(address, bytes, site);
    self->checker->access(reinterpret_cast<uintptr_t>(address), bytes, kind,
                          site);
  }
}

template <unsigned bytes> static void read(void *address) {
  checkAligned(address, bytes, Access::Read, SITE);
}
template <unsigned bytes> static void write(void *address) {
  checkAligned(address, bytes, Access::Write, SITE);
}
template <unsigned bytes> static void readUnaligned(void *address) {
  check(address, bytes, Access::Read, SITE);
}
template <unsigned bytes> static void writeUnaligned(void *address) {
  check(address, bytes, Access::Write, SITE);
}

static void checkRange(const void *address, size_t bytes, bool write,
                       void *site) {
  if (current && current->checker)
    current->checker->range(address, bytes, write, site);
}
static void readRange(void *address, size_t bytes) {
  checkRange(address, bytes, false, SITE);
}
static void writeRange(void *address, size_t bytes) {
  checkRange(address, bytes, true, SITE);
}
static void *copy(void *to, const void *from, size_t bytes) {
  checkRange(from, bytes, false, SITE);
  checkRange(to, bytes, true, SITE);
  return std::memcpy(to, from, bytes);
}
static void *move(void *to, const void *from, size_t bytes) {
  checkRange(from, bytes, false, SITE);
  checkRange(to, bytes, true, SITE);
  return std::memmove(to, from, bytes);
}
static void *fill(void *to, int value, size_t bytes) {
  checkRange(to, bytes, true, SITE);
  return std::memset(to, value, bytes);
}

// A helper that is not inlined: messages name the line that called it, too.
static void enter(void *site) {
  Thread *thread = current;
  if (!thread)
    return;
  if (thread->depth < Thread::kFrames)
    thread->frames[thread->depth] = site;
  ++thread->depth;
  constexpr size_t kReserve = 8 << 10;
  if (reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) <
      thread->stackLow + kReserve)
    Worker::get().fail("needs more than 56 KiB for its local variables and "
                       "calls",
                       thread->here(site));
}
static void leave() {
  if (current && current->depth)
    --current->depth;
}
static void nothing() {}

namespace {
/// What -fsanitize=array-bounds says of a type and of an access.
struct BoundsType {
  uint16_t kind, info;
  char name[1]; ///< "'float[32]'"
};
struct BoundsFault {
  const char *file;
  uint32_t line, column;
  const BoundsType *array, *index;
};
} // namespace

static void beyondArray(const BoundsFault *fault, intptr_t index) {
  Worker::get().fail("uses index " + std::to_string(index) + " of an array " +
                         fault->array->name,
                     current->here(SITE));
}

//===----------------------------------------------------------------------===//
// Atomics: ordered among themselves
//===----------------------------------------------------------------------===//

template <typename T> struct Atomics {
  static T load(const T *at, int) {
    check(at, sizeof(T), Access::AtomicRead, SITE);
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);
  }
  static void store(T *at, T value, int) {
    check(at, sizeof(T), Access::AtomicWrite, SITE);
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
  }
#define LATHE_ATOMIC(name, builtin)                                            \
  static T name(T *at, T value, int) {                                         \
    check(at, sizeof(T), Access::Update, SITE);                                \
    return builtin(at, value, __ATOMIC_SEQ_CST);                               \
  }
  LATHE_ATOMIC(exchange, __atomic_exchange_n)
  LATHE_ATOMIC(add, __atomic_fetch_add)
  LATHE_ATOMIC(sub, __atomic_fetch_sub)
  LATHE_ATOMIC(bitAnd, __atomic_fetch_and)
  LATHE_ATOMIC(bitOr, __atomic_fetch_or)
  LATHE_ATOMIC(bitXor, __atomic_fetch_xor)
  LATHE_ATOMIC(bitNand, __atomic_fetch_nand)
#undef LATHE_ATOMIC
  static int compareStrong(T *at, T *expected, T value, int, int) {
    check(at, sizeof(T), Access::Update, SITE);
    return __atomic_compare_exchange_n(at, expected, value, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  static T compareValue(T *at, T expected, T value, int, int) {
    check(at, sizeof(T), Access::Update, SITE);
    __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    return expected;
  }
};
static void fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

template <typename T>
static void addAtomics(lathe::AddFunction add, const std::string &bits) {
  auto put = [&](const char *name, auto *function) {
    add(("__tsan_atomic" + bits + name).c_str(),
        reinterpret_cast<void *>(function));
  };
  put("_load", &Atomics<T>::load);
  put("_store", &Atomics<T>::store);
  put("_exchange", &Atomics<T>::exchange);
  put("_fetch_add", &Atomics<T>::add);
  put("_fetch_sub", &Atomics<T>::sub);
  put("_fetch_and", &Atomics<T>::bitAnd);
  put("_fetch_or", &Atomics<T>::bitOr);
  put("_fetch_xor", &Atomics<T>::bitXor);
  put("_fetch_nand", &Atomics<T>::bitNand);
  put("_compare_exchange_strong", &Atomics<T>::compareStrong);
  put("_compare_exchange_weak", &Atomics<T>::compareStrong);
  put("_compare_exchange_val", &Atomics<T>::compareValue);
}

template <unsigned bytes> static void addAccesses(lathe::AddFunction add) {
  auto put = [&](const char *name, void (*function)(void *)) {
    add((name + std::to_string(bytes)).c_str(),
        reinterpret_cast<void *>(function));
  };
  put("__tsan_read", &read<bytes>);
  put("__tsan_write", &write<bytes>);
  put("__tsan_unaligned_read", &readUnaligned<bytes>);
  put("__tsan_unaligned_write", &writeUnaligned<bytes>);
}

void lathe::addSimChecks(AddFunction add) {
  auto put = [&](const char *name, auto *function) {
    add(name, reinterpret_cast<void *>(function));
  };
  addAccesses<1>(add);
  addAccesses<2>(add);
  addAccesses<4>(add);
  addAccesses<8>(add);
  addAccesses<16>(add);
  addAtomics<uint8_t>(add, "8");
  addAtomics<uint16_t>(add, "16");
  addAtomics<uint32_t>(add, "32");
  addAtomics<uint64_t>(add, "64");
  put("__tsan_read_range", &readRange);
  put("__tsan_write_range", &writeRange);
  put("__tsan_memcpy", &copy);
  put("__tsan_memmove", &move);
  put("__tsan_memset", &fill);
  put("__tsan_func_entry", &enter);
  put("__tsan_func_exit", &leave);
  put("__tsan_atomic_thread_fence", &fence);
  put("__tsan_atomic_signal_fence", &fence);
  put("__tsan_init", &nothing);
  put("__ubsan_handle_out_of_bounds_abort", &beyondArray);
}
