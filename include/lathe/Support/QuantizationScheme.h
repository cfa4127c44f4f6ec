//===- QuantizationScheme.h - Schemes by their names ------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_SUPPORT_QUANTIZATIONSCHEME_H
#define LATHE_SUPPORT_QUANTIZATIONSCHEME_H

#include "llvm/ADT/StringRef.h"

#include <optional>
#include <string>

namespace lathe {

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

/// None, with the reason, where `text` is no scheme.
std::optional<QuantizationScheme>
parseQuantizationScheme(llvm::StringRef text, std::string *whyNot = nullptr);

} // namespace lathe

#endif // LATHE_SUPPORT_QUANTIZATIONSCHEME_H
