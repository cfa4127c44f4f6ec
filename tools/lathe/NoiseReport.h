//===- NoiseReport.h - The table of what quantization costs -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_NOISEREPORT_H
#define LATHE_TOOLS_NOISEREPORT_H

#include "QuantizationNoise.h"

#include <nlohmann/json.hpp>

namespace lathe {

/// "31.2 dB"; "exact" where nothing is lost.
std::string formatRatio(const SignalToNoise &ratio);

/// "NAME", or "NAME [LAYER]" where there are several.
std::string nameOf(const ProductNoise &product);

/// Rows of the table, the least `alone` first.
std::vector<const ProductNoise *> sortByNoise(const NoiseTable &table);

/// Prints `rows` of them, and "kept" behind those whose names are in `kept`.
void printNoise(ArrayRef<const ProductNoise *> sorted, unsigned rows,
                ArrayRef<std::string> kept, raw_ostream &os);

nlohmann::ordered_json toJson(ArrayRef<const ProductNoise *> sorted);
/// Null where it is not finite.
nlohmann::json toJson(const SignalToNoise &ratio);

} // namespace lathe

#endif // LATHE_TOOLS_NOISEREPORT_H
