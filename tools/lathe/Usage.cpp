//===- Usage.cpp - What is said of verbs and options that do not exist ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Verbs.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

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

/// "UINT:UINT in [1 - 100]" in words: "a whole number from 1 to 100".
static std::string describeType(llvm::StringRef type) {
  auto [base, rule] = type.split(':');
  bool isUnsigned = base == "UINT", isWhole = isUnsigned || base == "INT";
  std::string number = isWhole ? "a whole number" : "a number";
  if (rule.consume_front("{") && rule.consume_back("}")) {
    std::string names;
    llvm::SmallVector<llvm::StringRef> all;
    rule.split(all, ',');
    for (llvm::StringRef name : all)
      names += (names.empty()        ? ""
                : name == all.back() ? " or "
                                     : ", ") +
               name.str();
    return names;
  }
  if (size_t at = rule.find(" in ["); at != llvm::StringRef::npos) {
    auto [low, high] = rule.drop_front(at + 5).drop_back().split(" - ");
    return (number + " from " + low + " to " + high).str();
  }
  if (rule == "POSITIVE")
    return number + " above 0";
  if (rule == "DIR")
    return "a folder that is there";
  if (isUnsigned)
    return number + " of 0 or more";
  return isWhole || base == "FLOAT" ? number : "a value";
}

std::string describeValueError(const CLI::Option &option,
                               const CLI::ParseError &error) {
  llvm::StringRef message = error.what();
  std::vector<std::string> values = option.results();
  bool isFlag = option.get_items_expected_max() == 0;
  if (!isFlag && values.size() > size_t(option.get_items_expected_max()))
    return "expected once, got " + std::to_string(values.size()) + " times";
  // What a check of our own says.
  if (size_t at = message.find("expected "); at != llvm::StringRef::npos)
    return message.drop_front(at).str();
  std::string value = "nothing";
  // Of several, the one that does not fit: a check names it.
  for (const std::string &one : values)
    if (values.size() == 1 || message.contains(one))
      value = one.empty() ? "nothing" : "'" + one + "'";
  return "expected " +
         (isFlag ? "true, false or no value"
                 : describeType(option.get_type_name())) +
         ", got " + value;
}

/// The option that an error is about: its name stands in the message.
static const CLI::Option *findOption(const CLI::App &verb,
                                     llvm::StringRef message) {
  message.consume_front("Could not convert: ");
  llvm::StringRef name = message.take_while(
      [](char c) { return llvm::isAlnum(c) || c == '-' || c == '_'; });
  for (const CLI::Option *option : verb.get_options())
    if (!name.empty() && option->get_name() == name)
      return option;
  return nullptr;
}

static std::string explain(const CLI::App &verb, const CLI::ParseError &error) {
  std::string name = "lathe " + verb.get_name();
  const CLI::Option *option = findOption(verb, error.what());
  if (!option)
    return error.what();
  if (!llvm::StringRef(option->get_name()).starts_with("-")) {
    bool isModel = option->get_name() == "file";
    return name + " expects a " + (isModel ? "model" : option->get_name()) +
           ", got none: " + name + (isModel ? " MODEL" : " PATH");
  }
  if (error.get_name() == "RequiredError")
    return name + " needs " + option->get_name();
  return option->get_name() + ": " + describeValueError(*option, error);
}

void explainUsage(const CLI::App &app, const CLI::ParseError &error) {
  std::string message = error.what(), verb;
  std::vector<std::string> names;
  if (app.get_subcommands().empty())
    message = app.remaining_size() == 0
                  ? "expected a verb such as run or train, got none"
                  : "expected a verb such as run or train, got '" +
                        app.remaining()[0] + "'";
  for (const CLI::App *used : app.get_subcommands()) {
    verb = " " + used->get_name();
    for (const CLI::Option *option : used->get_options())
      for (const std::string &name : option->get_lnames())
        names.push_back("--" + name);
    std::vector<std::string> left = used->remaining();
    if (left.empty()) {
      message = explain(*used, error);
      continue;
    }
    bool isOption = llvm::StringRef(left[0]).starts_with("-");
    llvm::StringRef word = llvm::StringRef(left[0]).split('=').first;
    message =
        "lathe" + verb + " " +
        (isOption ? "has no option '" + word.str() + "'" + suggest(word, names)
                  : "takes one file, got '" + word.str() + "', too");
  }
  llvm::errs() << "lathe: error: " << message << "\n'lathe" << verb
               << " --help' lists the " << (verb.empty() ? "verbs" : "options")
               << "\n";
}

/// Digits, and a sign where the type has one, within 64 bits: the library's own
/// conversion takes -1 for 2^64-1, and what is too large for the largest.
static std::string checkWhole(const std::string &text, bool isUnsigned) {
  uint64_t natural;
  int64_t whole;
  bool isGood = isUnsigned ? llvm::to_integer(text, natural, 10)
                           : llvm::to_integer(text, whole, 10);
  if (isGood)
    return "";
  llvm::StringRef digits = text;
  digits.consume_front("-");
  bool isNumber = !digits.empty() && llvm::all_of(digits, llvm::isDigit) &&
                  (!isUnsigned || !llvm::StringRef(text).starts_with("-"));
  return std::string("expected a whole number") +
         (isNumber     ? " of at most 64 bits"
          : isUnsigned ? " of 0 or more"
                       : "") +
         ", got '" + text + "'";
}

void checkNumbers(CLI::App &app) {
  for (CLI::App *verb : app.get_subcommands([](CLI::App *) { return true; }))
    for (CLI::Option *option :
         verb->get_options([](const CLI::Option *) { return true; })) {
      std::string type = option->get_type_name();
      if (type == "UINT" || type == "INT")
        option->check([isUnsigned = type == "UINT"](const std::string &text) {
          return checkWhole(text, isUnsigned);
        });
      // Of a range, too, whose ends NaN is neither below nor above.
      if (llvm::StringRef(type).starts_with("FLOAT"))
        option->check([](const std::string &text) -> std::string {
          double number;
          return llvm::to_float(text, number) && std::isnan(number)
                     ? "expected a number, got '" + text + "'"
                     : "";
        });
    }
}

} // namespace lathe
