//===- AttentionCases.cpp - Attention and its gradients, checked and timed ===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
#include <algorithm>
#include <cmath>

using namespace lathe;
using namespace lathe::bench;

namespace {
enum class Mask { None, Key, FullFloat, FullBool };

struct AttentionCase {
  int64_t batch, heads, groups, queries, keys, depth, width;
  bool causal = false;
  Mask mask = Mask::None;
  /// Operands and result as [batch, sequence, heads * depth], through views.
  bool merged = false;

  std::string name() const {
    std::string text = "attention b" + std::to_string(batch) + " h" +
                       std::to_string(heads) + "/" + std::to_string(groups) +
                       " s" + std::to_string(queries) + " t" +
                       std::to_string(keys) + " d" + std::to_string(depth) +
                       " e" + std::to_string(width);
    if (causal)
      text += " causal";
    if (mask != Mask::None)
      text += " mask" + std::to_string(int(mask));
    return merged ? text + " merged" : text;
  }
  /// The element (b, h, s, d) of a [batch, count, rows, columns] operand.
  int64_t at(int64_t b, int64_t h, int64_t s, int64_t d, int64_t count,
             int64_t rows, int64_t columns) const {
    return merged ? ((b * rows + s) * count + h) * columns + d
                  : ((b * count + h) * rows + s) * columns + d;
  }
  Shape shape(int64_t count, int64_t rows, int64_t columns) const {
    return merged ? Shape{batch, rows, count * columns}
                  : Shape{batch, count, rows, columns};
  }
};
} // namespace

/// Query, key and value; the mask is last.
static std::vector<Buffer> makeOperands(const AttentionCase &c,
                                        std::mt19937 &random) {
  return {Buffer::random(c.shape(c.heads, c.queries, c.depth), random),
          Buffer::random(c.shape(c.groups, c.keys, c.depth), random),
          Buffer::random(c.shape(c.groups, c.keys, c.width), random)};
}

static void addMask(const AttentionCase &c, std::vector<Buffer> &inputs,
                    std::mt19937 &random) {
  if (c.mask == Mask::Key)
    inputs.push_back(Buffer::randomFlags({c.batch, 1, 1, c.keys}, random));
  if (c.mask == Mask::FullFloat)
    inputs.push_back(Buffer::random({c.queries, c.keys}, random));
  if (c.mask == Mask::FullBool)
    inputs.push_back(
        Buffer::randomFlags({c.batch, c.heads, c.queries, c.keys}, random));
}

static std::vector<Buffer> makeInputs(const AttentionCase &c,
                                      std::mt19937 &random) {
  std::vector<Buffer> inputs = makeOperands(c, random);
  addMask(c, inputs, random);
  return inputs;
}

/// Between operands as they are stored and [batch, count, rows, columns].
struct Heads {
  const AttentionCase &c;
  OpBuilder &b;
  Location loc;

  RankedTensorType type(ArrayRef<int64_t> shape) const {
    return RankedTensorType::get(shape, b.getF32Type());
  }
  Value split(Value value, int64_t count, int64_t rows, int64_t columns) const {
    if (!c.merged)
      return value;
    Shape four{c.batch, rows, count, columns}, swap{0, 2, 1, 3};
    Value shaped = b.create<ReshapeOp>(loc, type(four), value, four);
    return b.create<TransposeOp>(loc, type({c.batch, count, rows, columns}),
                                 shaped, swap);
  }
  Value merge(Value value) const {
    if (!c.merged)
      return value;
    auto shape = cast<RankedTensorType>(value.getType()).getShape();
    Shape three{shape[0], shape[2], shape[1] * shape[3]}, swap{0, 2, 1, 3};
    value = b.create<TransposeOp>(
        loc, type({shape[0], shape[2], shape[1], shape[3]}), value, swap);
    return b.create<ReshapeOp>(loc, type(three), value, three);
  }
  SmallVector<Value> operands(ValueRange args) const {
    return {split(args[0], c.heads, c.queries, c.depth),
            split(args[1], c.groups, c.keys, c.depth),
            split(args[2], c.groups, c.keys, c.width)};
  }
};

static BodyFn makeBody(const AttentionCase &c) {
  return [c](OpBuilder &b, Location loc, ValueRange args) {
    Heads heads{c, b, loc};
    SmallVector<Value> operands = heads.operands(args);
    Value result = b.create<AttentionOp>(
        loc, heads.type({c.batch, c.heads, c.queries, c.width}), operands[0],
        operands[1], operands[2], args.size() > 3 ? args[3] : Value(),
        FloatAttr(), c.causal);
    return SmallVector<Value>{heads.merge(result)};
  };
}

/// The masked scores of a query, in double precision.
static std::vector<double> scoresOf(const AttentionCase &c,
                                    ArrayRef<Buffer> inputs, int64_t b,
                                    int64_t h, int64_t i) {
  int64_t g = h / (c.heads / c.groups);
  const Buffer &mask = inputs.back();
  std::vector<double> scores(c.keys);
  for (int64_t j = 0; j < c.keys; ++j) {
    double score = 0;
    for (int64_t p = 0; p < c.depth; ++p)
      score +=
          double(
              inputs[0].values[c.at(b, h, i, p, c.heads, c.queries, c.depth)]) *
          inputs[1].values[c.at(b, g, j, p, c.groups, c.keys, c.depth)];
    score /= std::sqrt(double(c.depth));
    if (c.mask == Mask::Key && !mask.flags[b * c.keys + j])
      score = -INFINITY;
    if (c.mask == Mask::FullFloat)
      score += mask.values[i * c.keys + j];
    if (c.mask == Mask::FullBool &&
        !mask.flags[((b * c.heads + h) * c.queries + i) * c.keys + j])
      score = -INFINITY;
    if (c.causal && j > i + c.keys - c.queries)
      score = -INFINITY;
    scores[j] = score;
  }
  return scores;
}

static void checkOne(Harness &harness, Checker &checker, const AttentionCase &c,
                     std::mt19937 &random) {
  std::vector<Buffer> inputs = makeInputs(c, random);
  Buffer expected = Buffer::zeros(c.shape(c.heads, c.queries, c.width));
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t h = 0; h < c.heads; ++h)
      for (int64_t i = 0; i < c.queries; ++i) {
        int64_t g = h / (c.heads / c.groups);
        std::vector<double> weights = scoresOf(c, inputs, b, h, i);
        double largest = *std::max_element(weights.begin(), weights.end());
        double total = 0;
        for (double &weight : weights)
          total += weight =
              largest == -INFINITY ? 0 : std::exp(weight - largest);
        for (int64_t p = 0; p < c.width; ++p) {
          double sum = 0;
          for (int64_t j = 0; j < c.keys; ++j)
            sum +=
                weights[j] *
                inputs[2].values[c.at(b, g, j, p, c.groups, c.keys, c.width)];
          expected.values[c.at(b, h, i, p, c.heads, c.queries, c.width)] =
              total == 0 ? 0 : sum / total;
        }
      }
  auto kernel = harness.compile(cpu::scheduleAttention, inputs, makeBody(c));
  if (!kernel)
    return checker.fail(c.name(), llvm::toString(kernel.takeError()));
  auto results =
      runKernel(*kernel, inputs, {expected.shape}, checker, c.name());
  checker.compare(c.name(), results[0].values, expected.values, 1e-5);
}

void bench::checkAttention(Harness &harness, Checker &checker) {
  std::mt19937 random(5);
  const AttentionCase cases[] = {
      {1, 2, 2, 5, 7, 8, 16},
      {2, 4, 2, 33, 33, 16, 32, true},
      {1, 12, 12, 128, 128, 64, 64, false, Mask::Key, true},
      {2, 3, 3, 40, 70, 32, 48, false, Mask::FullFloat, true},
      {1, 2, 1, 20, 600, 24, 20, false, Mask::FullBool},
      {1, 2, 2, 1, 300, 64, 64, true},
      {2, 2, 2, 70, 530, 16, 80, true, Mask::Key, true},
      // The first queries see nothing.
      {1, 1, 1, 50, 20, 8, 8, true},
      {1, 1, 1, 1, 1, 1, 1},
      {1, 6, 3, 100, 31, 33, 33, false, Mask::FullBool, true},
  };
  for (const AttentionCase &c : cases)
    checkOne(harness, checker, c, random);
}

void bench::benchAttention(Harness &harness) {
  std::mt19937 random(6);
  const AttentionCase cases[] = {
      {1, 12, 12, 128, 128, 64, 64},
      {1, 12, 12, 128, 128, 64, 64, false, Mask::Key, true},
      {1, 12, 12, 128, 128, 32, 32, false, Mask::Key, true},
      {1, 12, 12, 512, 512, 64, 64, false, Mask::None, true},
      {1, 12, 12, 512, 512, 64, 64, true, Mask::None, true},
      {1, 12, 12, 1, 512, 64, 64, true, Mask::None, true},
  };
  for (const AttentionCase &c : cases) {
    std::vector<Buffer> inputs = makeInputs(c, random);
    Buffer out = Buffer::zeros(c.shape(c.heads, c.queries, c.width));
    auto kernel = harness.compile(cpu::scheduleAttention, inputs, makeBody(c));
    if (!kernel) {
      llvm::outs() << c.name() << ": " << llvm::toString(kernel.takeError())
                   << "\n";
      continue;
    }
    std::vector<void *> arguments;
    for (Buffer &input : inputs)
      arguments.push_back(input.data());
    arguments.push_back(out.data());
    report(c.name(),
           2.0 * c.batch * c.heads * c.queries * c.keys * (c.depth + c.width),
           measure(*kernel, {arguments}));
  }
}

//===----------------------------------------------------------------------===//
// Gradients
//===----------------------------------------------------------------------===//

/// Query, key, value, cotangent, log-sum-exp, delta, mask. What no value
/// depends on is filled with random numbers: delta may be any, and to be timed
/// a log-sum-exp needs to be large only.
static std::vector<Buffer> makeGradientInputs(const AttentionCase &c,
                                              std::mt19937 &random) {
  std::vector<Buffer> inputs = makeOperands(c, random);
  Shape rows{c.batch, c.heads, c.queries};
  inputs.push_back(
      Buffer::random(c.shape(c.heads, c.queries, c.width), random));
  inputs.push_back(Buffer::zeros(rows));
  for (float &value : inputs.back().values)
    value = 8;
  inputs.push_back(Buffer::random(rows, random));
  addMask(c, inputs, random);
  return inputs;
}

static SmallVector<Shape> gradientShapes(const AttentionCase &c) {
  return {c.shape(c.heads, c.queries, c.depth),
          c.shape(c.groups, c.keys, c.depth),
          c.shape(c.groups, c.keys, c.width)};
}

static BodyFn makeGradientBody(const AttentionCase &c) {
  return [c](OpBuilder &b, Location loc, ValueRange args) {
    Heads heads{c, b, loc};
    SmallVector<Value> operands = heads.operands(args);
    auto op = b.create<AttentionBackwardOp>(
        loc, operands[0], operands[1], operands[2],
        heads.split(args[3], c.heads, c.queries, c.width), args[4], args[5],
        args.size() > 6 ? args[6] : Value(), FloatAttr(), c.causal);
    SmallVector<Value> results;
    for (Value result : op->getResults())
      results.push_back(heads.merge(result));
    return results;
  };
}

static void checkGradients(Harness &harness, Checker &checker,
                           const AttentionCase &c, std::mt19937 &random) {
  std::vector<Buffer> inputs = makeGradientInputs(c, random);
  std::vector<std::vector<double>> sums;
  for (const Shape &shape : gradientShapes(c))
    sums.emplace_back(Buffer::zeros(shape).values.size(), 0.0);
  double scale = 1 / std::sqrt(double(c.depth));
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t h = 0; h < c.heads; ++h)
      for (int64_t i = 0; i < c.queries; ++i) {
        int64_t g = h / (c.heads / c.groups);
        std::vector<double> scores = scoresOf(c, inputs, b, h, i);
        double largest = *std::max_element(scores.begin(), scores.end());
        double total = 0;
        for (double score : scores)
          total += largest == -INFINITY ? 0 : std::exp(score - largest);
        int64_t row = (b * c.heads + h) * c.queries + i;
        float saved = total == 0 ? 0 : largest + std::log(total);
        inputs[4].values[row] = saved;
        auto query = [&](int64_t p, int64_t columns) {
          return c.at(b, h, i, p, c.heads, c.queries, columns);
        };
        auto key = [&](int64_t j, int64_t p, int64_t columns) {
          return c.at(b, g, j, p, c.groups, c.keys, columns);
        };
        for (int64_t j = 0; j < c.keys; ++j) {
          double weight = std::exp(scores[j] - saved), inner = 0;
          for (int64_t p = 0; p < c.width; ++p) {
            double cotangent = inputs[3].values[query(p, c.width)];
            inner += cotangent * inputs[2].values[key(j, p, c.width)];
            sums[2][key(j, p, c.width)] += weight * cotangent;
          }
          double d = scale * weight * (inner - inputs[5].values[row]);
          for (int64_t p = 0; p < c.depth; ++p) {
            sums[0][query(p, c.depth)] +=
                d * inputs[1].values[key(j, p, c.depth)];
            sums[1][key(j, p, c.depth)] +=
                d * inputs[0].values[query(p, c.depth)];
          }
        }
      }
  std::string name = "gradients of " + c.name();
  auto kernel = harness.compile(cpu::scheduleAttentionBackward, inputs,
                                makeGradientBody(c));
  if (!kernel)
    return checker.fail(name, llvm::toString(kernel.takeError()));
  auto results = runKernel(*kernel, inputs, gradientShapes(c), checker, name);
  for (auto [result, wanted] : llvm::zip_equal(results, sums))
    checker.compare(name, result.values,
                    std::vector<float>(wanted.begin(), wanted.end()), 2e-5);
}

void bench::checkAttentionGradients(Harness &harness, Checker &checker) {
  std::mt19937 random(7);
  // Fewer than 8 key heads: blocks of queries and blocks of keys are items.
  const AttentionCase cases[] = {
      {1, 2, 2, 5, 7, 8, 16},
      {2, 4, 2, 33, 33, 16, 32, true},
      {1, 12, 12, 70, 70, 64, 64, true, Mask::None, true},
      {1, 2, 2, 66, 66, 128, 128, true},
      {2, 4, 4, 50, 50, 40, 40, true, Mask::None, true},
      {2, 3, 3, 40, 70, 32, 48, false, Mask::FullFloat, true},
      {1, 10, 10, 20, 100, 24, 20, false, Mask::FullBool},
      // The first queries see nothing.
      {1, 1, 1, 50, 20, 8, 8, true},
      {1, 1, 1, 1, 1, 1, 1},
      {1, 6, 3, 100, 31, 33, 33, false, Mask::FullBool, true},
  };
  for (const AttentionCase &c : cases)
    checkGradients(harness, checker, c, random);
}

void bench::benchAttentionGradients(Harness &harness) {
  std::mt19937 random(8);
  const AttentionCase cases[] = {
      // char-gpt with its recipe's batch; gpt2-124m; heads of 128.
      {8, 4, 4, 256, 256, 40, 40, true, Mask::None, true},
      {8, 4, 4, 256, 256, 40, 40, false, Mask::None, true},
      {1, 12, 12, 512, 512, 64, 64, true, Mask::None, true},
      {1, 12, 12, 512, 512, 64, 64, false, Mask::None, true},
      {1, 12, 12, 1024, 1024, 64, 64, true, Mask::None, true},
      {1, 6, 6, 512, 512, 128, 128, true, Mask::None, true},
      {1, 6, 6, 512, 512, 128, 128, false, Mask::None, true},
      {2, 6, 6, 512, 512, 128, 128, true, Mask::None, true},
  };
  for (const AttentionCase &c : cases) {
    std::vector<Buffer> inputs = makeGradientInputs(c, random), results;
    std::string name = "gradients of " + c.name();
    auto kernel = harness.compile(cpu::scheduleAttentionBackward, inputs,
                                  makeGradientBody(c));
    if (!kernel) {
      llvm::outs() << name << ": " << llvm::toString(kernel.takeError())
                   << "\n";
      continue;
    }
    for (const Shape &shape : gradientShapes(c))
      results.push_back(Buffer::zeros(shape));
    std::vector<void *> arguments;
    for (std::vector<Buffer> *list : {&inputs, &results})
      for (Buffer &buffer : *list)
        arguments.push_back(buffer.data());
    // Five products; what a causal limit leaves out is counted, too.
    report(name,
           2.0 * c.batch * c.heads * c.queries * c.keys *
               (3 * c.depth + 2 * c.width),
           measure(*kernel, {arguments}));
  }
}
