//===- TrainOptions.h - The options of lathe train -*- C++ -* ---*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_TRAINOPTIONS_H
#define LATHE_TOOLS_TRAINOPTIONS_H

#include "DataOptions.h"
#include "ModelOptions.h"
#include "lathe/Support/Recipe.h"
#include "lathe/Train/Loop.h"

namespace lathe {

/// Puts the options that were added since the last call under a heading.
void nameGroup(CLI::App &verb, const char *name);

/// Optimizer, schedule, precision: what is compiled into the train step.
struct RecipeOptions {
  TrainRecipe recipe;
  std::vector<std::string> decayGroups; ///< "PATTERN=DECAY"
  std::vector<std::string> augment;     ///< "flip", "crop=2"

  void add(CLI::App &verb);
  /// Fills in what is known later. Errors: numbers that mean nothing.
  llvm::Error finish(int64_t totalSteps);
};

/// What the user says of a training, as the command line or a recipe has it.
struct TrainOptions : ModelOptions, DataOptions {
  RecipeOptions optimizer;
  std::vector<std::string> eval; ///< as `data`
  double validation = 0;
  int64_t batch = 32;
  std::string labels, logits = "logits";
  bool noMetrics = false, rocAuc = false;
  double charactersPerToken = 1;
  int64_t ignoreLabel = -1;

  train::LoopOptions loop;
  std::string recipe, json, saveModel;
  bool quiet = false, noTensorBoard = false, profile = false;
  bool explain = false;
  std::string maxMemory;             ///< "512M"
  std::optional<unsigned> recompute; ///< none: defaultRecompute()

  void add(CLI::App &verb);
  /// Options that a recipe does not hold.
  static const std::vector<const char *> notInRecipes;
};

/// Bytes of "512M" or "2G" (of 1024s; a number alone counts bytes). Errors:
/// another form, nothing, more than 64 bits hold.
llvm::Expected<uint64_t> parseSize(llvm::StringRef text);

/// The data sets for inputs of these types, and what each is made of.
struct TrainData {
  train::Vocabulary vocabulary; ///< empty where tokens are no characters
  std::shared_ptr<train::Dataset> training, evaluation; ///< one may be both
  std::unique_ptr<train::Loader> trainingLoader, evaluationLoader;
};

/// Opens and checks the data. `limits` are known by input, besides the ones of
/// --limit; `ignored` is a label that is allowed. Errors: what is missing,
/// damaged, or does not fit.
llvm::Expected<TrainData>
openTrainData(const TrainOptions &options, llvm::ArrayRef<TensorSpec> inputs,
              const std::map<std::string, InputLimit> &limits,
              std::optional<int64_t> ignored);

/// Which figures to make: what the user says, else the one integer input that
/// fits the logits, else perplexity for streams of tokens, else the loss alone.
train::MetricOptions chooseMetrics(const TrainOptions &options,
                                   llvm::ArrayRef<TensorSpec> inputs,
                                   llvm::ArrayRef<TensorSpec> outputs,
                                   bool isStream);

/// Whether more of a figure of this name is better.
bool moreIsBetter(llvm::StringRef figure);

} // namespace lathe

#endif // LATHE_TOOLS_TRAINOPTIONS_H
