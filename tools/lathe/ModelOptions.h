//===- ModelOptions.h - Options that verbs share ----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_MODELOPTIONS_H
#define LATHE_TOOLS_MODELOPTIONS_H

#include "lathe/Pipelines/Compiler.h"
#include "lathe/Runtime/Session.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace lathe {

/// --target, --arch and --no-sim-checks.
void addTargetOptions(CLI::App &verb, std::string &target, std::string &arch,
                      bool &noSimChecks);
/// --tile.
void addTileOption(CLI::App &verb, std::vector<std::string> &tiles);
/// --precision. With `quantization`, whose options have to be added before, fp8
/// is short for --quantize fp8.
void addPrecisionOption(CLI::App &verb, Precision &precision,
                        const std::string &help,
                        QuantizationOptions *quantization = nullptr);
/// --quantize, --ranges and --keep.
void addQuantizationOptions(CLI::App &verb, QuantizationOptions &options);
/// What --quantize takes.
extern const CLI::Validator kQuantizationScheme;
/// `given`, or where it is empty the architecture of the CUDA device, or
/// sm_90a. Starts the driver: after that, no fork.
std::string chooseArch(const std::string &given);
/// "auto" is the CPU where no GPU can be used.
Target parseTarget(llvm::StringRef name);

/// What the user says of a model and its input.
struct ModelOptions {
  std::string file, entry;
  std::vector<std::string> weights;
  std::vector<std::string> inputs; ///< "name=file.npy", "name=random", ...
  std::vector<std::string> dims;   ///< "batch=8"
  std::string target = "auto";
  std::string isa, arch, cudaSourceFolder;
  unsigned threads = 0;
  uint64_t seed = 0;
  std::vector<std::string> tiles; ///< "KERNEL=128x128x32x3"
  Precision precision = Precision::F32;
  QuantizationOptions quantization;
  bool noFuse = false, noOptimize = false, noLayout = false, noCache = false,
       noSimChecks = false;

  bool trainStep = false; ///< compile --train
  /// Code may be for other machines than this one: --isa takes a list.
  bool makesArtifacts = false;

  std::string reproducer;
  uint64_t maxLoopIterations = SessionOptions().maxWhileIterations;
  const CLI::App *verb = nullptr;

  /// `takesCompiled`: a compiled .lathe will do, too.
  void add(CLI::App &verb, bool takesCompiled);
  /// All but --input and --entry.
  void addForTraining(CLI::App &verb, bool takesCompiled = false);
  void addIsaOption(CLI::App &verb);
  CompileOptions compileOptions() const;
  SessionOptions sessionOptions() const;
  /// Says of each of `names` that the user gave: it has no effect `where`.
  void noteUnused(std::initializer_list<const char *> names,
                  StringRef where) const;
};

/// A compiled model, ready to make sessions of, and the tensors to feed it.
struct PreparedModel {
  std::shared_ptr<exec::Executable> executable;
  /// The weights in a compiled model's file.
  EmbeddedData data;
  unsigned program = 0;
  std::vector<Tensor> inputs;
  double compileSeconds = 0;
  bool fromCache = false;
  /// A compiled model: what it is quantized by was said when it was compiled.
  bool isArtifact = false;
  /// Made for the values of some inputs, not for their shapes alone.
  bool holdsInputValues = false;
  CompileStatistics statistics;
  /// Files besides the model that went into the executable, or hold weights
  /// that it expects there.
  std::vector<std::string> sources;
  /// What the user should know: sizes that were guessed.
  std::vector<std::string> notes;

  void printNotes() const;
};

/// Sets up MLIR for a command: dialects and diagnostics that print as one
/// sentence with its location on stderr.
class CompilerContext {
public:
  CompilerContext();
  MLIRContext &get() { return context; }

private:
  MLIRContext context;
};

/// Prints "error: ..." on stderr and returns kFailed.
int fail(llvm::Error error);
int fail(const llvm::Twine &message);

/// A number of seconds, a tolerance: finite and not negative.
extern const CLI::Validator kFiniteNotNegative;

/// Whether the file holds a compiled model. Errors: no regular file.
llvm::Expected<bool> isCompiledFile(StringRef path);

/// Notes the sizes that stand for open ones, after an error that they may have
/// caused.
void noteSizes(const std::vector<InputDeclaration> &declarations,
               ArrayRef<SmallVector<int64_t>> shapes);

/// Parses or imports the model as the user wants it: where the value of an ONNX
/// input decides a size, it is taken from `given`, and `prepared` notes it.
/// Null after a diagnostic.
std::unique_ptr<Model> loadModel(MLIRContext &context,
                                 const ModelOptions &options,
                                 const std::vector<NamedTensor> &given,
                                 PreparedModel &prepared);

/// Reads or compiles the model for the inputs the user names. Returns kDone, or
/// the exit code after the message is printed.
int prepareModel(const ModelOptions &options, PreparedModel &prepared);

/// The shapes to compile for, from --dim and input files; `notes` gets the
/// sizes that neither names.
llvm::Expected<std::vector<SmallVector<int64_t>>>
resolveShapes(const std::vector<InputDeclaration> &declarations,
              const ModelOptions &options,
              const std::vector<NamedTensor> &given,
              std::vector<std::string> &notes);

/// Puts the train step of the model's @loss, with the default recipe but for
/// `precision`, in its place; `shapes` become those of its inputs. False after
/// a diagnostic.
bool takeTrainStep(std::unique_ptr<Model> &model,
                   std::vector<SmallVector<int64_t>> &shapes,
                   Precision precision);

/// Opens the weights files.
llvm::Error openWeights(const ModelOptions &options, WeightSource &weights);

/// The prepared program with its weights; `profile` measures every launch.
llvm::Expected<std::unique_ptr<Session>>
startSession(const ModelOptions &options, const PreparedModel &prepared,
             WeightSource &weights, bool profile = false);

} // namespace lathe

#endif // LATHE_TOOLS_MODELOPTIONS_H
