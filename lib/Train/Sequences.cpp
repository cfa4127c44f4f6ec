//===- Sequences.cpp - Examples of their own length -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Sources.h"
#include "lathe/Support/Error.h"

#include <algorithm>
#include <cmath>

using namespace llvm;

namespace lathe::train {

/// The lines of a text of bytes, each with its end of line.
static std::vector<int64_t> lineOffsets(const TensorView &bytes) {
  std::vector<int64_t> offsets = {0};
  MutableArrayRef<uint8_t> text = bytes.as<uint8_t>();
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\n' || i + 1 == text.size())
      offsets.push_back(static_cast<int64_t>(i + 1));
  return offsets;
}

Expected<Sequences> findSequences(std::shared_ptr<const DataFile> file,
                                  const NamedView &array) {
  Sequences result{file, array.tensor, {}};
  std::string where = "the data in " + quote(file->path);
  if (array.tensor.shape().size() != 1)
    return makeError("{0} holds {1}, and sequences to pad are expected in one "
                     "dimension",
                     where,
                     formatType(array.tensor.dtype(), array.tensor.shape()));
  if (file->tokens) {
    if (array.tensor.dtype() != DType::U8)
      return makeError(
          "{0} does not say where its sequences end, which padding "
          "needs: a .txt file (lines) or an array with offsets",
          where);
    result.offsets = lineOffsets(array.tensor);
    return result;
  }
  std::string name = array.name + ".offsets";
  auto offsets =
      std::find_if(file->arrays.begin(), file->arrays.end(),
                   [&](const NamedView &a) { return a.name == name; });
  if (offsets == file->arrays.end() || isFloat(offsets->tensor.dtype()) ||
      offsets->tensor.shape().size() != 1 || !offsets->tensor.numElements())
    return makeError("{0} has no integer array {1} of rank 1 that says where "
                     "the sequences begin",
                     where, quote(name));
  const TensorView &view = offsets->tensor;
  int64_t end = array.tensor.numElements();
  for (int64_t i = 0; i < view.numElements(); ++i) {
    double value =
        loadAsDouble(view.dtype(), static_cast<const char *>(view.data()) +
                                       i * dtypeSize(view.dtype()));
    int64_t before = result.offsets.empty() ? 0 : result.offsets.back();
    if (!(value >= before && value <= end))
      return makeError("{0} has the offset {1} at {2} of {3}, where {4} to {5} "
                       "are allowed",
                       where, formatNumber(value), i, quote(name), before, end);
    result.offsets.push_back(static_cast<int64_t>(value));
  }
  return result;
}

namespace {
/// A sequence an example, cut off or filled up.
class PaddedSource : public Source {
public:
  PaddedSource(const TensorSpec &spec,
               std::shared_ptr<const Sequences> sequences,
               const FieldOptions &options)
      : spec(spec), sequences(std::move(sequences)), options(options) {}

  int64_t size() const override { return sequences->size(); }
  bool isStream() const override { return false; }

  Error copy(int64_t index, int64_t, char *out) const override {
    int64_t begin = sequences->offsets[index],
            length =
                std::min(sequences->offsets[index + 1] - begin, spec.shape[1]);
    DType from = sequences->values.dtype();
    const char *in = static_cast<const char *>(sequences->values.data()) +
                     begin * dtypeSize(from);
    size_t size = dtypeSize(spec.dtype);
    for (int64_t i = 0; i < spec.shape[1]; ++i, out += size) {
      double value = options.padding;
      if (i < length) {
        value = loadAsDouble(from, in + i * dtypeSize(from));
        bool bad = isFloat(spec.dtype)
                       ? !std::isfinite(value)
                       : options.limit &&
                             !(value >= options.least() &&
                               value <= options.largest()) &&
                             !(options.ignored && value == *options.ignored);
        if (bad)
          return makeError(
              "the data holds {0} in {1} in sequence {2}, "
              "position {3}, for the input {4}{5}",
              formatElement(from, in + i * dtypeSize(from)),
              quote(sequences->file->path), index, i, quote(spec.name),
              options.limit
                  ? ", where " + std::to_string(options.least()) + " to " +
                        std::to_string(options.largest()) + " are allowed"
                  : "");
        if (options.normalize)
          value =
              (value - options.normalize->mean) / options.normalize->deviation;
      }
      storeFromDouble(spec.dtype, out, value);
    }
    return Error::success();
  }

private:
  TensorSpec spec;
  std::shared_ptr<const Sequences> sequences;
  FieldOptions options;
};

/// 1 for data and 0 for padding, or how long the sequence is.
class CompanionSource : public Source {
public:
  CompanionSource(const TensorSpec &spec,
                  std::shared_ptr<const Sequences> sequences, int64_t length)
      : spec(spec), sequences(std::move(sequences)), length(length) {}

  int64_t size() const override { return sequences->size(); }
  bool isStream() const override { return false; }
  Error copy(int64_t index, int64_t, char *out) const override {
    int64_t filled = std::min(
        sequences->offsets[index + 1] - sequences->offsets[index], length);
    if (spec.shape.size() == 1) {
      storeFromDouble(spec.dtype, out, static_cast<double>(filled));
      return Error::success();
    }
    for (int64_t i = 0; i < length; ++i)
      storeFromDouble(spec.dtype, out + i * dtypeSize(spec.dtype), i < filled);
    return Error::success();
  }

private:
  TensorSpec spec;
  std::shared_ptr<const Sequences> sequences;
  int64_t length;
};
} // namespace

Expected<std::unique_ptr<Source>>
makePadded(const TensorSpec &spec, std::shared_ptr<const Sequences> sequences,
           const FieldOptions &options) {
  std::string prefix = "the data in " + quote(sequences->file->path) +
                       " does not fit the input " + quote(spec.name) +
                       " of type " + formatType(spec.dtype, spec.shape) + ": ";
  if (spec.shape.size() != 2)
    return makeError(prefix +
                     "padded sequences need the shape [batch, length]");
  if (isFloat(sequences->values.dtype()) && !isFloat(spec.dtype))
    return makeError(prefix + "floats do not become integers");
  if (sequences->size() == 0)
    return makeError(prefix + "it is empty");
  return std::make_unique<PaddedSource>(spec, std::move(sequences), options);
}

Expected<std::unique_ptr<Source>>
makeCompanion(const TensorSpec &spec,
              std::shared_ptr<const Sequences> sequences, int64_t length) {
  bool mask = StringRef(spec.name).ends_with("_mask");
  if (mask ? spec.shape.size() != 2 || spec.shape[1] != length
           : spec.shape.size() != 1)
    return makeError("the input {0} is {1}, expected [batch{2}] beside padded "
                     "sequences",
                     quote(spec.name), formatType(spec.dtype, spec.shape),
                     mask ? ", " + std::to_string(length) : "");
  return std::make_unique<CompanionSource>(spec, std::move(sequences), length);
}

} // namespace lathe::train
