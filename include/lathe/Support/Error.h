//===- Error.h - Errors as sentences ----------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every refusal reaches the user as one lower-case sentence without a full
// stop. These helpers keep making one as short as printing one.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_ERROR_H
#define LATHE_SUPPORT_ERROR_H

#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FormatVariadic.h"

#include <string>

namespace lathe {

/// An error that says `message` as it stands.
inline llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

/// An error from an llvm::formatv pattern:
///   makeError("{0} holds {1} bytes, expected {2}", path, found, expected)
template <typename T, typename... Ts>
llvm::Error makeError(const char *format, T &&first, Ts &&...rest) {
  return makeError(llvm::Twine(
      llvm::formatv(format, std::forward<T>(first), std::forward<Ts>(rest)...)
          .str()));
}

/// "PREFIX: what the error said".
inline llvm::Error prefixError(const llvm::Twine &prefix, llvm::Error error) {
  return makeError(prefix + ": " + llvm::toString(std::move(error)));
}

/// "cannot open 'x': permission denied", from the current errno value.
llvm::Error makeErrnoError(const llvm::Twine &what, int errnoValue);

/// 'name' for a message: quoted, control characters escaped, at most 120
/// characters, because names come from untrusted files.
std::string quote(llvm::StringRef name);

/// A number for a message: 10, 0.5, 1e-09, nan.
std::string formatNumber(double value);

} // namespace lathe

#endif // LATHE_SUPPORT_ERROR_H
