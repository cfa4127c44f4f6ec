//===- SessionProgram.h - Compiled models as training programs --*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_SESSIONPROGRAM_H
#define LATHE_TRAIN_SESSIONPROGRAM_H

#include "lathe/Train/Program.h"

namespace lathe::train {

/// Two programs of an executable that share their states: "train_step", which
/// gives the loss and other figures of rank 0, and "eval", which gives the loss
/// and outputs. Their inputs are known by name; what is no input of "eval"
/// (random_key) is not handed to it.
class SessionProgram : public TrainProgram {
public:
  /// States are filled from `weights` or their initializers. Errors: no such
  /// programs, weights that do not fit, no loss.
  static llvm::Expected<std::unique_ptr<SessionProgram>>
  create(std::shared_ptr<LoadedModel> model, unsigned trainStep, unsigned eval,
         WeightSource &weights, SessionOptions options);

  llvm::ArrayRef<TensorSpec> inputs() const override;
  llvm::ArrayRef<TensorSpec> outputs() const override { return evalOutputs; }
  llvm::Expected<Scalars> step(llvm::ArrayRef<TensorView> inputs) override;
  llvm::Expected<Evaluation>
  evaluate(llvm::ArrayRef<TensorView> inputs) override;
  llvm::ArrayRef<StateSpec> states() const override { return stateSpecs; }
  llvm::Expected<Tensor> state(size_t index) override;
  llvm::Error setState(size_t index, const TensorView &value) override;

  const exec::Executable &executable() const { return loaded->executable(); }
  Session &trainSession() { return *trainer; }
  Session &evalSession() { return *evaluator; }
  /// Where the states of both programs are.
  const std::shared_ptr<StateStore> &stateStore() const { return store; }

private:
  SessionProgram() = default;
  std::shared_ptr<LoadedModel> loaded;
  std::unique_ptr<Session> trainer, evaluator;
  std::shared_ptr<StateStore> store;
  std::vector<StateSpec> stateSpecs;
  std::vector<TensorSpec> evalOutputs;
  std::vector<size_t> evalInputs; ///< places in inputs()
  size_t trainLoss = 0, evalLoss = 0;
};

} // namespace lathe::train

#endif // LATHE_TRAIN_SESSIONPROGRAM_H
