//===- main.cpp - kernel-bench: single CPU kernels, checked and timed -----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
#include "llvm/ADT/StringExtras.h"
#include <cstring>

using namespace lathe;
using namespace lathe::bench;

int main(int argc, char **argv) {
  bool check = false, assembly = false;
  std::string only, isa;
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef argument = argv[i];
    if (argument == "--check")
      check = true;
    else if (argument == "--asm")
      assembly = true;
    else if (argument.consume_front("--only="))
      only = argument.str();
    else if (argument.consume_front("--isa="))
      isa = argument.str();
    else {
      llvm::errs()
          << "usage: kernel-bench [--check] [--asm] "
             "[--only=contraction|bytes|convolution|attention|"
             "gradients|peaks] "
             "[--isa=sse|avx2|avx2-vnni|avx512|avx512-vnni|avx512-bf16]\n";
      return 2;
    }
  }
  static constexpr llvm::StringLiteral families[] = {
      "contraction", "bytes", "convolution", "attention", "gradients", "peaks"};
  if (!only.empty() && !llvm::is_contained(families, only)) {
    llvm::errs() << "kernel-bench: --only: expected one of "
                 << llvm::join(llvm::ArrayRef(families), ", ") << ", got '"
                 << only << "'\n";
    return 2;
  }
  if (auto target = cpu::CpuTarget::host(isa); !target) {
    llvm::errs() << "kernel-bench: --isa: "
                 << llvm::toString(target.takeError()) << "\n";
    return 2;
  }
  auto wanted = [&](llvm::StringRef family) {
    return only.empty() || only == family;
  };
  Harness harness(isa, assembly);
  if (!check) {
    if (wanted("peaks"))
      reportPeaks();
    if (wanted("contraction"))
      benchContraction(harness);
    if (wanted("bytes"))
      benchBytes(harness);
    if (wanted("convolution"))
      benchConvolution(harness);
    if (wanted("attention"))
      benchAttention(harness);
    if (wanted("gradients"))
      benchAttentionGradients(harness);
    return 0;
  }
  Checker checker;
  if (wanted("contraction"))
    checkContraction(harness, checker);
  if (wanted("convolution"))
    checkConvolution(harness, checker);
  if (wanted("attention"))
    checkAttention(harness, checker);
  if (wanted("gradients"))
    checkAttentionGradients(harness, checker);
  if (checker.passed + checker.failed == 0) {
    llvm::errs() << "kernel-bench: '" << only << "' has nothing to check\n";
    return 2;
  }
  llvm::outs() << "kernel-bench: " << checker.passed << " passed, "
               << checker.failed << " failed\n";
  return checker.failed != 0;
}
