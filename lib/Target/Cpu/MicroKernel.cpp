//===- MicroKernel.cpp - The outer-product microkernel --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MicroKernel.h"
#include <cmath>

using namespace lathe;
using namespace lathe::cpu;

int64_t cpu::getLargestRows(const CpuFeatures &features, int64_t vectors,
                            const Arithmetic &arithmetic) {
  int64_t rows =
      (features.vectorRegisters - arithmetic.getRegisters(vectors)) / vectors;
  return std::max<int64_t>(1, std::min<int64_t>(rows, 14));
}

bool cpu::rowsCollide(ArrayRef<int64_t> rowOffsets) {
  constexpr int64_t line = 64, sets = 64, ways = 8;
  llvm::SmallDenseSet<int64_t> lines;
  llvm::SmallDenseMap<int64_t, int64_t> linesOfSet;
  return llvm::any_of(rowOffsets, [&](int64_t offset) {
    return lines.insert(offset / line).second &&
           ++linesOfSet[offset / line % sets] > ways;
  });
}

//===----------------------------------------------------------------------===//
// Arithmetic of f32
//===----------------------------------------------------------------------===//

const Arithmetic cpu::floatArithmetic;

SmallVector<Value> Arithmetic::loadB(ImplicitLocOpBuilder &b, int64_t width,
                                     Value buffer, Value index,
                                     Value mask) const {
  return {loadVector(b, buffer, index, width, mask)};
}

SmallVector<Value> Arithmetic::loadA(ImplicitLocOpBuilder &b, int64_t width,
                                     Value buffer, Value index, int64_t) const {
  return {loadSplat(b, buffer, index, width)};
}

Value Arithmetic::multiplyAdd(ImplicitLocOpBuilder &b, ArrayRef<Value> lhs,
                              ArrayRef<Value> rhs, Value sum) const {
  return emitMultiplyAdd(b, lhs[0], rhs[0], sum);
}

//===----------------------------------------------------------------------===//
// Product
//===----------------------------------------------------------------------===//

/// Steps of k in one iteration of the loop.
static constexpr int64_t unroll = 4;
/// Elements of what is fetched ahead in a cache line.
static int64_t getLineElements(const Product &product) {
  Value source = product.aheadSource ? product.aheadSource : product.b;
  return 512 / cast<MemRefType>(source.getType()).getElementTypeBitWidth();
}

static int64_t getLinesPerIteration(const Product &product) {
  return std::ceil(product.aheadLines * unroll);
}

int64_t Product::getAheadStep() const {
  return getLinesPerIteration(*this) * getLineElements(*this) / unroll;
}

void Product::setUniform(int64_t rows, int64_t rowStride, int64_t vectors) {
  rowOffsets.clear();
  vectorOffsets.clear();
  for (int64_t row = 0; row < rows; ++row)
    rowOffsets.push_back(row * rowStride);
  for (int64_t v = 0; v < vectors; ++v)
    vectorOffsets.push_back(v * width);
}

SmallVector<Value> Product::emitZeros(ImplicitLocOpBuilder &builder) const {
  auto type = VectorType::get(width, arithmetic->getSumType(builder));
  Value zero = builder.create<arith::ConstantOp>(builder.getZeroAttr(type));
  return SmallVector<Value>(rowOffsets.size() * vectorOffsets.size(), zero);
}

SmallVector<Value> Product::emit(ImplicitLocOpBuilder &builder,
                                 ArrayRef<Value> accumulators) const {
  // One step of k: `aBase` and `bBase` are the indices at some k, `u` is how
  // far beyond it this step stands.
  auto emitStep = [&](Value aBase, Value bBase, int64_t u,
                      SmallVector<Value> &acc, int64_t valid) {
    size_t rows = rowOffsets.size(), vectors = vectorOffsets.size();
    auto loadRow = [&](size_t r) {
      Value at = addIndex(builder, aBase, rowOffsets[r] + u * aStep);
      return arithmetic->loadA(builder, width, a, at, valid);
    };
    auto loadVector = [&](size_t v) {
      return arithmetic->loadB(
          builder, width, b,
          addIndex(builder, bBase, vectorOffsets[v] + u * bStep),
          masks.empty() ? Value() : masks[v]);
    };
    auto add = [&](size_t r, size_t v, ArrayRef<Value> row,
                   ArrayRef<Value> vector) {
      Value &sum = acc[r * vectors + v];
      sum = arithmetic->multiplyAdd(builder, row, vector, sum);
    };
    // What there is less of waits in registers.
    if (rows < vectors) {
      SmallVector<SmallVector<Value>> all;
      for (size_t r = 0; r < rows; ++r)
        all.push_back(loadRow(r));
      for (size_t v = 0; v < vectors; ++v) {
        SmallVector<Value> vector = loadVector(v);
        for (size_t r = 0; r < rows; ++r)
          add(r, v, all[r], vector);
      }
      return;
    }
    SmallVector<SmallVector<Value>> all;
    for (size_t v = 0; v < vectors; ++v)
      all.push_back(loadVector(v));
    for (size_t r = 0; r < rows; ++r) {
      SmallVector<Value> row = loadRow(r);
      for (size_t v = 0; v < vectors; ++v)
        add(r, v, row, all[v]);
    }
  };
  int64_t whole = arithmetic->getStep();

  SmallVector<Value> acc(accumulators);
  auto emitLoop = [&](Value begin, Value end, int64_t step, int64_t lines) {
    acc = emitFor(
        builder, begin, end, step, acc, [&](Value k, ValueRange carried) {
          SmallVector<Value> next(carried);
          Value aBase = addIndex(builder, aIndex, mulIndex(builder, k, aStep));
          Value bBase = addIndex(builder, bIndex, mulIndex(builder, k, bStep));
          for (int64_t line = 0; line < lines; ++line) {
            Value at = addIndex(builder, aheadIndex,
                                mulIndex(builder, k, getAheadStep()));
            builder.create<memref::PrefetchOp>(
                aheadSource ? aheadSource : b,
                ValueRange(
                    addIndex(builder, at, line * getLineElements(*this))),
                /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
          }
          for (int64_t u = 0; u < step; ++u)
            emitStep(aBase, bBase, u, next, whole);
          return next;
        });
  };
  int64_t lines = aheadIndex ? getLinesPerIteration(*this) : 0;
  if (depthValue) {
    Value looped = depthValue;
    if (depth % unroll)
      looped = mulIndex(builder, divIndex(builder, looped, unroll), unroll);
    emitLoop(indexConstant(builder, 0), looped, unroll, lines);
    if (depth % unroll)
      emitLoop(looped, depthValue, 1, 0);
    return acc;
  }
  int64_t looped = depth <= 2 * unroll ? 0 : depth / unroll * unroll;
  if (looped)
    emitLoop(indexConstant(builder, 0), indexConstant(builder, looped), unroll,
             lines);
  for (int64_t k = looped; k < depth; ++k)
    emitStep(aIndex, bIndex, k, acc, whole);
  if (tail)
    emitStep(aIndex, bIndex, depth, acc, tail);
  return acc;
}

SmallVector<Value> Product::emitRowSums(ImplicitLocOpBuilder &builder,
                                        ArrayRef<Value> sums) const {
  auto addRows = [&](Value base, ArrayRef<Value> carried, auto add) {
    SmallVector<Value> next;
    for (auto [offset, sum] : llvm::zip_equal(rowOffsets, carried))
      next.push_back(add(addIndex(builder, base, offset), sum));
    return next;
  };
  auto addLoop = [&](int64_t begin, int64_t end, int64_t step, auto add) {
    SmallVector<Value> carried(sums);
    if (begin == end)
      return carried;
    return emitFor(
        builder, indexConstant(builder, begin), indexConstant(builder, end),
        step, carried, [&](Value k, ValueRange values) {
          Value base = addIndex(builder, aIndex, mulIndex(builder, k, aStep));
          return addRows(base, SmallVector<Value>(values), add);
        });
  };
  int64_t vectors = depth / width * width;
  SmallVector<Value> result =
      addLoop(0, vectors, width, [&](Value at, Value s) {
        return arithmetic->addElements(builder, a, at, s);
      });
  sums = result;
  auto addStep = [&](Value at, Value sum) {
    return arithmetic->addStep(builder, a, at, arithmetic->getStep(), sum);
  };
  SmallVector<Value> steps = addLoop(vectors, depth, 1, addStep);
  if (!tail)
    return steps;
  return addRows(addIndex(builder, aIndex, depth * aStep), steps,
                 [&](Value at, Value sum) {
                   return arithmetic->addStep(builder, a, at, tail, sum);
                 });
}

SmallVector<Value> Product::emitStarts(ImplicitLocOpBuilder &builder,
                                       Loop loop) const {
  SmallVector<Value> zeros = emitZeros(builder);
  if (arithmetic->getRowSumFactor() == 0)
    return zeros;
  SmallVector<Value> makeUps =
      loop(ArrayRef(zeros).take_front(rowOffsets.size()),
           [&](const Product &product, ArrayRef<Value> carried) {
             return product.emitRowSums(builder, carried);
           });
  for (Value &value : makeUps)
    value = emitMakeUp(builder, value);
  return emitStarts(builder, makeUps);
}

Value Product::emitMakeUp(ImplicitLocOpBuilder &builder, Value lanes) const {
  Value total =
      builder.create<vector::ReductionOp>(vector::CombiningKind::ADD, lanes);
  Value factor = builder.create<arith::ConstantOp>(
      builder.getIntegerAttr(total.getType(), arithmetic->getRowSumFactor()));
  return builder.create<arith::MulIOp>(total, factor);
}

SmallVector<Value> Product::emitStarts(ImplicitLocOpBuilder &builder,
                                       ArrayRef<Value> makeUps) const {
  auto type = VectorType::get(width, arithmetic->getSumType(builder));
  SmallVector<Value> starts;
  for (Value value : makeUps)
    starts.append(vectorOffsets.size(),
                  builder.create<vector::BroadcastOp>(type, value));
  return starts;
}

//===----------------------------------------------------------------------===//
// Panel copies
//===----------------------------------------------------------------------===//

/// Transposes `rows.size()` vectors of as many lanes: in step `s`, lanes with
/// bit `s` trade places with the partner row's.
static void transpose(ImplicitLocOpBuilder &b, SmallVector<Value> &rows) {
  int64_t width = rows.size();
  for (int64_t s = 1; s < width; s *= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t lane = 0; lane < width; ++lane) {
      low.push_back(lane & s ? width + lane - s : lane);
      high.push_back(lane & s ? width + lane : lane + s);
    }
    for (int64_t i = 0; i < width; ++i) {
      if (i & s)
        continue;
      Value first = rows[i], second = rows[i + s];
      rows[i] = b.create<vector::ShuffleOp>(first, second, low);
      rows[i + s] = b.create<vector::ShuffleOp>(first, second, high);
    }
  }
}

void PanelCopy::emit(ImplicitLocOpBuilder &builder) const {
  auto scaled = [&](Value value) -> Value {
    if (!scale)
      return value;
    Value factor = scale;
    if (isa<VectorType>(value.getType()))
      factor = builder.create<vector::BroadcastOp>(value.getType(), factor);
    return builder.create<arith::MulFOp>(value, factor);
  };
  Value zero = indexConstant(builder, 0);
  Value end = depthValue ? depthValue : indexConstant(builder, depth);

  if (columnStride == 1) {
    SmallVector<Value> masks;
    for (int64_t c = 0; c < columns; c += width)
      masks.push_back(
          emitMask(builder, addIndex(builder, validColumns, -c), width));
    emitFor(builder, zero, end, 1, [&](Value k) {
      Value from = addIndex(builder, index, mulIndex(builder, k, kStride));
      Value to = mulIndex(builder, k, panelStride);
      for (int64_t c = 0; c < columns; c += width) {
        Value row = loadVector(builder, source, addIndex(builder, from, c),
                               width, masks[c / width]);
        builder.create<vector::StoreOp>(scaled(row), panel,
                                        addIndex(builder, to, c));
      }
    });
    return;
  }

  // Columns beyond the valid ones repeat the last valid one.
  Value last = addIndex(builder, validColumns, -1);
  auto emitScalars = [&] {
    emitFor(builder, zero, indexConstant(builder, columns), 1, [&](Value c) {
      Value from =
          addIndex(builder, index,
                   mulIndex(builder, minIndex(builder, c, last), columnStride));
      emitFor(builder, zero, end, 1, [&](Value k) {
        Value element = widenFloat(
            builder, builder.create<memref::LoadOp>(
                         source, addIndex(builder, from,
                                          mulIndex(builder, k, kStride))));
        builder.create<memref::StoreOp>(
            scaled(element), panel,
            addIndex(builder, c, mulIndex(builder, k, panelStride)));
      });
    });
  };
  if (kStride != 1 || depth < width)
    return emitScalars();
  emitFor(builder, zero, indexConstant(builder, columns), width, [&](Value c) {
    SmallVector<Value> from;
    for (int64_t lane = 0; lane < width; ++lane)
      from.push_back(addIndex(
          builder, index,
          mulIndex(builder, minIndex(builder, addIndex(builder, c, lane), last),
                   columnStride)));
    auto emitBlock = [&](Value k) {
      SmallVector<Value> rows;
      for (Value base : from)
        rows.push_back(scaled(
            loadVector(builder, source, addIndex(builder, base, k), width)));
      transpose(builder, rows);
      Value to = addIndex(builder, c, mulIndex(builder, k, panelStride));
      for (auto [i, row] : llvm::enumerate(rows))
        builder.create<vector::StoreOp>(row, panel,
                                        addIndex(builder, to, i * panelStride));
    };
    Value whole = mulIndex(builder, divIndex(builder, end, width), width);
    emitFor(builder, zero, whole, width, emitBlock);
    // What is left, with some of those before once more.
    if (depth % width)
      emitBlock(addIndex(builder, end, -width));
  });
}
