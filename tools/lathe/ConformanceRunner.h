//===- ConformanceRunner.h - ONNX's backend test cases ----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_CONFORMANCERUNNER_H
#define LATHE_TOOLS_CONFORMANCERUNNER_H

#include "lathe/Pipelines/Compiler.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <map>
#include <string>
#include <vector>

namespace lathe {

struct ConformanceOptions {
  std::string folder; ///< searched for folders with a model.onnx
  std::string filter; ///< part of the name of the cases to run
  unsigned jobs = 2;
  unsigned timeoutSeconds = 60; ///< of one case
  double rtol = 1e-3, atol = 1e-7;
  bool fuse = true, optimize = true, useCache = true;
  unsigned threads = 1;
  Target target = Target::Cpu;
  std::string arch;      ///< of target cuda; empty: see chooseArch
  bool simChecks = true; ///< of target cuda-sim
  /// A case whose kernels compile has passed; nothing is run.
  bool compileOnly = false;
};

enum class CaseStatus { Passed, Wrong, Unsupported };

struct CaseResult {
  std::string name; ///< path below the folder
  CaseStatus status = CaseStatus::Wrong;
  std::string message;
};

/// All cases, sorted by name: folders with a model.onnx and a test_data_set_*.
llvm::Expected<std::vector<std::string>>
findConformanceCases(const ConformanceOptions &options);

/// Runs each case in a process of its own, so that a crash or a hang is a wrong
/// case and no more. `progress` gets each result as it comes. The caller must
/// not have started threads.
std::vector<CaseResult>
runConformanceCases(const ConformanceOptions &options,
                    const std::vector<std::string> &cases,
                    const std::function<void(const CaseResult &)> &progress);

/// The written list of what is not supported.
struct Expectations {
  size_t total = 0; ///< cases that were there when it was written
  std::map<std::string, std::string> unsupported; ///< case to reason

  /// Errors: a line that is neither a comment, "total: N" nor "CASE: REASON".
  static llvm::Expected<Expectations> read(llvm::StringRef path);
  llvm::Error write(llvm::StringRef path) const;
};

/// A case whose reason begins with "data at fault" has outputs that do not
/// follow from its model; where it is wrong, it counts as unsupported. A person
/// writes such a line, after working the case out; `--update` keeps it.
void excuseFaultyCases(std::vector<CaseResult> &results,
                       const Expectations &expected);

/// What speaks against `results`, one sentence each: wrong cases, unsupported
/// ones that are not listed, listed ones that pass or are gone, fewer cases
/// than recorded. `partial`: only some cases were run.
std::vector<std::string> judge(const std::vector<CaseResult> &results,
                               const Expectations &expected, bool partial);

} // namespace lathe

#endif // LATHE_TOOLS_CONFORMANCERUNNER_H
