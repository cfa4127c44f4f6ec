//===- Metrics.cpp - How good a model is ----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/Metrics.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace llvm;

namespace lathe::train {

std::optional<double> Report::find(StringRef name) const {
  for (const auto &[key, value] : scalars)
    if (key == name)
      return value;
  return std::nullopt;
}

static std::string listNames(ArrayRef<TensorSpec> specs) {
  std::string text;
  for (const TensorSpec &spec : specs)
    text += (text.empty() ? "" : ", ") + quote(spec.name);
  return text.empty() ? "none" : text;
}

Expected<Metrics> Metrics::create(const MetricOptions &options,
                                  ArrayRef<TensorSpec> inputs,
                                  ArrayRef<TensorSpec> outputs) {
  Metrics metrics;
  metrics.options = options;
  if (options.labels.empty())
    return metrics;
  auto named = [](StringRef name) {
    return [name](const TensorSpec &spec) { return spec.name == name; };
  };
  auto logits = find_if(outputs, named(options.logits));
  auto labels = find_if(inputs, named(options.labels));
  if (logits == outputs.end())
    return makeError("the program has no output {0} to make figures of; it has "
                     "{1}",
                     quote(options.logits), listNames(outputs));
  if (labels == inputs.end())
    return makeError("the program has no input {0} to compare with; it has {1}",
                     quote(options.labels), listNames(inputs));
  metrics.logitsIndex = logits - outputs.begin();
  metrics.labelsIndex = labels - inputs.begin();
  ArrayRef<int64_t> wide = logits->shape, narrow = labels->shape;
  bool perClass = wide.size() == narrow.size() + 1 &&
                  wide.drop_back() == narrow && wide.back() > 0;
  bool binary = !perClass && !narrow.empty() &&
                (wide == narrow ||
                 (wide.size() == narrow.size() + 1 && wide.back() == 1));
  if (perClass && wide.back() == 1)
    perClass = false, binary = true;
  if (!isFloat(logits->dtype) || (!perClass && !binary) || narrow.empty())
    return makeError(
        "the output {0} of type {1} does not fit the labels {2} of type {3}: "
        "[batch, ..., classes] and [batch, ...] are expected",
        quote(logits->name), formatType(logits->dtype, wide),
        quote(labels->name), formatType(labels->dtype, narrow));
  metrics.classes = perClass ? wide.back() : 1;
  for (int64_t extent : narrow.drop_front())
    metrics.rowsPerExample *= extent;
  size_t kinds = std::max<int64_t>(metrics.classes, 2);
  metrics.support.resize(kinds);
  metrics.predicted.resize(kinds);
  metrics.correct.resize(kinds);
  return metrics;
}

/// -log softmax(logits)[label] and the largest's index; for one logit, the
/// classes 0 and 1 have the logits 0 and x.
static std::pair<double, int64_t> score(ArrayRef<double> logits,
                                        int64_t label) {
  double largest = -INFINITY;
  int64_t where = 0;
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > largest)
      largest = logits[i], where = i;
  double sum = 0;
  for (double value : logits)
    sum += std::exp(value - largest);
  return {std::log(sum) + largest - logits[label], where};
}

void Metrics::addRow(const double *logits, int64_t label) {
  double both[2] = {0, logits[0]};
  ArrayRef<double> values =
      classes == 1 ? ArrayRef<double>(both) : ArrayRef(logits, classes);
  auto [loss, best] = score(values, label);
  negativeLogLikelihood += loss;
  ++rows;
  ++support[label];
  ++predicted[best];
  if (best == label) {
    ++right;
    ++correct[label];
  }
  if (options.rocAuc) {
    labels.push_back(static_cast<int32_t>(label));
    // Probabilities: ranks across rows need a common scale.
    double largest = *std::max_element(values.begin(), values.end()), sum = 0;
    for (double value : values)
      sum += std::exp(value - largest);
    if (values.size() == 2)
      scores.push_back(static_cast<float>(values[1] - values[0]));
    else
      for (double value : values)
        scores.push_back(static_cast<float>(std::exp(value - largest) / sum));
  }
}

Error Metrics::add(const TrainProgram::Evaluation &evaluation,
                   ArrayRef<Tensor> inputs, int64_t count) {
  uint64_t before = rows;
  if (Error error = addRows(evaluation, inputs, count))
    return error;
  // Where no label counts, the loss is the mean of nothing.
  if (classes && rows == before && std::isnan(evaluation.loss))
    return Error::success();
  lossSum += evaluation.loss * count;
  examples += count;
  return Error::success();
}

Error Metrics::addRows(const TrainProgram::Evaluation &evaluation,
                       ArrayRef<Tensor> inputs, int64_t count) {
  if (!classes)
    return Error::success();
  const Tensor &logits = evaluation.outputs[logitsIndex];
  const Tensor &truth = inputs[labelsIndex];
  size_t logitSize = dtypeSize(logits.dtype()),
         labelSize = dtypeSize(truth.dtype());
  std::vector<double> row(classes);
  for (int64_t r = 0; r < count * rowsPerExample; ++r) {
    double number = loadAsDouble(
        truth.dtype(), static_cast<char *>(truth.data()) + r * labelSize);
    if (options.ignore && number == *options.ignore)
      continue;
    if (!(number >= 0 && number < support.size()) ||
        number != std::floor(number))
      return makeError("a label is {0}, where 0 to {1} are expected",
                       formatNumber(number), support.size() - 1);
    for (int64_t c = 0; c < classes; ++c)
      row[c] = loadAsDouble(logits.dtype(), static_cast<char *>(logits.data()) +
                                                (r * classes + c) * logitSize);
    addRow(row.data(), static_cast<int64_t>(number));
  }
  return Error::success();
}

std::optional<double> areaUnderRoc(ArrayRef<float> scores,
                                   ArrayRef<bool> positive) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  // Sum of the ranks of the positive rows, equal scores sharing theirs.
  double rankSum = 0, positives = 0;
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    double here = 0;
    while (end < order.size() && scores[order[end]] == scores[order[begin]])
      here += positive[order[end++]];
    rankSum += here * (begin + 1 + end) / 2;
    positives += here;
    begin = end;
  }
  double negatives = scores.size() - positives;
  if (positives == 0 || negatives == 0)
    return std::nullopt;
  return (rankSum - positives * (positives + 1) / 2) / (positives * negatives);
}

std::vector<std::string> Metrics::figures() const {
  std::vector<std::string> names = {"loss"};
  if (classes)
    names.push_back("accuracy");
  if (options.language) {
    names.insert(names.end(), {"perplexity", "bits_per_character"});
  } else if (classes) {
    names.insert(names.end(), {"cross_entropy", "precision", "recall", "f1"});
    if (options.rocAuc)
      names.push_back("roc_auc");
  }
  return names;
}

Report Metrics::report() const {
  Report report;
  report.rows = classes ? rows : examples;
  double loss = examples ? lossSum / examples : 0;
  report.scalars.emplace_back("loss", loss);
  if (classes ? !rows : !options.language)
    return report;
  double entropy = classes ? negativeLogLikelihood / rows : loss;
  if (classes)
    report.scalars.emplace_back("accuracy", static_cast<double>(right) / rows);
  if (options.language) {
    report.scalars.emplace_back("perplexity", std::exp(entropy));
    report.scalars.emplace_back("bits_per_character",
                                entropy / std::log(2.0) /
                                    options.charactersPerToken);
    return report;
  }
  report.scalars.emplace_back("cross_entropy", entropy);
  auto ratio = [](double part, double whole) {
    return whole > 0 ? part / whole : 0;
  };
  double precision = 0, recall = 0, f1 = 0, present = 0;
  for (size_t c = 0; c < support.size(); ++c) {
    ClassReport one;
    one.support = support[c];
    one.precision = ratio(correct[c], predicted[c]);
    one.recall = ratio(correct[c], support[c]);
    one.f1 = ratio(2.0 * correct[c], predicted[c] + support[c]);
    report.classes.push_back(one);
    if (support[c] + predicted[c] == 0)
      continue; // a class that neither data nor model know
    ++present;
    precision += one.precision;
    recall += one.recall;
    f1 += one.f1;
  }
  if (support.size() == 2) { // of the class 1, as one speaks of two classes
    precision = report.classes[1].precision;
    recall = report.classes[1].recall;
    f1 = report.classes[1].f1;
    present = 1;
  }
  report.scalars.emplace_back("precision", ratio(precision, present));
  report.scalars.emplace_back("recall", ratio(recall, present));
  report.scalars.emplace_back("f1", ratio(f1, present));
  if (!options.rocAuc)
    return report;
  size_t columns = support.size() == 2 ? 1 : support.size();
  double areas = 0;
  unsigned counted = 0;
  for (size_t c = 0; c < columns; ++c) {
    std::vector<float> column;
    SmallVector<bool> positive;
    for (size_t r = 0; r < labels.size(); ++r) {
      column.push_back(scores[r * columns + c]);
      positive.push_back(labels[r] ==
                         static_cast<int32_t>(columns == 1 ? 1 : c));
    }
    if (auto area = areaUnderRoc(column, positive)) {
      areas += *area;
      ++counted;
    }
  }
  if (counted)
    report.scalars.emplace_back("roc_auc", areas / counted);
  return report;
}

} // namespace lathe::train
