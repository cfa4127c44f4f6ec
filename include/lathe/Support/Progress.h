//===- Progress.h - Progress on stderr for what takes long ------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_PROGRESS_H
#define LATHE_SUPPORT_PROGRESS_H

#include "llvm/ADT/StringRef.h"

#include <chrono>
#include <cstdint>
#include <string>

namespace lathe {

/// Says nothing for two seconds, then draws a bar on a terminal, or prints a
/// plain line every ten seconds where stderr is none. Not for several threads.
class Progress {
public:
  /// `total` in any unit; 0 where it is not known.
  Progress(llvm::StringRef label, uint64_t total);
  ~Progress(); ///< ends the line
  void update(uint64_t done, llvm::StringRef note = "");

private:
  void draw(uint64_t done, llvm::StringRef note);
  using Clock = std::chrono::steady_clock;
  std::string label;
  uint64_t total;
  Clock::time_point start, last;
  bool terminal = false, drawn = false;
};

} // namespace lathe

#endif // LATHE_SUPPORT_PROGRESS_H
