//===- DataOptions.h - Data that the user names -----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_DATAOPTIONS_H
#define LATHE_TOOLS_DATAOPTIONS_H

#include "lathe/Train/Dataset.h"

#include <CLI/CLI.hpp>

namespace lathe {

/// Which data a program gets, and what to make of it.
struct DataOptions {
  std::vector<std::string> data;      ///< "NAME=FILE" or "FILE"
  std::vector<std::string> normalize; ///< "NAME=MEAN:DEVIATION"
  std::vector<std::string> shift;     ///< "NAME=TOKENS"
  std::vector<std::string> limit;     ///< "NAME=VALUES"
  std::vector<std::string> pad;       ///< "NAME=VALUE"
  std::string tokens = "uint16", vocabulary = "bytes";

  /// All but --data, which each verb explains in its own way.
  void addDataForms(CLI::App &verb);
  /// Errors: an option that is not of its form.
  llvm::Expected<std::map<std::string, train::FieldOptions>>
  parseFields() const;
};

/// The integers of an input: 0 to values - 1.
struct InputLimit {
  int64_t values;
  /// They choose rows of a table, whose last one is -1, too. Else they are
  /// labels, and the one that is ignored is allowed.
  bool isIndex;
};

/// Data files by the input they were given for, and those with arrays of the
/// inputs' names.
struct OpenFiles {
  std::map<std::string, std::shared_ptr<const train::DataFile>> named;
  std::vector<std::shared_ptr<const train::DataFile>> unnamed;
};

/// Opens `texts`, "NAME=FILE" or "FILE", given for `option`. A single array or
/// stream without a name goes to the only one of `inputs`. Errors: damaged or
/// missing files, an input that is named twice.
llvm::Expected<OpenFiles> openDataFiles(const std::vector<std::string> &texts,
                                        const char *option,
                                        const DataOptions &options,
                                        llvm::ArrayRef<std::string> inputs,
                                        train::Vocabulary &vocabulary);

} // namespace lathe

#endif // LATHE_TOOLS_DATAOPTIONS_H
