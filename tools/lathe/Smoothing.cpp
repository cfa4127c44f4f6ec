//===- Smoothing.cpp - Channels of activations brought closer -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Smoothing.h"

#include "DataRun.h"
#include "lathe/Analysis/LoadTime.h"
#include "lathe/Support/Error.h"

#include <cmath>

namespace lathe {

/// Divisors beyond these would only move rounding errors around.
static constexpr double kMost = 1e4;

std::vector<float> Smoothing::divide(int64_t range,
                                     const TensorView &value) const {
  std::vector<float> result(value.as<float>());
  int64_t inner = 1;
  for (int64_t size : value.shape().drop_front(axis + 1))
    inner *= size;
  for (auto [i, x] : llvm::enumerate(result))
    x /= divisors[range * channels + int64_t(i) / inner % channels];
  return result;
}

void Smoothing::list(llvm::function_ref<int64_t(int64_t)> rangeOf,
                     int64_t count,
                     std::vector<std::vector<double>> &into) const {
  for (int64_t n = 0; *this && n < count; ++n) {
    auto first = divisors.begin() + rangeOf(n) * channels;
    into.emplace_back(first, first + channels);
  }
}

namespace {
/// The largest magnitudes per channel of a value, and of the weights it meets.
struct Channels {
  Value input;
  SmallVector<Value> weights;
  std::vector<double> ofInput, ofWeights;
};

class Smoother {
public:
  Smoother(const SiteObserver &observer, std::vector<Smoothing> &result)
      : observer(observer), loadTime(observer.function()), result(result) {}
  void instrument();
  llvm::Error run(const CompileOptions &compile, const ModelOptions &options,
                  ModelData &data, llvm::function_ref<void()> step);
  void choose(double alpha);

private:
  Value largest(Value value, int64_t channelAxis);
  /// Null: not of a kind that can be smoothed.
  Value findWeight(const QuantizationSite &site, int64_t &inputAxis,
                   int64_t &weightAxis) const;
  static void merge(Value value, ArrayRef<ScanOp> scans, const Tensor &stacked,
                    std::vector<double> &into, bool isForAll,
                    int64_t numRanges);

  const SiteObserver &observer;
  LoadTime loadTime;
  std::vector<Smoothing> &result;
  std::vector<Channels> found;
};
} // namespace

/// max|value| over all axes but one.
Value Smoother::largest(Value value, int64_t channelAxis) {
  OpBuilder builder(value.getContext());
  builder.setInsertionPointAfterValue(value);
  SmallVector<int64_t> axes;
  for (int64_t i = 0; i < cast<RankedTensorType>(value.getType()).getRank();
       ++i)
    if (i != channelAxis)
      axes.push_back(i);
  return builder.create<ReduceMaxOp>(
      value.getLoc(), builder.create<AbsOp>(value.getLoc(), value).getResult(),
      ArrayRef<int64_t>(axes), /*keepdims=*/false);
}

Value Smoother::findWeight(const QuantizationSite &site, int64_t &inputAxis,
                           int64_t &weightAxis) const {
  std::string whyNot;
  auto places =
      cast<QuantizableOpInterface>(site.op).getQuantizableOperands(whyNot);
  Value weight;
  for (const QuantizableOperand &place : places) {
    Value value = site.op->getOperand(place.index);
    if (place.reducedAxes.size() != 1 ||
        !getElementTypeOrSelf(value.getType()).isF32())
      return {};
    if (place.index == site.operand) {
      inputAxis = place.reducedAxes.front();
      continue;
    }
    if (!loadTime.isKnownOrSlice(value))
      return {};
    weight = value;
    weightAxis = place.reducedAxes.front();
  }
  return weight;
}

void Smoother::instrument() {
  found.resize(observer.values().size());
  result.resize(found.size());
  SmallVector<bool> isRefused(found.size(), false);
  SmallVector<std::pair<unsigned, Value>> weights;
  for (auto [i, site] : llvm::enumerate(observer.sites())) {
    unsigned number = observer.valueOf(i);
    int64_t inputAxis = 0, weightAxis = 0;
    Value weight = findWeight(site, inputAxis, weightAxis);
    auto shape = cast<RankedTensorType>(site.value.getType()).getShape();
    if (!weight ||
        (result[number].channels && result[number].axis != inputAxis)) {
      isRefused[number] = true;
      continue;
    }
    result[number].axis = inputAxis;
    result[number].channels = shape[inputAxis];
    weights.push_back({number, largest(weight, weightAxis)});
  }
  for (auto [number, weight] : weights)
    found[number].weights.push_back(weight);
  for (auto [number, channels] : llvm::enumerate(found)) {
    if (isRefused[number])
      channels.weights.clear();
    if (channels.weights.empty())
      continue;
    channels.input =
        largest(observer.values()[number].value, result[number].axis);
    size_t size =
        observer.values()[number].numRanges() * result[number].channels;
    channels.ofInput.assign(size, 0);
    channels.ofWeights.assign(size, 0);
  }
}

void Smoother::merge(Value value, ArrayRef<ScanOp> scans, const Tensor &stacked,
                     std::vector<double> &into, bool isForAll,
                     int64_t numRanges) {
  splitByRange(value, scans, stacked,
               [&](int64_t range, const TensorView &part) {
                 ArrayRef<float> from = part.as<float>();
                 for (int64_t to = 0; to < numRanges; ++to)
                   if (isForAll || to == range)
                     for (auto [i, x] : llvm::enumerate(from)) {
                       double &most = into[to * from.size() + i];
                       if (std::isfinite(x))
                         most = std::max(most, double(x));
                     }
               });
}

llvm::Error Smoother::run(const CompileOptions &compile,
                          const ModelOptions &options, ModelData &data,
                          llvm::function_ref<void()> step) {
  DenseMap<Value, unsigned> places;
  for (auto [place, value] : llvm::enumerate(listValues(observer.function())))
    places[value] = place;
  // Numbers per channel are few: one run has memory for all.
  SmallVector<unsigned> wanted;
  for (const Channels &one : found)
    if (one.input) {
      wanted.push_back(places.lookup(one.input));
      for (Value weight : one.weights)
        wanted.push_back(places.lookup(weight));
    }
  if (wanted.empty())
    return llvm::Error::success();
  llvm::sort(wanted);
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  func::FuncOp function = observer.function();
  auto program = makeExposed(function->getParentOfType<ModuleOp>(),
                             function.getSymName(), wanted, compile, options);
  if (!program)
    return program.takeError();
  auto addBatch = [&](ArrayRef<TensorView> inputs) -> llvm::Error {
    auto run = program->run(inputs);
    if (!run)
      return run.takeError();
    auto valueAt = [&](Value value) -> const Tensor & {
      return run->values[llvm::lower_bound(wanted, places.lookup(value)) -
                         wanted.begin()];
    };
    for (auto [number, one] : llvm::enumerate(found)) {
      if (!one.input)
        continue;
      const SiteObserver::Observed &value = observer.values()[number];
      merge(one.input, value.scans, valueAt(one.input), one.ofInput,
            /*isForAll=*/false, value.numRanges());
      // The weights of all layers meet a value from outside of the loop, and
      // all layers may meet the same weights.
      for (Value weight : one.weights) {
        auto stacked = findScansAround(weight);
        merge(weight, value.scans, valueAt(weight), one.ofWeights,
              /*isForAll=*/stacked.empty(), value.numRanges());
      }
    }
    return llvm::Error::success();
  };
  return forEachBatch(data, step, addBatch);
}

void Smoother::choose(double alpha) {
  for (auto [one, smoothing] : llvm::zip_equal(found, result)) {
    if (!one.input)
      continue;
    smoothing.divisors.assign(one.ofInput.size(), 1);
    int64_t channels = smoothing.channels;
    for (size_t start = 0; start < one.ofInput.size(); start += channels) {
      // Around 1 on the average, as a product: other scales take the rest.
      double sum = 0, count = 0;
      SmallVector<double> divisors(channels, 0);
      for (int64_t i = 0; i < channels; ++i) {
        double x = one.ofInput[start + i], w = one.ofWeights[start + i];
        if (x <= 0 || w <= 0)
          continue;
        divisors[i] = std::pow(x, alpha) / std::pow(w, 1 - alpha);
        sum += std::log(divisors[i]);
        ++count;
      }
      double mean = count ? std::exp(sum / count) : 1;
      for (int64_t i = 0; i < channels; ++i)
        if (divisors[i] > 0)
          smoothing.divisors[start + i] =
              float(std::clamp(divisors[i] / mean, 1 / kMost, kMost));
    }
  }
}

llvm::Expected<std::vector<Smoothing>>
findSmoothing(ModuleOp module, StringRef entry, double alpha,
              const CompileOptions &compile, const ModelOptions &options,
              ModelData &data, llvm::function_ref<void()> step) {
  std::vector<Smoothing> result;
  SiteObserver observer(OwningOpRef<ModuleOp>(cast<ModuleOp>(module->clone())),
                        entry);
  Smoother smoother(observer, result);
  smoother.instrument();
  if (llvm::Error error = smoother.run(compile, options, data, step))
    return std::move(error);
  smoother.choose(alpha);
  return std::move(result);
}

} // namespace lathe
