//===- Sources.cpp - Examples out of arrays and token streams -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Sources.h"

#include "lathe/Support/Error.h"

#include <array>
#include <cmath>
#include <cstring>

using namespace llvm;

namespace lathe::train {

static uint64_t countElements(ArrayRef<int64_t> shape) {
  uint64_t count = 1;
  for (int64_t extent : shape)
    count *= extent;
  return count;
}

/// The same but for extents of 1, or flattened to one dimension.
static bool fits(ArrayRef<int64_t> wanted, ArrayRef<int64_t> found) {
  if (countElements(wanted) != countElements(found))
    return false;
  auto squeeze = [](ArrayRef<int64_t> shape) {
    Shape rest;
    for (int64_t extent : shape)
      if (extent != 1)
        rest.push_back(extent);
    return rest;
  };
  Shape a = squeeze(wanted), b = squeeze(found);
  return a == b || a.size() <= 1 || b.size() <= 1;
}

/// Element i of `from`, of one type, to `out` of another.
template <typename From, typename To>
static void convertRow(const char *from, char *out, uint64_t count) {
  const From *in = reinterpret_cast<const From *>(from);
  To *to = reinterpret_cast<To *>(out);
  for (uint64_t i = 0; i < count; ++i)
    to[i] = static_cast<To>(in[i]);
}

/// Whether every element of a row of floats is finite; else, which is not.
template <typename T>
static std::optional<uint64_t> firstBad(const char *row, uint64_t count) {
  const T *values = reinterpret_cast<const T *>(row);
  // x - x is 0 but for infinities and NaN: a sum of it is quick.
  T sum = 0;
  for (uint64_t i = 0; i < count; ++i)
    sum += values[i] - values[i];
  if (sum == 0)
    return std::nullopt;
  for (uint64_t i = 0; i < count; ++i)
    if (!std::isfinite(values[i]))
      return i;
  return std::nullopt;
}

/// The integer at `data`: 128 bits hold those of each type.
static __int128 loadInteger(DType type, const void *data) {
  uint64_t value = 0;
  size_t size = dtypeSize(type);
  std::memcpy(&value, data, size); // little-endian hosts only
  if (isUnsignedInteger(type) || type == DType::I1)
    return value;
  unsigned unused = 64 - 8 * static_cast<unsigned>(size);
  return static_cast<int64_t>(value << unused) >> unused;
}

static bool canHold(DType type, __int128 value) {
  if (type == DType::I1)
    return value == 0 || value == 1;
  unsigned bits = 8 * static_cast<unsigned>(dtypeSize(type));
  __int128 one = 1;
  return isUnsignedInteger(type)
             ? value >= 0 && value < one << bits
             : value >= -(one << (bits - 1)) && value < one << (bits - 1);
}

std::string formatElement(DType type, const void *data) {
  if (isFloat(type))
    return formatNumber(loadAsDouble(type, data));
  __int128 value = loadInteger(type, data);
  return value < 0 ? std::to_string(static_cast<int64_t>(value))
                   : std::to_string(static_cast<uint64_t>(value));
}

namespace {
/// Rows of an array.
class ArraySource : public Source {
public:
  ArraySource(const TensorSpec &spec, std::shared_ptr<const DataFile> file,
              const TensorView &array, const FieldOptions &options)
      : name(spec.name), to(spec.dtype), file(std::move(file)), array(array),
        options(options),
        perExample(countElements(array.shape().drop_front())) {
    if (array.dtype() == DType::U8 && isFloat(to))
      for (int value = 0; value < 256; ++value)
        table[value] = normalized(value);
  }

  int64_t size() const override { return array.shape()[0]; }
  bool isStream() const override { return false; }

  Error copy(int64_t index, int64_t phase, char *out) const override {
    const char *in = static_cast<const char *>(array.data()) +
                     index * perExample * dtypeSize(array.dtype());
    DType from = array.dtype();
    if (from == DType::U8 && to == DType::F32) {
      for (uint64_t i = 0; i < perExample; ++i)
        reinterpret_cast<float *>(out)[i] =
            static_cast<float>(table[static_cast<uint8_t>(in[i])]);
      return Error::success(); // the table is finite
    }
    if (isFloat(from))
      return copyFloats(index, in, out);
    if (isFloat(to)) {
      for (uint64_t i = 0; i < perExample; ++i)
        storeFromDouble(
            to, out + i * dtypeSize(to),
            normalized(loadAsDouble(from, in + i * dtypeSize(from))));
      return Error::success();
    }
    return copyIntegers(index, in, out);
  }

private:
  double normalized(double value) const {
    return options.normalize ? (value - options.normalize->mean) /
                                   options.normalize->deviation
                             : value;
  }

  std::string where(int64_t index, uint64_t element) const {
    std::string text =
        quote(file->path) + " at example " + std::to_string(index);
    if (perExample > 1)
      text += ", element " + std::to_string(element);
    return text + ", for the input " + quote(name);
  }

  Error copyFloats(int64_t index, const char *in, char *out) const {
    DType from = array.dtype();
    std::optional<uint64_t> bad;
    if (from == DType::F32) {
      bad = firstBad<float>(in, perExample);
    } else if (from == DType::F64) {
      bad = firstBad<double>(in, perExample);
    } else {
      for (uint64_t i = 0; i < perExample && !bad; ++i)
        if (!std::isfinite(loadAsDouble(from, in + i * dtypeSize(from))))
          bad = i;
    }
    if (bad)
      return makeError(
          "the data holds {0} in {1}",
          formatNumber(loadAsDouble(from, in + *bad * dtypeSize(from))),
          where(index, *bad));
    if (from == to && !options.normalize) {
      std::memcpy(out, in, perExample * dtypeSize(from));
      return Error::success();
    }
    for (uint64_t i = 0; i < perExample; ++i)
      storeFromDouble(to, out + i * dtypeSize(to),
                      normalized(loadAsDouble(from, in + i * dtypeSize(from))));
    return Error::success();
  }

  Error copyIntegers(int64_t index, const char *in, char *out) const {
    DType from = array.dtype();
    size_t size = dtypeSize(to);
    for (uint64_t i = 0; i < perExample; ++i) {
      const char *element = in + i * dtypeSize(from);
      __int128 value = loadInteger(from, element);
      if (options.limit &&
          !(value >= options.least() && value <= options.largest()) &&
          !(options.ignored && value == *options.ignored))
        return makeError("the data holds {0} in {1}, where {2} to {3} are "
                         "allowed",
                         formatElement(from, element), where(index, i),
                         options.least(), options.largest());
      if (from == to)
        continue;
      if (!canHold(to, value))
        return makeError("the data holds {0} in {1}, which its type {2} cannot "
                         "hold",
                         formatElement(from, element), where(index, i),
                         dtypeName(to));
      std::memcpy(out + i * size, &value, size); // little-endian hosts only
    }
    if (from == to)
      std::memcpy(out, in, perExample * size);
    return Error::success();
  }

  std::string name;
  DType to;
  std::shared_ptr<const DataFile> file;
  TensorView array;
  FieldOptions options;
  uint64_t perExample;
  std::array<double, 256> table{};
};

/// Windows of a stream of tokens, one after the other.
class StreamSource : public Source {
public:
  StreamSource(const TensorSpec &spec, std::shared_ptr<const DataFile> file,
               const TensorView &stream, int64_t shift, bool overlap)
      : to(spec.dtype), file(std::move(file)), stream(stream), shift(shift),
        window(spec.shape[1]), stride(streamStrideOf(spec, overlap)) {
    // A window is left over, so that all may move by less than one.
    count = (stream.shape()[0] - shift - (window - stride)) / stride;
    if (count > 1)
      --count;
  }

  int64_t size() const override { return count; }
  bool isStream() const override { return true; }

  Error copy(int64_t index, int64_t phase, char *out) const override {
    int64_t first = index * stride + phase + shift;
    first = std::min(first, stream.shape()[0] - window);
    size_t size = dtypeSize(stream.dtype());
    const char *in = static_cast<const char *>(stream.data()) + first * size;
    if (size == 8)
      convertFrom<uint64_t>(in, out);
    else if (size == 1)
      convertFrom<uint8_t>(in, out);
    else if (size == 2)
      convertFrom<uint16_t>(in, out);
    else
      convertFrom<uint32_t>(in, out);
    return Error::success();
  }

private:
  template <typename From> void convertFrom(const char *in, char *out) const {
    switch (dtypeSize(to)) {
    case 1:
      return convertRow<From, uint8_t>(in, out, window);
    case 2:
      return convertRow<From, uint16_t>(in, out, window);
    case 4:
      return convertRow<From, uint32_t>(in, out, window);
    default:
      return convertRow<From, uint64_t>(in, out, window);
    }
  }

  DType to;
  std::shared_ptr<const DataFile> file;
  TensorView stream;
  int64_t shift, window, stride, count;
};
} // namespace

int64_t streamStrideOf(const TensorSpec &spec, bool overlap) {
  return std::max<int64_t>(spec.shape[1] - overlap, 1);
}

/// The largest value of a type of tokens that `to` can hold, and the user's
/// limit: each token is looked at once.
static Error checkTokens(const TensorSpec &spec, const DataFile &file,
                         const TensorView &stream,
                         std::optional<int64_t> limit) {
  unsigned bits = dtypeSize(spec.dtype) * 8 - !isUnsignedInteger(spec.dtype);
  uint64_t end = bits >= 63 ? INT64_MAX : uint64_t(1) << bits;
  if (limit)
    end = std::min<uint64_t>(end, *limit);
  size_t size = dtypeSize(stream.dtype());
  const char *data = static_cast<const char *>(stream.data());
  for (int64_t i = 0, e = stream.shape()[0]; i < e; ++i) {
    uint64_t value = 0;
    std::memcpy(&value, data + i * size, size); // little-endian hosts only
    if (value >= end)
      return makeError("the data holds the token {0} in {1} at position {2}, "
                       "for the input {3}, where 0 to {4} are allowed",
                       formatElement(stream.dtype(), data + i * size),
                       quote(file.path), i, quote(spec.name), end - 1);
  }
  return Error::success();
}

Expected<std::unique_ptr<Source>>
makeSource(const TensorSpec &spec, std::shared_ptr<const DataFile> file,
           const TensorView &array, const FieldOptions &options, bool overlap) {
  std::string type = formatType(spec.dtype, spec.shape);
  auto fail = [&](const Twine &why) {
    return makeError("the data in " + quote(file->path) +
                     " does not fit the input " + quote(spec.name) +
                     " of type " + type + ": " + why);
  };
  if (spec.shape.empty())
    return fail("the input has no batch dimension");
  if (options.normalize && !isFloat(spec.dtype))
    return fail("only floats can be normalized");
  if (options.normalize && !(options.normalize->deviation != 0 &&
                             std::isfinite(options.normalize->deviation) &&
                             std::isfinite(options.normalize->mean)))
    return fail("a mean and a deviation that is not 0 are expected");
  // Sequences with offsets are a stream, too, if they are not padded.
  bool packed = !file->tokens && spec.shape.size() == 2 &&
                array.shape().size() == 1 && !isFloat(array.dtype()) &&
                spec.shape[1] > 1;
  if (file->tokens || packed) {
    if (spec.shape.size() != 2 || isFloat(spec.dtype) ||
        spec.dtype == DType::I1)
      return fail("a stream of tokens needs an integer input of shape "
                  "[batch, length]");
    if (spec.shape[1] < 1 + overlap)
      return fail("a window of " + Twine(spec.shape[1]) +
                  (overlap ? " tokens holds no target, expected 2 or more"
                           : " tokens, expected 1 or more"));
    int64_t needed = spec.shape[1] + options.shift, found = array.shape()[0];
    if (options.shift < 0)
      return fail("windows are shifted by " + Twine(options.shift) +
                  " tokens, expected 0 or more");
    if (found < needed)
      return fail("it holds " + Twine(found) +
                  " tokens, and one window takes " + Twine(needed));
    if (Error error = checkTokens(spec, *file, array, options.limit))
      return error;
    return std::make_unique<StreamSource>(spec, std::move(file), array,
                                          options.shift, overlap);
  }
  if (options.shift)
    return fail("a shift is for streams of tokens");
  std::string found = formatType(array.dtype(), array.shape());
  if (array.shape().empty())
    return fail("it is a single number");
  if (!fits(ArrayRef(spec.shape).drop_front(), array.shape().drop_front()))
    return fail("it holds " + found +
                ", an example of which has another shape");
  if (array.shape()[0] == 0)
    return fail("it is empty");
  if (isFloat(array.dtype()) && !isFloat(spec.dtype))
    return fail("it holds " + found + ", and floats do not become integers");
  return std::make_unique<ArraySource>(spec, std::move(file), array, options);
}

} // namespace lathe::train
