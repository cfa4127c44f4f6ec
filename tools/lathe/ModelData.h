//===- ModelData.h - Examples for a model's entry ---------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What calibration and reports run a model on: the same files that lathe train
// reads, for the inputs of the function that is run.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_MODELDATA_H
#define LATHE_TOOLS_MODELDATA_H

#include "DataOptions.h"
#include "ModelOptions.h"
#include "lathe/Train/Loader.h"

namespace lathe {

struct ModelDataOptions : DataOptions {
  std::string recipe;    ///< "none", a file, "" for the one beside the model
  int64_t samples = 512; ///< at most
  int64_t batch = 32;    ///< where the model leaves it open

  /// --data, --recipe, --samples, --batch and the forms of data.
  void add(CLI::App &verb);
};

/// Batches of examples for the entry of a model.
class ModelData {
public:
  /// Opens what --data, --input and the recipe name; a folder in --data has a
  /// file NAME.npy (or .npz, .bin, .txt, .gz ...) per input, or the files that
  /// the recipe names. Examples are drawn by `model.seed`. Notes go to stderr.
  /// `options` are those of `verb`, and get what the recipe says.
  /// Errors: what is missing, damaged or does not fit.
  static llvm::Expected<ModelData> open(ModelDataOptions &options,
                                        const ModelOptions &model,
                                        const Model &entry, CLI::App &verb);

  /// Of the arguments.
  const std::vector<SmallVector<int64_t>> &shapes() const { return sizes; }
  int64_t batches() const { return count; }
  int64_t samples() const { return count * rows; }
  int64_t batchSize() const { return rows; }

  /// Makes `next` begin again.
  void rewind();
  /// The inputs, in the order of the model's; valid until the next call.
  llvm::Expected<std::vector<TensorView>> next();

private:
  std::vector<SmallVector<int64_t>> sizes;
  int64_t count = 1, rows = 1;
  std::unique_ptr<train::Loader> loader; ///< null: nothing but generators
  std::vector<int> fromLoader;           ///< by input; -1: generated
  std::vector<Tensor> generated;         ///< by input
};

} // namespace lathe

#endif // LATHE_TOOLS_MODELDATA_H
