//===- Dataset.cpp - Examples for the inputs of a program -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/Dataset.h"

#include "Sources.h"
#include "lathe/Support/Error.h"
#include "lathe/Train/Program.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace llvm;

namespace lathe::train {

TrainProgram::~TrainProgram() = default;
Source::~Source() = default;

static const NamedView *findArray(const DataFile &file, StringRef name) {
  for (const NamedView &array : file.arrays)
    if (array.name == name)
      return &array;
  return nullptr;
}

static std::string listArrays(const DataFile &file) {
  std::string text;
  for (const NamedView &array : ArrayRef(file.arrays).take_front(20))
    text += (text.empty() ? "" : ", ") + quote(array.name);
  return text.empty() ? "nothing" : text;
}

/// The file and the array in it that hold the data of one input.
static Expected<std::pair<std::shared_ptr<const DataFile>, const NamedView *>>
findData(const TensorSpec &spec,
         const std::map<std::string, std::shared_ptr<const DataFile>> &files,
         ArrayRef<std::shared_ptr<const DataFile>> unnamed) {
  auto given = files.find(spec.name);
  if (given != files.end()) {
    const DataFile &file = *given->second;
    const NamedView *array = file.arrays.size() == 1
                                 ? &file.arrays.front()
                                 : findArray(file, spec.name);
    if (!array)
      return makeError("{0} holds no array {1}; it holds {2}", quote(file.path),
                       quote(spec.name), listArrays(file));
    return std::make_pair(given->second, array);
  }
  for (const std::shared_ptr<const DataFile> &file : unnamed)
    if (const NamedView *array = findArray(*file, spec.name))
      return std::make_pair(file, array);
  return makeError("there is no data for the input {0} of type {1}",
                   quote(spec.name), formatType(spec.dtype, spec.shape));
}

static int64_t lengthOf(ArrayRef<TensorSpec> inputs, StringRef name) {
  for (const TensorSpec &spec : inputs)
    if (spec.name == name)
      return spec.shape[1];
  return 0;
}

static Error unknownInput(const std::string &name, ArrayRef<TensorSpec> inputs,
                          const char *what) {
  std::string known;
  for (const TensorSpec &spec : inputs)
    if (spec.name != kRandomKey)
      known += (known.empty() ? "" : ", ") + quote(spec.name);
  return makeError("{0} for the input {1}, which the program does not have; it "
                   "has {2}",
                   what, quote(name), known);
}

Expected<std::shared_ptr<Dataset>> Dataset::create(
    ArrayRef<TensorSpec> inputs,
    const std::map<std::string, std::shared_ptr<const DataFile>> &files,
    ArrayRef<std::shared_ptr<const DataFile>> unnamed,
    const std::map<std::string, FieldOptions> &options) {
  auto isInput = [&](StringRef name) {
    return any_of(inputs, [&](const TensorSpec &s) { return s.name == name; });
  };
  for (const auto &[name, file] : files)
    if (!isInput(name))
      return unknownInput(name, inputs, "data is given");
  for (const auto &[name, field] : options)
    if (!isInput(name))
      return unknownInput(name, inputs, "an option is given");

  auto result = std::make_shared<Dataset>();
  result->specs.assign(inputs.begin(), inputs.end());
  bool shifted = any_of(options, [](const auto &o) { return o.second.shift; });
  std::map<std::string, std::shared_ptr<const Sequences>> padded;
  std::string firstName;
  int64_t streams = -1, arrays = -1;
  for (const TensorSpec &spec : inputs) {
    std::unique_ptr<Source> &source = result->sources.emplace_back();
    if (spec.name == kRandomKey)
      continue;
    auto option = options.find(spec.name);
    FieldOptions field =
        option == options.end() ? FieldOptions() : option->second;
    auto data = findData(spec, files, unnamed);
    if (!data) {
      // A mask or lengths of an input that came before.
      auto base = padded.find(StringRef(spec.name).rsplit('_').first.str());
      bool companion = StringRef(spec.name).ends_with("_mask") ||
                       StringRef(spec.name).ends_with("_length");
      if (!companion || base == padded.end())
        return data.takeError();
      consumeError(data.takeError());
      auto made =
          makeCompanion(spec, base->second, lengthOf(inputs, base->first));
      if (!made)
        return made.takeError();
      source = std::move(*made);
      continue;
    }
    if (field.pad) {
      auto sequences = findSequences(data->first, *data->second);
      if (!sequences)
        return sequences.takeError();
      padded[spec.name] =
          std::make_shared<const Sequences>(std::move(*sequences));
    }
    auto made = field.pad ? makePadded(spec, padded[spec.name], field)
                          : makeSource(spec, data->first, data->second->tensor,
                                       field, /*overlap=*/!shifted);
    if (!made)
      return made.takeError();
    source = std::move(*made);
    int64_t size = source->size();
    if (source->isStream()) {
      int64_t stride = streamStrideOf(spec, /*overlap=*/!shifted);
      if (result->streamStride && result->streamStride != stride)
        return makeError("the input {0} takes windows of {1} tokens, and "
                         "others are of another length",
                         quote(spec.name), spec.shape[1]);
      result->streamStride = stride;
      streams = streams < 0 ? size : std::min(streams, size);
    } else if (arrays < 0) {
      arrays = size;
      firstName = spec.name;
    } else if (arrays != size) {
      return makeError("the data of the inputs {0} and {1} differ in number: "
                       "{2} and {3} examples",
                       quote(firstName), quote(spec.name), arrays, size);
    }
  }
  if (streams >= 0 && arrays >= 0 && streams != arrays)
    return makeError("the token stream gives {0} windows and the data of {1} "
                     "has {2} examples",
                     streams, quote(firstName), arrays);
  result->count = std::max(streams, arrays);
  if (result->count < 0)
    return makeError("the program has no input that takes data");
  return result;
}

Error Dataset::fill(ArrayRef<int64_t> indices, int64_t phase,
                    ArrayRef<Tensor> batch) const {
  for (auto [source, tensor] : zip_equal(sources, batch)) {
    if (!source)
      continue;
    uint64_t row = tensor.numBytes() / tensor.shape()[0];
    char *out = static_cast<char *>(tensor.data());
    for (int64_t index : indices) {
      if (Error error = source->copy(index, phase, out))
        return error;
      out += row;
    }
  }
  return Error::success();
}

Error Dataset::check() const {
  for (auto [spec, source] : zip_equal(specs, sources)) {
    if (!source)
      continue;
    auto row = Tensor::create(spec.dtype, ArrayRef(spec.shape).drop_front());
    if (!row)
      return row.takeError();
    for (int64_t i = 0; i < source->size(); ++i)
      if (Error error = source->copy(i, 0, static_cast<char *>(row->data())))
        return error;
  }
  return Error::success();
}

std::string Dataset::description() const {
  std::string text = std::to_string(count) + " examples";
  for (const TensorSpec &spec : specs)
    if (spec.name != kRandomKey)
      text += ", " + spec.name + " " +
              formatType(spec.dtype, ArrayRef(spec.shape).drop_front());
  return text;
}

} // namespace lathe::train
