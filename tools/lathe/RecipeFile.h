//===- RecipeFile.h - Options of a verb in a file -*- C++ -* ----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_RECIPEFILE_H
#define LATHE_TOOLS_RECIPEFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace lathe {

/// What a recipe says: options by their long names, with their values.
struct Recipe {
  struct Entry {
    std::string key;
    std::vector<std::string> values;
  };
  std::string path;
  std::vector<Entry> entries;
};

/// A JSON object (.json) or a YAML mapping (.yaml, .yml) of options to values:
/// a number, a text, true or false, a list of them, or an object, {"image":
/// "a.gz"} for "image=a.gz". "learning_rate" and "learning-rate" are the same.
llvm::Expected<Recipe> readRecipe(llvm::StringRef path);

/// Gives the options of `verb` the values of the recipe, but for those the
/// command line has named. Errors: keys that are no option of the verb, or are
/// in `excluded` (all of them in one message, with the nearest name); values
/// that an option does not take.
llvm::Error applyRecipe(CLI::App &verb, const Recipe &recipe,
                        llvm::ArrayRef<const char *> excluded);

/// Every option of `verb` that has a value, given or by default, but for those
/// in `excluded`: a recipe that says the same as the command line.
nlohmann::ordered_json makeRecipe(const CLI::App &verb,
                                  llvm::ArrayRef<const char *> excluded);

} // namespace lathe

#endif // LATHE_TOOLS_RECIPEFILE_H
