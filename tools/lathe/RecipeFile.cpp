//===- RecipeFile.cpp - Options of a verb in a file -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RecipeFile.h"

#include "Verbs.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Json.h"
#include "lathe/Support/MappedFile.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/YAMLParser.h"

using namespace llvm;
using json = nlohmann::ordered_json;

namespace lathe {

static constexpr size_t kMostUnknown = 20; ///< keys that a message names

/// One value as the command line has it; nothing for lists and objects.
static std::optional<std::string> scalarText(const json &value) {
  if (value.is_string())
    return value.get<std::string>();
  if (value.is_boolean() || value.is_number())
    return value.dump();
  return std::nullopt;
}

static Error addJson(Recipe &recipe, const std::string &key,
                     const json &value) {
  Recipe::Entry entry{key, {}};
  auto add = [&](const json &one, const std::string &prefix) {
    std::optional<std::string> text = scalarText(one);
    if (text)
      entry.values.push_back(prefix + *text);
    return text.has_value();
  };
  bool ok = true;
  if (value.is_array())
    for (const json &one : value)
      ok &= add(one, "");
  else if (value.is_object())
    for (const auto &[name, one] : value.items())
      ok &= add(one, name + "=");
  else
    ok = add(value, "");
  if (!ok)
    return makeError("the value of {0} is no number, text, list or object of "
                     "these",
                     quote(key));
  recipe.entries.push_back(std::move(entry));
  return Error::success();
}

static Error readJson(Recipe &recipe, StringRef text) {
  JsonLimits limits;
  limits.comments = true; // welcome in a recipe
  auto whole = parseJson(text, limits);
  if (!whole)
    return whole.takeError();
  if (!whole->is_object())
    return makeError("it is no object of options and values");
  for (const auto &[key, value] : whole->items())
    if (Error error = addJson(recipe, key, value))
      return error;
  return Error::success();
}

static std::optional<std::string> scalarText(yaml::Node *node) {
  auto *scalar = dyn_cast_or_null<yaml::ScalarNode>(node);
  if (!scalar)
    return std::nullopt;
  SmallString<64> storage;
  return scalar->getValue(storage).str();
}

static Error addYaml(Recipe &recipe, const std::string &key,
                     yaml::Node *value) {
  Recipe::Entry entry{key, {}};
  bool ok = true;
  auto add = [&](yaml::Node *one, const std::string &prefix) {
    std::optional<std::string> text = scalarText(one);
    ok &= text.has_value();
    entry.values.push_back(prefix + text.value_or(""));
  };
  if (auto *list = dyn_cast_or_null<yaml::SequenceNode>(value)) {
    for (yaml::Node &one : *list)
      add(&one, "");
  } else if (auto *map = dyn_cast_or_null<yaml::MappingNode>(value)) {
    for (yaml::KeyValueNode &pair : *map) {
      std::optional<std::string> name = scalarText(pair.getKey());
      ok &= name.has_value();
      add(pair.getValue(), name.value_or("") + "=");
    }
  } else {
    add(value, "");
  }
  if (!ok)
    return makeError("the value of {0} is no number, text, list or mapping of "
                     "these",
                     quote(key));
  recipe.entries.push_back(std::move(entry));
  return Error::success();
}

static Error readYaml(Recipe &recipe, StringRef text) {
  SourceMgr sources;
  std::string problem;
  sources.setDiagHandler(
      [](const SMDiagnostic &diagnostic, void *context) {
        auto &problem = *static_cast<std::string *>(context);
        if (problem.empty())
          problem = "line " + std::to_string(diagnostic.getLineNo()) + ": " +
                    diagnostic.getMessage().str();
      },
      &problem);
  yaml::Stream stream(text, sources, /*ShowColors=*/false);
  yaml::document_iterator document = stream.begin();
  auto *root = document == stream.end()
                   ? nullptr
                   : dyn_cast_or_null<yaml::MappingNode>(document->getRoot());
  if (root)
    for (yaml::KeyValueNode &pair : *root) {
      std::optional<std::string> key = scalarText(pair.getKey());
      Error error = key ? addYaml(recipe, *key, pair.getValue())
                        : makeError("a key is no plain text");
      if (error && problem.empty())
        return error;
      consumeError(std::move(error));
      if (!problem.empty())
        break;
    }
  if (!problem.empty())
    return makeError("it is not valid YAML: {0}", problem);
  if (!root)
    return makeError("it is no mapping of options to values");
  return Error::success();
}

Expected<Recipe> readRecipe(StringRef path) {
  auto file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  Recipe recipe;
  recipe.path = path.str();
  StringRef extension = sys::path::extension(path);
  bool isYaml = extension == ".yaml" || extension == ".yml";
  if (Error error = isYaml ? readYaml(recipe, (*file)->bytes())
                           : readJson(recipe, (*file)->bytes()))
    return prefixError("cannot read the recipe " + quote(path),
                       std::move(error));
  return recipe;
}

static std::string withDashes(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return key;
}

/// Options that a recipe may name, without their dashes.
static std::vector<std::string> recipeKeys(const CLI::App &verb,
                                           ArrayRef<const char *> excluded) {
  std::vector<std::string> keys;
  for (const CLI::Option *option : verb.get_options())
    for (const std::string &name : option->get_lnames())
      if (name != "help" && !is_contained(excluded, StringRef(name)))
        keys.push_back(name);
  return keys;
}

Error applyRecipe(CLI::App &verb, const Recipe &recipe,
                  ArrayRef<const char *> excluded) {
  std::vector<std::string> keys = recipeKeys(verb, excluded);
  std::string unknown;
  llvm::StringSet<> seen;
  size_t count = 0;
  for (const Recipe::Entry &entry : recipe.entries) {
    if (!seen.insert(entry.key).second)
      return makeError("the recipe {0} has the key {1} more than once",
                       quote(recipe.path), quote(entry.key));
    if (!is_contained(keys, withDashes(entry.key)) && ++count <= kMostUnknown)
      unknown += (unknown.empty() ? "" : "; ") + quote(entry.key) +
                 suggest(withDashes(entry.key), keys);
  }
  if (count > kMostUnknown)
    unknown += formatv("; and {0} more", count - kMostUnknown);
  if (!unknown.empty())
    return makeError("the recipe {0} has keys that are no option: {1}",
                     quote(recipe.path), unknown);
  for (const Recipe::Entry &entry : recipe.entries) {
    CLI::Option *option = verb.get_option("--" + withDashes(entry.key));
    if (option->count())
      continue; // the command line has the last word
    try {
      option->add_result(entry.values);
      option->run_callback();
    } catch (const CLI::ParseError &error) {
      return makeError("the recipe {0} has a value that does not fit {1}: {2}",
                       quote(recipe.path), quote(entry.key),
                       describeValueError(*option, error));
    }
  }
  return Error::success();
}

/// A number or truth value where the text is one.
static json typed(const std::string &text) {
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_number() || value.is_boolean() ? value : json(text);
}

json makeRecipe(const CLI::App &verb, ArrayRef<const char *> excluded) {
  json recipe = json::object();
  for (const std::string &key : recipeKeys(verb, excluded)) {
    const CLI::Option *option = verb.get_option("--" + key);
    std::vector<std::string> values = option->results();
    // A default that is a sentence describes a value and is none.
    std::string fallback = option->get_default_str();
    if (values.empty() && !fallback.empty() &&
        fallback.find(' ') == std::string::npos)
      values.push_back(fallback);
    if (values.empty())
      continue;
    std::string name = key;
    std::replace(name.begin(), name.end(), '-', '_');
    if (option->get_expected_max() > 1) {
      recipe[name] = values; // repeatable: always a list
    } else {
      recipe[name] = typed(values.back());
    }
  }
  return recipe;
}

} // namespace lathe
