//===- Vocabulary.h - Characters as tokens -*- C++ -* -----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_VOCABULARY_H
#define LATHE_TRAIN_VOCABULARY_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <map>
#include <string>
#include <vector>

namespace lathe::train {

/// The characters of a text, each with a number: their order is that of their
/// code points. Written beside a model, so that others read its tokens:
///   {"characters": ["\n", " ", "!", ...]}
class Vocabulary {
public:
  /// Every character that occurs in `text`. Errors: it is no UTF-8.
  static llvm::Expected<Vocabulary> of(llvm::StringRef text);
  static llvm::Expected<Vocabulary> read(llvm::StringRef path);
  llvm::Error write(llvm::StringRef path) const;
  std::string toJson() const;

  size_t size() const { return codePoints.size(); }
  /// Errors: no UTF-8, or a character that is not in the vocabulary (which, at
  /// which byte).
  llvm::Expected<std::vector<uint32_t>> encode(llvm::StringRef text) const;
  /// Tokens outside of the vocabulary become U+FFFD.
  std::string decode(llvm::ArrayRef<uint32_t> tokens) const;
  bool operator==(const Vocabulary &other) const {
    return codePoints == other.codePoints;
  }

private:
  void index();
  std::vector<uint32_t> codePoints;
  std::map<uint32_t, uint32_t> tokens;
};

} // namespace lathe::train

#endif // LATHE_TRAIN_VOCABULARY_H
