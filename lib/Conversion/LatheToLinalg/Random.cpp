//===- Random.cpp - Philox numbers to linalg ----------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011). Element i uses word i % 4 of the block with counter
// (i / 4, stream), low words first, and the 64-bit key seed ^ mix(step), where
// mix is the finalizer of SplitMix64.
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"

#include "mlir/Dialect/Math/IR/Math.h"

namespace lathe {
namespace {

struct Words {
  Value word[4];
};

Value lowWord(ElementBuilder &b, Value x) {
  return b.create<arith::TruncIOp>(b.getI32Type(), x);
}
Value highWord(ElementBuilder &b, Value x) {
  return lowWord(b, b.create<arith::ShRUIOp>(x, b.integer(32, x.getType())));
}

Value mixStep(ElementBuilder &b, Value x) {
  Type type = x.getType();
  auto fold = [&](int64_t shift) {
    x = b.create<arith::XOrIOp>(
        x, b.create<arith::ShRUIOp>(x, b.integer(shift, type)));
  };
  fold(30);
  x = b.mul(x, b.integer(int64_t(0xBF58476D1CE4E5B9), type));
  fold(27);
  x = b.mul(x, b.integer(int64_t(0x94D049BB133111EB), type));
  fold(31);
  return x;
}

/// The block of four words with number `block` (i64).
Words philox(ElementBuilder &b, Value block, int64_t stream, Value key) {
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  auto constant = [&](uint32_t value) {
    return b.integer(int64_t(value), i32);
  };
  Words c{{lowWord(b, block), highWord(b, block), constant(uint32_t(stream)),
           constant(uint32_t(uint64_t(stream) >> 32))}};
  Value k0 = lowWord(b, key), k1 = highWord(b, key);
  auto product = [&](uint32_t factor, Value x) {
    return b.mul(b.create<arith::ExtUIOp>(i64, x),
                 b.integer(int64_t(factor), i64));
  };
  auto exclusive = [&](Value x, Value y, Value z) {
    return b.create<arith::XOrIOp>(b.create<arith::XOrIOp>(x, y), z)
        .getResult();
  };
  for (int round = 0; round < 10; ++round) {
    if (round > 0) {
      k0 = b.add(k0, constant(0x9E3779B9));
      k1 = b.add(k1, constant(0xBB67AE85));
    }
    Value p0 = product(0xD2511F53, c.word[0]);
    Value p1 = product(0xCD9E8D57, c.word[2]);
    c = Words{{exclusive(highWord(b, p1), c.word[1], k0), lowWord(b, p1),
               exclusive(highWord(b, p0), c.word[3], k1), lowWord(b, p0)}};
  }
  return c;
}

/// Row-major position of an element, as i64.
Value flatIndex(ElementBuilder &b, ValueRange indices, Shape shape) {
  Value flat = b.integer(0, b.getIndexType());
  for (auto [index, size] : llvm::zip_equal(indices, shape))
    flat = b.add(b.mul(flat, b.integer(size, b.getIndexType())), index);
  return b.create<arith::IndexCastOp>(b.getI64Type(), flat);
}

Value wordAt(ElementBuilder &b, const Words &words, Value lane) {
  Value result = words.word[0];
  for (int i = 1; i < 4; ++i)
    result = b.select(b.compare("eq", lane, b.integer(i, lane.getType())),
                      words.word[i], result);
  return result;
}

/// The top `bits` of a word as a number in [0, 1), exact in `type`.
Value fraction(ElementBuilder &b, Value word, int bits, Type type) {
  if (bits < 32)
    word = b.create<arith::ShRUIOp>(word, b.integer(32 - bits, word.getType()));
  Value number = b.create<arith::UIToFPOp>(type, word);
  return b.mul(number, b.number(1.0 / double(int64_t(1) << bits), type));
}

/// Calls `make` with the words of each element, its lane and the type to
/// compute in, and converts what it returns.
template <typename OpTy>
LogicalResult lowerRandom(
    Lowering &l, OpTy op,
    function_ref<Value(ElementBuilder &, const Words &, Value lane, Type type)>
        make) {
  Value key = l.get(op.getKey());
  Type element = Lowering::element(op.getResult());
  RankedTensorType type = Lowering::storageType(op.getResult());
  Type computing = getAccumulatorType(element);
  Value result = l.compute(type, [&](ElementBuilder &b, ValueRange indices) {
    auto keyWord = [&](int64_t i) -> Value {
      Value at = b.integer(i, b.getIndexType());
      return b.create<tensor::ExtractOp>(key, ValueRange{at});
    };
    Value mixed = b.create<arith::XOrIOp>(keyWord(0), mixStep(b, keyWord(1)));
    Value flat = flatIndex(b, indices, type.getShape());
    Value block = b.create<arith::ShRUIOp>(flat, b.integer(2, flat.getType()));
    Value lane = b.logicalAnd(flat, b.integer(3, flat.getType()));
    Words words = philox(b, block, op.getStream(), mixed);
    return b.narrow(make(b, words, lane, computing), element);
  });
  l.set(op.getResult(), result);
  return success();
}

LogicalResult lowerUniform(Lowering &l, RandomUniformOp op) {
  Type element = Lowering::element(op.getResult());
  // As many bits as the type holds, so that rounding never reaches 1.
  int bits = element.isF64()   ? 32
             : element.isF32() ? 24
             : element.isF16() ? 11
                               : 8;
  double low = op.getLow().convertToDouble();
  double span = op.getHigh().convertToDouble() - low;
  return lowerRandom(
      l, op, [&](ElementBuilder &b, const Words &words, Value lane, Type type) {
        Value u = fraction(b, wordAt(b, words, lane), bits, type);
        return b.add(b.mul(u, b.number(span, type)), b.number(low, type));
      });
}

LogicalResult lowerNormal(Lowering &l, RandomNormalOp op) {
  double mean = op.getMean().convertToDouble();
  double stddev = op.getStddev().convertToDouble();
  return lowerRandom(
      l, op, [&](ElementBuilder &b, const Words &words, Value lane, Type type) {
        // Box-Muller on the pair the lane belongs to: even lanes take the
        // cosine, odd ones the sine.
        int bits = type.isF64() ? 32 : 24;
        Value second = b.compare("ge", lane, b.integer(2, lane.getType()));
        Value a = b.select(second, words.word[2], words.word[0]);
        Value c = b.select(second, words.word[3], words.word[1]);
        // (0, 1]: the logarithm stays finite.
        Value u = b.add(fraction(b, a, bits, type),
                        b.number(1.0 / double(int64_t(1) << bits), type));
        Value angle = b.mul(fraction(b, c, bits, type),
                            b.number(6.283185307179586, type));
        Value radius = b.create<math::SqrtOp>(
            b.mul(b.create<math::LogOp>(u), b.number(-2, type)));
        Value odd =
            b.compare("ne", b.logicalAnd(lane, b.integer(1, lane.getType())),
                      b.zero(lane.getType()));
        Value wave = b.select(odd, b.create<math::SinOp>(angle),
                              b.create<math::CosOp>(angle));
        return b.add(b.mul(b.mul(radius, wave), b.number(stddev, type)),
                     b.number(mean, type));
      });
}

} // namespace

void addRandomLowerings(LoweringTable &table) {
  addLowering<RandomUniformOp>(table, lowerUniform);
  addLowering<RandomNormalOp>(table, lowerNormal);
}

} // namespace lathe
