//===- Recipe.cpp - How a model is trained --------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Recipe.h"

#include "lathe/Support/Error.h"

#include <cmath>

using namespace llvm;

namespace lathe {

template <typename T, size_t N>
static StringRef nameIn(const std::pair<T, StringLiteral> (&names)[N],
                        T value) {
  for (const auto &[one, name] : names)
    if (one == value)
      return name;
  return "";
}

template <typename T, size_t N>
static std::optional<T> findIn(const std::pair<T, StringLiteral> (&names)[N],
                               StringRef wanted) {
  for (const auto &[one, name] : names)
    if (name == wanted)
      return one;
  return std::nullopt;
}

static constexpr std::pair<Optimizer, StringLiteral> optimizers[] = {
    {Optimizer::Sgd, "sgd"},
    {Optimizer::Adam, "adam"},
    {Optimizer::AdamW, "adamw"},
    {Optimizer::Adafactor, "adafactor"},
    {Optimizer::Lamb, "lamb"}};
static constexpr std::pair<LearningRateSchedule, StringLiteral> schedules[] = {
    {LearningRateSchedule::Constant, "constant"},
    {LearningRateSchedule::Linear, "linear"},
    {LearningRateSchedule::Cosine, "cosine"},
    {LearningRateSchedule::InverseSqrt, "inverse-sqrt"},
    {LearningRateSchedule::Step, "step"}};
// The first of several names is written.
static constexpr std::pair<Precision, StringLiteral> precisions[] = {
    {Precision::F32, "f32"},     {Precision::TF32, "tf32"},
    {Precision::BF16, "bf16"},   {Precision::F16, "f16"},
    {Precision::F32, "float32"}, {Precision::BF16, "bfloat16"},
    {Precision::F16, "float16"}};

StringRef optimizerName(Optimizer value) { return nameIn(optimizers, value); }
std::optional<Optimizer> optimizerFromName(StringRef name) {
  return findIn(optimizers, name);
}
StringRef scheduleName(LearningRateSchedule value) {
  return nameIn(schedules, value);
}
std::optional<LearningRateSchedule> scheduleFromName(StringRef name) {
  return findIn(schedules, name);
}
StringRef precisionName(Precision value) { return nameIn(precisions, value); }
std::optional<Precision> precisionFromName(StringRef name) {
  return findIn(precisions, name);
}

bool matchesPattern(StringRef pattern, StringRef name) {
  auto [head, rest] = pattern.split('*');
  if (head.size() == pattern.size())
    return pattern == name;
  if (!name.consume_front(head))
    return false;
  // Each further piece at its first place, the last one at the end.
  while (true) {
    auto [piece, more] = rest.split('*');
    if (piece.size() == rest.size())
      return name.ends_with(piece);
    size_t at = name.find(piece);
    if (at == StringRef::npos)
      return false;
    name = name.drop_front(at + piece.size());
    rest = more;
  }
}

namespace {
/// Collects the first number that is out of its range.
class Checker {
public:
  void number(StringRef name, double value, bool isValid, StringRef expected) {
    if (text.empty() && !(std::isfinite(value) && isValid))
      text = formatv("{0} must be {1}{2}, got {3}", name,
                     std::isfinite(value) ? "" : "finite and ", expected,
                     formatNumber(value))
                 .str();
  }
  void positive(StringRef name, double value) {
    number(name, value, value > 0, "above 0");
  }
  void notNegative(StringRef name, double value) {
    number(name, value, value >= 0, "0 or more");
  }
  void below1(StringRef name, double value) {
    number(name, value, value >= 0 && value < 1, "in [0, 1)");
  }
  Error take() {
    return text.empty() ? Error::success() : makeError(Twine(text));
  }

private:
  std::string text;
};
} // namespace

Error checkRecipe(const TrainRecipe &recipe) {
  Checker check;
  check.positive("learning_rate", recipe.learningRate);
  check.below1("momentum", recipe.momentum);
  check.number("momentum", recipe.momentum,
               !recipe.nesterov || recipe.momentum > 0,
               "above 0 with nesterov");
  check.below1("beta1", recipe.beta1);
  check.below1("beta2", recipe.beta2);
  if (recipe.epsilon)
    check.positive("epsilon", *recipe.epsilon);
  check.number("beta2_decay", recipe.beta2Decay, recipe.beta2Decay <= 0,
               "0 or less");
  check.positive("update_threshold", recipe.updateThreshold);
  check.notNegative("least_scale", recipe.leastScale);
  check.notNegative("weight_decay", recipe.weightDecay);
  for (const WeightDecayGroup &group : recipe.weightDecayGroups)
    check.notNegative("weight_decay of " + quote(group.pattern),
                      group.weightDecay);
  check.notNegative("clip_norm", recipe.clipNorm);
  check.notNegative("clip_value", recipe.clipValue);
  check.notNegative("total_steps", recipe.totalSteps);
  check.notNegative("warmup_steps", recipe.warmupSteps);
  check.number("minimum_factor", recipe.minimumFactor,
               recipe.minimumFactor >= 0 && recipe.minimumFactor <= 1,
               "in [0, 1]");
  check.positive("step_every", recipe.stepEvery);
  check.positive("step_factor", recipe.stepFactor);
  check.positive("accumulate", recipe.accumulate);
  check.positive("initial_scale", recipe.initialScale);
  check.positive("scale_growth_interval", recipe.scaleGrowthInterval);
  check.number("scale_growth", recipe.scaleGrowth, recipe.scaleGrowth >= 1,
               "1 or more");
  check.number("scale_backoff", recipe.scaleBackoff,
               recipe.scaleBackoff > 0 && recipe.scaleBackoff <= 1,
               "in (0, 1]");
  check.below1("label_smoothing", recipe.labelSmoothing);
  check.notNegative("augment_crop", recipe.augmentCrop);
  return check.take();
}

} // namespace lathe
