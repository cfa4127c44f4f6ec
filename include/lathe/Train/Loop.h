//===- Loop.h - The training loop -*- C++ -* --------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_LOOP_H
#define LATHE_TRAIN_LOOP_H

#include "lathe/Train/Checkpoint.h"
#include "lathe/Train/Metrics.h"
#include "llvm/ADT/ArrayRef.h"

#include <functional>

namespace lathe::train {

/// Why a step gives what is not finite.
struct Explanation {
  std::string text; ///< which op, of what; "" where that is not known
  /// What helps, where it is not a lower learning rate or clipping.
  std::string advice;
};

struct LoopOptions {
  /// Where training ends: after so many passes over the training data, and
  /// after so many steps, whichever is sooner. 0: no limit; both 0: one epoch.
  uint64_t epochs = 0, steps = 0;
  uint64_t evaluateEvery = 0;   ///< steps; 0: after every epoch
  uint64_t checkpointEvery = 0; ///< steps; 0: with every evaluation, or epoch
  /// Where `checkpointEvery` is 0: not sooner than so long after the last one.
  double leastSecondsBetween = 0;
  uint64_t logEvery = 10; ///< steps between records of the log
  /// Stop after so many evaluations without a better figure; 0: never.
  uint64_t patience = 0;
  /// The figure that is watched, and whether more of it is better.
  std::string watch = "loss";
  bool moreIsBetter = false;
  double minDelta = 0; ///< by how much a figure must be better to count
  uint64_t seed = 0;
  /// Where checkpoints and best.safetensors go; empty: nowhere.
  std::string folder;
  std::vector<CheckpointFolder::ExtraFile> extra; ///< into each checkpoint
  bool resume = false; ///< from `folder`, if there is a checkpoint
  bool showProgress = false;
  /// Says which op makes the first value that is not finite in the step with
  /// these inputs, from the states that the program has. Changes no state.
  std::function<Explanation(llvm::ArrayRef<TensorView>)> explain;
};

/// Hears of what happens; see EventFile.h for two that write it down.
class Listener {
public:
  virtual ~Listener();
  /// Before the first step; `step` are done already.
  virtual llvm::Error begin(uint64_t step);
  virtual llvm::Error trained(uint64_t step, uint64_t epoch,
                              const Scalars &scalars);
  virtual llvm::Error evaluated(uint64_t step, const Report &report);
  /// With every checkpoint.
  virtual llvm::Error flush();
};

enum class Ending { Finished, NoBetter, Interrupted };

struct LoopResult {
  TrainingState state;
  Ending ending = Ending::Finished;
  uint64_t firstStep = 0;       ///< done before this run
  double loss = 0;              ///< of the last step
  std::optional<Report> report; ///< of the last evaluation in this run
};

/// Steps, evaluations and checkpoints until the end, early stopping or a
/// signal. SIGINT and SIGTERM end it after the step under way, with a
/// checkpoint; a second one ends the process. `validation` may be null: then
/// nothing is evaluated. `note` gets what the user should know.
/// Errors: those of the program, the data and the folder; a loss, a gradient
/// norm or a parameter that is not finite. Then the state before the step where
/// that began is saved.
llvm::Expected<LoopResult>
runTraining(TrainProgram &program, Loader &training, Loader *validation,
            const MetricOptions &metrics, const LoopOptions &options,
            llvm::ArrayRef<Listener *> listeners,
            const std::function<void(const std::string &)> &note);

/// The number of the step at which training ends.
uint64_t totalSteps(const LoopOptions &options, const Loader &training);

/// All of `data` once.
llvm::Expected<Report> evaluate(TrainProgram &program, Loader &data,
                                const MetricOptions &metrics, uint64_t seed);

/// As SIGINT does; for tests.
void interruptTraining();

} // namespace lathe::train

#endif // LATHE_TRAIN_LOOP_H
