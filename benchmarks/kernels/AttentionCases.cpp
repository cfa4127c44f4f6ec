//===- AttentionCases.cpp - Attention, checked and timed
//-------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
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

static std::vector<Buffer> makeInputs(const AttentionCase &c,
                                      std::mt19937 &random) {
  std::vector<Buffer> inputs = {
      Buffer::random(c.shape(c.heads, c.queries, c.depth), random),
      Buffer::random(c.shape(c.groups, c.keys, c.depth), random),
      Buffer::random(c.shape(c.groups, c.keys, c.width), random)};
  if (c.mask == Mask::Key)
    inputs.push_back(Buffer::randomFlags({c.batch, 1, 1, c.keys}, random));
  if (c.mask == Mask::FullFloat)
    inputs.push_back(Buffer::random({c.queries, c.keys}, random));
  if (c.mask == Mask::FullBool)
    inputs.push_back(
        Buffer::randomFlags({c.batch, c.heads, c.queries, c.keys}, random));
  return inputs;
}

static BodyFn makeBody(const AttentionCase &c) {
  return [c](OpBuilder &b, Location loc, ValueRange args) {
    auto type = [&](ArrayRef<int64_t> shape) {
      return RankedTensorType::get(shape, b.getF32Type());
    };
    Shape swap{0, 2, 1, 3};
    auto split = [&](Value value, int64_t count, int64_t rows,
                     int64_t columns) -> Value {
      if (!c.merged)
        return value;
      Shape four{c.batch, rows, count, columns};
      Value shaped = b.create<ReshapeOp>(loc, type(four), value, four);
      return b.create<TransposeOp>(loc, type({c.batch, count, rows, columns}),
                                   shaped, swap);
    };
    SmallVector<Value> operands = {split(args[0], c.heads, c.queries, c.depth),
                                   split(args[1], c.groups, c.keys, c.depth),
                                   split(args[2], c.groups, c.keys, c.width)};
    Value result = b.create<AttentionOp>(
        loc, type({c.batch, c.heads, c.queries, c.width}), operands[0],
        operands[1], operands[2], args.size() > 3 ? args[3] : Value(),
        FloatAttr(), c.causal ? b.getUnitAttr() : UnitAttr());
    if (c.merged) {
      result = b.create<TransposeOp>(
          loc, type({c.batch, c.queries, c.heads, c.width}), result, swap);
      Shape three{c.batch, c.queries, c.heads * c.width};
      result = b.create<ReshapeOp>(loc, type(three), result, three);
    }
    return SmallVector<Value>{result};
  };
}

static void checkOne(Harness &harness, Checker &checker, const AttentionCase &c,
                     std::mt19937 &random) {
  std::vector<Buffer> inputs = makeInputs(c, random);
  Buffer expected = Buffer::zeros(c.shape(c.heads, c.queries, c.width));
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t h = 0; h < c.heads; ++h)
      for (int64_t i = 0; i < c.queries; ++i) {
        int64_t g = h / (c.heads / c.groups);
        std::vector<double> weights(c.keys);
        double largest = -INFINITY, total = 0;
        for (int64_t j = 0; j < c.keys; ++j) {
          double score = 0;
          for (int64_t p = 0; p < c.depth; ++p)
            score +=
                double(inputs[0].values[c.at(b, h, i, p, c.heads, c.queries,
                                             c.depth)]) *
                inputs[1].values[c.at(b, g, j, p, c.groups, c.keys, c.depth)];
          score /= std::sqrt(double(c.depth));
          if (c.mask == Mask::Key && !inputs[3].flags[b * c.keys + j])
            score = -INFINITY;
          if (c.mask == Mask::FullFloat)
            score += inputs[3].values[i * c.keys + j];
          if (c.mask == Mask::FullBool &&
              !inputs[3]
                   .flags[((b * c.heads + h) * c.queries + i) * c.keys + j])
            score = -INFINITY;
          if (c.causal && j > i + c.keys - c.queries)
            score = -INFINITY;
          weights[j] = score;
          largest = std::max(largest, score);
        }
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
