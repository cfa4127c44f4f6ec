//===- ModelMetric.cpp - How good a quantized model is --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelMetric.h"

#include "DataRun.h"
#include "lathe/Support/Error.h"

#include <cmath>
#include <set>

namespace lathe {

/// What is kept of the float model's outputs.
static constexpr uint64_t kKeptBytes = uint64_t(512) << 20;

static constexpr StringLiteral kNames[] = {"accuracy", "agreement", "cosine"};

StringRef metricName(MetricKind kind) { return kNames[int(kind)]; }

std::optional<MetricKind> metricFromName(StringRef name) {
  const auto *found = llvm::find(kNames, name);
  if (found == std::end(kNames))
    return std::nullopt;
  return MetricKind(found - kNames);
}

std::optional<int64_t> findIgnoredLabel(const Model &model) {
  std::set<std::optional<int64_t>> found;
  ModuleOp module = model.module();
  module.walk([&](CrossEntropyOp op) { found.insert(op.getIgnoreIndex()); });
  return found.size() == 1 ? *found.begin() : std::nullopt;
}

std::unique_ptr<ModelMetric>
ModelMetric::create(const Model &model, ModelData data,
                    const ModelOptions &options,
                    std::optional<MetricKind> kind) {
  std::unique_ptr<ModelMetric> metric(
      new ModelMetric(std::move(data), options));
  metric->module = recognizeFor(model, metric->examples);
  if (!metric->module)
    return nullptr;
  func::FuncOp entry = model.entry();
  metric->entry = entry.getSymName().str();
  metric->chosen = kind;
  ModuleOp whole = model.module();
  metric->hasLoss = whole.lookupSymbol("loss") != nullptr;
  metric->labelled.ignore = findIgnoredLabel(model);
  return metric;
}

static bool isClassifier(const TensorSpec &spec) {
  return isFloat(spec.dtype) && spec.shape.size() >= 2 && spec.shape.back() > 1;
}

/// The labels that fit the logits, as in training: of several the last ones.
static std::string findLabels(const ModelData &data, const TensorSpec &logits) {
  std::string found;
  for (const TensorSpec &spec : data.labels())
    if (ArrayRef(spec.shape) == ArrayRef(logits.shape).drop_back())
      found = spec.name;
  return found;
}

/// Which output is judged, and by what, when the float model's first ones are
/// there.
llvm::Error ModelMetric::prepare(ArrayRef<Tensor> results) {
  auto function = module->lookupSymbol<func::FuncOp>(entry);
  std::optional<unsigned> floats, logits;
  for (auto [i, result] : llvm::enumerate(results)) {
    auto name = function.getResultAttrOfType<StringAttr>(i, "lathe.name");
    outputs.push_back({name ? name.str() : "output" + std::to_string(i),
                       result.dtype(), Shape(result.shape())});
    bool isNamed = outputs[i].name == labelled.logits;
    if (isClassifier(outputs[i]) && (isNamed || !logits))
      logits = i;
    if (isFloat(result.dtype()) && result.numElements() && !floats)
      floats = i;
  }
  bool isSure = logits && outputs[*logits].name == labelled.logits;
  // A model with @loss says what its labels are for.
  std::string labels = isSure || (logits && !hasLoss)
                           ? findLabels(examples, outputs[*logits])
                           : "";
  if (!chosen)
    chosen = !labels.empty() ? MetricKind::Accuracy
             : isSure        ? MetricKind::Agreement
                             : MetricKind::Cosine;
  if (!floats)
    return makeError("the model has no output of floats to look at");
  if (*chosen == MetricKind::Cosine) {
    output = *floats;
    // No more than there is memory for.
    uint64_t bytes = std::max<uint64_t>(1, results[output].numBytes());
    examples.useAtMost(std::max<uint64_t>(1, kKeptBytes / bytes) *
                       examples.batchSize());
    return llvm::Error::success();
  }
  if (!logits)
    return makeError("--metric {0} expects an output [..., classes] of floats; "
                     "the model has none",
                     metricName(*chosen));
  output = *logits;
  if (*chosen == MetricKind::Agreement)
    return llvm::Error::success();
  if (labels.empty())
    return makeError(
        "--metric accuracy expects labels of shape {0}, such as --data "
        "label=FILE; there are none for the output {1}",
        formatIndex(ArrayRef(outputs[output].shape).drop_back()),
        quote(outputs[output].name));
  labelled.logits = outputs[output].name;
  labelled.labels = labels;
  return llvm::Error::success();
}

/// The place of the largest number in each row; -1 where one is none.
static std::vector<int64_t> findLargest(const Tensor &logits) {
  int64_t classes = logits.shape().back();
  size_t bytes = dtypeSize(logits.dtype());
  const char *data = static_cast<const char *>(logits.data());
  std::vector<int64_t> places(logits.numElements() / classes);
  for (int64_t &place : places) {
    double largest = -INFINITY;
    place = 0;
    for (int64_t i = 0; i < classes; ++i, data += bytes) {
      double value = loadAsDouble(logits.dtype(), data);
      if (std::isnan(value))
        place = -1;
      if (value > largest && place >= 0) {
        largest = value;
        place = i;
      }
    }
  }
  return places;
}

void ModelMetric::addAgreement(const Tensor &result) {
  std::vector<int64_t> places = findLargest(result);
  if (!hasReference)
    largest.push_back(places);
  for (auto [mine, theirs] : llvm::zip_equal(places, largest[batch]))
    sum += mine == theirs;
  count += places.size();
}

/// Of each example's output as a whole.
void ModelMetric::addCosine(const Tensor &result) {
  const Tensor &wanted = hasReference ? exact[batch] : result;
  size_t bytes = dtypeSize(result.dtype());
  const char *mine = static_cast<const char *>(result.data()),
             *theirs = static_cast<const char *>(wanted.data());
  int64_t rows = examples.batchSize();
  if (result.shape().empty() || result.shape()[0] != rows)
    rows = 1; // no row per example
  for (int64_t row = 0; row < rows; ++row) {
    double product = 0, mineSquared = 0, theirsSquared = 0;
    for (int64_t i = 0; i < result.numElements() / rows;
         ++i, mine += bytes, theirs += bytes) {
      double a = loadAsDouble(result.dtype(), mine),
             b = loadAsDouble(result.dtype(), theirs);
      product += a * b;
      mineSquared += a * a;
      theirsSquared += b * b;
    }
    double cosine = product / std::sqrt(mineSquared * theirsSquared);
    if (mineSquared == 0 && theirsSquared == 0)
      cosine = 1;
    sum += std::isfinite(cosine) ? cosine : 0;
    ++count;
  }
}

llvm::Error ModelMetric::addBatch(std::vector<Tensor> results) {
  if (!hasReference && batch == 0)
    if (llvm::Error error = prepare(results))
      return error;
  switch (*chosen) {
  case MetricKind::Accuracy: {
    if (!metrics) {
      auto made =
          train::Metrics::create(labelled, examples.loadedSpecs(), outputs);
      if (!made)
        return made.takeError();
      metrics = std::move(*made);
    }
    train::TrainProgram::Evaluation evaluation;
    evaluation.outputs = std::move(results);
    return metrics->add(evaluation, examples.loaded(), examples.batchSize());
  }
  case MetricKind::Agreement:
    addAgreement(results[output]);
    break;
  case MetricKind::Cosine:
    addCosine(results[output]);
    if (!hasReference)
      exact.push_back(std::move(results[output]));
    break;
  }
  return llvm::Error::success();
}

llvm::Expected<double> ModelMetric::measure(const CompileOptions &compile,
                                            llvm::function_ref<void()> step) {
  auto program = makeExposed(*module, entry, {}, compile, options);
  if (!program)
    return program.takeError();
  metrics.reset();
  batch = 0;
  sum = 0;
  count = 0;
  llvm::Error error = forEachBatch(
      examples, step, [&](ArrayRef<TensorView> inputs) -> llvm::Error {
        auto run = program->run(inputs);
        if (!run)
          return run.takeError();
        llvm::Error added = addBatch(std::move(run->results));
        ++batch;
        return added;
      });
  if (error)
    return std::move(error);
  hasReference = true;
  if (!metrics)
    return 100 * sum / count;
  if (auto accuracy = metrics->report().find("accuracy"))
    return 100 * *accuracy;
  return makeError("no label counts: all are {0}, which the loss ignores",
                   *labelled.ignore);
}

} // namespace lathe
