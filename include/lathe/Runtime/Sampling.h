//===- Sampling.h - The next token from a model's logits --------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_SAMPLING_H
#define LATHE_RUNTIME_SAMPLING_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>

namespace lathe {

struct SamplingOptions {
  /// Logits are divided by it; 0 takes the most likely token.
  double temperature = 1;
  /// Only the k most likely; 0: all.
  int64_t topK = 0;
  /// Only the fewest most likely whose probabilities add up to at least this
  /// (Holtzman et al., "The curious case of neural text degeneration",
  /// arXiv 1904.09751); 1: all. After topK.
  double topP = 1;
  uint64_t seed = 0;
};

/// A token drawn from softmax(logits / temperature) under the options' limits.
/// The same seed and position give the same token. Of equally likely tokens the
/// first is the more likely. Errors: no logits, one that is not finite (minus
/// infinity is: such a token is never drawn).
llvm::Expected<int64_t> sampleToken(llvm::ArrayRef<float> logits,
                                    const SamplingOptions &options,
                                    uint64_t position);

} // namespace lathe

#endif // LATHE_RUNTIME_SAMPLING_H
