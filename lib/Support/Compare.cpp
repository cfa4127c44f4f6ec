//===- Compare.cpp - Tensor comparison within a tolerance -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Compare.h"

#include "lathe/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <cstring>
#include <limits>

using namespace llvm;

namespace lathe {

static Shape unravel(int64_t flat, ArrayRef<int64_t> shape) {
  Shape index(shape.size(), 0);
  for (size_t i = shape.size(); i-- > 0;) {
    index[i] = flat % shape[i];
    flat /= shape[i];
  }
  return index;
}

static std::string formatIndex(ArrayRef<int64_t> index) {
  std::string text = "[";
  for (size_t i = 0; i < index.size(); ++i)
    text += (i ? "," : "") + std::to_string(index[i]);
  return text + "]";
}

Comparison compareTensors(const TensorView &actual, const TensorView &expected,
                          double rtol, double atol) {
  Comparison result;
  if (actual.dtype() != expected.dtype() ||
      actual.shape() != expected.shape()) {
    result.mismatches = -1;
    result.message = "found " + formatType(actual.dtype(), actual.shape()) +
                     ", expected " +
                     formatType(expected.dtype(), expected.shape());
    return result;
  }
  const double infinity = std::numeric_limits<double>::infinity();
  DType type = actual.dtype();
  bool exact = !isFloat(type);
  size_t size = dtypeSize(type);
  const char *a = static_cast<const char *>(actual.data());
  const char *e = static_cast<const char *>(expected.data());
  result.elements = actual.numElements();
  int64_t worst = 0;
  double worstExcess = -1;
  for (int64_t i = 0; i < result.elements; ++i, a += size, e += size) {
    // Equal bits are equal values, NaN included; 64-bit integers are never
    // compared as doubles, which would round them.
    bool same = std::memcmp(a, e, size) == 0;
    double x = loadAsDouble(type, a), y = loadAsDouble(type, e);
    if (!same && !exact)
      same = x == y || (std::isnan(x) && std::isnan(y));
    if (!same && type == DType::I1)
      same = x == y;
    if (same) {
      if (worstExcess < 0) {
        worstExcess = 0;
        worst = i;
      }
      continue;
    }
    double error = std::fabs(x - y);
    bool finite = std::isfinite(x) && std::isfinite(y);
    if (!finite)
      error = infinity;
    double tolerance = exact ? 0 : atol + rtol * std::fabs(y);
    bool wrong = exact || !finite || !(error <= tolerance);
    result.mismatches += wrong;
    result.maxAbsError = std::max(result.maxAbsError, error);
    if (y != 0)
      result.maxRelError = std::max(result.maxRelError,
                                    finite ? error / std::fabs(y) : infinity);
    double excess = finite && tolerance > 0 ? error / tolerance
                    : wrong                 ? infinity
                                            : 0;
    if (excess > worstExcess) {
      worstExcess = excess;
      worst = i;
    }
  }
  result.ok = result.mismatches == 0;
  if (result.elements) {
    result.worstIndex = unravel(worst, actual.shape());
    result.worstActual = loadAsDouble(
        type, static_cast<const char *>(actual.data()) + worst * size);
    result.worstExpected = loadAsDouble(
        type, static_cast<const char *>(expected.data()) + worst * size);
  }
  std::string name = formatType(type, actual.shape());
  if (result.ok) {
    result.message = name + " agrees, largest error " +
                     formatNumber(result.maxAbsError) + " absolute, " +
                     formatNumber(result.maxRelError) + " relative";
    return result;
  }
  result.message = std::to_string(result.mismatches) + " of " +
                   std::to_string(result.elements) + " elements of " + name +
                   " differ, worst at " + formatIndex(result.worstIndex) +
                   ": found " + formatNumber(result.worstActual) +
                   ", expected " + formatNumber(result.worstExpected) +
                   ", largest error " + formatNumber(result.maxAbsError) +
                   " absolute, " + formatNumber(result.maxRelError) +
                   " relative";
  return result;
}

void SignalToNoise::add(const TensorView &actual, const TensorView &expected) {
  DType type = expected.dtype();
  const char *a = static_cast<const char *>(actual.data());
  const char *e = static_cast<const char *>(expected.data());
  for (int64_t i = 0, n = expected.numElements(); i < n; ++i) {
    double found = loadAsDouble(type, a), wanted = loadAsDouble(type, e);
    a += dtypeSize(type);
    e += dtypeSize(type);
    bool same = found == wanted || (std::isnan(found) && std::isnan(wanted));
    if (std::isfinite(wanted))
      signal += wanted * wanted;
    if (!same)
      noise += std::isfinite(found - wanted)
                   ? (found - wanted) * (found - wanted)
                   : INFINITY;
  }
}

double SignalToNoise::decibels() const {
  if (noise == 0)
    return INFINITY;
  return 10 * std::log10(signal / noise);
}

} // namespace lathe
