//===- Run.cpp - lathe run -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelOptions.h"
#include "Report.h"
#include "Verbs.h"
#include "lathe/Support/Compare.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Npy.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

#include <chrono>

namespace lathe {

namespace {
struct RunOptions : ModelOptions {
  std::string outputDir, json;
  std::vector<std::string> expect;
  double rtol = 1e-4, atol = 1e-5;
  unsigned repeat = 1;
  bool profile = false, quiet = false;
};
} // namespace

/// File names for outputs: what is not a plain character becomes '_'.
static std::string fileNameFor(StringRef name) {
  std::string result;
  for (char c : name)
    result += llvm::isAlnum(c) || c == '-' || c == '.' || c == '_' ? c : '_';
  return (result.empty() || result[0] == '.' ? "_" + result : result) + ".npy";
}

static int compareExpected(const RunOptions &options,
                           llvm::ArrayRef<TensorSpec> specs,
                           const std::vector<Tensor> &outputs,
                           nlohmann::json &report) {
  int code = kDone;
  for (StringRef spec : options.expect) {
    auto [name, path] = spec.split('=');
    if (name.empty() || path.empty())
      return fail("--expect expects name=file.npy, got '" + spec + "'");
    auto it = llvm::find_if(
        specs, [name = name](const TensorSpec &s) { return s.name == name; });
    if (it == specs.end())
      return fail("--expect names " + quote(name) +
                  ", which is no output of the model");
    auto expected = readNpy(path);
    if (!expected)
      return fail(expected.takeError());
    Comparison result = compareTensors(outputs[it - specs.begin()], *expected,
                                       options.rtol, options.atol);
    (result.ok ? llvm::outs() : llvm::errs())
        << (result.ok ? "expect " : "lathe: error: output ") << name << ": "
        << result.message << "\n";
    report["expect"][name.str()] = {{"ok", result.ok},
                                    {"max_abs_error", result.maxAbsError},
                                    {"max_rel_error", result.maxRelError}};
    if (!result.ok)
      code = kFailed;
  }
  return code;
}

static int run(const RunOptions &options) {
  PreparedModel prepared;
  if (int code = prepareModel(options, prepared))
    return code;
  WeightSource weights;
  if (llvm::Error error = openWeights(options, weights))
    return fail(std::move(error));
  auto loadStart = std::chrono::steady_clock::now();
  auto session = startSession(options, prepared, weights, options.profile);
  if (!session)
    return fail(session.takeError());
  std::chrono::duration<double> loadTime =
      std::chrono::steady_clock::now() - loadStart;
  if (!options.quiet)
    for (const std::string &note : (*session)->notes())
      llvm::errs() << "lathe: note: " << note << "\n";

  std::vector<TensorView> inputs(prepared.inputs.begin(),
                                 prepared.inputs.end());
  std::vector<Tensor> outputs;
  std::vector<double> seconds;
  for (unsigned i = 0; i < std::max(1u, options.repeat); ++i) {
    auto start = std::chrono::steady_clock::now();
    auto result = (*session)->run(inputs);
    std::chrono::duration<double> elapsed =
        std::chrono::steady_clock::now() - start;
    if (!result)
      return fail(result.takeError());
    seconds.push_back(elapsed.count());
    outputs = std::move(*result);
  }

  nlohmann::json report;
  if (!options.quiet)
    for (auto [spec, tensor] : llvm::zip((*session)->outputs(), outputs))
      printTensor(spec.name, tensor, llvm::outs());
  if (!options.outputDir.empty()) {
    if (std::error_code error =
            llvm::sys::fs::create_directories(options.outputDir))
      return fail("cannot make folder '" + options.outputDir +
                  "': " + error.message());
    for (auto [spec, tensor] : llvm::zip((*session)->outputs(), outputs)) {
      SmallString<256> path(options.outputDir);
      llvm::sys::path::append(path, fileNameFor(spec.name));
      if (llvm::Error error = writeNpy(path, tensor))
        return fail(std::move(error));
    }
  }
  int code = compareExpected(options, (*session)->outputs(), outputs, report);
  if (options.profile && prepared.statistics.kernels)
    llvm::outs() << llvm::formatv(
        "compiled {0} kernels, {1} distinct, {2} of these from the cache, in "
        "{3:f1} ms\n",
        prepared.statistics.kernels, prepared.statistics.distinct,
        prepared.statistics.fromCache, prepared.statistics.seconds * 1e3);
  if (options.profile)
    printProfile(*prepared.executable, (*session)->profile(), llvm::outs());

  LatencyStatistics latency = LatencyStatistics::of(seconds);
  double peak = peakMemoryBytes() / double(1 << 20);
  if (!options.json.empty()) {
    report["latency_ms_median"] = latency.median * 1e3;
    for (double s : seconds)
      report["latency_ms"].push_back(s * 1e3);
    report["peak_memory_mb"] = peak;
    report["compile_ms"] = prepared.compileSeconds * 1e3;
    report["load_ms"] = loadTime.count() * 1e3;
    report["from_cache"] = prepared.fromCache;
    report["kernels"] = prepared.executable->kernels_size();
    if (llvm::Error error = writeJson(options.json, report))
      return fail(std::move(error));
  }
  if (code == kDone)
    llvm::outs() << llvm::formatv(
        "run: latency {0:f3} ms, peak memory {1:f1} MiB\n",
        latency.median * 1e3, peak);
  return code;
}

void addRunVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<RunOptions>();
  CLI::App *verb = app.add_subcommand(
      "run",
      "Compile if needed and run; print outputs, latency and peak memory\n\n"
      "  lathe run model.onnx --input x=image.npy\n"
      "  lathe run bert.mlir --weights model.safetensors --dim sequence=128 "
      "--repeat 20\n"
      "  lathe run model.onnx --input x=x.npy --expect y=y.npy --rtol 1e-3\n");
  options->add(*verb, /*takesCompiled=*/true);
  verb->add_option("--output-dir", options->outputDir,
                   "Write every output as .npy into this folder");
  verb->add_option("--expect", options->expect,
                   "Compare an output: name=file.npy (repeatable)");
  verb->add_option("--rtol", options->rtol, "Relative tolerance of --expect")
      ->check(kFiniteNotNegative)
      ->capture_default_str();
  verb->add_option("--atol", options->atol, "Absolute tolerance of --expect")
      ->check(kFiniteNotNegative)
      ->capture_default_str();
  verb->add_option("--repeat", options->repeat,
                   "Run N times; the median latency is printed")
      ->check(CLI::Range(1u, 1000000u));
  verb->add_flag("--profile", options->profile,
                 "Print the time of every kernel");
  verb->add_flag("--quiet", options->quiet, "Do not print the outputs");
  verb->add_option("--json", options->json,
                   "Write the figures for programs to read");
  verb->callback([options, &exitCode] { exitCode = run(*options); });
}

} // namespace lathe
