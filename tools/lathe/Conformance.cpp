//===- Conformance.cpp - lathe conformance --------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConformanceRunner.h"
#include "ModelOptions.h"
#include "Report.h"
#include "Verbs.h"

#include "lathe/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <unistd.h>

namespace lathe {

namespace {
struct VerbOptions : ConformanceOptions {
  std::string expect, json, targetName = "cpu";
  bool update = false, noFuse = false, noOptimize = false, noCache = false,
       noSimChecks = false;
};
} // namespace

static int conformance(VerbOptions options) {
  options.fuse = !options.noFuse;
  options.optimize = !options.noOptimize;
  options.useCache = !options.noCache;
  options.simChecks = !options.noSimChecks;
  options.target = parseTarget(options.targetName);
  auto cases = findConformanceCases(options);
  if (!cases)
    return fail(cases.takeError());
  if (cases->empty())
    return fail("no test cases in " + quote(options.folder) +
                ": expected folders with a model.onnx and a test_data_set_0");
  Expectations expected;
  if (!options.expect.empty() &&
      (!options.update || llvm::sys::fs::exists(options.expect))) {
    auto read = Expectations::read(options.expect);
    if (!read)
      return fail(read.takeError());
    expected = std::move(*read);
  }
  bool partial = !options.filter.empty();
  if (partial && options.update)
    return fail("--update needs all cases, so it does not go with --filter");

  size_t done = 0;
  bool terminal = isatty(STDERR_FILENO);
  std::vector<CaseResult> results =
      runConformanceCases(options, *cases, [&](const CaseResult &result) {
        ++done;
        if (terminal)
          llvm::errs() << "\r" << done << "/" << cases->size() << "\x1b[K";
      });
  if (terminal)
    llvm::errs() << "\r\x1b[K";

  excuseFaultyCases(results, expected);

  size_t counts[3] = {};
  nlohmann::json report;
  Expectations found;
  found.total = results.size();
  for (const CaseResult &result : results) {
    ++counts[int(result.status)];
    if (result.status == CaseStatus::Unsupported)
      found.unsupported[result.name] =
          result.message.empty() ? "no reason given" : result.message;
    static const char *const names[] = {"passed", "wrong", "unsupported"};
    report["cases"][result.name] = {{"status", names[int(result.status)]},
                                    {"message", result.message}};
  }
  if (options.update) {
    if (llvm::Error error = found.write(options.expect))
      return fail(std::move(error));
    expected = found;
  }
  // Without a list, what is not supported is reported and no fault.
  if (options.expect.empty())
    expected = found;
  // A case whose data is at fault compiles like any other.
  if (options.compileOnly)
    for (const CaseResult &result : results)
      if (result.status == CaseStatus::Passed)
        expected.unsupported.erase(result.name);
  std::vector<std::string> faults = judge(results, expected, partial);
  for (const std::string &fault : faults)
    llvm::outs() << fault << "\n";
  llvm::outs() << "conformance: " << counts[0] << " passed, " << counts[1]
               << " wrong, " << counts[2] << " unsupported, " << results.size()
               << " total\n";
  if (!options.json.empty()) {
    report["passed"] = counts[0];
    report["wrong"] = counts[1];
    report["unsupported"] = counts[2];
    report["total"] = results.size();
    if (llvm::Error error = writeJson(options.json, report))
      return fail(std::move(error));
  }
  return faults.empty() ? kDone : kFailed;
}

void addConformanceVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<VerbOptions>();
  CLI::App *verb = app.add_subcommand(
      "conformance", "Run a tree of ONNX backend test cases and compare with a "
                     "written list\n\n"
                     "  lathe conformance /usr/share/libonnx-testdata/data "
                     "--expect test/conformance/expected.txt\n"
                     "  lathe conformance DIR --filter test_conv\n");
  verb->add_option("folder", options->folder,
                   "Searched for folders with a model.onnx")
      ->required();
  CLI::Option *expect =
      verb->add_option("--expect", options->expect,
                       "List of unsupported cases; what differs from it is an "
                       "error");
  verb->add_flag("--update", options->update, "Write the list anew")
      ->needs(expect);
  verb->add_option("--filter", options->filter,
                   "Run the cases with this in their name");
  verb->add_option("--jobs", options->jobs, "Cases at the same time")
      ->capture_default_str();
  verb->add_option("--timeout", options->timeoutSeconds, "Seconds per case")
      ->capture_default_str();
  verb->add_option("--rtol", options->rtol, "Relative tolerance")
      ->check(kFiniteNotNegative)
      ->capture_default_str();
  verb->add_option("--atol", options->atol, "Absolute tolerance")
      ->check(kFiniteNotNegative)
      ->capture_default_str();
  verb->add_option("--threads", options->threads, "Threads of each case")
      ->capture_default_str();
  addTargetOptions(*verb, options->targetName, options->arch,
                   options->noSimChecks);
  verb->add_flag("--compile-only", options->compileOnly,
                 "Compile the cases' kernels and run nothing: a case passes "
                 "where they compile without a warning");
  verb->add_flag("--no-fuse", options->noFuse, "One op per kernel");
  verb->add_flag("--no-optimize", options->noOptimize,
                 "Only the passes that correctness needs");
  verb->add_flag("--no-cache", options->noCache, "Compile anew, keep nothing");
  verb->add_option("--json", options->json,
                   "Write the figures for programs to read");
  verb->callback([options, &exitCode] { exitCode = conformance(*options); });
}

} // namespace lathe
