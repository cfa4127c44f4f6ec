//===- ErrorCompensation.cpp - Rounding that makes up for itself ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/ErrorCompensation.h"

#include "lathe/Support/DType.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/QuantizationScheme.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace lathe {

using Matrix =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Of 4 bits, parts of the largest magnitude that become -8: to cut off the
/// ends of a group often loses less.
static constexpr double kCompensatedParts[] = {1,   0.95, 0.9, 0.85,
                                               0.8, 0.75, 0.7, 0.65};

llvm::Expected<ErrorCompensation>
ErrorCompensation::create(llvm::ArrayRef<double> moments, int64_t depth,
                          double damping) {
  ErrorCompensation result;
  result.size = depth;
  result.parts = kCompensatedParts;
  result.factor.assign(depth * depth, 0);
  // M = R R^T with R upper triangular: turned around in both dims that is the
  // Cholesky factor, and its inverse is the one wanted.
  Matrix turned(depth, depth);
  double mean = 0;
  for (int64_t i = 0; i < depth; ++i) {
    mean += moments[i * depth + i] / depth;
    for (int64_t j = 0; j <= i; ++j)
      turned(depth - 1 - j, depth - 1 - i) = moments[i * depth + j];
  }
  if (!std::isfinite(mean))
    return makeError("the calibration data has numbers that are not finite");
  // Nothing flows in: to the nearest, then.
  turned.diagonal().array() += mean > 0 ? damping * mean : 1;
  Eigen::LLT<Eigen::Ref<Matrix>, Eigen::Lower> cholesky(turned);
  if (cholesky.info() != Eigen::Success)
    return makeError("the moments of the calibration data are not positive "
                     "definite with a damping of {0}",
                     formatNumber(damping));
  Matrix inverse = Matrix::Identity(depth, depth);
  turned.triangularView<Eigen::Lower>().solveInPlace(inverse);
  for (int64_t i = 0; i < depth; ++i)
    for (int64_t j = i; j < depth; ++j)
      result.factor[i * depth + j] = inverse(depth - 1 - i, depth - 1 - j);
  return std::move(result);
}

ErrorCompensation ErrorCompensation::none(int64_t depth) {
  ErrorCompensation result;
  result.size = depth;
  result.parts = kNearestParts;
  result.factor.assign(depth * depth, 0);
  for (int64_t i = 0; i < depth; ++i)
    result.factor[i * depth + i] = 1;
  return result;
}

void ErrorCompensation::roundGroup(double *row, int64_t begin, int64_t end,
                                   WeightGrid grid,
                                   std::vector<double> &scratch,
                                   double *errors) const {
  int64_t count = end - begin;
  double high = (1 << (grid.bits - 1)) - 1,
         low = grid.bits < 8 ? -high - 1 : -high;
  int64_t extreme = begin;
  for (int64_t i = begin; i < end; ++i)
    if (std::abs(row[i]) > std::abs(row[extreme]))
      extreme = i;
  // Where one element is the largest whatever is added to it, the scale can be
  // told from the weights.
  double pinned = grid.bits < 8 || row[extreme] < 0 ? low : high;
  scratch.resize(3 * count);
  double *now = scratch.data(), *rounded = now + count,
         *error = now + 2 * count;
  double best = INFINITY;
  llvm::SmallVector<double> result(count);
  for (double part : grid.bits < 8 ? parts : parts.take_front(1)) {
    float scale = float(row[extreme] * part / pinned);
    if (!(std::abs(scale) >= kSmallestQuantizationScale))
      scale = kSmallestQuantizationScale;
    // As lathe-quantize has it; -8 times such a number is exact, so that it is
    // found again.
    if (grid.bits < 8)
      scale = bfloatToFloat(doubleToBfloat(scale));
    std::copy(row + begin, row + end, now);
    double loss = 0;
    for (int64_t i = 0; i < count && loss < best; ++i) {
      const double *u = &factor[(begin + i) * size + begin];
      double quotient =
          begin + i == extreme
              ? pinned
              : std::clamp(std::nearbyint(now[i] / scale), low, high);
      rounded[i] = float(quotient * scale);
      error[i] = (now[i] - rounded[i]) / u[i];
      loss += error[i] * error[i];
      for (int64_t j = i + 1; j < count; ++j)
        now[j] -= error[i] * u[j];
    }
    if (!(loss < best))
      continue;
    best = loss;
    std::copy(rounded, rounded + count, result.begin());
    std::copy(error, error + count, errors);
  }
  std::copy(result.begin(), result.end(), row + begin);
}

void ErrorCompensation::round(llvm::MutableArrayRef<float> weights,
                              WeightGrid grid) const {
  int64_t group = grid.group ? grid.group : size;
  std::vector<double> row(size), errors(group), scratch;
  for (size_t start = 0; start < weights.size(); start += size) {
    float *out = &weights[start];
    std::copy(out, out + size, row.begin());
    for (int64_t begin = 0; begin < size; begin += group) {
      int64_t end = std::min(begin + group, size);
      roundGroup(row.data(), begin, end, grid, scratch, errors.data());
      for (int64_t i = begin; i < end; ++i) {
        const double *u = &factor[i * size];
        double error = errors[i - begin];
        for (int64_t j = end; j < size; ++j)
          row[j] -= error * u[j];
      }
    }
    std::copy(row.begin(), row.end(), out);
  }
}

double productError(llvm::ArrayRef<float> weights,
                    llvm::ArrayRef<float> reference,
                    llvm::ArrayRef<double> moments, int64_t depth) {
  int64_t rows = weights.size() / depth;
  Matrix off(rows, depth);
  for (int64_t i = 0; i < rows * depth; ++i)
    off.data()[i] = double(weights[i]) - reference[i];
  Eigen::Map<const Matrix> m(moments.data(), depth, depth);
  return (off * m).cwiseProduct(off).sum();
}

} // namespace lathe
