//===- Metrics.h - How good a model is -*- C++ -* ---------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_METRICS_H
#define LATHE_TRAIN_METRICS_H

#include "lathe/Train/Program.h"

#include <optional>

namespace lathe::train {

/// Which output and which input the figures are made of. Classification: logits
/// [batch, ..., classes] and integer labels [batch, ...]; two classes also as
/// one logit per label, floats or integers that are 0 or 1. `ignore`: labels
/// that do not count (padding).
struct MetricOptions {
  std::string logits = "logits", labels; ///< absent: the loss alone
  std::optional<int64_t> ignore;
  /// Area under the ROC curve; keeps the score of every row.
  bool rocAuc = false;
  /// Perplexity and bits per character instead of what classes give: from the
  /// logits, or from a loss that is the mean over tokens, in nats.
  bool language = false;
  /// Characters (or bytes) per token, where a token is more than one.
  double charactersPerToken = 1;
};

struct ClassReport {
  double precision = 0, recall = 0, f1 = 0;
  uint64_t support = 0; ///< rows that have this label
};

/// Figures of one pass over data.
struct Report {
  Scalars scalars; ///< loss first
  std::vector<ClassReport> classes;
  uint64_t rows = 0; ///< that counted

  std::optional<double> find(llvm::StringRef name) const;
};

/// A streaming accumulation: batches in, figures out. Sums are in f64, in the
/// order of the rows.
class Metrics {
public:
  /// Errors: the options do not fit outputs and inputs.
  static llvm::Expected<Metrics> create(const MetricOptions &options,
                                        llvm::ArrayRef<TensorSpec> inputs,
                                        llvm::ArrayRef<TensorSpec> outputs);
  /// The first `rows` examples of the batch count; the loss counts `rows`
  /// times.
  llvm::Error add(const TrainProgram::Evaluation &evaluation,
                  llvm::ArrayRef<Tensor> inputs, int64_t rows);
  Report report() const;
  /// The names of all figures that a report may have.
  std::vector<std::string> figures() const;

private:
  llvm::Error addRows(const TrainProgram::Evaluation &evaluation,
                      llvm::ArrayRef<Tensor> inputs, int64_t count);
  void addRow(const double *logits, int64_t label);

  MetricOptions options;
  size_t logitsIndex = 0, labelsIndex = 0;
  int64_t classes = 0; ///< 0: the loss alone; 1: one logit for two classes
  int64_t rowsPerExample = 1;
  double lossSum = 0;
  uint64_t examples = 0;
  double negativeLogLikelihood = 0;
  uint64_t rows = 0, right = 0;
  std::vector<uint64_t> support, predicted, correct;
  std::vector<float> scores; ///< rocAuc: of all classes, row by row
  std::vector<int32_t> labels;
};

/// Area under the ROC curve from scores and whether each row is positive, ties
/// counted half (the Mann-Whitney statistic); nothing where one side is empty.
std::optional<double> areaUnderRoc(llvm::ArrayRef<float> scores,
                                   llvm::ArrayRef<bool> positive);

} // namespace lathe::train

#endif // LATHE_TRAIN_METRICS_H
