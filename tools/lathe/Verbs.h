//===- Verbs.h - The verbs of the command line -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_VERBS_H
#define LATHE_TOOLS_VERBS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <CLI/CLI.hpp>

namespace lathe {

/// Exit codes of every verb.
enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2 };

/// Each adds its subcommand; running it sets `exitCode`.
void addRunVerb(CLI::App &app, int &exitCode);
void addCompileVerb(CLI::App &app, int &exitCode);
void addImportVerb(CLI::App &app, int &exitCode);
void addConformanceVerb(CLI::App &app, int &exitCode);
void addCalibrateVerb(CLI::App &app, int &exitCode);
void addCompensateVerb(CLI::App &app, int &exitCode);
void addQuantizeReportVerb(CLI::App &app, int &exitCode);
void addInfoVerb(CLI::App &app, int &exitCode);
void addBenchVerb(CLI::App &app, int &exitCode);
void addCheckGradVerb(CLI::App &app, int &exitCode);
void addDiffVerb(CLI::App &app, int &exitCode);
void addDoctorVerb(CLI::App &app, int &exitCode);
void addTrainVerb(CLI::App &app, int &exitCode);
void addGenerateVerb(CLI::App &app, int &exitCode);

/// Whether there is such a verb; if not, says so and names the nearest.
bool checkVerb(const CLI::App &app, llvm::StringRef word);
/// ", did you mean 'NAME'?" with the nearest of `names` to `word`, if one is
/// near; else nothing.
std::string suggest(llvm::StringRef word, llvm::ArrayRef<std::string> names);
/// What is wrong with an option's value: "expected a number, got 'many'".
std::string describeValueError(const CLI::Option &option,
                               const CLI::ParseError &error);
/// Makes every option of numbers refuse NaN, and those of whole numbers what is
/// none, a sign they cannot have, and more than 64 bits.
void checkNumbers(CLI::App &app);
/// Says what is wrong with the options of the verb that was given, and the
/// nearest name where one is unknown.
void explainUsage(const CLI::App &app, const CLI::ParseError &error);

} // namespace lathe

#endif // LATHE_TOOLS_VERBS_H
