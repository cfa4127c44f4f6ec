//===- lathe.cpp - The driver -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Verbs.h"

#include "llvm/Support/raw_ostream.h"

int main(int argc, char **argv) {
  CLI::App app{
      "Lathe compiles a model file into fast native code and runs it.\n\n"
      "  lathe run model.onnx                        compile and run on random "
      "input\n"
      "  lathe run model.mlir --weights w.safetensors --input ids=ids.npy\n"
      "  lathe compile model.onnx -o model.lathe     keep the compiled form\n"
      "  lathe info model.onnx                       what goes in, what comes "
      "out\n"};
  app.name("lathe");
  app.require_subcommand(1);
  app.set_version_flag("--version",
                       "lathe 0.1.0 (LLVM " LATHE_LLVM_VERSION ")");
  app.footer("'lathe VERB --help' explains a verb. Exit codes: 0 done, 1 the "
             "input or the result "
             "is wrong, 2 wrong usage.");
  int exitCode = lathe::kDone;
  lathe::addRunVerb(app, exitCode);
  lathe::addCompileVerb(app, exitCode);
  lathe::addImportVerb(app, exitCode);
  lathe::addConformanceVerb(app, exitCode);
  lathe::addInfoVerb(app, exitCode);
  lathe::addBenchVerb(app, exitCode);
  lathe::addDoctorVerb(app, exitCode);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    // --help and --version are "errors" of code 0.
    return app.exit(error) == 0 ? lathe::kDone : lathe::kUsage;
  }
  llvm::outs().flush();
  return exitCode;
}
