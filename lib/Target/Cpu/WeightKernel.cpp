//===- WeightKernel.cpp - f32 by weights of 8 or 4 bits -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightKernel.h"
#include "IntegerKernel.h"

using namespace lathe;
using namespace lathe::cpu;

namespace {
class WeightArithmetic : public Arithmetic {
public:
  /// `aStride` is the distance of A's elements along the depth.
  WeightArithmetic(bool halves, int64_t aStride)
      : halves(halves), aStride(aStride) {}

  int64_t getRegisters(int64_t) const override { return 8; }
  int64_t getStep() const override { return halves ? 2 : 1; }

  SmallVector<Value> loadB(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, Value) const override {
    auto lanes = VectorType::get(width, b.getI32Type());
    auto floats = VectorType::get(width, b.getF32Type());
    Type stored = cast<MemRefType>(buffer.getType()).getElementType();
    if (isa<FloatType>(stored))
      return {loadVector(b, buffer, index, width)};
    Value bytes =
        b.create<vector::LoadOp>(VectorType::get(width, stored), buffer, index);
    if (!halves)
      return {b.create<arith::SIToFPOp>(
          floats, b.create<arith::ExtSIOp>(lanes, bytes))};
    Value low = b.create<arith::ExtUIOp>(lanes, bytes);
    Value high = b.create<arith::ShRUIOp>(low, splatConstant(b, lanes, 4));
    auto convert = [&](Value half) -> Value {
      if (width == 16) {
        // A table of 16 numbers is one register; indices are taken modulo 16.
        SmallVector<float> numbers;
        for (int i = 0; i < 16; ++i)
          numbers.push_back(i - 8);
        Value table = b.create<arith::ConstantOp>(
            DenseElementsAttr::get(floats, ArrayRef<float>(numbers)));
        return callIntrinsic(b, "llvm.x86.avx512.permvar.sf.512", floats,
                             {table, half});
      }
      half = b.create<arith::AndIOp>(half, splatConstant(b, lanes, 15));
      half = b.create<arith::SubIOp>(half, splatConstant(b, lanes, 8));
      return b.create<arith::SIToFPOp>(floats, half);
    };
    return {convert(low), convert(high)};
  }

  SmallVector<Value> loadA(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, int64_t valid) const override {
    SmallVector<Value> result =
        Arithmetic::loadA(b, width, buffer, index, valid);
    // Behind an odd depth stands a weight of 0.
    if (halves && valid == 1)
      result.push_back(b.create<arith::ConstantOp>(
          b.getZeroAttr(VectorType::get(width, b.getF32Type()))));
    else if (halves)
      result.append(Arithmetic::loadA(b, width, buffer,
                                      addIndex(b, index, aStride), valid));
    return result;
  }

  Value multiplyAdd(ImplicitLocOpBuilder &b, ArrayRef<Value> lhs,
                    ArrayRef<Value> rhs, Value sum) const override {
    for (auto [l, r] : llvm::zip_equal(lhs, rhs))
      sum = emitMultiplyAdd(b, l, r, sum);
    return sum;
  }

private:
  bool halves;
  int64_t aStride;
};
} // namespace

std::unique_ptr<Arithmetic>
cpu::getWeightArithmetic(const CpuFeatures &features, const Contraction &c) {
  return std::make_unique<WeightArithmetic>(
      c.kind == Contraction::Kind::Weights4, c.aDepthStride);
}

/// Where the scales of a column start, and the elements of a panel of scales.
static Value emitScaleIndex(ImplicitLocOpBuilder &b, const Contraction &c,
                            Value column) {
  int64_t panel = llvm::divideCeil(c.depth, c.group) * panelColumns;
  return addIndex(b, mulIndex(b, divIndex(b, column, panelColumns), panel),
                  remIndex(b, column, panelColumns));
}

void cpu::emitWeightCopy(ImplicitLocOpBuilder &b, const Contraction &c,
                         const KernelFrame &frame, const Arithmetic &arithmetic,
                         Value column, int64_t columns, Value panel,
                         int64_t width) {
  Value source = frame.inputs[c.b.argument],
        scales = frame.inputs[c.scale.argument];
  Value first =
      addIndex(b, mulIndex(b, divIndex(b, column, panelColumns), c.panelSize),
               remIndex(b, column, panelColumns));
  Value scaleIndex = emitScaleIndex(b, c, column);
  int64_t step = arithmetic.getStep();
  auto emitGroup = [&](Value group, int64_t rows) {
    SmallVector<Value> factors;
    for (int64_t v = 0; v < columns; v += width)
      factors.push_back(
          loadVector(b, scales,
                     addIndex(b, scaleIndex,
                              addIndex(b, mulIndex(b, group, panelColumns), v)),
                     width));
    Value firstRow = mulIndex(b, group, c.group);
    auto emitRows = [&](Value k, int64_t valid) {
      Value row = addIndex(b, firstRow, k);
      Value from =
          addIndex(b, first, mulIndex(b, divIndex(b, row, step), panelColumns));
      for (int64_t v = 0; v < columns; v += width) {
        SmallVector<Value> numbers =
            arithmetic.loadB(b, width, source, addIndex(b, from, v), {});
        for (int64_t i = 0; i < valid; ++i)
          b.create<vector::StoreOp>(
              b.create<arith::MulFOp>(numbers[i], factors[v / width]), panel,
              addIndex(b, mulIndex(b, addIndex(b, row, i), columns), v));
      }
    };
    int64_t whole = rows / step * step;
    emitFor(b, indexConstant(b, 0), indexConstant(b, whole), step,
            [&](Value k) { emitRows(k, step); });
    if (rows != whole)
      emitRows(indexConstant(b, whole), rows - whole);
  };
  int64_t groups = c.depth / c.group;
  emitFor(b, indexConstant(b, 0), indexConstant(b, groups), 1,
          [&](Value group) { emitGroup(group, c.group); });
  if (c.depth % c.group)
    emitGroup(indexConstant(b, groups), c.depth % c.group);
}

SmallVector<Value> cpu::emitWeightProduct(ImplicitLocOpBuilder &b,
                                          const Contraction &c,
                                          const KernelFrame &frame,
                                          Product product, Value column) {
  Value scales = frame.inputs[c.scale.argument];
  Value scaleIndex = emitScaleIndex(b, c, column);
  Value a = product.aIndex, weights = product.bIndex;
  int64_t step = product.arithmetic->getStep();
  int64_t panel = llvm::divideCeil(c.depth, c.group) * panelColumns;
  size_t vectors = product.vectorOffsets.size();
  auto emitGroup = [&](Value group, int64_t rows, ArrayRef<Value> sums) {
    product.depth = rows / step;
    product.tail = rows % step;
    product.aIndex =
        addIndex(b, a, mulIndex(b, group, c.group * c.aDepthStride));
    product.bIndex = addIndex(
        b, weights, mulIndex(b, group, c.group / step * product.bStep));
    SmallVector<Value> part = product.emit(b, product.emitZeros(b));
    for (size_t v = 0; v < vectors; ++v) {
      int64_t place = v * product.width;
      Value factor = loadVector(
          b, scales,
          addIndex(b, addIndex(b, scaleIndex, mulIndex(b, group, panelColumns)),
                   place / panelColumns * panel + place % panelColumns),
          product.width);
      for (size_t i = v; i < part.size(); i += vectors)
        part[i] = emitMultiplyAdd(b, part[i], factor, sums[i]);
    }
    return part;
  };
  SmallVector<Value> sums = product.emitZeros(b);
  int64_t groups = c.depth / c.group;
  if (groups > 1)
    sums =
        emitFor(b, indexConstant(b, 0), indexConstant(b, groups), 1, sums,
                [&](Value group, ValueRange carried) {
                  return emitGroup(group, c.group, SmallVector<Value>(carried));
                });
  else if (groups == 1)
    sums = emitGroup(indexConstant(b, 0), c.group, sums);
  if (c.depth % c.group)
    sums = emitGroup(indexConstant(b, groups), c.depth % c.group, sums);
  return sums;
}
