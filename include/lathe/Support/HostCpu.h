//===- HostCpu.h - What this processor is good at ---------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_SUPPORT_HOSTCPU_H
#define LATHE_SUPPORT_HOSTCPU_H

#include "llvm/ADT/StringRef.h"

namespace lathe {

/// The instruction set whose bf16 are multiplied by vdpbf16ps.
constexpr llvm::StringLiteral kBfloatIsa = "avx512-bf16";

/// Whether code for the instruction set `isa` is what to take here, where this
/// processor has all that it needs. False for `kBfloatIsa` where vdpbf16ps
/// takes as long as the two multiply-adds of f32 that it replaces, or longer:
/// of the processors that have it, AMD's do it in half of that (figures of both
/// in docs/cpu-schedules.md).
bool isFastHere(llvm::StringRef isa);
/// The same on a processor that has AMD as its vendor, or another one.
bool isFastOn(llvm::StringRef isa, bool isAmd);

} // namespace lathe

#endif // LATHE_SUPPORT_HOSTCPU_H
