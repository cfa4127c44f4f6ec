//===- Rollback.cpp - Back to a state before something went wrong ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Rollback.h"

#include "lathe/Support/Error.h"

#include <cmath>

using namespace llvm;

namespace lathe::train {

/// All bits of the exponent set: an infinity or NaN. Without branches, so that
/// it runs at the speed of memory.
template <typename Bits>
static bool anyWithExponent(const TensorView &tensor, Bits exponent) {
  const Bits *bits = static_cast<const Bits *>(tensor.data());
  bool found = false;
  for (int64_t i = 0, e = tensor.numElements(); i < e; ++i)
    found |= (bits[i] & exponent) == exponent;
  return found;
}

static bool hasNonFinite(const TensorView &tensor) {
  switch (tensor.dtype()) {
  case DType::F64:
    return anyWithExponent<uint64_t>(tensor, 0x7ff0000000000000);
  case DType::F32:
    return anyWithExponent<uint32_t>(tensor, 0x7f800000);
  case DType::F16:
    return anyWithExponent<uint16_t>(tensor, 0x7c00);
  case DType::BF16:
    return anyWithExponent<uint16_t>(tensor, 0x7f80);
  default:
    return false;
  }
}

std::optional<NonFiniteElement> findNonFinite(const TensorView &tensor) {
  if (!hasNonFinite(tensor))
    return std::nullopt;
  NonFiniteElement result;
  const char *data = static_cast<const char *>(tensor.data());
  int64_t first = -1;
  for (int64_t i = 0, e = tensor.numElements(); i < e; ++i) {
    double value =
        loadAsDouble(tensor.dtype(), data + i * dtypeSize(tensor.dtype()));
    if (std::isfinite(value))
      continue;
    // A NaN says more than the infinity it may come from.
    if (first < 0 || (std::isnan(value) && !std::isnan(result.value))) {
      first = i;
      result.value = value;
    }
    ++result.count;
  }
  ArrayRef<int64_t> shape = tensor.shape();
  result.index.resize(shape.size());
  for (size_t d = shape.size(); d-- > 0; first /= shape[d])
    result.index[d] = first % shape[d];
  return result;
}

static std::string describe(const StateSpec &spec, const NonFiniteElement &at) {
  std::string index;
  for (int64_t i : at.index)
    index += (index.empty() ? "" : ",") + std::to_string(i);
  std::string text =
      formatv("{0} {1} holds {2} at [{3}]",
              spec.ofModel ? "the parameter" : "the optimizer's state",
              quote(spec.name), formatNumber(at.value), index);
  if (at.count > 1)
    text += formatv(" and {0} more of its {1} elements", at.count - 1,
                    formatType(spec.dtype, spec.shape));
  return text;
}

Error Rollback::begin() {
  for (const auto &[i, spec] : enumerate(program.states())) {
    auto value = program.state(i);
    if (!value)
      return value.takeError();
    std::optional<NonFiniteElement> bad = findNonFinite(*value);
    isExempt.push_back(bad.has_value());
    if (bad && std::isnan(bad->value)) {
      std::string name =
          spec.key.empty() ? "" : " (" + quote(spec.key) + " in weights files)";
      return makeError("{0} before the first step{1}", describe(spec, *bad),
                       name);
    }
  }
  return Error::success();
}

Expected<std::string> Rollback::describeBad() {
  for (const auto &[i, spec] : enumerate(program.states())) {
    if (!isFloat(spec.dtype) || isExempt[i])
      continue;
    auto value = program.state(i);
    if (!value)
      return value.takeError();
    if (std::optional<NonFiniteElement> bad = findNonFinite(*value))
      return describe(spec, *bad);
  }
  return "";
}

std::string Rollback::describeLargest() const {
  double largest = -1;
  StringRef name;
  for (const auto &[spec, value] : zip_first(program.states(), values)) {
    if (!spec.ofModel || !isFloat(spec.dtype))
      continue;
    const char *data = static_cast<const char *>(value.data());
    for (int64_t i = 0, e = value.numElements(); i < e; ++i) {
      double one =
          std::abs(loadAsDouble(spec.dtype, data + i * dtypeSize(spec.dtype)));
      if (one > largest) {
        largest = one;
        name = spec.name;
      }
    }
  }
  return largest < 0 ? "" : formatNumber(largest) + ", in " + quote(name);
}

Error Rollback::keep(const TrainingState &now, bool evenIfLarge) {
  auto begin = clock::now();
  keptAt = begin;
  uint64_t bytes = 0;
  for (const StateSpec &spec : program.states()) {
    Expected<uint64_t> one = checkedBytes(spec.shape, spec.dtype);
    if (!one)
      return one.takeError();
    bytes += *one;
  }
  if (bytes > kMostBytes && !evenIfLarge) {
    cost = std::chrono::hours(1);
    return Error::success();
  }
  std::vector<Tensor> copies;
  for (const auto &[i, spec] : enumerate(program.states())) {
    auto value = program.state(i);
    if (!value)
      return value.takeError();
    if (!isExempt[i] && hasNonFinite(*value))
      return Error::success(); // the steps to come will tell
    copies.push_back(std::move(*value));
  }
  values = std::move(copies);
  kept = now;
  keptAt = clock::now();
  cost = keptAt - begin;
  return Error::success();
}

Expected<TrainingState> Rollback::restore() {
  for (auto [i, value] : enumerate(values))
    if (Error error = program.setState(i, value))
      return std::move(error);
  return kept;
}

} // namespace lathe::train
