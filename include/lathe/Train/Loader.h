//===- Loader.h - Batches in a shuffled order -*- C++ -* --------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_LOADER_H
#define LATHE_TRAIN_LOADER_H

#include "lathe/Train/Dataset.h"
#include "lathe/Train/Permutation.h"

namespace lathe::train {

/// Which examples of a data set a loader gives.
enum class Part { All, Training, Validation };

struct LoaderOptions {
  /// Training: every epoch in another order, examples that do not fill a batch
  /// are left for another epoch. Else: in the order of the data, and the last
  /// batch is filled up by repeating its own examples.
  bool training = true;
  uint64_t seed = 0;
  Part part = Part::All;
  /// Share of the data that is held out: examples drawn by the seed; of token
  /// streams the end, with one window between the parts that belongs to none.
  double validation = 0;
};

/// Where in the data training is. All that a loader remembers.
struct Position {
  uint64_t epoch = 0;
  uint64_t example = 0; ///< of this epoch, given already
};

class Loader {
public:
  /// Errors: fewer examples than a batch (training), none at all.
  static llvm::Expected<std::unique_ptr<Loader>>
  create(std::shared_ptr<const Dataset> data, const LoaderOptions &options);

  int64_t examples() const { return count; }
  int64_t batchSize() const { return batch; }
  int64_t batchesPerEpoch() const {
    return options.training ? count / batch : (count + batch - 1) / batch;
  }

  const Position &position() const { return at; }
  /// The next batch is then the one that followed `position`.
  void seek(const Position &position) { at = position; }

  struct Batch {
    llvm::ArrayRef<Tensor> tensors; ///< in the order of the inputs
    int64_t rows; ///< the first of them that are examples of their own
  };
  /// Valid until the next call. Goes on with the next epoch at the end of one.
  llvm::Expected<Batch> next();
  /// The data set's numbers of the examples in the batch that came last.
  llvm::ArrayRef<int64_t> indices() const { return lastIndices; }
  const Dataset &dataset() const { return *data; }

private:
  Loader() = default;
  int64_t datasetIndex(uint64_t example) const;

  std::shared_ptr<const Dataset> data;
  LoaderOptions options;
  int64_t first = 0, count = 0, batch = 0;
  Permutation split{1, 0}, order{1, 0};
  uint64_t orderEpoch = UINT64_MAX;
  Position at;
  std::vector<Tensor> tensors;
  std::vector<int64_t> lastIndices;
};

} // namespace lathe::train

#endif // LATHE_TRAIN_LOADER_H
