//===- Smoothing.h - Channels of activations brought closer -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Xiao et al. 2022, "SmoothQuant": what flows into a product is divided by a
// number per channel that its weights are multiplied by, so that a channel of
// large numbers does not cost all others their precision.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_SMOOTHING_H
#define LATHE_TOOLS_SMOOTHING_H

#include "SiteObserver.h"

namespace lathe {

/// Of the sites of one value: the axis of the channels, and what they are
/// divided by, [ranges, channels]. Empty: not smoothed.
struct Smoothing {
  int64_t axis = 0, channels = 0;
  std::vector<float> divisors;

  explicit operator bool() const { return !divisors.empty(); }
  /// `value`, one of range `range`, divided.
  std::vector<float> divide(int64_t range, const TensorView &value) const;
  /// Appends the divisors of `count` layers, of which layer n has range
  /// rangeOf(n), as SiteRanges::smooth has them.
  void list(llvm::function_ref<int64_t(int64_t)> rangeOf, int64_t count,
            std::vector<std::vector<double>> &into) const;
};

/// What becomes of each of SiteObserver::values() of a module from
/// Model::recognize, which is left as it is: max|x|^alpha / max|w|^(1-alpha) of
/// each channel, over the data and over all weights that the value meets.
/// Values that something else than a product with weights reads, too, as a
/// convolution, are not smoothed. `step` is called before each run. Errors: as
/// of SiteObserver::run.
llvm::Expected<std::vector<Smoothing>>
findSmoothing(ModuleOp module, StringRef entry, double alpha,
              const CompileOptions &compile, const ModelOptions &options,
              ModelData &data, llvm::function_ref<void()> step);

} // namespace lathe

#endif // LATHE_TOOLS_SMOOTHING_H
