//===- NoiseReport.cpp - The table of what quantization costs -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NoiseReport.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>

namespace lathe {

std::string formatRatio(const SignalToNoise &ratio) {
  if (ratio.noise == 0)
    return "exact";
  return std::isnan(ratio.decibels())
             ? "-"
             : llvm::formatv("{0:f1} dB", ratio.decibels()).str();
}

std::string nameOf(const ProductNoise &product) {
  return product.layers == 1
             ? product.name
             : product.name + " [" + std::to_string(product.layer) + "]";
}

std::vector<const ProductNoise *> sortByNoise(const NoiseTable &table) {
  std::vector<const ProductNoise *> sorted;
  for (const ProductNoise &product : table.products)
    sorted.push_back(&product);
  llvm::sort(sorted, [](const ProductNoise *a, const ProductNoise *b) {
    return std::pair(a->alone.decibels(), a) <
           std::pair(b->alone.decibels(), b);
  });
  return sorted;
}

void printNoise(ArrayRef<const ProductNoise *> sorted, unsigned rows,
                ArrayRef<std::string> kept, raw_ostream &os) {
  size_t width = 7;
  ArrayRef<const ProductNoise *> shown = sorted.take_front(rows);
  for (const ProductNoise *product : shown)
    width = std::max(width, nameOf(*product).size());
  os << llvm::left_justify("product", width)
     << "  op            alone      within\n";
  for (const ProductNoise *product : shown)
    os << llvm::left_justify(nameOf(*product), width) << "  "
       << llvm::left_justify(product->op, 8)
       << llvm::right_justify(formatRatio(product->alone), 11)
       << llvm::right_justify(formatRatio(product->within), 12)
       << (llvm::is_contained(kept, product->name) ? "  kept" : "") << "\n";
  if (sorted.size() > shown.size())
    os << sorted.size() - shown.size()
       << " more, which lose less (--rows, --json)\n";
}

nlohmann::json toJson(const SignalToNoise &ratio) {
  double decibels = ratio.decibels();
  return std::isfinite(decibels) ? nlohmann::json(decibels)
                                 : nlohmann::json(nullptr);
}

nlohmann::ordered_json toJson(ArrayRef<const ProductNoise *> sorted) {
  auto rows = nlohmann::ordered_json::array();
  for (const ProductNoise *product : sorted)
    rows.push_back({{"name", product->name},
                    {"op", product->op},
                    {"layer", product->layer},
                    {"alone_db", toJson(product->alone)},
                    {"within_db", toJson(product->within)}});
  return rows;
}

} // namespace lathe
