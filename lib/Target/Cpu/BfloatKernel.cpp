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
} // namespace

static const PairArithmetic kPairArithmetic;
const Arithmetic &cpu::pairArithmetic = kPairArithmetic;

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
