//===- QuantizeReport.cpp - lathe quantize-report -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "QuantizationNoise.h"
#include "Report.h"
#include "Verbs.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Progress.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

namespace lathe {

namespace {
struct QuantizeReportOptions : ModelOptions, ModelDataOptions {
  std::string json;
  unsigned rows = 40;
  bool quiet = false;
};
} // namespace

/// "31.2 dB"; "exact" where nothing is lost.
static std::string formatRatio(const SignalToNoise &ratio) {
  if (ratio.noise == 0)
    return "exact";
  return std::isnan(ratio.decibels())
             ? "-"
             : llvm::formatv("{0:f1} dB", ratio.decibels()).str();
}

static std::string nameOf(const ProductNoise &product) {
  return product.layers == 1
             ? product.name
             : product.name + " [" + std::to_string(product.layer) + "]";
}

/// The worst first.
static void printTable(ArrayRef<const ProductNoise *> sorted, unsigned rows,
                       raw_ostream &os) {
  size_t width = 7;
  ArrayRef<const ProductNoise *> shown = sorted.take_front(rows);
  for (const ProductNoise *product : shown)
    width = std::max(width, nameOf(*product).size());
  os << llvm::left_justify("product", width)
     << "  op            alone      within\n";
  for (const ProductNoise *product : shown)
    os << llvm::left_justify(nameOf(*product), width) << "  "
       << llvm::left_justify(product->op, 8)
       << llvm::right_justify(formatRatio(product->alone), 11)
       << llvm::right_justify(formatRatio(product->within), 12) << "\n";
  if (sorted.size() > shown.size())
    os << sorted.size() - shown.size()
       << " more, which lose less (--rows, --json)\n";
}

static nlohmann::json toJson(const SignalToNoise &ratio) {
  double decibels = ratio.decibels();
  return std::isfinite(decibels) ? nlohmann::json(decibels)
                                 : nlohmann::json(nullptr);
}

static llvm::Error writeFigures(const QuantizeReportOptions &options,
                                ArrayRef<const ProductNoise *> sorted,
                                const NoiseTable &table,
                                const ModelData &data) {
  nlohmann::ordered_json report{{"scheme", options.quantization.scheme.text()},
                                {"samples", data.samples()}};
  report["products"] = nlohmann::ordered_json::array();
  for (const ProductNoise *product : sorted)
    report["products"].push_back({{"name", product->name},
                                  {"op", product->op},
                                  {"layer", product->layer},
                                  {"alone_db", toJson(product->alone)},
                                  {"within_db", toJson(product->within)}});
  for (const OutputNoise &output : table.outputs)
    report["outputs"][output.name] = toJson(output.within);
  return writeJson(options.json, report);
}

static int run(QuantizeReportOptions &options, CLI::App &verb) {
  if (!options.quantization.scheme)
    return fail("expected --quantize with the scheme to look at");
  if (auto compiled = isCompiledFile(options.file); !compiled)
    return fail(compiled.takeError());
  else if (*compiled)
    return fail("expected a model, .mlir or .onnx: a compiled one has no ops "
                "to look at");
  CompilerContext context;
  PreparedModel prepared;
  std::unique_ptr<Model> model =
      loadModel(context.get(), options, {}, prepared);
  if (!model)
    return kFailed;
  auto data = ModelData::open(options, options, *model, verb);
  if (!data)
    return fail(data.takeError());
  OwningOpRef<ModuleOp> module = model->recognize(data->shapes());
  if (!module) {
    noteSizes(model->inputs(), data->shapes());
    return kFailed;
  }
  std::optional<Progress> progress;
  uint64_t done = 0;
  auto table = measureNoise(*module, model->entry().getSymName(),
                            options.compileOptions(), options, *data,
                            [&](uint64_t steps) {
                              if (!progress && !options.quiet)
                                progress.emplace("comparing", steps);
                              if (progress)
                                progress->update(done++);
                            });
  progress.reset();
  if (!table) {
    std::string text = llvm::toString(table.takeError());
    return text.empty() ? kFailed : fail(text);
  }
  std::vector<const ProductNoise *> sorted;
  for (const ProductNoise &product : table->products)
    sorted.push_back(&product);
  llvm::sort(sorted, [](const ProductNoise *a, const ProductNoise *b) {
    return std::pair(a->alone.decibels(), a) <
           std::pair(b->alone.decibels(), b);
  });
  if (!options.json.empty())
    if (llvm::Error error = writeFigures(options, sorted, *table, *data))
      return fail(std::move(error));
  raw_ostream &os = llvm::outs();
  if (!options.quiet)
    printTable(sorted, options.rows, os);
  if (sorted.front()->alone.noise == 0)
    return fail("no product is quantized by " +
                quote(options.quantization.scheme.text()) +
                "; 'lathe compile --explain' says why");
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
