//===- RecipeFields.cpp - A recipe's fields by name -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Error.h"
#include "lathe/Support/Recipe.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

#include <charconv>
#include <variant>

using namespace llvm;

namespace lathe {

namespace {
using Groups = std::vector<WeightDecayGroup>;

struct Field {
  StringLiteral name;
  std::variant<double TrainRecipe::*, int64_t TrainRecipe::*,
               bool TrainRecipe::*, std::optional<double> TrainRecipe::*,
               Optimizer TrainRecipe::*, LearningRateSchedule TrainRecipe::*,
               Precision TrainRecipe::*, QuantizationScheme TrainRecipe::*,
               std::vector<std::string> TrainRecipe::*, Groups TrainRecipe::*>
      member;
};
using R = TrainRecipe;

// In the order in which recipe files show them.
const Field fields[] = {
    {"optimizer", &R::optimizer},
    {"learning_rate", &R::learningRate},
    {"momentum", &R::momentum},
    {"nesterov", &R::nesterov},
    {"beta1", &R::beta1},
    {"beta2", &R::beta2},
    {"epsilon", &R::epsilon},
    {"beta2_decay", &R::beta2Decay},
    {"update_threshold", &R::updateThreshold},
    {"least_scale", &R::leastScale},
    {"weight_decay", &R::weightDecay},
    {"weight_decay_groups", &R::weightDecayGroups},
    {"decay_vectors", &R::decayVectors},
    {"clip_norm", &R::clipNorm},
    {"clip_value", &R::clipValue},
    {"schedule", &R::schedule},
    {"total_steps", &R::totalSteps},
    {"warmup_steps", &R::warmupSteps},
    {"minimum_factor", &R::minimumFactor},
    {"step_every", &R::stepEvery},
    {"step_factor", &R::stepFactor},
    {"accumulate", &R::accumulate},
    {"precision", &R::precision},
    {"quantize", &R::quantize},
    {"initial_scale", &R::initialScale},
    {"scale_growth_interval", &R::scaleGrowthInterval},
    {"scale_growth", &R::scaleGrowth},
    {"scale_backoff", &R::scaleBackoff},
    {"freeze", &R::freeze},
    {"label_smoothing", &R::labelSmoothing},
    {"augment_flip", &R::augmentFlip},
    {"augment_crop", &R::augmentCrop},
};

/// Reads `text` into a value; false where it is none.
bool read(StringRef text, double &value) { return !text.getAsDouble(value); }
bool read(StringRef text, int64_t &value) {
  return !text.getAsInteger(10, value);
}
bool read(StringRef text, bool &value) {
  value = text == "true";
  return value || text == "false";
}
bool read(StringRef text, std::optional<double> &value) {
  if (text.empty()) {
    value.reset();
    return true;
  }
  return read(text, value.emplace());
}
template <typename T> bool readNamed(std::optional<T> found, T &value) {
  if (found)
    value = *found;
  return found.has_value();
}
bool read(StringRef text, Optimizer &value) {
  return readNamed(optimizerFromName(text), value);
}
bool read(StringRef text, LearningRateSchedule &value) {
  return readNamed(scheduleFromName(text), value);
}
bool read(StringRef text, Precision &value) {
  return readNamed(precisionFromName(text), value);
}
bool read(StringRef text, QuantizationScheme &value) {
  if (text.empty()) {
    value = {};
    return true;
  }
  return readNamed(parseQuantizationScheme(text), value);
}
bool read(StringRef text, std::vector<std::string> &value) {
  SmallVector<StringRef> parts;
  text.split(parts, ';', -1, /*KeepEmpty=*/false);
  value.assign(parts.begin(), parts.end());
  return true;
}
bool read(StringRef text, Groups &value) {
  SmallVector<StringRef> parts;
  text.split(parts, ';', -1, /*KeepEmpty=*/false);
  value.clear();
  for (StringRef part : parts) {
    auto [pattern, number] = part.rsplit(':');
    double decay = 0;
    if (pattern.size() == part.size() || !read(number, decay))
      return false;
    value.push_back({pattern.str(), decay});
  }
  return true;
}

/// What is expected, for an error.
StringRef describe(const double &) { return "a number"; }
StringRef describe(const std::optional<double> &) { return "a number"; }
StringRef describe(const int64_t &) { return "a whole number"; }
StringRef describe(const bool &) { return "true or false"; }
StringRef describe(const Optimizer &) {
  return "sgd, adam, adamw, adafactor or lamb";
}
StringRef describe(const LearningRateSchedule &) {
  return "constant, linear, cosine, inverse-sqrt or step";
}
StringRef describe(const Precision &) { return "f32, tf32, bf16 or f16"; }
StringRef describe(const QuantizationScheme &) {
  return "a scheme of lathe run --quantize";
}
StringRef describe(const std::vector<std::string> &) {
  return "patterns with ';' between them";
}
StringRef describe(const Groups &) {
  return "PATTERN:NUMBER with ';' between them";
}

/// The text that reads back as the value.
std::string print(double value) {
  char text[64];
  auto end = std::to_chars(text, text + sizeof(text), value);
  return std::string(text, end.ptr);
}
std::string print(int64_t value) { return std::to_string(value); }
std::string print(bool value) { return value ? "true" : "false"; }
std::string print(const std::optional<double> &value) {
  return value ? print(*value) : "";
}
std::string print(Optimizer value) { return optimizerName(value).str(); }
std::string print(LearningRateSchedule value) {
  return scheduleName(value).str();
}
std::string print(Precision value) { return precisionName(value).str(); }
std::string print(const QuantizationScheme &value) { return value.text(); }
std::string print(const std::vector<std::string> &value) {
  return join(value, ";");
}
std::string print(const Groups &value) {
  std::vector<std::string> parts;
  for (const WeightDecayGroup &group : value)
    parts.push_back(group.pattern + ":" + print(group.weightDecay));
  return join(parts, ";");
}
} // namespace

Error setRecipeField(TrainRecipe &recipe, StringRef name, StringRef value) {
  for (const Field &field : fields) {
    if (field.name != name)
      continue;
    return std::visit(
        [&](auto member) -> Error {
          auto wanted = recipe.*member;
          if (!read(value.trim(), wanted))
            return makeError("{0} must be {1}, got {2}", name, describe(wanted),
                             quote(value));
          recipe.*member = wanted;
          return Error::success();
        },
        field.member);
  }
  StringRef nearest;
  unsigned best = 4;
  for (const Field &field : fields)
    if (unsigned distance = field.name.edit_distance(name); distance < best) {
      best = distance;
      nearest = field.name;
    }
  return makeError("a recipe has no field {0}{1}", quote(name),
                   nearest.empty() ? ""
                                   : " (did you mean " + quote(nearest) + "?)");
}

std::vector<std::pair<std::string, std::string>>
listRecipeFields(const TrainRecipe &recipe) {
  std::vector<std::pair<std::string, std::string>> list;
  for (const Field &field : fields)
    list.push_back(
        {field.name.str(),
         std::visit([&](auto m) { return print(recipe.*m); }, field.member)});
  return list;
}

} // namespace lathe
