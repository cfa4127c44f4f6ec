//===- ContractionCases.cpp - Matrix products, checked and timed ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
#include <cmath>

using namespace lathe;
using namespace lathe::bench;

static RankedTensorType f32(OpBuilder &b, ArrayRef<int64_t> shape) {
  return RankedTensorType::get(shape, b.getF32Type());
}

/// [k, n] -> [ceil(n / 32), k, 32], as lathe.pack defines it.
static Buffer pack(const Buffer &b) {
  int64_t k = b.shape[0], n = b.shape[1], panels = (n + 31) / 32;
  Buffer packed = Buffer::zeros({panels, k, 32});
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < n; ++j)
      packed.values[(j / 32 * k + i) * 32 + j % 32] = b.values[i * n + j];
  return packed;
}

/// a [m, k] x b [k, n], in double precision, one batch.
static void multiply(const float *a, const float *b, float *result, int64_t m,
                     int64_t n, int64_t k, bool transposeA, bool transposeB) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += double(transposeA ? a[p * m + i] : a[i * k + p]) *
               double(transposeB ? b[j * k + p] : b[p * n + j]);
      result[i * n + j] = sum;
    }
}

static void checkOne(Harness &harness, Checker &checker, StringRef what,
                     std::vector<Buffer> inputs, const BodyFn &body,
                     ArrayRef<Buffer> expected, double tolerance = 2e-5) {
  auto kernel = harness.compile(cpu::scheduleContraction, inputs, body);
  if (!kernel)
    return checker.fail(what, llvm::toString(kernel.takeError()));
  SmallVector<Shape> shapes;
  for (const Buffer &buffer : expected)
    shapes.push_back(buffer.shape);
  auto results = runKernel(*kernel, inputs, shapes, checker, what);
  for (auto [result, wanted] : llvm::zip_equal(results, expected))
    checker.compare(what, result.values, wanted.values, tolerance);
}

static std::string name(StringRef kind, int64_t m, int64_t n, int64_t k) {
  return (kind + " " + std::to_string(m) + "x" + std::to_string(n) + "x" +
          std::to_string(k))
      .str();
}

/// packed_matmul, linear and matmul in every orientation, of one size.
static void checkSize(Harness &harness, Checker &checker, int64_t m, int64_t n,
                      int64_t k, unsigned which, std::mt19937 &random) {
  Buffer a = Buffer::random({m, k}, random);
  Buffer b = Buffer::random({k, n}, random);
  Buffer expected = Buffer::zeros({m, n});
  multiply(a.values.data(), b.values.data(), expected.values.data(), m, n, k,
           false, false);
  Shape shape{m, n};
  switch (which % 5) {
  case 0:
    return checkOne(harness, checker, name("packed_matmul", m, n, k),
                    {a, pack(b)},
                    [&](OpBuilder &builder, Location loc, ValueRange args) {
                      return SmallVector<Value>{builder.create<PackedMatmulOp>(
                          loc, f32(builder, shape), args[0], args[1], n)};
                    },
                    {expected});
  case 1: {
    Buffer weight = Buffer::zeros({n, k});
    Buffer bias = Buffer::random({n}, random);
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < n; ++j)
        weight.values[j * k + i] = b.values[i * n + j];
    for (int64_t i = 0; i < m * n; ++i)
      expected.values[i] += bias.values[i % n];
    return checkOne(harness, checker, name("linear", m, n, k),
                    {a, weight, bias},
                    [&](OpBuilder &builder, Location loc, ValueRange args) {
                      return SmallVector<Value>{builder.create<LinearOp>(
                          loc, f32(builder, shape), args[0], args[1], args[2])};
                    },
                    {expected});
  }
  default: {
    bool transposeA = which % 5 == 3 || which % 5 == 4;
    bool transposeB = which % 5 == 4;
    int64_t batch = 2;
    Shape aShape = transposeA ? Shape{batch, k, m} : Shape{batch, m, k};
    Shape bShape = transposeB ? Shape{batch, n, k} : Shape{batch, k, n};
    if (which % 5 == 3)
      bShape = {k, n};
    a = Buffer::random(aShape, random);
    b = Buffer::random(bShape, random);
    expected = Buffer::zeros({batch, m, n});
    for (int64_t i = 0; i < batch; ++i)
      multiply(&a.values[i * m * k],
               &b.values[bShape.size() == 2 ? 0 : i * k * n],
               &expected.values[i * m * n], m, n, k, transposeA, transposeB);
    return checkOne(harness, checker,
                    name(transposeB   ? "matmul tt"
                         : transposeA ? "matmul tn"
                                      : "matmul nn",
                         m, n, k),
                    {a, b},
                    [&](OpBuilder &builder, Location loc, ValueRange args) {
                      auto op = builder.create<MatmulOp>(
                          loc, f32(builder, expected.shape), args[0], args[1]);
                      op.setTransposeLhs(transposeA);
                      op.setTransposeRhs(transposeB);
                      return SmallVector<Value>{op};
                    },
                    {expected});
  }
  }
}

/// bias, gelu and a residual: the epilogue as a loop over the tile.
static void checkGelu(Harness &harness, Checker &checker, int64_t m, int64_t n,
                      int64_t k, std::mt19937 &random) {
  Buffer a = Buffer::random({2, m, k}, random);
  Buffer b = Buffer::random({k, n}, random);
  Buffer bias = Buffer::random({n}, random);
  Buffer residual = Buffer::random({2, m, n}, random);
  Buffer expected = Buffer::zeros({2, m, n});
  multiply(a.values.data(), b.values.data(), expected.values.data(), 2 * m, n,
           k, false, false);
  for (int64_t i = 0; i < 2 * m * n; ++i) {
    double x = expected.values[i] + bias.values[i % n];
    expected.values[i] =
        x / 2 * (1 + std::erf(x / std::sqrt(2.0))) + residual.values[i];
  }
  checkOne(
      harness, checker, name("bias gelu residual", m, n, k),
      {a, pack(b), bias, residual},
      [&](OpBuilder &builder, Location loc, ValueRange args) {
        Type type = f32(builder, expected.shape);
        Value product =
            builder.create<PackedMatmulOp>(loc, type, args[0], args[1], n);
        Value sum = builder.create<AddOp>(loc, type, product, args[2]);
        Value gelu = builder.create<GeluOp>(loc, type, sum, UnitAttr());
        return SmallVector<Value>{
            builder.create<AddOp>(loc, type, gelu, args[3])};
      },
      {expected}, 5e-5);
}

/// Operands through views, a broadcast along rows, two outputs, a comparison.
static void checkViews(Harness &harness, Checker &checker,
                       std::mt19937 &random) {
  int64_t s = 5, h = 3, d = 16, n = 48;
  Buffer x = Buffer::random({2, h, s, d}, random);
  Buffer w = Buffer::random({h * d, n}, random);
  Buffer scale = Buffer::random({2, s, 1}, random);
  // [2, h, s, d] -> [2, s, h * d] has no strides for the depth: h and d do not
  // merge, and the schedule must refuse.
  auto refused = harness.compile(
      cpu::scheduleContraction, {x, pack(w)},
      [&](OpBuilder &b, Location loc, ValueRange args) {
        Value t = b.create<TransposeOp>(loc, f32(b, {2, s, h, d}), args[0],
                                        ArrayRef<int64_t>{0, 2, 1, 3});
        Value r = b.create<ReshapeOp>(loc, f32(b, {2, s, h * d}), t,
                                      ArrayRef<int64_t>{2, s, h * d});
        return SmallVector<Value>{
            b.create<PackedMatmulOp>(loc, f32(b, {2, s, n}), r, args[1], n)};
      });
  if (refused)
    checker.fail("views", "took an operand without strides");
  else
    llvm::consumeError(refused.takeError());

  // Per head: x[:, h] (a transposed view) times w2 [d, n]; the result is scaled
  // by row, and stored with its heads merged.
  Buffer y = Buffer::random({2, s, h, d}, random);
  Buffer w2 = Buffer::random({d, n}, random);
  Buffer scaled = Buffer::zeros({2, s, h, n}), raised = scaled;
  Buffer product = scaled;
  multiply(y.values.data(), w2.values.data(), product.values.data(), 2 * s * h,
           n, d, false, false);
  // product is [2, s, h, n]; outputs are [2, h, s, n] and [2, s, h * n].
  Buffer first = Buffer::zeros({2, h, s, n}),
         second = Buffer::zeros({2, s, h * n});
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t j = 0; j < s; ++j)
      for (int64_t q = 0; q < h; ++q)
        for (int64_t c = 0; c < n; ++c) {
          float v = product.values[((i * s + j) * h + q) * n + c];
          float t = v * scale.values[i * s + j];
          first.values[((i * h + q) * s + j) * n + c] = t;
          second.values[((i * s + j) * h + q) * n + c] = t > 0 ? t : 0;
        }
  checkOne(harness, checker, "views", {y, pack(w2), scale},
           [&](OpBuilder &b, Location loc, ValueRange args) {
             Value t = b.create<TransposeOp>(loc, f32(b, {2, h, s, d}), args[0],
                                             ArrayRef<int64_t>{0, 2, 1, 3});
             Type type = f32(b, {2, h, s, n});
             Value p = b.create<PackedMatmulOp>(loc, type, t, args[1], n);
             Value r = b.create<ReshapeOp>(loc, f32(b, {2, 1, s, 1}), args[2],
                                           ArrayRef<int64_t>{2, 1, s, 1});
             Value q = b.create<MulOp>(loc, type, p, r);
             Value back = b.create<TransposeOp>(loc, f32(b, {2, s, h, n}), q,
                                                ArrayRef<int64_t>{0, 2, 1, 3});
             Value merged =
                 b.create<ReshapeOp>(loc, f32(b, {2, s, h * n}), back,
                                     ArrayRef<int64_t>{2, s, h * n});
             Value relu = b.create<ReluOp>(loc, f32(b, {2, s, h * n}), merged);
             return SmallVector<Value>{q, relu};
           },
           {first, second});
}

/// A weight that is one number and a bias that is a row of constants.
static void checkConstants(Harness &harness, Checker &checker,
                           std::mt19937 &random) {
  int64_t m = 7, n = 21, k = 10;
  Buffer x = Buffer::random({m, k}, random);
  Buffer bias = Buffer::random({n}, random);
  Buffer expected = Buffer::zeros({m, n});
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += x.values[i * k + p] * 0.25;
      expected.values[i * n + j] = (sum + bias.values[j]) * 2;
    }
  checkOne(
      harness, checker, "constants", {x},
      [&](OpBuilder &b, Location loc, ValueRange args) {
        auto constant = [&](RankedTensorType type,
                            ArrayRef<float> values) -> Value {
          return b.create<ConstantOp>(loc, type,
                                      DenseElementsAttr::get(type, values));
        };
        Value weight = constant(f32(b, {n, k}), {0.25f});
        Value row = constant(f32(b, {n}), bias.values);
        Value two = constant(f32(b, {}), {2.0f});
        Type type = f32(b, {m, n});
        Value product = b.create<LinearOp>(loc, type, args[0], weight, row);
        return SmallVector<Value>{b.create<MulOp>(loc, type, product, two)};
      },
      {expected});
}

void bench::checkContraction(Harness &harness, Checker &checker) {
  std::mt19937 random(1);
  const int64_t sizes[] = {1, 2, 3, 5, 12, 13, 31, 32, 33, 49, 64, 100};
  unsigned which = 0;
  for (int64_t m : sizes)
    for (int64_t n : sizes) {
      // Every pair of m and n, with depths in turn; each kind meets all of
      // them.
      int64_t k = sizes[(which * 7 + which / 12) % 12];
      checkSize(harness, checker, m, n, k, which++, random);
    }
  for (unsigned kind = 0; kind < 5; ++kind) {
    checkSize(harness, checker, 130, 96, 70, kind, random);
    checkSize(harness, checker, 1, 300, 50, kind, random);
    checkSize(harness, checker, 3, 256, 65, kind, random);
    checkSize(harness, checker, 1030, 40, 300, kind, random);
  }
  // Deep: in parts of the depth, of several chunks of rows; with more items in
  // a chunk than wait together, and a last part that is no whole vectors.
  for (unsigned kind : {1, 2, 3, 4}) {
    checkSize(harness, checker, 300, 40, 700, kind, random);
    checkSize(harness, checker, 150, 1100, 517, kind, random);
  }
  checkGelu(harness, checker, 7, 48, 33, random);
  checkGelu(harness, checker, 13, 33, 64, random);
  checkGelu(harness, checker, 1, 160, 64, random);
  checkViews(harness, checker, random);
  checkConstants(harness, checker, random);
}

//===----------------------------------------------------------------------===//
// Timing
//===----------------------------------------------------------------------===//

static void benchPacked(Harness &harness, int64_t m, int64_t n, int64_t k,
                        int copies, bool gelu) {
  std::mt19937 random(2);
  Buffer a = Buffer::random({m, k}, random);
  std::vector<Buffer> weights;
  for (int i = 0; i < copies; ++i)
    weights.push_back(Buffer::random({(n + 31) / 32, k, 32}, random));
  Buffer bias = Buffer::random({n}, random);
  Buffer out = Buffer::zeros({m, n});
  auto kernel = harness.compile(
      cpu::scheduleContraction, {a, weights[0], bias},
      [&](OpBuilder &b, Location loc, ValueRange args) {
        Type type = f32(b, {m, n});
        Value value = b.create<PackedMatmulOp>(loc, type, args[0], args[1], n);
        value = b.create<AddOp>(loc, type, value, args[2]);
        if (gelu)
          value = b.create<GeluOp>(loc, type, value, UnitAttr());
        return SmallVector<Value>{value};
      });
  std::string title = name("packed", m, n, k) + (gelu ? " gelu" : "") +
                      (copies > 1 ? " cold" : "");
  if (!kernel) {
    llvm::outs() << title << ": " << llvm::toString(kernel.takeError()) << "\n";
    return;
  }
  std::vector<std::vector<void *>> arguments;
  for (Buffer &weight : weights)
    arguments.push_back({a.data(), weight.data(), bias.data(), out.data()});
  report(title, 2.0 * m * n * k, measure(*kernel, arguments));
}

static void benchMatmul(Harness &harness, int64_t batch, int64_t m, int64_t n,
                        int64_t k, bool transposeB, bool transposeA = false) {
  std::mt19937 random(3);
  Buffer a = Buffer::random(
      transposeA ? Shape{batch, k, m} : Shape{batch, m, k}, random);
  Buffer b = Buffer::random(
      transposeB ? Shape{batch, n, k} : Shape{batch, k, n}, random);
  Buffer out = Buffer::zeros({batch, m, n});
  auto kernel =
      harness.compile(cpu::scheduleContraction, {a, b},
                      [&](OpBuilder &builder, Location loc, ValueRange args) {
                        auto op = builder.create<MatmulOp>(
                            loc, f32(builder, out.shape), args[0], args[1]);
                        op.setTransposeLhs(transposeA);
                        op.setTransposeRhs(transposeB);
                        return SmallVector<Value>{op};
                      });
  std::string title = name(transposeA   ? "matmul tn"
                           : transposeB ? "matmul nt"
                                        : "matmul nn",
                           m, n, k) +
                      " batch " + std::to_string(batch);
  if (!kernel) {
    llvm::outs() << title << ": " << llvm::toString(kernel.takeError()) << "\n";
    return;
  }
  report(title, 2.0 * batch * m * n * k,
         measure(*kernel, {{a.data(), b.data(), out.data()}}));
}

void bench::benchContraction(Harness &harness) {
  benchPacked(harness, 128, 768, 768, 1, false);
  benchPacked(harness, 128, 3072, 768, 1, false);
  benchPacked(harness, 128, 3072, 768, 1, true);
  benchPacked(harness, 128, 768, 3072, 1, false);
  benchPacked(harness, 128, 768, 768, 24, false);
  benchPacked(harness, 128, 3072, 768, 8, true);
  benchPacked(harness, 128, 768, 3072, 8, false);
  benchPacked(harness, 128, 384, 384, 1, false);
  benchPacked(harness, 128, 1536, 384, 1, true);
  benchPacked(harness, 1, 1000, 2048, 1, false);
  benchPacked(harness, 1, 768, 3072, 8, false);
  benchPacked(harness, 4, 768, 3072, 8, false);
  benchPacked(harness, 4, 768, 768, 1, false);
  benchPacked(harness, 3136, 256, 64, 1, false);
  benchPacked(harness, 49, 2048, 512, 1, false);
  benchMatmul(harness, 12, 128, 128, 64, true);
  benchMatmul(harness, 12, 128, 64, 128, false);
  benchMatmul(harness, 1, 512, 512, 512, false);
  // Gradients of weights over many rows.
  benchMatmul(harness, 1, 1536, 384, 4096, false, /*transposeA=*/true);
  benchMatmul(harness, 1, 480, 160, 2048, false, /*transposeA=*/true);
}
