//===- Recipe.h - How a model is trained ------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the compiler builds into a train step: optimizer, schedule, clipping,
// accumulation, precision. The defaults train most models.
//
// Formulas follow PyTorch's documentation, so that recipes can be taken over
// with their numbers: torch.optim.SGD, Adam, AdamW, Adafactor;
// torch.nn.utils.clip_grad_norm_ and clip_grad_value_; torch.amp.GradScaler.
// LAMB is algorithm 2 of You et al., "Large Batch Optimization for Deep
// Learning", arXiv 1904.00962. What differs is said below.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_RECIPE_H
#define LATHE_SUPPORT_RECIPE_H

#include "lathe/Support/Precision.h"
#include "lathe/Support/QuantizationScheme.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lathe {

/// "sgd", "adam", "adamw", "adafactor", "lamb".
enum class Optimizer { Sgd, Adam, AdamW, Adafactor, Lamb };

/// The factor on the learning rate for update t, counted from 0, with
/// T = `totalSteps`, W = `warmupSteps`, m = `minimumFactor` and
/// p = min((t - W) / max(T - W, 1), 1):
///   "constant"      1
///   "linear"        m + (1 - m) * (1 - p)
///   "cosine"        m + (1 - m) * (1 + cos(pi p)) / 2
///   "inverse-sqrt"  sqrt(max(W, 1) / max(t + 1, W, 1))
///   "step"          stepFactor ^ floor(t / stepEvery)
/// In the first W updates it is (t + 1) / W ("step": times its own factor).
enum class LearningRateSchedule { Constant, Linear, Cosine, InverseSqrt, Step };

/// Weight decay of the parameters whose names match; the first that matches
/// counts.
struct WeightDecayGroup {
  std::string pattern; ///< as in `freeze`
  double weightDecay = 0;
};

struct TrainRecipe {
  Optimizer optimizer = Optimizer::AdamW;
  double learningRate = 1e-3;
  /// Sgd alone; PyTorch's "dampening" is 0.
  double momentum = 0.9;
  bool nesterov = false;
  /// Adam, AdamW, Lamb.
  double beta1 = 0.9, beta2 = 0.999;
  /// Added to the root of the second moment. Unset: 1e-8; Lamb: 1e-6;
  /// Adafactor (its eps1): the rounding step of the parameter's type.
  std::optional<double> epsilon;
  /// Adafactor: the exponent of its second moment's decay, the threshold d, and
  /// the least root mean square of a parameter that scales its rate (eps2).
  double beta2Decay = -0.8, updateThreshold = 1.0, leastScale = 1e-3;

  /// Times the parameter: added to the gradient (Sgd, Adam), or taken off
  /// beside the update (AdamW, Adafactor, Lamb).
  double weightDecay = 0.01;
  std::vector<WeightDecayGroup> weightDecayGroups;
  /// Whether tensors of rank 0 and 1 (biases, scales of norms) decay, too.
  /// Other than in PyTorch, they do not by default.
  bool decayVectors = false;

  /// Gradients are scaled so that the norm of all together is at most this; 0
  /// for no limit. Before it, `clipValue` clamps every element to
  /// [-clipValue, clipValue].
  double clipNorm = 0, clipValue = 0;

  LearningRateSchedule schedule = LearningRateSchedule::Cosine;
  /// Updates in all; the training loop sets it from epochs and data. 0: not
  /// known, and Linear and Cosine become Constant.
  int64_t totalSteps = 0;
  int64_t warmupSteps = 0;
  double minimumFactor = 0;
  int64_t stepEvery = 1000;
  double stepFactor = 0.1;

  /// The batch of a step is split in so many parts, whose gradients are
  /// averaged.
  int64_t accumulate = 1;

  /// Weights, optimizer and everything else keep the types of the model; f16
  /// comes with a dynamic loss scale.
  Precision precision = Precision::F32;
  /// Quantization-aware: products compute on numbers rounded as this scheme
  /// rounds them, gradients go straight through the rounding. Weights stay
  /// floats, to be quantized by the same scheme when the model runs.
  QuantizationScheme quantize;
  /// Float16: the scale halves, and the update is left out, where a gradient is
  /// not finite; it doubles after `scaleGrowthInterval` updates in a row.
  double initialScale = 65536;
  int64_t scaleGrowthInterval = 2000;
  double scaleGrowth = 2, scaleBackoff = 0.5;

  /// Parameters that stay as they are: patterns over their names, where "*"
  /// stands for any text.
  std::vector<std::string> freeze;
  /// For every lathe.cross_entropy that has none of its own.
  double labelSmoothing = 0;

  /// Images are mirrored, every second by lot, and cut at a place of their own
  /// out of the image with a border of `augmentCrop` zeros.
  bool augmentFlip = false;
  int64_t augmentCrop = 0;
};

/// Names of the states that training adds to a model's own: its counters and
/// loss scale, and the optimizer's memory as "optimizer.KIND.PARAMETER". No
/// file of weights holds them, and inference knows nothing of them.
inline constexpr llvm::StringLiteral trainPrefix = "train.";
inline constexpr llvm::StringLiteral optimizerPrefix = "optimizer.";
inline bool isTrainingState(llvm::StringRef name) {
  return name.starts_with(trainPrefix) || name.starts_with(optimizerPrefix);
}

llvm::StringRef optimizerName(Optimizer optimizer);
std::optional<Optimizer> optimizerFromName(llvm::StringRef name);
llvm::StringRef scheduleName(LearningRateSchedule schedule);
std::optional<LearningRateSchedule> scheduleFromName(llvm::StringRef name);

/// Whether `name` matches `pattern` as a whole, "*" standing for any text.
bool matchesPattern(llvm::StringRef pattern, llvm::StringRef name);

/// Sets a field from text, by the name it has in recipe files
/// ("learning_rate"). Lists have ";" between their entries, weight decay groups
/// are PATTERN:NUMBER. Errors: no such field, text that is no value of it.
/// Ranges are checkRecipe's.
llvm::Error setRecipeField(TrainRecipe &recipe, llvm::StringRef name,
                           llvm::StringRef value);
/// All fields with their values; each pair reads back through setRecipeField.
std::vector<std::pair<std::string, std::string>>
listRecipeFields(const TrainRecipe &recipe);

/// Refuses numbers that mean nothing: the error names the field as recipe files
/// do ("learning_rate must be above 0, got -1").
llvm::Error checkRecipe(const TrainRecipe &recipe);

} // namespace lathe

#endif // LATHE_SUPPORT_RECIPE_H
