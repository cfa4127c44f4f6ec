//===- Usage.cpp - What is said of verbs and options that do not exist ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Verbs.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"

namespace lathe {

std::string suggest(llvm::StringRef word, llvm::ArrayRef<std::string> names) {
  std::string nearest;
  unsigned distance = 3;
  for (const std::string &name : names)
    if (unsigned d = word.edit_distance(name, true, distance); d < distance)
      nearest = name, distance = d;
  return nearest.empty() ? "" : ", did you mean '" + nearest + "'?";
}

bool checkVerb(const CLI::App &app, llvm::StringRef word) {
  std::vector<std::string> names;
  for (const CLI::App *verb :
       app.get_subcommands([](const CLI::App *) { return true; }))
    names.push_back(verb->get_name());
  if (llvm::is_contained(names, word))
    return true;
  llvm::errs() << "lathe: error: there is no verb '" << word << "'"
               << suggest(word, names) << "\n'lathe --help' lists the verbs\n";
  return false;
}

void explainUsage(const CLI::App &app, const CLI::ParseError &error) {
  std::string message = error.what(), verb;
  std::vector<std::string> names;
  for (const CLI::App *used : app.get_subcommands()) {
    verb = " " + used->get_name();
    for (const CLI::Option *option : used->get_options())
      for (const std::string &name : option->get_lnames())
        names.push_back("--" + name);
    std::vector<std::string> left = used->remaining();
    if (left.empty())
      continue;
    bool isOption = llvm::StringRef(left[0]).starts_with("-");
    llvm::StringRef word = llvm::StringRef(left[0]).split('=').first;
    message =
        "lathe" + verb + " " +
        (isOption ? "has no option '" + word.str() + "'" + suggest(word, names)
                  : "takes one file, got '" + word.str() + "', too");
  }
  llvm::errs() << "lathe: error: " << message << "\n'lathe" << verb
               << " --help' lists the options\n";
}

} // namespace lathe
