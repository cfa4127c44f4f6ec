//===- Error.cpp - Errors as sentences ------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Error.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <cstdio>
#include <system_error>

using namespace llvm;

Error lathe::makeErrnoError(const Twine &what, int errnoValue) {
  std::string reason =
      std::error_code(errnoValue, std::generic_category()).message();
  // The C library's texts start with a capital letter.
  if (!reason.empty())
    reason[0] = toLower(reason[0]);
  return makeError(what + ": " + reason);
}

std::string lathe::quote(StringRef name) {
  std::string text;
  raw_string_ostream os(text);
  os << '\'';
  printEscapedString(name.take_front(120), os);
  if (name.size() > 120)
    os << "...";
  os << '\'';
  return text;
}

std::string lathe::formatNumber(double value) {
  if (std::isnan(value))
    return "nan"; // whatever its sign
  char text[40];
  std::snprintf(text, sizeof(text), "%.8g", value);
  return text;
}
