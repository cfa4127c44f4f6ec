//===- MaxDrop.h - What to keep in floats -----------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_MAXDROP_H
#define LATHE_TOOLS_MAXDROP_H

#include "DataRun.h"
#include "ModelMetric.h"
#include "QuantizationNoise.h"

#include <nlohmann/json.hpp>

namespace lathe {

/// What the user allows a quantization to cost.
struct MaxDropOptions {
  std::optional<double> points; ///< of a figure in percent; none: not asked for
  std::string metric;           ///< metricName, or "" for what there is
  int64_t samples = 4096;       ///< of the examples to judge by, at most
  unsigned evaluations = 16;    ///< of quantized models, at most

  /// --max-drop, --metric, --eval, --eval-samples and --max-evaluations.
  void add(CLI::App &verb, ModelDataOptions &data);
};

/// Which products stay in floats, and why.
struct KeepDecision {
  MetricKind metric = MetricKind::Accuracy;
  std::string output; ///< that it is of
  int64_t samples = 0;
  NoiseTable table;
  /// Names in the order of `alone`, the worst first; no two are the same.
  std::vector<std::string> products;
  std::vector<std::string> kept; ///< of them
  /// The figure of the float model, with all products quantized, and with those
  /// in `kept` in floats.
  double exact = 0, before = 0, after = 0;
  unsigned evaluations = 0;

  void print(const MaxDropOptions &options, StringRef scheme, bool withTable,
             raw_ostream &os) const;
  nlohmann::ordered_json toJson() const;
};

/// Examples to judge by that calibration does not see: --eval, the recipe's, or
/// the ones behind those of `opened`, which then has half of them at least.
llvm::Expected<ModelData> openEvaluation(const MaxDropOptions &maxDrop,
                                         const ModelOptions &options,
                                         const ModelDataOptions &dataOptions,
                                         ModelOnData &opened, CLI::App &verb);

/// Looks for products to keep besides `compile.quantization.keep` so that the
/// metric falls by no more than `maxDrop.points`. The worst products by `alone`
/// (measured on the first of `opened.data`) are kept first; how many is found
/// by bisection, as if more were always better. The last ones are then given
/// back one by one where the metric allows it: so what is returned was measured
/// itself, whether or not the order was right.
/// Errors: even all products in floats miss it; nothing is quantized; what
/// measuring may give.
llvm::Expected<KeepDecision>
decideWhatToKeep(const MaxDropOptions &maxDrop, ModelOnData &opened,
                 ModelMetric &metric, const ModelOptions &options,
                 const CompileOptions &compile, bool showProgress);

} // namespace lathe

#endif // LATHE_TOOLS_MAXDROP_H
