//===- Sampling.cpp - The next token from a model's logits ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Sampling.h"

#include "Initializer.h"
#include "lathe/Support/Error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace lathe {

/// In [0, 1), with 53 bits.
static double uniformAt(uint64_t seed, uint64_t position) {
  std::array<uint32_t, 4> words =
      philox({uint32_t(position), uint32_t(position >> 32), 0, 0},
             {uint32_t(seed), uint32_t(seed >> 32)});
  uint64_t bits = uint64_t(words[0]) << 32 | words[1];
  return double(bits >> 11) * 0x1p-53;
}

llvm::Expected<int64_t> sampleToken(llvm::ArrayRef<float> logits,
                                    const SamplingOptions &options,
                                    uint64_t position) {
  if (logits.empty())
    return makeError("there are no tokens to choose from");
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i)
    if (std::isnan(logits[i]) || logits[i] == -kNever)
      return makeError("the logit of token {0} at position {1} is {2}", i,
                       position,
                       std::isnan(logits[i]) ? "not a number" : "infinite");
  auto best = std::max_element(logits.begin(), logits.end());
  if (*best == kNever)
    return makeError("every logit at position {0} is minus infinity", position);
  if (options.temperature == 0)
    return best - logits.begin();

  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  size_t kept = options.topK > 0 ? std::min<size_t>(options.topK, order.size())
                                 : order.size();
  std::partial_sort(order.begin(), order.begin() + kept, order.end(),
                    [&](size_t a, size_t b) {
                      return logits[a] != logits[b] ? logits[a] > logits[b]
                                                    : a < b;
                    });
  std::vector<double> weight(kept);
  double total = 0;
  for (size_t i = 0; i < kept; ++i)
    total += weight[i] = std::exp((double(logits[order[i]]) - double(*best)) /
                                  options.temperature);
  if (options.topP < 1) {
    double sum = 0;
    size_t i = 0;
    do
      sum += weight[i++];
    while (i < kept && sum < options.topP * total);
    kept = i;
    total = sum;
  }
  double left = uniformAt(options.seed, position) * total;
  for (size_t i = 0; i + 1 < kept; ++i)
    if ((left -= weight[i]) < 0)
      return order[i];
  // Rounding may leave a little at the end, where weights may be 0.
  while (kept > 1 && weight[kept - 1] == 0)
    --kept;
  return order[kept - 1];
}

} // namespace lathe
