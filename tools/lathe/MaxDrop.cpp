//===- MaxDrop.cpp - What to keep in floats -------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MaxDrop.h"

#include "NoiseReport.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Progress.h"
#include "lathe/Support/Recipe.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"

namespace lathe {

/// Enough for ratios that are sums over many values.
static constexpr int64_t kNoiseSamples = 64;

static std::optional<double> parsePercent(StringRef text) {
  text.consume_back("%");
  double value;
  if (text.empty() || !llvm::to_float(text.trim(), value) ||
      !(value >= 0 && value <= 100))
    return std::nullopt;
  return value;
}

void MaxDropOptions::add(CLI::App &verb, ModelDataOptions &data) {
  verb.add_option_function<std::string>(
          "--max-drop",
          [this](const std::string &text) { points = parsePercent(text); },
          "Keep as many products in floats as it takes, so that --quantize "
          "costs at most so much of the metric: 0.5% is half a point of "
          "accuracy. The file of ranges then says which")
      ->check(CLI::Validator(
          [](std::string &text) -> std::string {
            if (parsePercent(text))
              return "";
            return "expected a percentage from 0 to 100, got '" + text + "'";
          },
          "PERCENT"));
  verb.add_option("--metric", metric,
                  "What --max-drop is of: accuracy; agreement, the share of "
                  "rows in which the largest logit is that of the float model; "
                  "cosine of the outputs with the float model's")
      ->check(CLI::IsMember({"accuracy", "agreement", "cosine"}))
      ->default_str("the first that there are labels, or an output 'logits', "
                    "for");
  verb.add_option("--eval", data.eval,
                  "Data for --max-drop, in the forms of --data")
      ->default_str("what the recipe names, else a part of --data that is held "
                    "out");
  verb.add_option("--eval-samples", samples,
                  "Examples of it, at most; drawn by --seed")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 40))
      ->capture_default_str();
  verb.add_option("--max-evaluations", evaluations,
                  "Quantized models that --max-drop runs over it, at most")
      ->check(CLI::Range(2u, 1u << 16))
      ->capture_default_str();
}

llvm::Expected<ModelData> openEvaluation(const MaxDropOptions &maxDrop,
                                         const ModelOptions &options,
                                         const ModelDataOptions &dataOptions,
                                         ModelOnData &opened, CLI::App &verb) {
  if (dataOptions.eval.empty())
    return opened.data->holdOut(maxDrop.samples);
  ModelDataOptions evaluation = dataOptions;
  evaluation.data = dataOptions.eval;
  evaluation.recipe = "none"; // what it says was taken over
  evaluation.samples = maxDrop.samples;
  ModelOptions model = options;
  llvm::erase_if(model.inputs,
                 [](StringRef text) { return !isGenerator(text); });
  return ModelData::open(evaluation, model, *opened.model, verb,
                         listLabels(*opened.model));
}

namespace {
class KeepSearch {
public:
  KeepSearch(const MaxDropOptions &maxDrop, ModelMetric &metric,
             const CompileOptions &compile, bool showProgress)
      : maxDrop(maxDrop), metric(metric), compile(compile) {
    if (showProgress)
      progress.emplace("looking for what to keep in floats",
                       (maxDrop.evaluations + 1) * metric.batches());
  }
  llvm::Error run(KeepDecision &decision);

private:
  llvm::Expected<double> measure(const QuantizationOptions &quantization);
  /// With some of the products in floats.
  llvm::Expected<bool> isGood(const KeepDecision &decision,
                              const llvm::BitVector &kept, double &figure);
  llvm::Error bisect(KeepDecision &decision, llvm::BitVector &kept);
  llvm::Error giveBack(KeepDecision &decision, llvm::BitVector &kept);
  bool isOver() const { return evaluations >= maxDrop.evaluations; }

  const MaxDropOptions &maxDrop;
  ModelMetric &metric;
  const CompileOptions &compile;
  std::optional<Progress> progress;
  unsigned evaluations = 0;
};
} // namespace

llvm::Expected<double>
KeepSearch::measure(const QuantizationOptions &quantization) {
  CompileOptions options = compile;
  options.quantization = quantization;
  int64_t batch = 0;
  return metric.measure(options, [&] {
    if (progress)
      progress->update(evaluations * metric.batches() + batch++,
                       evaluations
                           ? llvm::formatv("model {0} of {1} at most",
                                           evaluations, maxDrop.evaluations)
                                 .str()
                           : "the model in floats");
  });
}

llvm::Expected<bool> KeepSearch::isGood(const KeepDecision &decision,
                                        const llvm::BitVector &kept,
                                        double &figure) {
  QuantizationOptions quantization = compile.quantization;
  for (unsigned i : kept.set_bits())
    quantization.keep.push_back(decision.products[i]);
  ++evaluations;
  auto measured = measure(quantization);
  if (!measured)
    return measured.takeError();
  figure = *measured;
  // A figure is a sum: what rounds the last bit is no drop.
  return figure >= decision.exact - *maxDrop.points - 1e-9;
}

/// The fewest of the worst that do.
llvm::Error KeepSearch::bisect(KeepDecision &decision, llvm::BitVector &kept) {
  unsigned tooFew = 0, enough = decision.products.size();
  auto test = [&](unsigned count) -> llvm::Expected<bool> {
    llvm::BitVector trial(decision.products.size());
    trial.set(0, count);
    double figure;
    auto good = isGood(decision, trial, figure);
    if (good && *good) {
      kept = trial;
      decision.after = figure;
    } else if (good && count == enough) {
      return makeError(
          "with {0} products in floats, which is all, the {1} is {2:f4} %, "
          "still {3:f4} points less than in floats, where --max-drop allows "
          "{4}: what is left are tables of embeddings (--keep)",
          count, metricName(metric.kind()), figure, decision.exact - figure,
          formatNumber(*maxDrop.points));
    }
    return good;
  };
  auto all = test(enough);
  if (!all)
    return all.takeError();
  while (enough - tooFew > 1 && !isOver()) {
    unsigned middle = tooFew + (enough - tooFew) / 2;
    auto good = test(middle);
    if (!good)
      return good.takeError();
    (*good ? enough : tooFew) = middle;
  }
  return llvm::Error::success();
}

/// Whether the noise of a product matters is for the metric to say.
llvm::Error KeepSearch::giveBack(KeepDecision &decision,
                                 llvm::BitVector &kept) {
  // Without the last one it was too few.
  for (int i = kept.find_last() - 1; i >= 0 && !isOver(); --i) {
    llvm::BitVector trial = kept;
    trial.reset(i);
    double figure;
    auto good = isGood(decision, trial, figure);
    if (!good)
      return good.takeError();
    if (*good) {
      kept = trial;
      decision.after = figure;
    }
  }
  return llvm::Error::success();
}

llvm::Error KeepSearch::run(KeepDecision &decision) {
  auto exact = measure({});
  if (!exact)
    return exact.takeError();
  decision.exact = *exact;
  decision.metric = metric.kind();
  decision.output = metric.outputName();
  decision.samples = metric.samples();
  llvm::BitVector kept(decision.products.size());
  auto good = isGood(decision, kept, decision.before);
  if (!good)
    return good.takeError();
  decision.after = decision.before;
  if (!*good) {
    if (llvm::Error error = bisect(decision, kept))
      return error;
    if (llvm::Error error = giveBack(decision, kept))
      return error;
  }
  for (unsigned i : kept.set_bits())
    decision.kept.push_back(decision.products[i]);
  decision.evaluations = evaluations;
  return llvm::Error::success();
}

llvm::Expected<KeepDecision>
decideWhatToKeep(const MaxDropOptions &maxDrop, ModelOnData &opened,
                 ModelMetric &metric, const ModelOptions &options,
                 const CompileOptions &compile, bool showProgress) {
  opened.data->useAtMost(kNoiseSamples);
  func::FuncOp entry = opened.model->entry();
  auto table = measureNoise(*opened.module, entry.getSymName(), compile,
                            options, *opened.data, [](uint64_t) {});
  if (!table)
    return table.takeError();
  KeepDecision decision;
  decision.table = std::move(*table);
  llvm::StringSet<> names;
  for (const ProductNoise *product : sortByNoise(decision.table)) {
    bool isKept = llvm::any_of(compile.quantization.keep,
                               [&](const std::string &pattern) {
                                 return matchesPattern(pattern, product->name);
                               });
    if (!isKept && product->alone.noise != 0 &&
        names.insert(product->name).second)
      decision.products.push_back(product->name);
  }
  if (decision.products.empty())
    return makeError("no product is quantized by {0}; 'lathe compile "
                     "--explain' says why",
                     quote(compile.quantization.scheme.text()));
  KeepSearch search(maxDrop, metric, compile, showProgress);
  if (llvm::Error error = search.run(decision))
    return std::move(error);
  return decision;
}

void KeepDecision::print(const MaxDropOptions &options, StringRef scheme,
                         bool withTable, raw_ostream &os) const {
  std::vector<const ProductNoise *> sorted = sortByNoise(table);
  if (withTable)
    printNoise(sorted, sorted.size(), kept, os);
  os << llvm::formatv("max-drop: {0} of {1} over {2} examples is {3:f2} % in "
                      "floats, {4:f2} % by {5}",
                      metricName(metric), output, samples, exact, before,
                      scheme);
  if (!kept.empty())
    os << llvm::formatv(", {0:f2} % with {1} of {2} products in floats", after,
                        kept.size(), products.size());
  os << llvm::formatv("; {0} points less are allowed; {1} evaluations\n",
                      formatNumber(*options.points), evaluations);
}

nlohmann::ordered_json KeepDecision::toJson() const {
  return {{"metric", metricName(metric).str()},
          {"output", output},
          {"samples", samples},
          {"floats", exact},
          {"quantized", before},
          {"chosen", after},
          {"kept", kept},
          {"evaluations", evaluations},
          {"products", lathe::toJson(sortByNoise(table))}};
}

} // namespace lathe
