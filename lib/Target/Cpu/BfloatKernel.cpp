//===- BfloatKernel.cpp - Products of pairs of bf16 -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BfloatKernel.h"
#include "IntegerKernel.h"

using namespace lathe;
using namespace lathe::cpu;

std::pair<Value, Value> cpu::loadPairs(ImplicitLocOpBuilder &b, Value buffer,
                                       Value index, int64_t width) {
  auto lanes = VectorType::get(width, b.getI32Type());
  auto floats = VectorType::get(width, b.getF32Type());
  Value pairs = b.create<vector::LoadOp>(
      VectorType::get(2 * width, b.getBF16Type()), buffer, index);
  Value bits = b.create<vector::BitCastOp>(lanes, pairs);
  Value first = b.create<arith::ShLIOp>(bits, splatConstant(b, lanes, 16));
  Value second = b.create<arith::AndIOp>(
      bits, splatConstant(b, lanes, int32_t(0xffff0000)));
  return {b.create<arith::BitcastOp>(floats, first),
          b.create<arith::BitcastOp>(floats, second)};
}

namespace {
class PairArithmetic : public Arithmetic {
public:
  int64_t getRegisters(int64_t vectors) const override {
    return 2 * vectors + 1;
  }
  int64_t getStep() const override { return 2; }
  SmallVector<Value> loadB(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, Value) const override {
    auto [first, second] = loadPairs(b, buffer, index, width);
    return {first, second};
  }
  SmallVector<Value> loadA(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, int64_t valid) const override {
    SmallVector<Value> result;
    for (int64_t i = 0; i < valid; ++i)
      result.push_back(loadSplat(b, buffer, addIndex(b, index, i), width));
    return result;
  }
  Value multiplyAdd(ImplicitLocOpBuilder &b, ArrayRef<Value> lhs,
                    ArrayRef<Value> rhs, Value sum) const override {
    // Behind the depth there is no second one.
    for (auto [l, r] : llvm::zip(lhs, rhs))
      sum = emitMultiplyAdd(b, l, r, sum);
    return sum;
  }
};

class DotArithmetic : public Arithmetic {
public:
  int64_t getStep() const override { return 2; }
  SmallVector<Value> loadB(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, Value) const override {
    return {b.create<vector::LoadOp>(getPairs(b, width), buffer, index)};
  }
  SmallVector<Value> loadA(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, int64_t valid) const override {
    auto bits = VectorType::get(1, b.getI32Type());
    Value pair;
    if (valid == 2) {
      pair = b.create<vector::LoadOp>(getPairs(b, 1), buffer, index);
      pair = b.create<vector::BitCastOp>(bits, pair);
      pair = b.create<vector::ExtractOp>(pair, 0);
    } else {
      // Behind the depth there is nothing to read: the second one is 0.
      pair = b.create<memref::LoadOp>(buffer, index);
      pair = b.create<arith::BitcastOp>(b.getI16Type(), pair);
      pair = b.create<arith::ExtUIOp>(b.getI32Type(), pair);
    }
    pair = b.create<vector::BroadcastOp>(VectorType::get(width, b.getI32Type()),
                                         pair);
    return {b.create<vector::BitCastOp>(getPairs(b, width), pair)};
  }
  Value multiplyAdd(ImplicitLocOpBuilder &b, ArrayRef<Value> lhs,
                    ArrayRef<Value> rhs, Value sum) const override {
    return callIntrinsic(b, "llvm.x86.avx512bf16.dpbf16ps.512", sum.getType(),
                         {sum, lhs[0], rhs[0]});
  }

private:
  static VectorType getPairs(ImplicitLocOpBuilder &b, int64_t width) {
    return VectorType::get(2 * width, b.getBF16Type());
  }
};
} // namespace

static const PairArithmetic kPairArithmetic;
const Arithmetic &cpu::pairArithmetic = kPairArithmetic;
static const DotArithmetic kDotArithmetic;
const Arithmetic &cpu::dotArithmetic = kDotArithmetic;

void cpu::emitPairsCopy(ImplicitLocOpBuilder &b, Value source, Value index,
                        int64_t depth, int64_t columns, int64_t width,
                        Value panel) {
  auto emitPair = [&](Value pair, bool hasSecond) {
    Value from = addIndex(b, index, mulIndex(b, pair, 2 * panelColumns));
    Value to = mulIndex(b, pair, 2 * columns);
    for (int64_t c = 0; c < columns; c += width) {
      auto [first, second] =
          loadPairs(b, source, addIndex(b, from, 2 * c), width);
      storeVector(b, first, panel, addIndex(b, to, c));
      if (hasSecond)
        storeVector(b, second, panel, addIndex(b, to, columns + c));
    }
  };
  emitFor(b, indexConstant(b, 0), indexConstant(b, depth / 2), 1,
          [&](Value pair) { emitPair(pair, true); });
  if (depth % 2)
    emitPair(indexConstant(b, depth / 2), false);
}
