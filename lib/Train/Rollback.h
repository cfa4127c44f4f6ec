//===- Rollback.h - Back to a state before something went wrong -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A step writes over the parameters it read: when its loss is not finite, they
// are spoilt already. Training is deterministic, so a copy from some steps ago
// is as good as one from the last step: the steps since then are done again.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TRAIN_ROLLBACK_H
#define LATHE_LIB_TRAIN_ROLLBACK_H

#include "lathe/Train/Checkpoint.h"

#include <chrono>

namespace lathe::train {

/// Where the first element of a tensor is that is no finite number.
struct NonFiniteElement {
  std::vector<int64_t> index;
  double value = 0;
  int64_t count = 0; ///< of such elements in the tensor
};
std::optional<NonFiniteElement> findNonFinite(const TensorView &tensor);

/// The states of a program at the end of some step.
class Rollback {
public:
  explicit Rollback(TrainProgram &program) : program(program) {}

  /// Refuses NaN, which nothing gets rid of again; infinities that are there
  /// from the beginning are never complained of.
  llvm::Error begin();
  /// What of the states is not finite: "'w' holds nan at [0,3]"; "" if all is.
  llvm::Expected<std::string> describeBad();

  /// The model's largest weight, whatever its sign, in the copy: "3.1e+20, in
  /// 'w'"; "" where there is no float.
  std::string describeLargest() const;

  /// Copies the states, if they are finite and, but for `evenIfLarge`, no
  /// larger than `kMostBytes`.
  llvm::Error keep(const TrainingState &now, bool evenIfLarge = false);
  /// Whether copies so far took less than a hundredth of the time.
  bool isDue() const {
    return clock::now() - keptAt > std::max(100 * cost, clock::duration(0));
  }
  bool isKept() const { return !values.empty(); }
  /// Puts the copy back; what the training state was then.
  llvm::Expected<TrainingState> restore();

private:
  using clock = std::chrono::steady_clock;
  static constexpr uint64_t kMostBytes = uint64_t(512) << 20;

  TrainProgram &program;
  std::vector<bool> isExempt; ///< by state
  std::vector<Tensor> values;
  TrainingState kept;
  clock::time_point keptAt;
  clock::duration cost{0};
};

} // namespace lathe::train

#endif // LATHE_LIB_TRAIN_ROLLBACK_H
