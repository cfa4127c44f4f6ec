//===- Histogram.h - How the values of a tensor are spread ------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What calibration gathers of a value over many runs, and how a range for 8-bit
// numbers follows from it.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_HISTOGRAM_H
#define LATHE_SUPPORT_HISTOGRAM_H

#include "lathe/Support/Tensor.h"

#include <optional>
#include <vector>

namespace lathe {

/// Counts of numbers in bins of one width, on either side of 0. The width is a
/// power of two; where a number lies beyond the last bin, bins are merged in
/// pairs until it does not. Bins of the finer width lie wholly in those of the
/// coarser one, so the counts are what they would be had the last width been
/// known from the start: one run over the data is enough, and neither order nor
/// batches matter.
class Histogram {
public:
  /// Bins on a side; at least half of them are in use on one.
  static constexpr unsigned kBins = 4096;

  /// Counts floats of type F64, F32, F16 or BF16.
  void add(const TensorView &values);
  void add(llvm::ArrayRef<float> values);

  /// Numbers that were counted; those that are not finite are not.
  uint64_t count() const { return total; }
  uint64_t notFinite() const { return bad; }
  /// Of positive(0), those that are 0 exactly: what relu leaves, which no
  /// rounding changes.
  uint64_t zeros() const { return zero; }
  /// Least and largest number; 0 where there are none.
  double least() const { return total ? low : 0; }
  double largest() const { return total ? high : 0; }
  /// max(|least|, |largest|)
  double magnitude() const;

  /// Bin i of a side holds numbers with i * width() <= |x| < (i + 1) * width();
  /// 0 is in the positive one.
  double width() const;
  uint64_t positive(unsigned i) const { return bins.empty() ? 0 : bins[i]; }
  uint64_t negative(unsigned i) const {
    return bins.empty() ? 0 : bins[kBins + i];
  }
  /// Bins that have numbers in them are below this one, on both sides.
  unsigned used() const;

  /// Share of the numbers outside of [low, high], as if the numbers of a bin
  /// were spread evenly over it.
  double shareOutside(double low, double high) const;

private:
  void growFor(float magnitude);
  std::vector<uint64_t> bins; ///< positive, negative
  int exponent = -126;        ///< the width is 2^exponent
  uint64_t total = 0, bad = 0, zero = 0;
  float low = 0, high = 0;
};

/// 8-bit numbers q, least <= q <= most, that stand for (q - zero) * step.
struct Quantizer {
  double step = 1;
  int zero = 0, least = -127, most = 127;

  /// 256 numbers that reach from `low` to `high`, 0 among them exactly.
  static Quantizer asymmetric(double low, double high);
  /// -127 to 127, with 127 for `magnitude`.
  static Quantizer symmetric(double magnitude);
  /// The nearest number, as a real one; ties go to the even one.
  double round(double x) const;
};

/// Mean square of what `quantizer` changes.
double quantizationError(const Histogram &histogram,
                         const Quantizer &quantizer);
/// The same in dB below the mean square of the numbers themselves; infinity
/// where nothing is lost.
double quantizationSnr(const Histogram &histogram, const Quantizer &quantizer);

/// How much of what was seen a range takes in. All but MinMax look for a
/// magnitude T, beyond which numbers are clipped.
///   MinMax     nothing is clipped
///   Percentile T is the given percentile of |x|
///   Entropy    the distribution over the 8-bit numbers loses the least
///              information on the one before, by Kullback and Leibler's
///              divergence: S. Migacz, "8-bit Inference with TensorRT", GTC
///              2017, with his 128 levels of |x|, or 256 of x
///   MeanSquare the mean square error is the least: what rounding loses in
///              wide steps and clipping in narrow ones; e.g. Banner et al.,
///              "Post-training 4-bit quantization of convolution networks for
///              rapid-deployment", arXiv 1810.05723
enum class RangeMethod { MinMax, Percentile, Entropy, MeanSquare };

/// "minmax", "percentile", "entropy", "mse".
llvm::StringRef rangeMethodName(RangeMethod method);
std::optional<RangeMethod> rangeMethodFromName(llvm::StringRef name);

/// What 8-bit numbers should cover.
struct Range {
  /// For asymmetric() and symmetric(): either is chosen by itself, since a step
  /// of the one is another one than that of the other.
  double low = 0, high = 0, magnitude = 0;
};

/// `percentile` in (0, 100]. Nothing but zeros, or no numbers, gives the range
/// from 0 to 0.
Range chooseRange(const Histogram &histogram, RangeMethod method,
                  double percentile = 99.99);

} // namespace lathe

#endif // LATHE_SUPPORT_HISTOGRAM_H
