//===- DataOptions.cpp - Data that the user names -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DataOptions.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/StringExtras.h"

namespace lathe {

using llvm::StringRef;
using train::DataFile;
using train::FieldOptions;

void DataOptions::addDataForms(CLI::App &verb) {
  verb.add_option("--tokens", tokens,
                  "Type of the tokens in .bin files: uint8, uint16, uint32")
      ->check(CLI::IsMember({"uint8", "uint16", "uint32"}))
      ->capture_default_str();
  verb.add_option("--vocabulary", vocabulary,
                  "What a token of a .txt file is: bytes, or characters, "
                  "numbered in the order of their code points "
                  "(vocabulary.json)")
      ->check(CLI::IsMember({"bytes", "characters"}))
      ->capture_default_str();
  verb.add_option("--pad", pad,
                  "NAME=VALUE: an example is one sequence (a line of a .txt "
                  "file, or one of array NAME at NAME.offsets), filled up with "
                  "VALUE; without it sequences are packed (repeatable)");
  verb.add_option("--shift", shift,
                  "NAME=N: the windows of a token stream that NAME gets begin "
                  "N tokens later (targets: 1; repeatable)");
  verb.add_option("--normalize", normalize,
                  "NAME=MEAN:DEVIATION: (x - mean) / deviation (repeatable)");
  verb.add_option("--limit", limit,
                  "NAME=N: the integers of NAME lie in 0 to N-1 (repeatable; "
                  "of labels it is known)");
}

/// "NAME=REST"; the option's name for the message.
static llvm::Expected<std::pair<std::string, StringRef>>
splitNamed(StringRef text, const char *option, const char *form) {
  auto [name, rest] = text.split('=');
  if (name.empty() || rest.empty())
    return makeError("{0} expects {1}, got {2}", option, form, quote(text));
  return std::make_pair(name.str(), rest);
}

llvm::Expected<std::map<std::string, FieldOptions>>
DataOptions::parseFields() const {
  std::map<std::string, FieldOptions> fields;
  for (StringRef text : normalize) {
    auto named = splitNamed(text, "--normalize", "NAME=MEAN:DEVIATION");
    if (!named)
      return named.takeError();
    auto [mean, deviation] = named->second.split(':');
    FieldOptions::Normalization value;
    // An empty text would be 0.
    if (mean.empty() || deviation.empty() ||
        !llvm::to_float(mean, value.mean) ||
        !llvm::to_float(deviation, value.deviation))
      return makeError("--normalize expects NAME=MEAN:DEVIATION, got {0}",
                       quote(text));
    fields[named->first].normalize = value;
  }
  for (StringRef text : shift) {
    auto named = splitNamed(text, "--shift", "NAME=TOKENS");
    if (!named)
      return named.takeError();
    if (named->second.getAsInteger(10, fields[named->first].shift))
      return makeError("--shift expects NAME=TOKENS, got {0}", quote(text));
    if (fields[named->first].shift < 0)
      return makeError("--shift expects 0 tokens or more, as windows can only "
                       "begin later, got {0}",
                       quote(text));
  }
  for (StringRef text : pad) {
    auto named = splitNamed(text, "--pad", "NAME=VALUE");
    if (!named)
      return named.takeError();
    fields[named->first].pad = true;
    if (!llvm::to_float(named->second, fields[named->first].padding))
      return makeError("--pad expects NAME=VALUE, got {0}", quote(text));
  }
  for (StringRef text : limit) {
    auto named = splitNamed(text, "--limit", "NAME=VALUES");
    if (!named)
      return named.takeError();
    int64_t value;
    if (named->second.getAsInteger(10, value) || value < 1)
      return makeError("--limit expects NAME=VALUES, got {0}", quote(text));
    fields[named->first].limit = value;
    fields[named->first].fromEnd = false;
  }
  return fields;
}

llvm::Expected<OpenFiles> openDataFiles(const std::vector<std::string> &texts,
                                        const char *option,
                                        const DataOptions &options,
                                        llvm::ArrayRef<std::string> inputs,
                                        train::Vocabulary &vocabulary) {
  DType tokens = options.tokens == "uint8"    ? DType::U8
                 : options.tokens == "uint16" ? DType::U16
                                              : DType::U32;
  OpenFiles result;
  std::map<std::string, std::shared_ptr<const DataFile>> opened;
  for (StringRef text : texts) {
    auto [name, path] = text.split('=');
    if (path.empty())
      std::swap(name, path);
    std::shared_ptr<const DataFile> &file = opened[path.str()];
    if (!file) {
      bool characters =
          path.ends_with(".txt") && options.vocabulary == "characters";
      auto made = characters ? train::openCharacters(path, vocabulary)
                             : train::openDataFile(path, tokens);
      if (!made)
        return made.takeError();
      file = std::move(*made);
    }
    if (name.empty())
      result.unnamed.push_back(file);
    else if (!result.named.emplace(name.str(), file).second)
      return makeError("{0} names the input {1} twice", option, quote(name));
  }
  if (result.named.empty() && inputs.size() == 1 &&
      result.unnamed.size() == 1 && result.unnamed[0]->arrays.size() == 1)
    result.named[inputs[0]] = result.unnamed[0];
  return result;
}

} // namespace lathe
