//===- ModelMetric.h - How good a quantized model is ------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_MODELMETRIC_H
#define LATHE_TOOLS_MODELMETRIC_H

#include "ModelData.h"
#include "lathe/Train/Metrics.h"

namespace lathe {

enum class MetricKind {
  Accuracy,  ///< share of the labels that the largest logit meets
  Agreement, ///< share of the rows with the largest logit of the float model
  Cosine     ///< of an example's output with the float model's, the mean
};
/// "accuracy", "agreement", "cosine".
StringRef metricName(MetricKind kind);
std::optional<MetricKind> metricFromName(StringRef name);

/// One figure of a model on data, in percent, by whatever it is compiled to.
/// The float model is measured first: it is what the others are compared with.
class ModelMetric {
public:
  /// `kind`, or where that is empty the first there is ground for: accuracy
  /// where `data` has labels, agreement where an output is called "logits",
  /// else cosine. Null after a diagnostic.
  static std::unique_ptr<ModelMetric> create(const Model &model, ModelData data,
                                             const ModelOptions &options,
                                             std::optional<MetricKind> kind);

  /// Known once something was measured.
  MetricKind kind() const { return *chosen; }
  const std::string &outputName() const { return outputs[output].name; }
  int64_t samples() const { return examples.samples(); }
  int64_t batches() const { return examples.batches(); }

  /// Runs all of the data. The first call is for the float model. `step` is
  /// called before each batch. Errors: it does not compile (the message is
  /// empty after a diagnostic), or run; no labels, or no output that fits.
  llvm::Expected<double> measure(const CompileOptions &compile,
                                 llvm::function_ref<void()> step);

private:
  ModelMetric(ModelData data, const ModelOptions &options)
      : examples(std::move(data)), options(options) {}
  llvm::Error prepare(ArrayRef<Tensor> results);
  llvm::Error addBatch(std::vector<Tensor> results);
  void addAgreement(const Tensor &result);
  void addCosine(const Tensor &result);

  ModelData examples;
  const ModelOptions &options;
  OwningOpRef<ModuleOp> module;
  std::string entry;
  std::optional<MetricKind> chosen;
  unsigned output = 0; ///< which one is judged
  bool hasLoss = false;
  bool hasReference = false;
  std::vector<TensorSpec> outputs;
  train::MetricOptions labelled;
  /// What the float model gave, batch by batch: the places of the largest
  /// logits, or all of it.
  std::vector<std::vector<int64_t>> largest;
  std::vector<Tensor> exact;
  /// Of the measurement that runs.
  std::optional<train::Metrics> metrics;
  int64_t batch = 0;
  double sum = 0;
  uint64_t count = 0;
};

/// The label that every loss of the model ignores, if there is one.
std::optional<int64_t> findIgnoredLabel(const Model &model);

} // namespace lathe

#endif // LATHE_TOOLS_MODELMETRIC_H
