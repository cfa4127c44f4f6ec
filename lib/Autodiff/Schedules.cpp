//===- Schedules.cpp - The learning rate over the updates -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Optimizers.h"

namespace lathe {

/// From 0 at the end of the warm-up to 1 after the last update.
static Value buildProgress(GraphMath &math, const TrainRecipe &recipe,
                           Value done) {
  double span = std::max<int64_t>(recipe.totalSteps - recipe.warmupSteps, 1);
  Value past = math.max(math.sub(done, double(recipe.warmupSteps)), 0.0);
  return math.min(math.div(past, span), 1.0);
}

/// `from` 1 down to the least factor, as `fraction` goes from 1 to 0.
static Value toLeast(GraphMath &math, const TrainRecipe &recipe,
                     Value fraction) {
  return math.add(math.mul(fraction, 1 - recipe.minimumFactor),
                  recipe.minimumFactor);
}

static Value buildDecay(GraphMath &math, const TrainRecipe &recipe,
                        Value done) {
  constexpr double pi = 3.14159265358979323846;
  double warmup = std::max<int64_t>(recipe.warmupSteps, 1);
  switch (recipe.schedule) {
  case LearningRateSchedule::Constant:
    break;
  case LearningRateSchedule::Linear:
    if (recipe.totalSteps > 0)
      return toLeast(math, recipe,
                     math.rsub(1, buildProgress(math, recipe, done)));
    break;
  case LearningRateSchedule::Cosine:
    if (recipe.totalSteps > 0) {
      Value angle = math.mul(buildProgress(math, recipe, done), pi);
      Value wave = math.make<CosOp>(angle);
      return toLeast(math, recipe, math.mul(math.add(wave, 1.0), 0.5));
    }
    break;
  case LearningRateSchedule::InverseSqrt:
    return math.sqrt(math.div(math.like(warmup, done),
                              math.max(math.add(done, 1.0), warmup)));
  case LearningRateSchedule::Step: {
    Value count = math.make<FloorOp>(math.div(done, double(recipe.stepEvery)));
    return math.pow(math.like(recipe.stepFactor, done), count);
  }
  }
  return math.like(1, done);
}

Value buildSchedule(GraphMath &math, const TrainRecipe &recipe, Value done) {
  Value factor = buildDecay(math, recipe, done);
  if (recipe.warmupSteps <= 0)
    return factor;
  Value rise =
      math.min(math.div(math.add(done, 1.0), double(recipe.warmupSteps)), 1.0);
  return math.mul(factor, rise);
}

} // namespace lathe
