//===- ChooseCode.cpp - The code that this machine runs best --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Executable/Executable.h"
#include "lathe/Runtime/ObjectLoader.h"
#include "lathe/Runtime/Session.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/HostCpu.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace lathe {

using FeatureList = google::protobuf::RepeatedPtrField<std::string>;

static Error checkFeatures(const FeatureList &list) {
  std::vector<std::string> features(list.begin(), list.end());
  return checkCpuFeatures(features);
}

Error chooseCode(exec::Executable &executable, StringRef isa) {
  if (!isa.empty()) {
    std::vector<std::string> names;
    if (!executable.isa().empty())
      names.push_back(executable.isa());
    for (const exec::CpuCode &code : llvm::reverse(executable.more_code()))
      names.push_back(code.isa());
    if (!llvm::is_contained(names, isa))
      return makeError("the compiled model has no code for {0}; it has code "
                       "for {1}",
                       quote(isa),
                       names.empty() ? "the processor it was made on"
                                     : join(names, ", "));
  }
  for (exec::CpuCode &code : *executable.mutable_more_code()) {
    if (isa.empty() ? !isFastHere(code.isa()) : code.isa() != isa)
      continue;
    if (Error error = checkFeatures(code.cpu_features())) {
      if (!isa.empty())
        return prefixError("the code for " + quote(isa), std::move(error));
      consumeError(std::move(error));
      continue;
    }
    executable.mutable_isa()->swap(*code.mutable_isa());
    executable.mutable_cpu()->swap(*code.mutable_cpu());
    executable.mutable_cpu_features()->Swap(code.mutable_cpu_features());
    executable.mutable_kernels()->Swap(code.mutable_kernels());
    executable.mutable_objects()->Swap(code.mutable_objects());
    break;
  }
  // Whether the executable's own code runs is checked where it is loaded.
  executable.clear_more_code();
  return Error::success();
}

} // namespace lathe
