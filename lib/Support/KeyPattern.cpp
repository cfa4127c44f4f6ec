//===- KeyPattern.cpp - Names of stacked parameters in weights files ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/KeyPattern.h"

using namespace llvm;

namespace lathe {

/// Layers number below a million: more digits are part of a name.
static constexpr size_t kMaxDigits = 6;

/// Takes "{}" or "{12}" from the front of `text`.
static bool consumeHole(StringRef &text, uint64_t &first) {
  StringRef rest = text;
  if (!rest.consume_front("{"))
    return false;
  StringRef digits =
      rest.take_while([](char c) { return '0' <= c && c <= '9'; });
  if (digits.size() > kMaxDigits ||
      !rest.drop_front(digits.size()).starts_with("}"))
    return false;
  first = 0;
  if (!digits.empty())
    digits.getAsInteger(10, first);
  text = rest.drop_front(digits.size() + 1);
  return true;
}

KeyPattern::KeyPattern(StringRef text) {
  while (!text.empty()) {
    StringRef rest = text;
    uint64_t start;
    if (!consumeHole(rest, start)) {
      (numHoles ? after : before) += text.front();
      text = text.drop_front();
      continue;
    }
    if (numHoles++ == 0)
      first = start;
    else
      after += text.drop_back(rest.size());
    text = rest;
  }
}

std::vector<std::string> KeyPattern::keys(int64_t slices) const {
  if (!isStacked())
    return {before};
  std::vector<std::string> names;
  for (int64_t i = 0; i < slices; ++i)
    names.push_back(before + std::to_string(first + i) + after);
  return names;
}

} // namespace lathe
