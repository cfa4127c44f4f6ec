//===- Optimizers.h - One update of one parameter ---------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_AUTODIFF_OPTIMIZERS_H
#define LATHE_LIB_AUTODIFF_OPTIMIZERS_H

#include "GraphMath.h"
#include "lathe/Support/Recipe.h"

namespace lathe {

/// What all parameters of a step share. Rank 0, f64: PyTorch keeps these
/// numbers in Python's floats, and rounding 1 - beta^t to f32 would show.
struct StepValues {
  /// 1 in the first update.
  Value update;
  /// After the schedule.
  Value learningRate;
  /// 1 - beta1^t and 1 - beta2^t; 1 - beta2 for Adafactor (Adam's kind alone).
  Value correction1, correction2;
};

/// Numbers of `step` that the recipe's optimizer needs; `update` and
/// `learningRate` are set already.
void addCorrections(GraphMath &math, const TrainRecipe &recipe,
                    StepValues &step);

/// The factor on the learning rate; `done` is the number of updates before this
/// one, f64. See LearningRateSchedule.
Value buildSchedule(GraphMath &math, const TrainRecipe &recipe, Value done);

/// An optimizer's memory of one parameter: its name behind the parameter's, its
/// type, the value before the update and after it.
struct OptimizerState {
  std::string name;
  RankedTensorType type;
  Value before, after;
};

/// A parameter during its update. The leading `stacked` dims (0 or 1) count
/// layers, each of which is a parameter of its own to the optimizer.
struct ParameterUpdate {
  Value before, gradient, after;
  int64_t stacked = 0;
  double weightDecay = 0;
  SmallVector<OptimizerState, 2> states;
};

/// The states that the optimizer keeps of a parameter of this type.
SmallVector<OptimizerState, 2> declareStates(const TrainRecipe &recipe,
                                             RankedTensorType type,
                                             int64_t stacked);

/// Fills `after` of the parameter and of its states. All values of `update`
/// have one float element type, in which it computes.
void buildUpdate(GraphMath &math, const TrainRecipe &recipe,
                 const StepValues &step, ParameterUpdate &update);

} // namespace lathe

#endif // LATHE_LIB_AUTODIFF_OPTIMIZERS_H
