//===- QuantizeReport.cpp - lathe quantize-report -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DataRun.h"
#include "NoiseReport.h"
#include "Report.h"
#include "Verbs.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Progress.h"

namespace lathe {

namespace {
struct QuantizeReportOptions : ModelOptions, ModelDataOptions {
  std::string json;
  unsigned rows = 40;
  bool quiet = false;
};
} // namespace

static llvm::Error writeFigures(const QuantizeReportOptions &options,
                                ArrayRef<const ProductNoise *> sorted,
                                const NoiseTable &table,
                                const ModelData &data) {
  nlohmann::ordered_json report{{"scheme", options.quantization.scheme.text()},
                                {"samples", data.samples()}};
  report["products"] = toJson(sorted);
  for (const OutputNoise &output : table.outputs)
    report["outputs"][output.name] = toJson(output.within);
  return writeJson(options.json, report);
}

static int run(QuantizeReportOptions &options, CLI::App &verb) {
  if (!options.quantization.scheme)
    return fail("expected --quantize with the scheme to look at");
  ModelOnData opened;
  if (int code = opened.open(options, options, verb))
    return code;
  ModelData &data = *opened.data;
  std::optional<Progress> progress;
  uint64_t done = 0;
  func::FuncOp entry = opened.model->entry();
  auto table =
      measureNoise(*opened.module, entry.getSymName(), options.compileOptions(),
                   options, data, [&](uint64_t steps) {
                     if (!progress && !options.quiet)
                       progress.emplace("comparing", steps);
                     if (progress)
                       progress->update(done++);
                   });
  progress.reset();
  if (!table)
    return failOnce(table.takeError());
  std::vector<const ProductNoise *> sorted = sortByNoise(*table);
  if (!options.json.empty())
    if (llvm::Error error = writeFigures(options, sorted, *table, data))
      return fail(std::move(error));
  raw_ostream &os = llvm::outs();
  if (!options.quiet)
    printNoise(sorted, options.rows, /*kept=*/{}, os);
  if (sorted.front()->alone.noise == 0)
    return fail("no product differs from floats on this data: " +
                quote(options.quantization.scheme.text()) +
                " quantizes none ('lathe compile --explain' says why), or "
                "loses nothing of it");
  os << "quantize-report: the worst product is " << nameOf(*sorted.front())
     << " with " << formatRatio(sorted.front()->alone);
  for (const OutputNoise &output : table->outputs)
    os << ", " << output.name << " " << formatRatio(output.within);
  os << "\n";
  return kDone;
}

void addQuantizeReportVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<QuantizeReportOptions>();
  CLI::App *verb = app.add_subcommand(
      "quantize-report",
      "What a quantization costs, product by product, the worst first\n\n"
      "  lathe quantize-report model.onnx --quantize int8-dynamic --data "
      "x=x.npy\n"
      "  lathe quantize-report fashion-cnn.mlir --weights best.safetensors "
      "--quantize int8-static\n"
      "      --ranges ranges.json\n\n"
      "The signal-to-noise ratio of each product's result: 'alone' with its "
      "operands as they are\n"
      "in floats, what quantizing it costs by itself; 'within' in the "
      "quantized model, where\n"
      "errors add up. 6 dB are a bit. Products at the top are those to keep "
      "in floats (--keep).\n");
  options->ModelOptions::add(*verb, /*takesCompiled=*/false);
  options->ModelDataOptions::add(*verb);
  verb->get_option("--samples")->default_val(64);
  verb->add_option("--rows", options->rows, "Rows of the table, at most")
      ->capture_default_str();
  verb->add_option("--json", options->json,
                   "Write the figures for programs to read");
  verb->add_flag("--quiet", options->quiet, "No progress and no table");
  verb->callback(
      [options, verb, &exitCode] { exitCode = run(*options, *verb); });
}

} // namespace lathe
