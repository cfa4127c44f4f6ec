//===- ErrorCompensation.h - Rounding that makes up for itself --*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Frantar et al. 2022, "GPTQ": the weights of a product x w are rounded one
// after the other along the sum, and what rounding one of them changes in the
// products of the calibration data is made up for by those that are still to be
// rounded, by least squares. Rows of weights do not depend on each other.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_ERRORCOMPENSATION_H
#define LATHE_SUPPORT_ERRORCOMPENSATION_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <vector>

namespace lathe {

/// The numbers that weights may take: scale x integer, one scale for every
/// `group` weights along the sum (0: for all). `lathe-quantize` finds the same
/// scale again: 8 bits are -127..127 and have 127 or -127 in each group, 4 bits
/// are -8..7 with a -8 in each, the scale of either sign.
struct WeightGrid {
  unsigned bits = 4;
  int64_t group = 32;
};

class ErrorCompensation {
public:
  /// `moments` is x^T x of the calibration data, [depth, depth], row-major, in
  /// any multiple; the lower triangle is read. `damping` times the mean of the
  /// diagonal is added to it. Errors: not finite, or not positive definite in
  /// spite of that.
  static llvm::Expected<ErrorCompensation>
  create(llvm::ArrayRef<double> moments, int64_t depth, double damping = 0.01);

  /// To the nearest, each weight by itself, as `lathe-quantize` does.
  static ErrorCompensation none(int64_t depth);

  int64_t depth() const { return size; }

  /// Rounds `weights`, whole rows of `depth` numbers, in place. May run on
  /// several threads at once, for other rows.
  void round(llvm::MutableArrayRef<float> weights, WeightGrid grid) const;

private:
  /// Rounds elements [begin, end) of a row with each of the scales that are
  /// tried and takes what loses least; `errors` gets what is to be made up for.
  void roundGroup(double *row, int64_t begin, int64_t end, WeightGrid grid,
                  std::vector<double> &scratch, double *errors) const;

  int64_t size = 0;
  /// Parts of the largest magnitude that are tried as the end of a group.
  llvm::ArrayRef<double> parts;
  /// Upper triangular U, row-major, with U^T U the inverse of the moments.
  std::vector<double> factor;
};

/// Sum over rows of d M d^T, d the difference of two rows: the square error of
/// the products on the calibration data.
double productError(llvm::ArrayRef<float> weights,
                    llvm::ArrayRef<float> reference,
                    llvm::ArrayRef<double> moments, int64_t depth);

} // namespace lathe

#endif // LATHE_SUPPORT_ERRORCOMPENSATION_H
