//===- lathe.cpp - The driver -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Verbs.h"

#include "llvm/Support/raw_ostream.h"

#include <csignal>

/// CLI11 would say that a verb is required, without a word on the wrong one.
int main(int argc, char **argv) {
  // A file over the limit of `ulimit -f` is an error of the write, like a full
  // disk, and not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  CLI::App app{
      "Lathe compiles a model file into fast native code and runs it.\n\n"
      "  lathe run model.onnx                        compile and run on random "
      "input\n"
      "  lathe run model.mlir --weights w.safetensors --input ids=ids.npy\n"
      "  lathe train model.mlir --data x=x.npy       train it on data\n"
      "  lathe compile model.onnx -o model.lathe     keep the compiled form\n"
      "  lathe diff model.onnx --target cuda         which op is wrong, if one "
      "is\n"
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
  lathe::addCalibrateVerb(app, exitCode);
  lathe::addCompensateVerb(app, exitCode);
  lathe::addQuantizeReportVerb(app, exitCode);
  lathe::addInfoVerb(app, exitCode);
  lathe::addBenchVerb(app, exitCode);
  lathe::addCheckGradVerb(app, exitCode);
  lathe::addDiffVerb(app, exitCode);
  lathe::addTrainVerb(app, exitCode);
  lathe::addDoctorVerb(app, exitCode);
  lathe::addGenerateVerb(app, exitCode);
  lathe::checkNumbers(app);
  if (argc > 1 && argv[1][0] != '-' && !lathe::checkVerb(app, argv[1]))
    return lathe::kUsage;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    // --help and --version are "errors" of code 0.
    if (error.get_exit_code() == 0)
      return app.exit(error);
    lathe::explainUsage(app, error);
    return lathe::kUsage;
  }
  llvm::outs().flush();
  // Left as it is, the stream would end the process in its destructor.
  if (std::error_code error = llvm::outs().error()) {
    llvm::outs().clear_error();
    llvm::errs() << "lathe: error: cannot write the output: " << error.message()
                 << "\n";
    return lathe::kFailed;
  }
  return exitCode;
}
