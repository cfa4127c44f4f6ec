//===- DiffSide.h - One of two programs that are compared -------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_DIFFSIDE_H
#define LATHE_TOOLS_DIFFSIDE_H

#include "ExposedRun.h"
#include "ModelOptions.h"

namespace lathe {

/// A kernel of a program, by what it computes.
struct KernelContent {
  std::string name;
  unsigned output;              ///< a value that it writes to memory, by place
  SmallVector<unsigned> inside; ///< values that it computes on the way to that
};

/// A model that is run in one way, with its values to look at.
class DiffSide {
public:
  DiffSide(ModelOptions options, bool gradients)
      : options(std::move(options)), gradients(gradients) {}

  /// Reads the model and fixes its shapes, in `context`. `plant` is a mistake
  /// to make in a derivative rule, for tests; `known` are notes that were made
  /// already. False after a message.
  bool load(MLIRContext &context, const std::vector<NamedTensor> &given,
            StringRef plant = "", ArrayRef<std::string> known = {});
  func::FuncOp function() const;
  StringRef entry() const { return entryName; }

  /// Inputs as the user wants them; false after a message.
  bool makeInputTensors(std::vector<NamedTensor> given);
  /// Takes the inputs of the same names; false after a message.
  bool shareInputs(const DiffSide &other);

  /// Errors: a diagnostic was printed where it is empty.
  llvm::Expected<ExposedRun> run(ArrayRef<unsigned> wanted);

  /// What the kernels write, in the order of places; empty after a diagnostic.
  std::vector<KernelContent> findKernels();

  ModelOptions options;
  /// With gradients: CompileOptions::recompute, none as a train step does.
  std::optional<unsigned> recompute;
  CompileOptions compile;
  std::vector<std::string> notes; ///< sizes that were guessed

private:
  bool addGradient(StringRef plant);
  bool gradients;
  OwningOpRef<ModuleOp> module;
  std::string entryName;
  std::vector<std::string> inputNames;
  std::vector<TensorView> inputs;
  std::vector<Tensor> owned;
};

} // namespace lathe

#endif // LATHE_TOOLS_DIFFSIDE_H
