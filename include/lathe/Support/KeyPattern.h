//===- KeyPattern.h - Names of stacked parameters in weights files --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_SUPPORT_KEYPATTERN_H
#define LATHE_SUPPORT_KEYPATTERN_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

/// The name of a parameter in weights files. "layer.{}.weight" names one tensor
/// per slice of the leading dim, with the index of the slice in place of "{}";
/// "layer.{1}.weight" counts from 1. Anything else is the name of the whole.
class KeyPattern {
public:
  explicit KeyPattern(llvm::StringRef text);

  bool isStacked() const { return numHoles != 0; }
  /// Places of an index; a parameter has one at most, further ones are text.
  unsigned holes() const { return numHoles; }
  /// One name per slice, or the name of the whole where nothing is stacked.
  std::vector<std::string> keys(int64_t slices) const;

private:
  std::string before, after;
  uint64_t first = 0;
  unsigned numHoles = 0;
};

} // namespace lathe

#endif // LATHE_SUPPORT_KEYPATTERN_H
