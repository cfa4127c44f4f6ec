//===- ByteCases.cpp - Products of bytes, bf16 and few bits, timed --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// They are checked by test/numeric/test_bytes.py and test_bfloat_pairs.py.
//
//===----------------------------------------------------------------------===//

#include "Harness.h"

using namespace lathe;
using namespace lathe::bench;

static RankedTensorType typeOf(ArrayRef<int64_t> shape, Type element) {
  return RankedTensorType::get(shape, element);
}

static std::string title(const Twine &kind, int64_t m, int64_t n, int64_t k,
                         size_t copies) {
  return (kind + " " + Twine(m) + "x" + Twine(n) + "x" + Twine(k) +
          (copies > 1 ? " cold" : ""))
      .str();
}

/// Weights of one product or their scales, several times over, so that they
/// come from beyond the caches.
static std::vector<Buffer> makeWeights(int copies,
                                       function_ref<Buffer()> make) {
  std::vector<Buffer> weights;
  for (int i = 0; i < copies; ++i)
    weights.push_back(make());
  return weights;
}

static void time(Harness &harness, std::string name, double flops, Buffer &lhs,
                 std::vector<Buffer> &weights, std::vector<Buffer> &scales,
                 Buffer &bias, Buffer &out, const BodyFn &body,
                 double (*peak)()) {
  auto kernel = harness.compile(cpu::scheduleContraction,
                                {lhs, weights[0], scales[0], bias}, body);
  if (!kernel) {
    llvm::outs() << name << ": " << llvm::toString(kernel.takeError()) << "\n";
    return;
  }
  std::vector<std::vector<void *>> arguments;
  for (auto [weight, scale] : llvm::zip_equal(weights, scales))
    arguments.push_back(
        {lhs.data(), weight.data(), scale.data(), bias.data(), out.data()});
  report(name, flops, measure(*kernel, arguments), peak);
}

/// Bytes by bytes, then scaled per column to f32, with a bias; `requantize`
/// makes bytes of that again.
static void benchProduct(Harness &harness, Buffer::Bytes lhsBytes, int64_t m,
                         int64_t n, int64_t k, int copies,
                         bool requantize = false) {
  std::mt19937 random(1);
  Buffer lhs = Buffer::randomBytes({m, k}, lhsBytes, random);
  auto weights = makeWeights(copies, [&] {
    return Buffer::randomBytes({(n + 31) / 32, (k + 3) / 4, 32, 4},
                               Buffer::Bytes::Signed, random);
  });
  auto scales =
      makeWeights(copies, [&] { return Buffer::random({n}, random); });
  Buffer bias = scales[0];
  Buffer out = Buffer::zeros({m, n});
  time(
      harness,
      title(Twine(lhsBytes == Buffer::Bytes::Signed ? "i8 i8" : "u8 i8") +
                (requantize ? " to u8" : ""),
            m, n, k, copies),
      2.0 * m * n * k, lhs, weights, scales, bias, out,
      [&](OpBuilder &b, Location loc, ValueRange args) {
        Type f32 = typeOf({m, n}, b.getF32Type());
        Value value = b.create<PackedMatmulOp>(
            loc, typeOf({m, n}, b.getI32Type()), args[0], args[1], n);
        value = b.create<CastOp>(loc, f32, value);
        value = b.create<MulOp>(loc, f32, value, args[2]);
        value = b.create<AddOp>(loc, f32, value, args[3]);
        if (requantize) {
          value = b.create<RoundOp>(loc, f32, value);
          value = b.create<CastOp>(
              loc, typeOf({m, n}, b.getIntegerType(8, /*isSigned=*/false)),
              value);
        }
        return SmallVector<Value>{value};
      },
      measureBytePeak);
}

/// f32 by weights of `bits` bits with a scale for every `group` of them: bf16
/// beside 4 bits, as lathe-quantize makes them.
static void benchWeights(Harness &harness, int64_t bits, int64_t group,
                         int64_t m, int64_t n, int64_t k, int copies) {
  std::mt19937 random(2);
  Buffer lhs = Buffer::random({m, k}, random);
  auto weights = makeWeights(copies, [&] {
    return Buffer::randomBytes(
        {(n + 31) / 32, bits == 4 ? (k + 1) / 2 : k, 32},
        bits == 4 ? Buffer::Bytes::Unsigned : Buffer::Bytes::Signed, random);
  });
  int64_t groups = group ? (k + group - 1) / group : 1;
  auto scales = makeWeights(copies, [&] {
    Shape shape{(n + 31) / 32, groups, 32};
    return bits == 4 ? Buffer::randomBfloats(shape, random)
                     : Buffer::random(shape, random);
  });
  Buffer bias = Buffer::random({n}, random), out = Buffer::zeros({m, n});
  time(
      harness, title("f32 by " + Twine(bits) + " bits", m, n, k, copies),
      2.0 * m * n * k, lhs, weights, scales, bias, out,
      [&](OpBuilder &b, Location loc, ValueRange args) {
        Type f32 = typeOf({m, n}, b.getF32Type());
        Value value = b.create<PackedMatmulOp>(loc, f32, args[0], args[1],
                                               args[2], b.getI64IntegerAttr(n),
                                               b.getI64IntegerAttr(group));
        return SmallVector<Value>{b.create<AddOp>(loc, f32, value, args[3])};
      },
      measurePeak);
}

/// bf16 by bf16, with a bias of f32; the peak is that of vdpbf16ps or of f32,
/// whichever is faster here.
static void benchBfloats(Harness &harness, int64_t m, int64_t n, int64_t k) {
  std::mt19937 random(3);
  Buffer lhs = Buffer::randomBfloats({m, k}, random);
  std::vector<Buffer> weights = {
      Buffer::randomBfloats({(n + 31) / 32, (k + 1) / 2, 32, 2}, random)};
  Buffer bias = Buffer::random({n}, random), out = Buffer::zeros({m, n});
  std::vector<Buffer> scales = {bias};
  time(
      harness, title("bf16", m, n, k, 1), 2.0 * m * n * k, lhs, weights, scales,
      bias, out,
      [&](OpBuilder &b, Location loc, ValueRange args) {
        Type f32 = typeOf({m, n}, b.getF32Type());
        Value value = b.create<PackedMatmulOp>(
            loc, typeOf({m, n}, b.getBF16Type()), args[0], args[1], n);
        value = b.create<CastOp>(loc, f32, value);
        return SmallVector<Value>{b.create<AddOp>(loc, f32, value, args[3])};
      },
      +[] { return std::max(measurePeak(), measureBfloatPeak()); });
}

void bench::benchBytes(Harness &harness) {
  using Bytes = Buffer::Bytes;
  for (Bytes lhs : {Bytes::Unsigned, Bytes::Signed}) {
    benchProduct(harness, lhs, 128, 768, 768, 1);
    benchProduct(harness, lhs, 128, 3072, 768, 1);
    benchProduct(harness, lhs, 128, 768, 3072, 1);
  }
  benchProduct(harness, Bytes::Unsigned, 128, 768, 768, 1, true);
  benchProduct(harness, Bytes::Unsigned, 128, 768, 768, 48);
  for (int64_t m : {1, 4})
    benchProduct(harness, Bytes::Unsigned, m, 768, 3072, 24);
  benchBfloats(harness, 128, 768, 768);
  benchBfloats(harness, 128, 3072, 768);
  benchBfloats(harness, 128, 768, 3072);
  for (int64_t bits : {8, 4}) {
    benchWeights(harness, bits, 32, 128, 768, 768, 1);
    benchWeights(harness, bits, 32, 128, 3072, 768, 1);
    for (int64_t m : {1, 4}) {
      benchWeights(harness, bits, 32, m, 768, 3072, 1);
      benchWeights(harness, bits, 32, m, 768, 3072, 24);
      benchWeights(harness, bits, 0, m, 768, 3072, 24);
    }
  }
}
