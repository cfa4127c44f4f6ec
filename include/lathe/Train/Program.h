//===- Program.h - What the training loop drives -*- C++ -* -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_PROGRAM_H
#define LATHE_TRAIN_PROGRAM_H

#include "lathe/Runtime/Session.h"

#include <utility>

namespace lathe::train {

/// A value of the model or of its optimizer that lives from step to step.
struct StateSpec {
  std::string name;
  DType dtype;
  Shape shape;
  /// Its name in weights files, where that differs. A "{}" in it stands for the
  /// index of the first dimension (KeyPattern.h): such a tensor is written
  /// slice by slice.
  std::string key;
  /// One of the model's own (weights, batch-norm statistics), which inference
  /// needs, too; else the optimizer's (moments, step counter, loss scale).
  bool ofModel = true;
};

/// Figures by name, in the order a user reads them: loss, learning_rate, ...
using Scalars = std::vector<std::pair<std::string, double>>;

/// A training program: one step forward, backward and update; evaluation; and
/// its state. The loop knows no more of models than this. Deterministic: the
/// same state and the same inputs give the same bits.
class TrainProgram {
public:
  virtual ~TrainProgram();

  /// What a step and an evaluation take. The first dimension of every input is
  /// the batch, but for one named "random_key", ui64 or i64 [2]: the loop fills
  /// it with the seed and the number of the step.
  virtual llvm::ArrayRef<TensorSpec> inputs() const = 0;
  /// Results of an evaluation besides the loss; where the first dimension is
  /// the batch, there is a row per example.
  virtual llvm::ArrayRef<TensorSpec> outputs() const = 0;

  /// Inputs in the order of `inputs()`. The first figure is the loss.
  virtual llvm::Expected<Scalars> step(llvm::ArrayRef<TensorView> inputs) = 0;

  struct Evaluation {
    double loss = 0;
    std::vector<Tensor> outputs; ///< in the order of `outputs()`
  };
  /// Changes no state.
  virtual llvm::Expected<Evaluation>
  evaluate(llvm::ArrayRef<TensorView> inputs) = 0;

  virtual llvm::ArrayRef<StateSpec> states() const = 0;
  /// By position in `states()`.
  virtual llvm::Expected<Tensor> state(size_t index) = 0;
  virtual llvm::Error setState(size_t index, const TensorView &value) = 0;
};

} // namespace lathe::train

#endif // LATHE_TRAIN_PROGRAM_H
