//===- Initializer.cpp - Starting values of parameters --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Initializer.h"

#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/SHA256.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace llvm;

namespace lathe {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c,
                               std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t(0xD2511F53) * c[0];
    uint64_t p1 = uint64_t(0xCD9E8D57) * c[2];
    c = {uint32_t(p1 >> 32) ^ c[1] ^ key[0], uint32_t(p1),
         uint32_t(p0 >> 32) ^ c[3] ^ key[1], uint32_t(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return c;
}

namespace {
enum class Distribution { Constant, Uniform, Normal, Truncated };
struct Recipe {
  Distribution shape = Distribution::Constant;
  double a = 0, b = 0; // value; low and high; mean and deviation
};

Expected<Recipe> makeRecipe(StringRef kind, double a, double b,
                            ArrayRef<int64_t> shape) {
  if (kind == "zeros")
    return Recipe{Distribution::Constant, 0, 0};
  if (kind == "ones")
    return Recipe{Distribution::Constant, 1, 0};
  if (kind == "constant")
    return Recipe{Distribution::Constant, a, 0};
  if (kind == "uniform")
    return Recipe{Distribution::Uniform, a, b};
  if (kind == "normal")
    return Recipe{Distribution::Normal, a, b};
  if (kind == "truncated_normal")
    return Recipe{Distribution::Truncated, a, b};
  double field = 1;
  for (size_t i = 2; i < shape.size(); ++i)
    field *= static_cast<double>(shape[i]);
  double fanOut = (shape.empty() ? 1 : static_cast<double>(shape[0])) * field;
  double fanIn = (shape.size() < 2 ? fanOut : shape[1] * field);
  double deviation;
  if (kind.starts_with("xavier_"))
    deviation = (a == 0 ? 1 : a) * std::sqrt(2 / std::max(fanIn + fanOut, 1.0));
  else if (kind.starts_with("kaiming_"))
    deviation = std::sqrt(2 / (1 + a * a) / std::max(fanIn, 1.0));
  else
    return makeError("the initializer {0} is unknown", quote(kind));
  if (kind.ends_with("_normal"))
    return Recipe{Distribution::Normal, 0, deviation};
  if (kind.ends_with("_uniform"))
    return Recipe{Distribution::Uniform, -std::sqrt(3.0) * deviation,
                  std::sqrt(3.0) * deviation};
  return makeError("the initializer {0} is unknown", quote(kind));
}

// 24 bits: every value is exact in f32. The second one is never 0.
float unit(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }
float positiveUnit(uint32_t word) {
  return static_cast<float>((word >> 8) + 1) * 0x1p-24f;
}

/// Box and Muller: two words become two standard normal values.
std::array<float, 2> normalPair(uint32_t first, uint32_t second) {
  float radius = std::sqrt(-2 * std::log(positiveUnit(first)));
  float angle = 6.28318530717958647692f * unit(second);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

class Source {
public:
  Source(const Recipe &recipe, StringRef name, uint64_t seed)
      : recipe(recipe), key{uint32_t(seed), uint32_t(seed >> 32)} {
    std::array<uint8_t, 32> digest = SHA256::hash(arrayRefFromStringRef(name));
    hash = support::endian::read64le(digest.data());
  }

  /// The four values of block `index`.
  std::array<float, 4> block(uint64_t index) const {
    std::array<uint32_t, 4> words = draw(index, 0);
    std::array<float, 4> values;
    switch (recipe.shape) {
    case Distribution::Constant:
      values.fill(static_cast<float>(recipe.a));
      break;
    case Distribution::Uniform:
      for (int i = 0; i < 4; ++i)
        values[i] = static_cast<float>(recipe.a +
                                       (recipe.b - recipe.a) * unit(words[i]));
      break;
    case Distribution::Normal:
    case Distribution::Truncated:
      for (int i = 0; i < 4; i += 2) {
        std::array<float, 2> pair = normalPair(words[i], words[i + 1]);
        values[i] = pair[0];
        values[i + 1] = pair[1];
      }
      if (recipe.shape == Distribution::Truncated)
        redraw(values, index);
      for (float &value : values)
        value = static_cast<float>(recipe.a + recipe.b * value);
      break;
    }
    return values;
  }

private:
  std::array<uint32_t, 4> draw(uint64_t index, uint32_t attempt) const {
    // An index has far fewer than 56 bits; the top eight count attempts.
    return philox({uint32_t(index), uint32_t(index >> 32) | attempt << 24,
                   uint32_t(hash), uint32_t(hash >> 32)},
                  key);
  }
  /// Replaces what lies beyond two deviations by later draws of the same block.
  void redraw(std::array<float, 4> &values, uint64_t index) const {
    for (uint32_t attempt = 1; attempt < 256; ++attempt) {
      bool good = true;
      for (float value : values)
        good &= std::fabs(value) <= 2;
      if (good)
        return;
      std::array<uint32_t, 4> words = draw(index, attempt);
      for (int i = 0; i < 4; i += 2) {
        std::array<float, 2> pair = normalPair(words[i], words[i + 1]);
        for (int j = 0; j < 2; ++j)
          if (std::fabs(values[i + j]) > 2)
            values[i + j] = pair[j];
      }
    }
    for (float &value : values)
      value = std::clamp(value, -2.0f, 2.0f);
  }

  Recipe recipe;
  std::array<uint32_t, 2> key;
  uint64_t hash;
};
} // namespace

Error initialize(const TensorView &tensor, StringRef name, StringRef kind,
                 double a, double b, bool stacked, uint64_t seed,
                 ThreadPool &pool) {
  ArrayRef<int64_t> shape = tensor.shape();
  Expected<Recipe> recipe =
      makeRecipe(kind, a, b, stacked ? shape.drop_front() : shape);
  if (!recipe)
    return recipe.takeError();
  Source source(*recipe, name, seed);
  int64_t count = tensor.numElements();
  DType type = tensor.dtype();
  size_t size = dtypeSize(type);
  pool.run((count + 3) / 4, [&](unsigned, int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      std::array<float, 4> values = source.block(block);
      char *to = static_cast<char *>(tensor.data()) + block * 4 * size;
      int64_t left = std::min<int64_t>(4, count - block * 4);
      if (type == DType::F32) {
        std::memcpy(to, values.data(), left * sizeof(float));
        continue;
      }
      for (int64_t i = 0; i < left; ++i)
        storeFromDouble(type, to + i * size, values[i]);
    }
  });
  return Error::success();
}

} // namespace lathe
