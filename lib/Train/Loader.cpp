//===- Loader.cpp - Batches in a shuffled order ---------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/Loader.h"

#include "lathe/Support/Error.h"

#include <cmath>
#include <cstring>

using namespace llvm;

namespace lathe::train {

// One seed, several uses that must not depend on each other.
static constexpr uint64_t kSplitUse = 1, kOrderUse = 2, kPhaseUse = 3;

Expected<std::unique_ptr<Loader>>
Loader::create(std::shared_ptr<const Dataset> data,
               const LoaderOptions &options) {
  std::unique_ptr<Loader> loader(new Loader());
  loader->options = options;
  int64_t total = data->size();
  if (!(options.validation >= 0 && options.validation < 1))
    return makeError("the share of data to hold out is {0}, expected 0 or more "
                     "and less than 1",
                     formatNumber(options.validation));
  int64_t heldOut = std::llround(options.validation * total);
  int64_t gap = heldOut && data->stride() ? 1 : 0;
  int64_t kept = std::max<int64_t>(0, total - heldOut - gap);
  switch (options.part) {
  case Part::All:
    loader->count = total;
    break;
  case Part::Training:
    loader->count = kept;
    break;
  case Part::Validation:
    loader->first = total - heldOut;
    loader->count = heldOut;
    break;
  }
  for (const TensorSpec &spec : data->inputs()) {
    auto tensor = Tensor::zeros(spec.dtype, spec.shape);
    if (!tensor)
      return tensor.takeError();
    loader->tensors.push_back(std::move(*tensor));
    if (spec.name == kRandomKey)
      continue;
    int64_t rows = spec.shape[0];
    if (loader->batch && loader->batch != rows)
      return makeError("the input {0} takes batches of {1} and another takes "
                       "{2}",
                       quote(spec.name), rows, loader->batch);
    loader->batch = rows;
  }
  if (loader->batch <= 0)
    return makeError("the batch is empty");
  const char *which =
      options.part == Part::Validation ? "validation" : "training";
  if (loader->count == 0)
    return makeError("there is no {0} data: {1} examples in all, {2} of them "
                     "held out",
                     which, total, heldOut);
  if (options.training && loader->count < loader->batch)
    return makeError("the training data has {0} examples, fewer than a batch "
                     "of {1}",
                     loader->count, loader->batch);
  loader->split = Permutation(total, mix(options.seed, kSplitUse));
  loader->data = std::move(data);
  return loader;
}

int64_t Loader::datasetIndex(uint64_t example) const {
  uint64_t index = options.training ? order(example) : example;
  index += first;
  // A stream is split at a place, other data by drawing lots.
  if (options.part != Part::All && options.validation > 0 && !data->stride())
    index = split(index);
  return index;
}

Expected<Loader::Batch> Loader::next() {
  uint64_t usable = options.training ? count / batch * batch : count;
  if (at.example >= usable)
    at = {at.epoch + 1, 0};
  if (options.training && orderEpoch != at.epoch) {
    order = Permutation(count, mix(mix(options.seed, kOrderUse), at.epoch));
    orderEpoch = at.epoch;
  }
  int64_t rows = std::min<int64_t>(batch, count - at.example);
  lastIndices.resize(batch);
  for (int64_t row = 0; row < batch; ++row)
    lastIndices[row] = datasetIndex(at.example + row % rows);
  int64_t phase = 0;
  if (options.training && data->stride() && data->size() > 1)
    phase = mix(mix(options.seed, kPhaseUse), at.epoch) % data->stride();
  if (Error error = data->fill(lastIndices, phase, tensors))
    return error;
  at.example += rows;
  return Batch{tensors, rows};
}

} // namespace lathe::train
