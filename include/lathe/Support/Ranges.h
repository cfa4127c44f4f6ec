//===- Ranges.h - What lathe calibrate has found ----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A ranges file is JSON:
//
//   {"format": "lathe-ranges", "version": 1,
//    "model": "minilm.mlir", "method": "percentile 99.99", "samples": 256,
//    "keep": ["minilm.mlir:113:10"],
//    "sites": {
//      "minilm.mlir:96:10#0": {
//        "low": [-3.1, ...], "high": [2.9, ...], "magnitude": [3.1, ...],
//        "seen_low": [-3.4, ...], "seen_high": [3.0, ...],
//        "clipped": [0.0001, ...]}}}
//
// and "smooth": [[0.7, ...], ...] where channels of a site are divided by a
// number each before they are rounded, and the weights multiplied by it; the
// other keys are of the quotients then. All of it has one number per iteration
// of the scans around a site, row-major, or one alone.
// lathe/Transforms/QuantizationSites.h says what a site is called. Of a site
// "low" and "high" must be there; keys that are not known are passed over.
// "keep", which may be missing, lists products that stay in floats, as option
// 'keep' of lathe-quantize does.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_RANGES_H
#define LATHE_SUPPORT_RANGES_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace lathe {

/// The ranges of one site, a number per iteration; all lists are as long.
struct SiteRanges {
  std::string name;
  /// For 8-bit numbers with a zero point. 0 need not be inside: what quantizes
  /// takes it in.
  std::vector<double> low, high;
  /// For 8-bit numbers around 0; where a file has none, the larger of the two.
  std::vector<double> magnitude;
  /// Least and largest number that was seen, and the share of the numbers that
  /// are outside of [low, high]; may be empty.
  std::vector<double> seenLow, seenHigh, clipped;
  /// Per range the numbers, above 0, that the channels are divided by; or none.
  std::vector<std::vector<double>> smooth;
};

struct Ranges {
  /// Numbers of a range are at most this: scales in f32 are made of them.
  static constexpr double kMaxReach = std::numeric_limits<float>::max() / 2;

  std::string model, method; ///< for people
  int64_t samples = 0;
  /// Products to leave in floats: names, with * for any letters.
  std::vector<std::string> keep;
  std::vector<SiteRanges> sites; ///< no two of one name

  /// Null where there is none.
  const SiteRanges *find(llvm::StringRef name) const;
};

/// Errors: no ranges file, another version, lists of different or no length,
/// numbers beyond kMaxReach, low above high, a site twice, "keep" that lists no
/// texts; more than 65,536 sites or names, 131,072 ranges or 16 MiB.
llvm::Expected<Ranges> parseRanges(llvm::StringRef text);
/// The same from a file, which the error names.
llvm::Expected<Ranges> readRanges(llvm::StringRef path);

std::string formatRanges(const Ranges &ranges);
llvm::Error writeRanges(llvm::StringRef path, const Ranges &ranges);

} // namespace lathe

#endif // LATHE_SUPPORT_RANGES_H
