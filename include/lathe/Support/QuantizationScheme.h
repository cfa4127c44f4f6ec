//===- QuantizationScheme.h - Schemes by their names ------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_SUPPORT_QUANTIZATIONSCHEME_H
#define LATHE_SUPPORT_QUANTIZATIONSCHEME_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <optional>
#include <string>

namespace lathe {

/// What a scheme does with the operands of a product.
struct QuantizationMethod {
  llvm::StringLiteral name;
  unsigned weightBits;
  /// Ranges of activations: from a file, of each row as it comes. They are left
  /// alone where both are false.
  bool isStatic, isDynamic;
  /// Elements that share a weight's scale; 0: all of a sum.
  int64_t group;
  /// Of 8-bit floats, not of integers. Activations, too, may have groups.
  bool isFloat = false;

  bool isWeightOnly() const { return !isStatic && !isDynamic; }
  bool needsRanges() const { return isStatic && !isDynamic; }
  /// Sums in integers have one scale.
  bool takesGroup() const { return isWeightOnly() || isFloat; }
};

/// Null where no scheme is called so.
const QuantizationMethod *findQuantizationMethod(llvm::StringRef name);
/// "A, B or C".
std::string listQuantizationMethods();

/// Below it the quotient of two floats may be lost. Where all numbers are 0,
/// any scale does.
inline constexpr double kSmallestQuantizationScale = 0x1p-120;

/// With few bits it pays to cut off the ends of a group: parts of the largest
/// magnitude that are tried where weights are rounded to the nearest.
inline constexpr double kNearestParts[] = {1, 0.9, 0.8};

/// What lathe-quantize is asked for, as SCHEME[:GROUP].
struct QuantizationScheme {
  /// "int8-dynamic", ...; "" for nothing.
  std::string name;
  /// Elements of a sum that share a weight's scale; 0: the scheme's own.
  int64_t group = 0;

  explicit operator bool() const { return !name.empty(); }
  /// SCHEME[:GROUP], or "".
  std::string text() const;
};

/// Whether weights have the same scales and numbers in both, so that those that
/// are compensated for one are so for the other. Neither may be "".
bool roundsWeightsAlike(const QuantizationScheme &a,
                        const QuantizationScheme &b);

/// Where a weights file says which scheme its weights are compensated for.
inline constexpr llvm::StringLiteral kCompensatedFor = "lathe.quantize";

/// None, with the reason, where `text` is no scheme.
std::optional<QuantizationScheme>
parseQuantizationScheme(llvm::StringRef text, std::string *whyNot = nullptr);

} // namespace lathe

#endif // LATHE_SUPPORT_QUANTIZATIONSCHEME_H
