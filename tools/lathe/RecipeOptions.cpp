//===- RecipeOptions.cpp - Options of optimizer and schedule --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TrainOptions.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/StringExtras.h"

namespace lathe {

/// An option whose texts stand for the values of an enumeration.
template <typename Enum>
static void addNamed(CLI::App &verb, const char *name, Enum &value,
                     std::initializer_list<Enum> all,
                     llvm::StringRef (*nameOf)(Enum),
                     std::optional<Enum> (*fromName)(llvm::StringRef),
                     const std::string &help) {
  std::vector<std::string> names;
  for (Enum one : all)
    names.push_back(nameOf(one).str());
  verb.add_option_function<std::string>(
          name,
          [&value, fromName](const std::string &text) {
            value = *fromName(text);
          },
          help)
      ->check(CLI::IsMember(names))
      ->default_str(nameOf(value).str());
}

void RecipeOptions::add(CLI::App &verb) {
  TrainRecipe &r = recipe;
  addNamed(verb, "--optimizer", r.optimizer,
           {Optimizer::Sgd, Optimizer::Adam, Optimizer::AdamW,
            Optimizer::Adafactor, Optimizer::Lamb},
           optimizerName, optimizerFromName,
           "What turns gradients into updates");
  verb.add_option("--learning-rate", r.learningRate, "Its highest value")
      ->capture_default_str();
  verb.add_option("--momentum", r.momentum, "Of sgd")->capture_default_str();
  verb.add_flag("--nesterov", r.nesterov, "sgd: look ahead");
  verb.add_option("--beta1", r.beta1, "adam, adamw, lamb")
      ->capture_default_str();
  verb.add_option("--beta2", r.beta2, "adam, adamw, lamb")
      ->capture_default_str();
  verb.add_option("--epsilon", r.epsilon,
                  "Added to the root of the second moment (default: 1e-8; "
                  "lamb 1e-6)");
  verb.add_option("--weight-decay", r.weightDecay,
                  "Of tensors of rank 2 and more")
      ->capture_default_str();
  verb.add_option("--weight-decay-group", decayGroups,
                  "PATTERN=DECAY for parameters whose names match, * for any "
                  "text; the first that matches counts (repeatable)");
  verb.add_flag("--decay-vectors", r.decayVectors,
                "Biases and scales of norms decay, too");
  verb.add_option("--clip-norm", r.clipNorm,
                  "Longest gradient, of all parameters together");
  verb.add_option("--clip-value", r.clipValue, "Largest element of a gradient");
  verb.add_option("--freeze", r.freeze,
                  "Parameters that stay as they are: a pattern, * for any "
                  "text (repeatable)");
  verb.add_option("--label-smoothing", r.labelSmoothing,
                  "Of every cross-entropy that has none of its own");
  verb.add_option("--augment", augment,
                  "Change images at random, in training alone: flip (mirrored, "
                  "every second), crop=N (cut out of a border of N zeros); "
                  "repeatable");

  nameGroup(verb, "Optimizer");
  addNamed(verb, "--schedule", r.schedule,
           {LearningRateSchedule::Constant, LearningRateSchedule::Linear,
            LearningRateSchedule::Cosine, LearningRateSchedule::InverseSqrt,
            LearningRateSchedule::Step},
           scheduleName, scheduleFromName,
           "How the learning rate goes on after the warm-up");
  verb.add_option("--warmup-steps", r.warmupSteps,
                  "Updates until the learning rate is at its highest");
  verb.add_option("--minimum-factor", r.minimumFactor,
                  "linear, cosine: the last learning rate, as a share of the "
                  "highest");
  verb.add_option("--step-every", r.stepEvery,
                  "step: updates between two falls")
      ->capture_default_str();
  verb.add_option("--step-factor", r.stepFactor, "step: how far it falls")
      ->capture_default_str();

  nameGroup(verb, "Schedule");
  verb.add_option("--accumulate", r.accumulate,
                  "Parts of a batch that are computed one after the other: "
                  "less memory")
      ->capture_default_str();
  verb.add_option_function<std::string>(
          "--quantize",
          [&r](const std::string &text) {
            r.quantize = *parseQuantizationScheme(text);
          },
          "Quantization-aware: train with products rounded as lathe run "
          "--quantize rounds them, such as int4-weights; gradients go straight "
          "through the rounding")
      ->check(kQuantizationScheme)
      ->check(CLI::Validator(
          [](std::string &text) -> std::string {
            // Ranges found before would not be those of the trained weights.
            return findQuantizationMethod(parseQuantizationScheme(text)->name)
                           ->needsRanges()
                       ? "expected a scheme without ranges, such as "
                         "int8-dynamic, got '" +
                             text + "'"
                       : "";
          },
          ""));
  addPrecisionOption(verb, r.precision,
                     "What products, convolutions and attention compute on; "
                     "f16 scales the loss");
  verb.add_option("--initial-scale", r.initialScale,
                  "f16: the first loss scale")
      ->capture_default_str();
  verb.add_option("--scale-growth-interval", r.scaleGrowthInterval,
                  "f16: updates until the loss scale doubles")
      ->capture_default_str();
  nameGroup(verb, "Computation");
}

llvm::Error RecipeOptions::finish(int64_t totalSteps) {
  recipe.totalSteps = totalSteps;
  recipe.weightDecayGroups.clear();
  for (llvm::StringRef text : decayGroups) {
    auto [pattern, value] = text.rsplit('=');
    double decay;
    // An empty text would be 0.
    if (pattern.empty() || value.empty() || !llvm::to_float(value, decay))
      return makeError("--weight-decay-group expects PATTERN=DECAY, got {0}",
                       quote(text));
    recipe.weightDecayGroups.push_back({pattern.str(), decay});
  }
  for (llvm::StringRef text : augment) {
    llvm::StringRef number = text;
    if (text == "flip")
      recipe.augmentFlip = true;
    else if (!number.consume_front("crop=") ||
             !llvm::to_integer(number, recipe.augmentCrop) ||
             recipe.augmentCrop < 1)
      return makeError("--augment expects flip or crop=N with N > 0, got {0}",
                       quote(text));
  }
  return checkRecipe(recipe);
}

} // namespace lathe
