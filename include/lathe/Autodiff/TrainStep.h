//===- TrainStep.h - From gradients to a training program -------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_AUTODIFF_TRAINSTEP_H
#define LATHE_AUTODIFF_TRAINSTEP_H

#include "lathe/Support/Recipe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {
using namespace mlir;

/// i64: steps that ran. With float16 `train.updates` counts those of them that
/// changed the parameters, which schedule and optimizer go by.
inline constexpr llvm::StringLiteral stepState = "train.step";
inline constexpr llvm::StringLiteral updatesState = "train.updates";
inline constexpr llvm::StringLiteral lossScaleState = "train.loss_scale";
inline constexpr llvm::StringLiteral goodStepsState = "train.good_steps";

/// Marks as mutable what the recipe trains: the float parameters that `loss`
/// (inlined) reads and does not set itself, and that no pattern freezes.
/// Errors: nothing is left, or a pattern matches no parameter.
LogicalResult makeTrainable(func::FuncOp loss, const TrainRecipe &recipe);

/// Lets the loss read its images as the recipe changes them, at random by the
/// argument `random_key`, which is added as the last one where there is none.
/// Errors: no input of images, or several.
LogicalResult augment(func::FuncOp loss, const TrainRecipe &recipe);

/// What of the recipe must be in the loss before it is differentiated: label
/// smoothing, and for float16 a last argument "loss_scale" that the first
/// result is multiplied by.
LogicalResult prepareLoss(func::FuncOp loss, const TrainRecipe &recipe);

/// Where gradients accumulate: weighs each mean over labels of which some are
/// ignored by the part's share of the batch's labels, so that the mean of the
/// parts' losses is the loss of the batch. Adds an argument "label_total.K" and
/// a result "label_count.K" for each, which buildTrainStep knows. Errors: such
/// a mean inside of a loop or a branch.
LogicalResult weighParts(func::FuncOp loss, const TrainRecipe &recipe);

/// Adds `@train_step` behind `gradient`, which must have static shapes and is
/// inlined; the pass `lathe-build-train-step` says what it does. Errors, as
/// diagnostics: no gradient, a first result that is no rank-0 float, states
/// whose names are taken, a recipe that means nothing.
FailureOr<func::FuncOp> buildTrainStep(func::FuncOp gradient,
                                       const TrainRecipe &recipe);

} // namespace lathe

#endif // LATHE_AUTODIFF_TRAINSTEP_H
