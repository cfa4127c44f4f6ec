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

static constexpr QuantizationMethod kMethods[] = {
    {"int8", 8, true, true, 0},
    {"int8-dynamic", 8, false, true, 0},
    {"int8-static", 8, true, false, 0},
    {"int8-weights", 8, false, false, 0},
    {"int4-weights", 4, false, false, 32},
    {"fp8", 8, true, true, 0, true},
    {"fp8-weights", 8, false, false, 0, true},
};

const QuantizationMethod *findQuantizationMethod(StringRef name) {
  const QuantizationMethod *found =
      find_if(kMethods,
              [&](const QuantizationMethod &one) { return one.name == name; });
  return found == std::end(kMethods) ? nullptr : found;
}

std::string listQuantizationMethods() {
  std::string list;
  for (const QuantizationMethod &one : kMethods)
    list += (&one == std::begin(kMethods)     ? ""
             : &one == std::end(kMethods) - 1 ? " or "
                                              : ", ") +
            one.name.str();
  return list;
}

std::string QuantizationScheme::text() const {
  return group ? name + ":" + std::to_string(group) : name;
}

bool roundsWeightsAlike(const QuantizationScheme &a,
                        const QuantizationScheme &b) {
  const QuantizationMethod &first = *findQuantizationMethod(a.name),
                           &second = *findQuantizationMethod(b.name);
  return first.weightBits == second.weightBits &&
         first.isFloat == second.isFloat &&
         (a.group ? a.group : first.group) ==
             (b.group ? b.group : second.group);
}

std::optional<QuantizationScheme> parseQuantizationScheme(StringRef text,
                                                          std::string *whyNot) {
  auto refuse = [&](const Twine &reason) {
    if (whyNot)
      *whyNot = reason.str();
    return std::nullopt;
  };
  auto [name, group] = text.split(':');
  const QuantizationMethod *method = findQuantizationMethod(name);
  if (!method)
    return refuse("expected " + listQuantizationMethods() + ", got '" + name +
                  "'");
  QuantizationScheme scheme{name.str()};
  if (!text.contains(':'))
    return scheme;
  if (!method->takesGroup())
    return refuse("expected no group beside '" + name +
                  "': sums in integers have one scale");
  if (!to_integer(group, scheme.group, 10) ||
      (scheme.group != 32 && scheme.group != 64 && scheme.group != 128))
    return refuse("expected a group of 32, 64 or 128 behind the colon, got '" +
                  group + "'");
  return scheme;
}

} // namespace lathe
