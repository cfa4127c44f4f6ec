//===- HistogramTest.cpp - Histograms and the ranges they give ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Histogram.h"

#include "TestHelpers.h"

#include <cmath>
#include <random>

using namespace lathe;
using namespace lathe::test;

static Histogram histogramOf(std::vector<float> values) {
  Histogram histogram;
  histogram.add(llvm::ArrayRef<float>(values));
  return histogram;
}

static std::vector<float> drawNormal(size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<float> values(count);
  for (float &x : values) {
    // The sum of twelve: the standard fixes the engine, not the distributions.
    double sum = -6;
    for (int i = 0; i < 12; ++i)
      sum += engine() * 0x1p-32;
    x = static_cast<float>(sum);
  }
  return values;
}

static void expectEqual(const Histogram &a, const Histogram &b) {
  EXPECT_EQ(a.width(), b.width());
  EXPECT_EQ(a.count(), b.count());
  EXPECT_EQ(a.least(), b.least());
  EXPECT_EQ(a.largest(), b.largest());
  EXPECT_EQ(a.zeros(), b.zeros());
  for (unsigned i = 0; i < Histogram::kBins; ++i) {
    ASSERT_EQ(a.positive(i), b.positive(i)) << i;
    ASSERT_EQ(a.negative(i), b.negative(i)) << i;
  }
}

TEST(Histogram, CountsByHand) {
  // The largest magnitude is in [2, 4): 4096 bins of 2^-10.
  Histogram h = histogramOf(
      {0.0f, -0.0f, 0x1p-10f, 3.0f, -0x1.8p-10f, -1e-30f, 0x1.fffffep-11f});
  EXPECT_EQ(h.width(), 0x1p-10);
  EXPECT_EQ(h.count(), 7u);
  EXPECT_EQ(h.zeros(), 2u);
  EXPECT_EQ(h.positive(0), 3u);
  EXPECT_EQ(h.positive(1), 1u);
  EXPECT_EQ(h.positive(3072), 1u);
  EXPECT_EQ(h.negative(0), 1u);
  EXPECT_EQ(h.negative(1), 1u);
  EXPECT_EQ(h.used(), 3073u);
  EXPECT_EQ(h.least(), -0x1.8p-10);
  EXPECT_EQ(h.largest(), 3.0);
  EXPECT_EQ(h.magnitude(), 3.0);
}

TEST(Histogram, EmptyAndZero) {
  Histogram empty;
  EXPECT_EQ(empty.used(), 0u);
  EXPECT_EQ(empty.positive(0), 0u);
  for (RangeMethod method : {RangeMethod::MinMax, RangeMethod::Percentile,
                             RangeMethod::Entropy, RangeMethod::MeanSquare})
    for (const Histogram &h : {empty, histogramOf({0, 0})}) {
      Range range = chooseRange(h, method);
      EXPECT_EQ(range.low, 0);
      EXPECT_EQ(range.high, 0);
      EXPECT_EQ(range.magnitude, 0);
    }
  EXPECT_EQ(Quantizer::symmetric(0).round(3), 3);
}

// Growing by powers of two gives what the last width would have given.
TEST(Histogram, NeitherOrderNorBatchesMatter) {
  std::vector<float> values = drawNormal(5000, 1);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] *= std::ldexp(1.0f, static_cast<int>(i % 24) - 12);
  Histogram whole = histogramOf(values);
  Histogram single, reverse;
  for (float x : values)
    single.add(llvm::ArrayRef(x));
  for (size_t i = values.size(); i-- > 0;)
    reverse.add(llvm::ArrayRef(values[i]));
  expectEqual(whole, single);
  expectEqual(whole, reverse);
  // And what counting anew gives.
  std::vector<uint64_t> counts(2 * Histogram::kBins);
  for (float x : values)
    ++counts[size_t(std::floor(std::abs(double(x)) / whole.width())) +
             (x < 0 ? Histogram::kBins : 0)];
  for (unsigned i = 0; i < Histogram::kBins; ++i) {
    ASSERT_EQ(whole.positive(i), counts[i]);
    ASSERT_EQ(whole.negative(i), counts[Histogram::kBins + i]);
  }
}

TEST(Histogram, Extremes) {
  Histogram h =
      histogramOf({1e-44f, 3e38f, -3.4e38f, NAN, INFINITY, -INFINITY, 1.0f});
  EXPECT_EQ(h.count(), 4u);
  EXPECT_EQ(h.notFinite(), 3u);
  EXPECT_EQ(h.positive(0), 2u);
  EXPECT_EQ(h.least(), double(-3.4e38f));
  EXPECT_LT(h.used(), Histogram::kBins + 1);
  Histogram bad = histogramOf({NAN, INFINITY});
  EXPECT_EQ(bad.count(), 0u);
  EXPECT_EQ(bad.notFinite(), 2u);
  EXPECT_EQ(bad.least(), 0);
  Histogram tiny = histogramOf({1e-44f, -3e-45f});
  EXPECT_EQ(tiny.used(), 1u);
  EXPECT_EQ(chooseRange(tiny, RangeMethod::MinMax).magnitude, double(1e-44f));
  (void)chooseRange(tiny, RangeMethod::Entropy);
  (void)chooseRange(tiny, RangeMethod::MeanSquare);
}

TEST(Histogram, FloatTypes) {
  for (DType type : {DType::F64, DType::F16, DType::BF16}) {
    Tensor values = tensor<double>(type, {2, 3}, {1, -0.5, 0, 4, 2.5, -8});
    Histogram h;
    h.add(values);
    expectEqual(h, histogramOf({1, -0.5, 0, 4, 2.5, -8}));
  }
}

TEST(Histogram, ShareOutside) {
  // Four bins of 1/1024 with one number each, but for the last.
  std::vector<float> values;
  for (int i = 0; i < 4096; ++i)
    values.push_back((i + 0.5f) / 1024);
  Histogram h = histogramOf(values);
  EXPECT_EQ(h.width(), 0x1p-10);
  EXPECT_DOUBLE_EQ(h.shareOutside(0, 3), 0.25);
  EXPECT_DOUBLE_EQ(h.shareOutside(0, 2 + 0x1p-11), (2048 - 0.5) / 4096);
  EXPECT_DOUBLE_EQ(h.shareOutside(0, h.largest()), 0);
  Histogram both = histogramOf({-3, -1, 1, 2, 2, 2, 2, 2});
  EXPECT_DOUBLE_EQ(both.shareOutside(-3, 2), 0);
  EXPECT_DOUBLE_EQ(both.shareOutside(-2, 2), 1.0 / 8);
  EXPECT_DOUBLE_EQ(both.shareOutside(-2, 1.5), 6.0 / 8);
}

TEST(Quantizer, ByHand) {
  Quantizer q = Quantizer::asymmetric(-1, 4.1);
  EXPECT_DOUBLE_EQ(q.step, 0.02);
  EXPECT_EQ(q.zero, 50);
  EXPECT_DOUBLE_EQ(q.round(0), 0);
  EXPECT_DOUBLE_EQ(q.round(9), 4.1);
  EXPECT_DOUBLE_EQ(q.round(-9), -1);
  // Half way: to the even one.
  Quantizer quarters = Quantizer::asymmetric(-1, 62.75);
  EXPECT_EQ(quarters.round(0.125), 0);
  EXPECT_EQ(quarters.round(0.375), 0.5);
  EXPECT_EQ(quarters.round(-0.375), -0.5);
  // 0 is always one of them.
  Quantizer high = Quantizer::asymmetric(2, 5.1);
  EXPECT_EQ(high.zero, 0);
  EXPECT_DOUBLE_EQ(high.step, 0.02);
  Quantizer s = Quantizer::symmetric(12.7);
  EXPECT_DOUBLE_EQ(s.round(-99), -12.7);
  EXPECT_DOUBLE_EQ(s.round(0.26), 0.3);
}

// 4096 numbers evenly over (0, 4): the error of rounding is step^2 / 12.
TEST(Quantizer, ErrorOfEvenlySpreadNumbers) {
  std::vector<float> values;
  for (int i = 0; i < 4096; ++i)
    values.push_back((i + 0.5f) / 1024);
  Histogram h = histogramOf(values);
  Quantizer q = Quantizer::asymmetric(0, 4);
  EXPECT_NEAR(quantizationError(h, q), q.step * q.step / 12,
              q.step * q.step * 0.01);
  // The mean square of the numbers is 16 / 3.
  EXPECT_NEAR(quantizationSnr(h, q),
              10 * std::log10(16.0 / 3 / (q.step * q.step / 12)), 0.1);
  // Clipped at 2, half of the numbers miss by up to 2: the mean of d^2 / 2 for
  // d in (0, 2) is 2/3.
  EXPECT_NEAR(quantizationError(h, Quantizer::asymmetric(0, 2)), 2.0 / 3, 1e-3);
  EXPECT_EQ(quantizationSnr(histogramOf({0, 0}), q), INFINITY);
}

TEST(ChooseRange, MinMax) {
  Range range = chooseRange(histogramOf({-0.25f, 7, 3}), RangeMethod::MinMax);
  EXPECT_EQ(range.low, -0.25);
  EXPECT_EQ(range.high, 7);
  EXPECT_EQ(range.magnitude, 7);
}

TEST(ChooseRange, Percentile) {
  // 1000 magnitudes, one in every fourth bin.
  std::vector<float> values;
  for (int i = 0; i < 1000; ++i)
    values.push_back((i + 0.5f) / 256 * (i % 2 ? 1.0f : -1.0f));
  Histogram h = histogramOf(values);
  EXPECT_EQ(h.width(), 0x1p-10);
  // 90 % of |x| are below 900 / 256.
  Range range = chooseRange(h, RangeMethod::Percentile, 90);
  EXPECT_NEAR(range.magnitude, 900.0 / 256, 2.0 / 256);
  EXPECT_EQ(range.high, range.magnitude);
  EXPECT_EQ(range.low, -range.magnitude);
  EXPECT_NEAR(h.shareOutside(range.low, range.high), 0.1, 1e-9);
  range = chooseRange(h, RangeMethod::Percentile, 100);
  EXPECT_EQ(range.high, h.largest());
  EXPECT_EQ(range.low, h.least());
  // Numbers far from 0 on one side.
  range = chooseRange(histogramOf({5, 6, 7, 8}), RangeMethod::Percentile, 1);
  EXPECT_LE(range.low, range.high);
}

/// Normal numbers and one outlier, as transformers have them.
static Histogram withOutlier(float outlier, bool magnitudes) {
  std::vector<float> values = drawNormal(100000, 7);
  if (magnitudes)
    for (float &x : values)
      x = std::abs(x);
  values.push_back(outlier);
  return histogramOf(values);
}

TEST(ChooseRange, EntropyClipsOutliers) {
  for (bool magnitudes : {false, true}) {
    Histogram h = withOutlier(40, magnitudes);
    Range range = chooseRange(h, RangeMethod::Entropy);
    EXPECT_LT(range.high, 10);
    EXPECT_GT(range.high, 2);
    EXPECT_LT(range.magnitude, 10);
    EXPECT_GT(range.magnitude, 2);
    if (magnitudes)
      EXPECT_EQ(range.low, h.least());
    else
      EXPECT_LT(range.low, -2);
  }
}

// Of n numbers one is at X, and the others are far below it. Clipping at T
// costs (X - T)^2 / n, and rounding in steps of T / s costs T^2 / (12 s^2): the
// least is at T = X / (1 + n / (12 s^2)).
TEST(ChooseRange, MeanSquareClipsOutliers) {
  auto expected = [](double outlier, double steps) {
    return outlier / (1 + 100001 / (12 * steps * steps));
  };
  for (float outlier : {15.0f, 40.0f}) {
    Histogram h = withOutlier(outlier, true);
    Range range = chooseRange(h, RangeMethod::MeanSquare);
    EXPECT_NEAR(range.magnitude, expected(outlier, 127), outlier / 50);
    EXPECT_NEAR(range.high, expected(outlier, 255), outlier / 50);
    EXPECT_EQ(range.low, h.least());
  }
}

TEST(ChooseRange, KeepsWhatIsEven) {
  for (RangeMethod method : {RangeMethod::Entropy, RangeMethod::MeanSquare}) {
    // Evenly spread numbers lose by any clipping.
    std::vector<float> even;
    for (int i = 0; i < 40960; ++i)
      even.push_back(i / 10240.0f);
    Range range = chooseRange(histogramOf(even), method);
    EXPECT_GT(range.high, 3.9) << rangeMethodName(method).str();
    EXPECT_GT(range.magnitude, 3.9);
    // One number alone.
    range = chooseRange(histogramOf({-5, -5, -5}), method);
    EXPECT_EQ(range.low, -5);
    EXPECT_EQ(range.magnitude, 5);
  }
}

// No magnitude of a fine grid does better than the one that is chosen.
TEST(ChooseRange, MeanSquareIsTheLeast) {
  for (float outlier : {6.0f, 12.0f, 40.0f}) {
    Histogram h = withOutlier(outlier, false);
    Range range = chooseRange(h, RangeMethod::MeanSquare);
    double chosen = quantizationError(h, Quantizer::symmetric(range.magnitude));
    for (int i = 1; i <= 400; ++i)
      EXPECT_GT(
          quantizationError(h, Quantizer::symmetric(h.magnitude() * i / 400)) *
              1.02,
          chosen)
          << i;
  }
}

// The divergence by hand: a level that holds bins of like counts, or one bin
// that is filled, gives back what was there. So the widest range loses nothing
// here, for all that there is one number far away.
TEST(ChooseRange, EntropyKeepsWhatIsEvenWithinLevels) {
  std::vector<float> values;
  // Bins of 2^-9 up to 2: all 1024 of them alike; and a number near 8.
  for (int i = 0; i < 1024; ++i)
    for (int n = 0; n < 4; ++n)
      values.push_back((i + 0.5f) / 512);
  values.push_back(7.999f);
  Histogram h = histogramOf(values);
  ASSERT_EQ(h.width(), 0x1p-9);
  ASSERT_EQ(h.used(), 4096u);
  // 128 levels over 4096 bins: 32 bins a level; 32 levels are full and alike,
  // and the last one holds one bin that is filled.
  EXPECT_EQ(chooseRange(h, RangeMethod::Entropy).magnitude, h.magnitude());
}

TEST(ChooseRange, MethodNames) {
  for (RangeMethod method : {RangeMethod::MinMax, RangeMethod::Percentile,
                             RangeMethod::Entropy, RangeMethod::MeanSquare})
    EXPECT_EQ(rangeMethodFromName(rangeMethodName(method)), method);
  EXPECT_EQ(rangeMethodFromName("mean"), std::nullopt);
}
