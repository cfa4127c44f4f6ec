//===- HostCpu.cpp - What this processor is good at -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/HostCpu.h"

#include "llvm/TargetParser/Host.h"

using namespace llvm::sys::detail::x86;

bool lathe::isFastOn(llvm::StringRef isa, bool isAmd) {
  return isa != kBfloatIsa || isAmd;
}

bool lathe::isFastHere(llvm::StringRef isa) {
  return isFastOn(isa, getVendorSignature() == VendorSignatures::AUTHENTIC_AMD);
}
