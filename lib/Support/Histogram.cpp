//===- Histogram.cpp - How the values of a tensor are spread --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Histogram.h"

#include <cmath>
#include <cstring>

using namespace llvm;

namespace lathe {

/// Bits of a float as an integer of the same order.
static int32_t toOrdered(float x) {
  int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

static float fromOrdered(int32_t bits) {
  bits ^= (bits >> 31) & 0x7fffffff;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

static constexpr int kLogBins = 12;
static_assert(1u << kLogBins == Histogram::kBins);

void Histogram::growFor(float magnitude) {
  if (magnitude == 0)
    return;
  // 2^log <= magnitude < 2^(log + 1)
  int log = std::ilogb(magnitude);
  int wanted = log + 1 - kLogBins;
  int shift = std::min(wanted - exponent, 63);
  if (shift <= 0)
    return;
  for (unsigned side : {0u, kBins}) {
    uint64_t *side0 = bins.data() + side;
    for (uint64_t i = 1; i < kBins; ++i) {
      uint64_t counted = side0[i];
      side0[i] = 0;
      side0[i >> shift] += counted;
    }
  }
  exponent = wanted;
}

void Histogram::add(ArrayRef<float> values) {
  if (bins.empty())
    bins.resize(2 * kBins);
  constexpr size_t kChunk = 1024;
  constexpr int32_t kInfinity = 0x7f800000;
  for (; !values.empty();
       values = values.drop_front(std::min(kChunk, values.size()))) {
    ArrayRef<float> chunk = values.take_front(kChunk);
    int32_t least = INT32_MAX, most = INT32_MIN;
    unsigned zeros = 0;
    for (float x : chunk) {
      int32_t ordered = toOrdered(x);
      least = std::min(least, ordered);
      most = std::max(most, ordered);
      zeros += x == 0;
    }
    // NaN and infinity lie beyond the finite ones on either side.
    float finite[kChunk];
    if (most >= kInfinity || least <= toOrdered(-INFINITY)) {
      size_t count = 0;
      least = INT32_MAX, most = INT32_MIN;
      for (float x : chunk) {
        if (!std::isfinite(x))
          continue;
        finite[count++] = x;
        least = std::min(least, toOrdered(x));
        most = std::max(most, toOrdered(x));
      }
      bad += chunk.size() - count;
      chunk = ArrayRef(finite, count);
      if (chunk.empty())
        continue;
    }
    // + 0: no negative zero.
    float chunkLow = fromOrdered(least) + 0.0f,
          chunkHigh = fromOrdered(most) + 0.0f;
    low = total ? std::min(low, chunkLow) : chunkLow;
    high = total ? std::max(high, chunkHigh) : chunkHigh;
    total += chunk.size();
    zero += zeros;
    growFor(std::max(std::abs(chunkLow), std::abs(chunkHigh)));
    // Exact: a power of two.
    float perWidth = std::ldexp(1.0f, -exponent);
    for (float x : chunk)
      ++bins[static_cast<unsigned>(std::abs(x) * perWidth) +
             (x < 0 ? kBins : 0)];
  }
}

void Histogram::add(const TensorView &values) {
  assert(isFloat(values.dtype()) && "floats expected");
  if (values.dtype() == DType::F32)
    return add(values.as<float>());
  const char *data = static_cast<const char *>(values.data());
  size_t size = dtypeSize(values.dtype());
  float buffer[1024];
  for (int64_t i = 0, e = values.numElements(); i < e;) {
    int64_t count = std::min<int64_t>(e - i, std::size(buffer));
    for (int64_t j = 0; j < count; ++j)
      buffer[j] = static_cast<float>(
          loadAsDouble(values.dtype(), data + (i + j) * size));
    add(ArrayRef(buffer, count));
    i += count;
  }
}

double Histogram::magnitude() const {
  return std::max(std::abs(least()), std::abs(largest()));
}

double Histogram::width() const { return std::ldexp(1.0, exponent); }

unsigned Histogram::used() const {
  return total ? static_cast<unsigned>(magnitude() / width()) + 1 : 0;
}

double Histogram::shareOutside(double low, double high) const {
  if (!total)
    return 0;
  double count = 0;
  // Numbers of a side whose magnitude is above `limit`.
  auto countAbove = [&](unsigned side, double limit, double most) {
    double beyond = std::max(limit, 0.0) / width();
    for (unsigned i = 0, e = used(); i < e; ++i) {
      // No number lies beyond the largest.
      double end = std::min(i + 1.0, most / width());
      double share = end > i ? (end - beyond) / (end - i) : i > beyond;
      count += std::clamp(share, 0.0, 1.0) * bins[side + i];
    }
  };
  countAbove(0, high, std::max(largest(), 0.0));
  countAbove(kBins, -low, std::max(-least(), 0.0));
  return std::min(1.0, count / total);
}

Quantizer Quantizer::asymmetric(double low, double high) {
  low = std::min(low, 0.0);
  high = std::max(high, 0.0);
  Quantizer result;
  result.least = 0;
  result.most = 255;
  if (high > low) {
    result.step = (high - low) / 255;
    result.zero = static_cast<int>(std::nearbyint(-low / result.step));
  }
  return result;
}

Quantizer Quantizer::symmetric(double magnitude) {
  Quantizer result;
  if (magnitude > 0)
    result.step = magnitude / 127;
  return result;
}

double Quantizer::round(double x) const {
  double q = std::nearbyint(x / step) + zero;
  q = std::min<double>(std::max<double>(q, least), most);
  return (q - zero) * step;
}

/// Calls `each` with the middle of each bin and how many numbers there are.
template <typename Each>
static void forEachBin(const Histogram &histogram, Each each) {
  double width = histogram.width();
  for (unsigned i = 0, e = histogram.used(); i < e; ++i) {
    uint64_t count = histogram.positive(i) - (i ? 0 : histogram.zeros());
    if (count)
      each((i + 0.5) * width, count);
    if (uint64_t count = histogram.negative(i))
      each(-(i + 0.5) * width, count);
  }
}

double quantizationError(const Histogram &histogram,
                         const Quantizer &quantizer) {
  if (!histogram.count())
    return 0;
  double sum = 0;
  forEachBin(histogram, [&](double x, uint64_t count) {
    double error = x - quantizer.round(x);
    sum += error * error * count;
  });
  return sum / histogram.count();
}

double quantizationSnr(const Histogram &histogram, const Quantizer &quantizer) {
  double signal = 0, error = quantizationError(histogram, quantizer);
  forEachBin(histogram,
             [&](double x, uint64_t count) { signal += x * x * count; });
  if (error == 0)
    return INFINITY;
  return 10 * std::log10(signal / histogram.count() / error);
}

StringRef rangeMethodName(RangeMethod method) {
  switch (method) {
  case RangeMethod::MinMax:
    return "minmax";
  case RangeMethod::Percentile:
    return "percentile";
  case RangeMethod::Entropy:
    return "entropy";
  case RangeMethod::MeanSquare:
    return "mse";
  }
  llvm_unreachable("all methods are listed");
}

std::optional<RangeMethod> rangeMethodFromName(StringRef name) {
  for (RangeMethod method : {RangeMethod::MinMax, RangeMethod::Percentile,
                             RangeMethod::Entropy, RangeMethod::MeanSquare})
    if (rangeMethodName(method) == name)
      return method;
  return std::nullopt;
}

static double findPercentile(const Histogram &histogram, double percentile) {
  double wanted = percentile / 100 * histogram.count(), below = 0;
  for (unsigned i = 0, e = histogram.used(); i < e; ++i) {
    double count = histogram.positive(i) + histogram.negative(i);
    if (count > 0 && below + count >= wanted)
      return (i + (wanted - below) / count) * histogram.width();
    below += count;
  }
  return histogram.magnitude();
}

/// What the distribution `counts`, clipped to [begin, end) and given in
/// `levels` numbers, loses on the whole one.
static double divergence(ArrayRef<double> counts, size_t begin, size_t end,
                         size_t levels) {
  double before = 0, kept = 0, after = 0;
  for (double count : counts.take_front(begin))
    before += count;
  for (double count : counts.slice(begin, end - begin))
    kept += count;
  for (double count : counts.drop_front(end))
    after += count;
  if (kept == 0)
    return INFINITY;
  double total = before + kept + after, sum = 0;
  // What is clipped falls on the ends.
  auto clipped = [&](size_t i) {
    return counts[i] + (i == begin ? before : 0) + (i == end - 1 ? after : 0);
  };
  size_t bins = end - begin;
  levels = std::min(levels, bins);
  for (size_t level = 0; level < levels; ++level) {
    size_t first = begin + level * bins / levels;
    size_t last = begin + (level + 1) * bins / levels;
    double inLevel = 0;
    unsigned filled = 0;
    for (size_t i = first; i < last; ++i) {
      inLevel += counts[i];
      filled += clipped(i) > 0;
    }
    if (!filled)
      continue;
    // An end that holds nothing but what was clipped: not 0, or all would be
    // lost.
    double each = std::max(inLevel / filled, 1e-4);
    for (size_t i = first; i < last; ++i)
      if (double p = clipped(i); p > 0)
        sum += p / total * std::log(p / total * kept / each);
  }
  return sum;
}

/// The number of bins on a side beyond which to clip: of the |x| (`isSigned`
/// false) for 128 levels, or of the x for 256.
static unsigned findEntropyBins(const Histogram &histogram, bool isSigned) {
  unsigned used = histogram.used();
  const unsigned levels = isSigned ? 256 : 128;
  std::vector<double> counts;
  size_t zero = 0, least = 0;
  if (isSigned) {
    for (unsigned i = used; i-- > 0;)
      counts.push_back(histogram.negative(i));
    zero = used;
    while (least < zero && counts[least] == 0)
      ++least;
    for (unsigned i = 0; i < used; ++i)
      counts.push_back(histogram.positive(i));
  } else {
    for (unsigned i = 0; i < used; ++i)
      counts.push_back(histogram.positive(i) + histogram.negative(i));
  }
  size_t most = counts.size();
  while (most > zero && counts[most - 1] == 0)
    --most;
  unsigned best = used;
  double lowest = INFINITY;
  // From the widest down: of equal ones it is taken.
  unsigned stride = std::max(1u, used / 128);
  for (unsigned i = used; i >= 128 && i <= used; i -= stride) {
    size_t begin = isSigned ? std::max(least, zero - i) : 0;
    size_t end = std::min<size_t>(most, zero + i);
    if (end <= begin)
      break;
    double loss = divergence(counts, begin, end, levels);
    if (loss < lowest) {
      lowest = loss;
      best = i;
    }
    if (i < stride)
      break;
  }
  return best;
}

/// The magnitude in (0, most] at which `loss` is the least: tried at 64 places,
/// then around the best of them.
template <typename Loss> static double findLeast(double most, Loss loss) {
  constexpr int kCoarse = 64, kFine = 8;
  double best = most, lowest = loss(most);
  auto attempt = [&](double x) {
    double here = loss(x);
    if (here < lowest) {
      lowest = here;
      best = x;
    }
  };
  for (int i = kCoarse - 1; i > 0; --i)
    attempt(most * i / kCoarse);
  double middle = best;
  for (int i = kFine; i >= -kFine; --i)
    if (double x = middle + most * i / (kCoarse * (kFine + 1));
        x > 0 && x < most)
      attempt(x);
  return best;
}

Range chooseRange(const Histogram &histogram, RangeMethod method,
                  double percentile) {
  double least = histogram.least(), largest = histogram.largest();
  double most = histogram.magnitude();
  if (most == 0)
    return {};
  auto clip = [&](double magnitude) {
    double high = std::min(largest, magnitude);
    double low = std::max(least, -magnitude);
    // Where nothing is within the magnitude, its ends are on one side.
    return std::pair(std::min(low, magnitude), std::max(high, -magnitude));
  };
  double asymmetric = most, symmetric = most;
  switch (method) {
  case RangeMethod::MinMax:
    break;
  case RangeMethod::Percentile:
    asymmetric = symmetric =
        std::min(most, findPercentile(histogram, percentile));
    break;
  case RangeMethod::Entropy:
    asymmetric =
        std::min(most, findEntropyBins(histogram, true) * histogram.width());
    symmetric =
        std::min(most, findEntropyBins(histogram, false) * histogram.width());
    break;
  case RangeMethod::MeanSquare:
    asymmetric = findLeast(most, [&](double magnitude) {
      auto [low, high] = clip(magnitude);
      return quantizationError(histogram, Quantizer::asymmetric(low, high));
    });
    symmetric = findLeast(most, [&](double magnitude) {
      return quantizationError(histogram, Quantizer::symmetric(magnitude));
    });
    break;
  }
  auto [low, high] = clip(asymmetric);
  return {low, high, symmetric};
}

} // namespace lathe
