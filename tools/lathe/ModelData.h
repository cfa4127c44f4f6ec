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
  /// Data of the same form to judge the model by; the recipe's, where there is
  /// none.
  std::vector<std::string> eval;
  std::string recipe;    ///< "none", a file, "" for the one beside the model
  int64_t samples = 512; ///< at most
  int64_t batch = 32;    ///< where the model leaves it open

  /// --data, --recipe, --samples, --batch and the forms of data.
  void add(CLI::App &verb);
};

/// Whether "NAME=KIND" is an input that is made up: random, zeros, ones, iota.
bool isGenerator(StringRef text);

/// What @loss takes besides the inputs of `entry` and may be labels: integers.
/// A model without @loss has "label", a class per example.
std::vector<InputDeclaration> listLabels(const Model &entry);

/// Batches of examples for the entry of a model.
class ModelData {
public:
  /// Opens what --data, --input and the recipe name; a folder in --data has a
  /// file NAME.npy (or .npz, .bin, .txt, .gz ...) per input, or the files that
  /// the recipe names. Examples are drawn by `model.seed`. Notes go to stderr.
  /// `options` are those of `verb`, and get what the recipe says. Of `labels`,
  /// further inputs, those that there is data for are loaded, too.
  /// Errors: what is missing, damaged or does not fit.
  static llvm::Expected<ModelData>
  open(ModelDataOptions &options, const ModelOptions &model, const Model &entry,
       CLI::App &verb, std::vector<InputDeclaration> labels = {});

  /// Of the arguments.
  const std::vector<SmallVector<int64_t>> &shapes() const { return sizes; }
  int64_t batches() const { return count; }
  int64_t samples() const { return count * rows; }
  int64_t batchSize() const { return rows; }

  /// Other examples of the same files, `samples` at most; at least half of the
  /// batches stay here. Errors: there is one batch alone, or no data.
  llvm::Expected<ModelData> holdOut(int64_t samples);
  /// The first examples alone, at least a batch.
  void useAtMost(int64_t samples);

  /// Makes `next` begin again.
  void rewind();
  /// The inputs, in the order of the model's; valid until the next call.
  llvm::Expected<std::vector<TensorView>> next();

  /// What is loaded, labels last, and what `next` loaded; inputs that are
  /// generated are not among it.
  ArrayRef<TensorSpec> loadedSpecs() const { return specs; }
  ArrayRef<TensorSpec> labels() const {
    return loadedSpecs().drop_front(
        llvm::count_if(fromLoader, [](int index) { return index >= 0; }));
  }
  ArrayRef<Tensor> loaded() const { return lastBatch; }

private:
  llvm::Error startLoader();

  std::vector<SmallVector<int64_t>> sizes;
  int64_t count = 1, rows = 1;
  int64_t first = 0;     ///< example of the shuffled ones
  int64_t available = 0; ///< examples in all
  std::vector<TensorSpec> specs;
  ArrayRef<Tensor> lastBatch;
  uint64_t seed = 0;
  std::shared_ptr<train::Dataset> dataset; ///< null: nothing but generators
  std::unique_ptr<train::Loader> loader;   ///< of `dataset`
  std::vector<int> fromLoader;             ///< by input; -1: generated
  std::shared_ptr<const std::vector<Tensor>> generated; ///< by input
};

} // namespace lathe

#endif // LATHE_TOOLS_MODELDATA_H
