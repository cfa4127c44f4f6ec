//===- Report.h - What verbs print -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_REPORT_H
#define LATHE_TOOLS_REPORT_H

#include "lathe/Executable/Executable.h"
#include "lathe/Runtime/Profile.h"
#include "lathe/Support/Tensor.h"
#include "llvm/Support/raw_ostream.h"

#include <nlohmann/json.hpp>

namespace lathe {

/// Small tensors whole, big ones as a summary (range, mean, first values).
void printTensor(llvm::StringRef name, const TensorView &tensor,
                 llvm::raw_ostream &os);

/// Time per kernel, slowest first.
void printProfile(const exec::Executable &executable, const Profile &profile,
                  llvm::raw_ostream &os);

/// Kernels with schedule, work and source ops.
void printKernels(const exec::Executable &executable, llvm::raw_ostream &os);

llvm::Error writeJson(llvm::StringRef path, const nlohmann::json &value);

} // namespace lathe

#endif // LATHE_TOOLS_REPORT_H
