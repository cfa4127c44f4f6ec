//===- Checkpoint.h - Training that can be taken up again -*- C++ -* ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_CHECKPOINT_H
#define LATHE_TRAIN_CHECKPOINT_H

#include "lathe/Train/Loader.h"
#include "lathe/Train/Program.h"

#include <functional>

namespace lathe::train {

/// What is kept besides the program's state.
struct TrainingState {
  uint64_t step = 0; ///< steps done
  uint64_t seed = 0; ///< of the order of the data and of random_key
  Position position;
  std::string data;                    ///< Dataset::description()
  std::optional<uint64_t> evaluatedAt; ///< the step of the last evaluation
  std::optional<uint64_t> bestStep;
  double best = 0; ///< the figure at `bestStep`
  uint64_t evaluationsSinceBest = 0;
  Scalars scalars; ///< of the last step
};

/// Checkpoints of one training in one folder. Each is a folder `step-N` of
///   model.safetensors      the model's state, under its own names
///   optimizer.safetensors  the optimizer's
///   checkpoint.json        TrainingState and a SHA-256 per tensor
/// and what else the caller gives (the recipe). It is made under a temporary
/// name, flushed to the disk and renamed, so it is there whole or not at all.
/// After that all but the previous one are removed.
class CheckpointFolder {
public:
  explicit CheckpointFolder(std::string path) : path(std::move(path)) {}

  /// Makes the folder where there is none. Errors: it cannot be made or written
  /// into; it holds checkpoints, and nothing is to be resumed.
  llvm::Error prepare(bool resume) const;

  struct ExtraFile {
    std::string name, text;
  };
  /// On an error (a full disk) what was there stays as it was.
  llvm::Error save(TrainProgram &program, const TrainingState &training,
                   llvm::ArrayRef<ExtraFile> extra = {});

  /// Steps of the checkpoints that are there, newest first.
  std::vector<uint64_t> steps() const;
  std::string pathOf(uint64_t step) const;

  /// Takes up the newest checkpoint that is whole; what is wrong with newer
  /// ones goes to `note`. Nothing where there is none at all. Errors: all are
  /// damaged; one of another model (with a list of what does not fit). The
  /// program is untouched after an error.
  llvm::Expected<std::optional<TrainingState>>
  load(TrainProgram &program,
       const std::function<void(const std::string &)> &note);

private:
  llvm::Expected<TrainingState> loadStep(TrainProgram &program, uint64_t step,
                                         bool &otherModel);
  std::string path;
};

/// The model's state alone, in one file that inference takes as its weights.
llvm::Error writeModel(llvm::StringRef path, TrainProgram &program,
                       const std::map<std::string, std::string> &metadata);

} // namespace lathe::train

#endif // LATHE_TRAIN_CHECKPOINT_H
