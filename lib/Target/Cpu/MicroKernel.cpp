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

int64_t cpu::getLargestRows(const CpuFeatures &features, int64_t vectors) {
  // One register holds the broadcast element of A.
  int64_t rows = (features.vectorRegisters - vectors - 1) / vectors;
  return std::max<int64_t>(1, std::min<int64_t>(rows, 14));
}

//===----------------------------------------------------------------------===//
// Product
//===----------------------------------------------------------------------===//

/// Steps of k in one iteration of the loop.
static constexpr int64_t unroll = 4;
/// f32 in a cache line.
static constexpr int64_t lineElements = 16;

static int64_t getLinesPerIteration(const Product &product) {
  return std::ceil(product.aheadLines * unroll);
}

int64_t Product::getAheadStep() const {
  return getLinesPerIteration(*this) * lineElements / unroll;
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
  auto type = VectorType::get(width, builder.getF32Type());
  Value zero = builder.create<arith::ConstantOp>(
      type, DenseElementsAttr::get(type, 0.0f));
  return SmallVector<Value>(rowOffsets.size() * vectorOffsets.size(), zero);
}

SmallVector<Value> Product::emit(ImplicitLocOpBuilder &builder,
                                 ArrayRef<Value> accumulators) const {
  auto type = VectorType::get(width, builder.getF32Type());
  Value zero;
  if (!masks.empty())
    zero = builder.create<arith::ConstantOp>(
        type, DenseElementsAttr::get(type, 0.0f));

  // One step of k: `aBase` and `bBase` are the indices at some k, `u` is how
  // far beyond it this step stands.
  auto emitStep = [&](Value aBase, Value bBase, int64_t u,
                      SmallVector<Value> &acc) {
    SmallVector<Value> bVectors;
    for (auto [v, offset] : llvm::enumerate(vectorOffsets)) {
      Value at = addIndex(builder, bBase, offset + u * bStep);
      bVectors.push_back(
          masks.empty()
              ? builder.create<vector::LoadOp>(type, b, at).getResult()
              : builder
                    .create<vector::MaskedLoadOp>(type, b, at, masks[v], zero)
                    .getResult());
    }
    for (auto [r, offset] : llvm::enumerate(rowOffsets)) {
      Value at = addIndex(builder, aBase, offset + u * aStep);
      Value element = builder.create<memref::LoadOp>(a, at);
      Value row = builder.create<vector::BroadcastOp>(type, element);
      for (auto [v, bVector] : llvm::enumerate(bVectors)) {
        Value &sum = acc[r * bVectors.size() + v];
        sum = emitMultiplyAdd(builder, row, bVector, sum);
      }
    }
  };

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
                b, ValueRange(addIndex(builder, at, line * lineElements)),
                /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
          }
          for (int64_t u = 0; u < step; ++u)
            emitStep(aBase, bBase, u, next);
          return next;
        });
  };
  int64_t lines = aheadIndex ? getLinesPerIteration(*this) : 0;
  if (depthValue) {
    Value whole = depthValue;
    if (depth % unroll)
      whole = mulIndex(builder, divIndex(builder, whole, unroll), unroll);
    emitLoop(indexConstant(builder, 0), whole, unroll, lines);
    if (depth % unroll)
      emitLoop(whole, depthValue, 1, 0);
    return acc;
  }
  int64_t looped = depth <= 2 * unroll ? 0 : depth / unroll * unroll;
  if (looped)
    emitLoop(indexConstant(builder, 0), indexConstant(builder, looped), unroll,
             lines);
  for (int64_t k = looped; k < depth; ++k)
    emitStep(aIndex, bIndex, k, acc);
  return acc;
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
  auto type = VectorType::get(width, builder.getF32Type());
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
    Value padding = builder.create<arith::ConstantOp>(
        type, DenseElementsAttr::get(type, 0.0f));
    emitFor(builder, zero, end, 1, [&](Value k) {
      Value from = addIndex(builder, index, mulIndex(builder, k, kStride));
      Value to = mulIndex(builder, k, panelStride);
      for (int64_t c = 0; c < columns; c += width) {
        Value row = builder.create<vector::MaskedLoadOp>(
            type, source, addIndex(builder, from, c), masks[c / width],
            padding);
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
        Value element = builder.create<memref::LoadOp>(
            source, addIndex(builder, from, mulIndex(builder, k, kStride)));
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
        rows.push_back(scaled(builder.create<vector::LoadOp>(
            type, source, addIndex(builder, base, k))));
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
