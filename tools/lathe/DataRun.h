//===- DataRun.h - A model over its data, seen from inside ------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_DATARUN_H
#define LATHE_TOOLS_DATARUN_H

#include "ExposedRun.h"
#include "ModelData.h"
#include "dialects/Lathe/Lathe.h"

namespace lathe {

/// A model, the data to run it on, and the module that quantization sees.
struct ModelOnData {
  CompilerContext context;
  PreparedModel prepared;
  std::unique_ptr<Model> model;
  std::optional<ModelData> data;
  /// From Model::recognize, for the shapes of `data`.
  OwningOpRef<ModuleOp> module;

  /// Opens all of it. `withLabels`: ModelData has what @loss takes besides, if
  /// the user names data for it. Returns kDone, or the exit code after the
  /// message is printed; a compiled model is an error.
  int open(const ModelOptions &options, ModelDataOptions &dataOptions,
           CLI::App &verb, bool withLabels = false);
};

/// Model::recognize for the shapes of `data`; null after a diagnostic.
OwningOpRef<ModuleOp> recognizeFor(const Model &model, const ModelData &data);

/// Prints the error unless it is an empty one, which follows a diagnostic, and
/// returns kFailed.
int failOnce(llvm::Error error);

/// The entry of a module from Model::recognize with the values at the places
/// `wanted` of listValues as further results, and the user's weights in it.
llvm::Expected<ExposedProgram> makeExposed(ModuleOp module, StringRef entry,
                                           ArrayRef<unsigned> wanted,
                                           const CompileOptions &compile,
                                           const ModelOptions &options);

/// From the first batch to the last: `step` before each, `run` with its inputs.
llvm::Error
forEachBatch(ModelData &data, llvm::function_ref<void()> step,
             llvm::function_ref<llvm::Error(ArrayRef<TensorView> inputs)> run);

/// All scans around a value, the outermost first: exposeValues stacks along
/// them.
SmallVector<ScanOp> findScansAround(Value value);

/// Splits `stacked`, what exposeValues gives of `value`, by iterations: calls
/// `see` with each part and its place among the ranges that the scans in
/// `layers` have.
void splitByRange(
    Value value, ArrayRef<ScanOp> layers, const TensorView &stacked,
    llvm::function_ref<void(int64_t range, const TensorView &part)> see);

/// Bytes of what exposeValues gives of a value.
uint64_t countExposedBytes(Value value);

/// Values, by what each takes, in sets that one run has memory for: at least
/// one in each.
std::vector<SmallVector<unsigned>> groupByBytes(ArrayRef<uint64_t> bytes);

} // namespace lathe

#endif // LATHE_TOOLS_DATARUN_H
