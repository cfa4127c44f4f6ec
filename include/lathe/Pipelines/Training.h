//===- Training.h - From a model file to a training program -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A model that can be trained has a function `@loss` beside `@main`: its
// arguments are the batch, its first result is the loss, of rank 0, further
// ones are for metrics. An argument called "random_key" is (seed, step).
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_PIPELINES_TRAINING_H
#define LATHE_PIPELINES_TRAINING_H

#include "lathe/Pipelines/Compiler.h"
#include "lathe/Support/Recipe.h"

namespace lathe {

/// The model's `@loss`; null after a diagnostic where there is none.
func::FuncOp findLoss(const Model &model);

/// `@train_step` and nothing else, for a batch of these shapes (one per
/// argument of `@loss`, in order): gradients, optimizer and the rest of the
/// recipe, before the graph passes. Null after a diagnostic. With `markParts`
/// ops of the loss and of its gradient say so in an attribute `kPartMark`.
OwningOpRef<ModuleOp> buildTrainingModule(const Model &model,
                                          ArrayRef<SmallVector<int64_t>> shapes,
                                          const TrainRecipe &recipe,
                                          bool markParts = false);
inline constexpr StringLiteral kPartMark = "lathe.part";
inline constexpr StringLiteral kForwardPart = "forward";
inline constexpr StringLiteral kBackwardPart = "backward";
/// Marks the ops of `function` that are not marked yet.
void markPart(func::FuncOp function, StringRef part);

/// `@eval` and nothing else: `@loss` in inference mode, which writes no state.
OwningOpRef<ModuleOp>
buildEvaluationModule(const Model &model, ArrayRef<SmallVector<int64_t>> shapes,
                      const TrainRecipe &recipe);

/// Adds the programs "train_step" and, where `evalShapes` is not empty, "eval"
/// to `executable`; they share their states. The step's inputs are those of
/// `@loss` with the whole batch (`recipe.accumulate` parts of it); its outputs
/// are rank-0 figures, the loss first.
LogicalResult compileTraining(const Model &model,
                              ArrayRef<SmallVector<int64_t>> stepShapes,
                              ArrayRef<SmallVector<int64_t>> evalShapes,
                              const TrainRecipe &recipe,
                              const CompileOptions &options,
                              exec::Executable &executable,
                              CompileStatistics *statistics = nullptr);

} // namespace lathe

#endif // LATHE_PIPELINES_TRAINING_H
