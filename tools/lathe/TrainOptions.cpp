//===- TrainOptions.cpp - The options of lathe train ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TrainOptions.h"

#include "Verbs.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

namespace lathe {

using train::FieldOptions;

const std::vector<const char *> TrainOptions::notInRecipes = {
    "recipe",  "resume",  "json",       "quiet",
    "profile", "explain", "output-dir", "reproducer"};

void nameGroup(CLI::App &verb, const char *name) {
  for (CLI::Option *option :
       verb.get_options([](const CLI::Option *) { return true; }))
    if (option->get_group() == "Options" && option->get_name() != "--help")
      option->group(name);
}

void TrainOptions::add(CLI::App &verb) {
  addForTraining(verb);
  nameGroup(verb, "Model");
  verb.get_option("--seed")->description(
      "Seed of initialized parameters, of the order of the data and of "
      "dropout");
  verb.add_option("--data", data,
                  "NAME=FILE for an input of @loss (repeatable), or an .npz "
                  "or .safetensors FILE with arrays of the inputs' names. "
                  "Formats: npy, npz, safetensors, IDX (also gzip), .bin "
                  "(tokens), .txt (a token per byte)");
  verb.add_option("--eval", eval,
                  "The same, of data to evaluate on (else --validation)");
  verb.add_option("--validation", validation,
                  "Share of --data to hold out and evaluate on, 0.1 for a "
                  "tenth; of token streams, their end")
      ->check(CLI::Range(0.0, 0.99));
  verb.add_option("--batch", batch, "Examples in a batch")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 24))
      ->capture_default_str();
  addDataForms(verb);
  nameGroup(verb, "Data");
  verb.add_option("--epochs", loop.epochs,
                  "Passes over the training data (default: 1, or what --steps "
                  "takes)")
      ->check(CLI::Range(uint64_t(1), uint64_t(1) << 40));
  verb.add_option("--steps", loop.steps,
                  "Stop after so many steps, if --epochs is not sooner")
      ->check(CLI::Range(uint64_t(1), uint64_t(1) << 40));
  verb.add_option("--evaluate-every", loop.evaluateEvery,
                  "Steps from one evaluation to the next (default: an epoch)");
  verb.add_option("--checkpoint-every", loop.checkpointEvery,
                  "Steps from one checkpoint to the next (default: with every "
                  "evaluation, or epoch, if the last is 10 s old)");
  verb.add_option("--log-every", loop.logEvery,
                  "Steps from one record of the logs to the next")
      ->capture_default_str();
  verb.add_option("--patience", loop.patience,
                  "Stop after so many evaluations that are no better than the "
                  "best");
  verb.add_option("--watch", loop.watch,
                  "The figure of the evaluation that --patience and "
                  "best.safetensors go by")
      ->capture_default_str();
  verb.add_option("--min-delta", loop.minDelta,
                  "By how much a figure must be better to count")
      ->check(kFiniteNotNegative);

  nameGroup(verb, "Course");
  verb.add_option("--max-memory", maxMemory,
                  "Bytes that tensors may take (512M, 2G): as many values as "
                  "need be are computed again for the backward part instead of "
                  "kept; an error says what is missing where that is not "
                  "enough")
      ->check([](const std::string &text) {
        auto size = parseSize(text);
        return size ? std::string() : llvm::toString(size.takeError());
      });
  verb.add_option(
          "--recompute", recompute,
          "How many values are computed again for the backward part "
          "instead of kept: 0 none, 1 what costs no time, up to 4: of each "
          "layer all but its input")
      ->check(CLI::Range(0u, kMostRecompute))
      ->default_str("1; with --no-optimize 0");
  nameGroup(verb, "Memory");
  optimizer.add(verb);

  verb.add_option("--labels", labels,
                  "The input that the logits are compared with (default: the "
                  "one that fits)");
  verb.add_option("--logits", logits, "The output of @loss with the logits")
      ->capture_default_str();
  verb.add_option("--ignore-label", ignoreLabel,
                  "Labels that do not count in figures: padding")
      ->default_str("that of the model's cross_entropy");
  verb.add_flag("--roc-auc", rocAuc, "Area under the ROC curve, too");
  verb.add_option("--characters-per-token", charactersPerToken,
                  "For bits per character, where a token is more than one")
      ->check(CLI::PositiveNumber);
  verb.add_flag("--no-metrics", noMetrics, "The loss alone");

  nameGroup(verb, "Figures");
  verb.add_option("--output-dir", loop.folder,
                  "Where checkpoints and the logs go, and best.safetensors "
                  "where there is --eval or --validation")
      ->default_str("MODEL-train");
  verb.add_flag("--resume", loop.resume,
                "Go on from the newest checkpoint in --output-dir");
  verb.add_option("--recipe", recipe,
                  "Options from a .json or .yaml file; the command line has "
                  "the last word. Every checkpoint holds one");
  verb.add_option("--save", saveModel,
                  "Write the trained weights into this .safetensors file");
  verb.add_flag("--no-tensorboard", noTensorBoard, "No event files");
  verb.add_option("--json", json, "Write the figures for programs to read");
  verb.add_flag("--explain", explain,
                "Print where the memory of a step goes over time, and what is "
                "computed again to save it");
  verb.add_flag("--profile", profile,
                "Print where the time of a train step goes, kernel by kernel; "
                "--steps 20 is enough");
  verb.add_flag("--quiet", quiet, "No progress, no report by class");
  nameGroup(verb, "Files");
}

llvm::Expected<uint64_t> parseSize(llvm::StringRef text) {
  llvm::StringRef digits = text.take_while(llvm::isDigit);
  std::string unit = text.drop_front(digits.size()).lower();
  unsigned shift = llvm::StringSwitch<unsigned>(unit)
                       .Cases("", "b", 0)
                       .Cases("k", "kb", "kib", 10)
                       .Cases("m", "mb", "mib", 20)
                       .Cases("g", "gb", "gib", 30)
                       .Cases("t", "tb", "tib", 40)
                       .Default(64);
  uint64_t value = 0;
  if (digits.empty() || shift == 64)
    return makeError("expected a size such as 512M or 2G, got {0}",
                     quote(text));
  if (digits.getAsInteger(10, value) || value > (UINT64_MAX >> shift))
    return makeError("expected a size below 16 million TiB, got {0}",
                     quote(text));
  if (value == 0)
    return makeError("expected a size above 0, got {0}", quote(text));
  return value << shift;
}

static llvm::Expected<std::shared_ptr<train::Dataset>>
openDataset(const std::vector<std::string> &texts, const char *option,
            const TrainOptions &options, llvm::ArrayRef<TensorSpec> inputs,
            const std::map<std::string, FieldOptions> &fields,
            train::Vocabulary &vocabulary) {
  std::vector<std::string> names;
  for (const TensorSpec &spec : inputs)
    if (spec.name != train::kRandomKey)
      names.push_back(spec.name);
  auto files = openDataFiles(texts, option, options, names, vocabulary);
  if (!files)
    return files.takeError();
  return train::Dataset::create(inputs, files->named, files->unnamed, fields);
}

llvm::Expected<TrainData>
openTrainData(const TrainOptions &options, llvm::ArrayRef<TensorSpec> inputs,
              const std::map<std::string, InputLimit> &limits,
              std::optional<int64_t> ignored) {
  if (options.data.empty()) {
    std::string names;
    for (const TensorSpec &spec : inputs)
      if (spec.name != train::kRandomKey)
        names += (names.empty() ? "" : ", ") + quote(spec.name) + " of type " +
                 formatType(spec.dtype, spec.shape);
    return makeError("there is no --data; the training takes {0}", names);
  }
  auto fields = options.parseFields();
  if (!fields)
    return fields.takeError();
  for (const auto &[name, limit] : limits) {
    FieldOptions &field = (*fields)[name];
    if (!field.limit) {
      field.limit = limit.values;
      field.fromEnd = limit.isIndex;
    }
    if (!limit.isIndex)
      field.ignored = ignored;
  }
  TrainData result;
  auto training = openDataset(options.data, "--data", options, inputs, *fields,
                              result.vocabulary);
  if (!training)
    return training.takeError();
  result.training = std::move(*training);
  if (llvm::Error error = result.training->check())
    return error;
  train::LoaderOptions loader;
  loader.seed = options.seed;
  bool separate = !options.eval.empty();
  if (!separate && options.validation > 0) {
    loader.validation = options.validation;
    loader.part = train::Part::Training;
  }
  auto trainingLoader = train::Loader::create(result.training, loader);
  if (!trainingLoader)
    return trainingLoader.takeError();
  result.trainingLoader = std::move(*trainingLoader);
  if (!separate && options.validation == 0)
    return result;

  if (separate) {
    auto evaluation = openDataset(options.eval, "--eval", options, inputs,
                                  *fields, result.vocabulary);
    if (!evaluation)
      return evaluation.takeError();
    result.evaluation = std::move(*evaluation);
    if (llvm::Error error = result.evaluation->check())
      return error;
  } else {
    result.evaluation = result.training;
    loader.part = train::Part::Validation;
  }
  loader.training = false;
  auto evaluationLoader = train::Loader::create(result.evaluation, loader);
  if (!evaluationLoader)
    return evaluationLoader.takeError();
  result.evaluationLoader = std::move(*evaluationLoader);
  return result;
}

train::MetricOptions chooseMetrics(const TrainOptions &options,
                                   llvm::ArrayRef<TensorSpec> inputs,
                                   llvm::ArrayRef<TensorSpec> outputs,
                                   bool isStream) {
  train::MetricOptions metrics;
  metrics.logits = options.logits;
  metrics.labels = options.labels;
  metrics.rocAuc = options.rocAuc;
  metrics.charactersPerToken = options.charactersPerToken;
  metrics.language = isStream;
  if (options.noMetrics) {
    metrics.labels.clear();
    metrics.language = false;
    return metrics;
  }
  if (!metrics.labels.empty())
    return metrics;
  const auto *logits = llvm::find_if(outputs, [&](const TensorSpec &spec) {
    return spec.name == metrics.logits;
  });
  if (logits == outputs.end() || logits->shape.size() < 2)
    return metrics;
  llvm::ArrayRef<int64_t> wanted = llvm::ArrayRef(logits->shape).drop_back();
  for (const TensorSpec &spec : inputs)
    if (spec.name != train::kRandomKey && !isFloat(spec.dtype) &&
        llvm::ArrayRef(spec.shape) == wanted)
      // Of several the last one: labels follow what they belong to.
      metrics.labels = spec.name;
  return metrics;
}

bool moreIsBetter(StringRef figure) {
  return figure == "accuracy" || figure == "precision" || figure == "recall" ||
         figure == "f1" || figure == "roc_auc";
}

} // namespace lathe
