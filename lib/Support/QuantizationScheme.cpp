//===- QuantizationScheme.cpp - Schemes by their names --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/QuantizationScheme.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace lathe {

std::string QuantizationScheme::text() const {
  return group ? name + ":" + std::to_string(group) : name;
}

std::optional<QuantizationScheme> parseQuantizationScheme(StringRef text,
                                                          std::string *whyNot) {
  static constexpr StringLiteral known[] = {
      "int8",         "int8-dynamic", "int8-static", "int8-weights",
      "int4-weights", "fp8",          "fp8-weights"};
  auto refuse = [&](const Twine &reason) {
    if (whyNot)
      *whyNot = reason.str();
    return std::nullopt;
  };
  auto [name, group] = text.split(':');
  if (!is_contained(known, name))
    return refuse("expected int8, int8-dynamic, int8-static, int8-weights, "
                  "int4-weights, fp8 or fp8-weights, got '" +
                  name + "'");
  QuantizationScheme scheme{name.str()};
  if (!text.contains(':'))
    return scheme;
  if (!name.ends_with("-weights") && name != "fp8")
    return refuse("expected no group beside '" + name +
                  "': sums in integers have one scale");
  if (!to_integer(group, scheme.group, 10) ||
      (scheme.group != 32 && scheme.group != 64 && scheme.group != 128))
    return refuse("expected a group of 32, 64 or 128 behind the colon, got '" +
                  group + "'");
  return scheme;
}

} // namespace lathe
