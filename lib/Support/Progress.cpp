//===- Progress.cpp - Progress on stderr ----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Progress.h"

#include <cstdio>
#include <unistd.h>

using namespace llvm;

namespace lathe {

static constexpr std::chrono::seconds kQuiet(2), kPlainPeriod(10);
static constexpr std::chrono::milliseconds kBarPeriod(100);

Progress::Progress(StringRef label, uint64_t total)
    : label(label.str()), total(total), start(Clock::now()), last(start) {}

Progress::~Progress() {
  if (drawn && terminal)
    std::fputc('\n', stderr);
}

void Progress::update(uint64_t done, StringRef note) {
  Clock::time_point now = Clock::now();
  if (now - start < kQuiet)
    return;
  if (!drawn)
    terminal = ::isatty(STDERR_FILENO);
  bool finished = total && done >= total;
  Clock::duration period =
      terminal ? Clock::duration(kBarPeriod) : Clock::duration(kPlainPeriod);
  if (drawn && now - last < period && !finished)
    return;
  last = now;
  draw(done, note);
}

void Progress::draw(uint64_t done, StringRef note) {
  drawn = true;
  double seconds = std::chrono::duration<double>(last - start).count();
  int noteSize = static_cast<int>(std::min<size_t>(note.size(), 60));
  if (!total) {
    std::fprintf(stderr,
                 terminal ? "\r%s: %llu, %.0f s %.*s\x1b[K"
                          : "%s: %llu, %.0f s %.*s\n",
                 label.c_str(), static_cast<unsigned long long>(done), seconds,
                 noteSize, note.data());
    return;
  }
  double fraction = std::min(1.0, static_cast<double>(done) / total);
  double left = fraction > 0 ? seconds / fraction - seconds : 0;
  if (!terminal) {
    std::fprintf(stderr, "%s: %.0f %%, %.0f s, about %.0f s left %.*s\n",
                 label.c_str(), fraction * 100, seconds, left, noteSize,
                 note.data());
    return;
  }
  constexpr int width = 30;
  int filled = static_cast<int>(fraction * width);
  std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
  std::fprintf(stderr, "\r%s [%s] %3.0f %%, about %.0f s left %.*s\x1b[K",
               label.c_str(), bar.c_str(), fraction * 100, left, noteSize,
               note.data());
}

} // namespace lathe
