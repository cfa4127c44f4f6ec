//===- HostCpuTest.cpp - What is fast on which processor ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/HostCpu.h"

#include "TestHelpers.h"

using namespace lathe;

TEST(HostCpu, productsOfBfloatAreFastOnOneVendor) {
  EXPECT_TRUE(isFastOn(kBfloatIsa, /*isAmd=*/true));
  EXPECT_FALSE(isFastOn(kBfloatIsa, /*isAmd=*/false));
  for (bool isAmd : {true, false})
    for (llvm::StringRef isa : {"sse", "avx2", "avx512-vnni", "amx"})
      EXPECT_TRUE(isFastOn(isa, isAmd)) << isa.str();
}
