//===- Bench.cpp - lathe bench -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelOptions.h"
#include "Report.h"
#include "Verbs.h"
#include "llvm/Support/FormatVariadic.h"

#include <chrono>

using namespace mlir;

namespace lathe {

namespace {
struct BenchOptions : ModelOptions {
  double seconds = 2;
  std::string json;
};
} // namespace

static int bench(const BenchOptions &options) {
  PreparedModel prepared;
  if (int code = prepareModel(options, prepared))
    return code;
  WeightSource weights;
  if (llvm::Error error = openWeights(options, weights))
    return fail(std::move(error));
  auto session = startSession(options, prepared, weights, /*profile=*/true);
  if (!session)
    return fail(session.takeError());
  std::vector<TensorView> inputs(prepared.inputs.begin(),
                                 prepared.inputs.end());
  std::vector<double> times;
  auto begin = std::chrono::steady_clock::now();
  // One run warms up pages and caches; then as many as fit, at least five.
  for (bool warm = false;; warm = true) {
    auto start = std::chrono::steady_clock::now();
    auto result = (*session)->run(inputs);
    auto end = std::chrono::steady_clock::now();
    if (!result)
      return fail(result.takeError());
    if (!warm) {
      (*session)->profile().clear();
      begin = end;
      continue;
    }
    times.push_back(std::chrono::duration<double>(end - start).count());
    if (times.size() >= 5 &&
        std::chrono::duration<double>(end - begin).count() > options.seconds)
      break;
  }
  printProfile(*prepared.executable, (*session)->profile(), llvm::outs());
  LatencyStatistics latency = LatencyStatistics::of(times);
  double peak = peakMemoryBytes() / double(1 << 20);
  if (!options.json.empty()) {
    nlohmann::json report;
    report["latency_ms_median"] = latency.median * 1e3;
    report["latency_ms_min"] = latency.min * 1e3;
    report["latency_ms_p90"] = latency.p90 * 1e3;
    report["runs"] = times.size();
    report["peak_memory_mb"] = peak;
    report["compile_ms"] = prepared.compileSeconds * 1e3;
    for (size_t i = 0; i < (*session)->profile().kernels.size(); ++i) {
      const exec::Kernel &kernel = prepared.executable->kernels(i);
      const Profile::Entry &entry = (*session)->profile().kernels[i];
      report["kernels"].push_back({{"name", kernel.name()},
                                   {"schedule", kernel.schedule()},
                                   {"launches", entry.launches},
                                   {"seconds", entry.seconds},
                                   {"flops", kernel.flops()},
                                   {"bytes", kernel.bytes()}});
    }
    if (llvm::Error error = writeJson(options.json, report))
      return fail(std::move(error));
  }
  llvm::outs() << llvm::formatv(
      "bench: median {0:f3} ms, min {1:f3} ms, p90 {2:f3} ms over {3} runs, "
      "peak memory {4:f1} MiB\n",
      latency.median * 1e3, latency.min * 1e3, latency.p90 * 1e3, times.size(),
      peak);
  return kDone;
}

void addBenchVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App *verb =
      app.add_subcommand("bench", "Time a model, kernel by kernel\n\n  lathe "
                                  "bench model.onnx --threads 1\n");
  options->add(*verb, /*takesCompiled=*/true);
  verb->add_option("--seconds", options->seconds, "How long to measure")
      ->check(kFiniteNotNegative)
      ->capture_default_str();
  verb->add_option("--json", options->json,
                   "Write the figures for programs to read");
  verb->callback([options, &exitCode] { exitCode = bench(*options); });
}

} // namespace lathe
