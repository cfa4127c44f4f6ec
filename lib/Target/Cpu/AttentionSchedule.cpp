//===- AttentionSchedule.cpp - Attention in blocks, online softmax --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A work item is one block of queries of one head. Queries stand along vector
// lanes: with Q^T packed once per item, scores are computed transposed, keys as
// rows of the microkernel straight from where they lie, so that the softmax
// over keys is vertical arithmetic, and its result is the broadcast side of the
// second product, whose other side are the values where they lie. Keys come in
// blocks; running maxima and sums are corrected from block to block (Milakov,
// Gimelshein: "Online normalizer calculation for softmax", 2018).
//
//===----------------------------------------------------------------------===//

#include "AttentionOperands.h"
#include "Epilogue.h"
#include "MicroKernel.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace lathe;
using namespace lathe::cpu;

namespace {
struct Attention : AttentionOperands {
  /// Where the log-sum-exp of every row goes; empty where nobody reads it.
  std::optional<Epilogue> logSumExp;
};

class AttentionEmitter {
public:
  AttentionEmitter(ImplicitLocOpBuilder &b, KernelFrame &frame,
                   const Attention &a, const Epilogue &epilogue,
                   const CpuFeatures &features)
      : b(b), frame(frame), a(a), epilogue(epilogue), features(features),
        queryBlocks(a.queries, features.vectorWidth), lanes(queryBlocks.lanes),
        vectors(queryBlocks.vectors), block(queryBlocks.getColumns()),
        valueVectors(llvm::divideCeil(a.width, lanes)),
        vector(VectorType::get(lanes, b.getF32Type())) {}

  int64_t emit();

private:
  /// The item at hand.
  struct Item : QueryLanes {
    Value keyBase, valueBase;
  };

  void emitItem(Value item);
  void emitKeyBlock(const Item &item, Value firstKey, int64_t keys, bool first);
  SmallVector<Value> emitScores(const Item &item, Value firstKey, int64_t keys);
  void emitWideKeys(const Item &item, Value firstKey, int64_t keys);
  void emitSoftmax(int64_t keys, ArrayRef<Value> blockMax, bool first);
  void emitValues(const Item &item, Value firstKey, int64_t keys, bool first);
  void emitResult(const Item &item);

  bool isF32(const HeadOperand &operand) const {
    return cast<MemRefType>(frame.inputs[operand.argument].getType())
        .getElementType()
        .isF32();
  }
  Value constant(double value) {
    return b.create<arith::ConstantOp>(
        vector, DenseElementsAttr::get(vector, float(value)));
  }
  Value load(Value buffer, Value index) {
    return b.create<vector::LoadOp>(vector, buffer, index);
  }
  Value load(Value buffer, int64_t index) {
    return load(buffer, indexConstant(b, index));
  }
  void store(Value value, Value buffer, Value index) {
    b.create<vector::StoreOp>(value, buffer, index);
  }
  void store(Value value, Value buffer, int64_t index) {
    store(value, buffer, indexConstant(b, index));
  }
  Value splat(Value buffer, Value index) {
    Value element = b.create<memref::LoadOp>(buffer, index);
    return b.create<vector::BroadcastOp>(vector, element);
  }

  ImplicitLocOpBuilder &b;
  KernelFrame &frame;
  const Attention &a;
  const Epilogue &epilogue;
  const CpuFeatures &features;
  QueryBlocks queryBlocks;
  int64_t lanes, vectors, block, valueVectors;
  VectorType vector;
  Tiling keyBlocks;
  /// Q^T [depth][block], scores and then weights [keys of a block][block], the
  /// result so far [block][valueVectors * lanes], and one number per query.
  Value packed, scores, sums, maxima, totals, corrections;
  /// Keys of a block in f32 [keys][depth], where they are of 16 bits.
  Value wideKeys;
};
} // namespace

int64_t AttentionEmitter::emit() {
  int64_t heads = a.batch * a.heads;
  keyBlocks = Tiling::balanced(a.keys, 256);
  if (heads * queryBlocks.tiling.count == 0 || a.width == 0)
    return 0;
  packed = frame.allocate(b, std::max<int64_t>(a.depth, 1) * block);
  scores = frame.allocate(b, std::max<int64_t>(keyBlocks.big, 1) * block);
  sums = frame.allocate(b, block * valueVectors * lanes);
  maxima = frame.allocate(b, block);
  totals = frame.allocate(b, block);
  corrections = frame.allocate(b, block);
  if (!isF32(a.k))
    wideKeys = frame.allocate(b, std::max<int64_t>(keyBlocks.big, 1) *
                                     std::max<int64_t>(a.depth, 1));
  emitFor(b, frame.begin, frame.end, 1, [&](Value item) { emitItem(item); });
  return heads * queryBlocks.tiling.count;
}

void AttentionEmitter::emitItem(Value index) {
  Item item;
  Value rest = divIndex(b, index, queryBlocks.tiling.count);
  Value head = remIndex(b, rest, a.heads), batch = divIndex(b, rest, a.heads);
  static_cast<QueryLanes &>(item) = queryBlocks.emitLanes(
      b, batch, head, remIndex(b, index, queryBlocks.tiling.count));
  Value group = divIndex(b, head, a.heads / a.groups);
  item.keyBase = a.k.emitBase(b, batch, group);
  item.valueBase = a.v.emitBase(b, batch, group);

  PanelCopy copy;
  copy.source = frame.inputs[a.q.argument];
  copy.index = addIndex(b, a.q.emitBase(b, batch, head),
                        mulIndex(b, item.firstQuery, a.q.rowStride()));
  copy.kStride = a.q.columnStride();
  copy.columnStride = a.q.rowStride();
  copy.depth = a.depth;
  copy.columns = block;
  copy.width = lanes;
  copy.validColumns = item.numQueries;
  copy.panel = packed;
  copy.panelStride = block;
  copy.scale = b.create<arith::ConstantOp>(b.getF32FloatAttr(a.scale));
  copy.emit(b);

  if (keyBlocks.count == 1 && !a.causal) {
    emitKeyBlock(item, indexConstant(b, 0), a.keys, /*first=*/true);
  } else {
    for (int64_t v = 0; v < vectors; ++v) {
      store(constant(-std::numeric_limits<float>::max()), maxima, v * lanes);
      store(constant(0), totals, v * lanes);
    }
    emitFor(b, indexConstant(b, 0),
            indexConstant(b, block * valueVectors * lanes), lanes,
            [&](Value i) { store(constant(0), sums, i); });
    emitFor(b, indexConstant(b, 0), indexConstant(b, keyBlocks.count), 1,
            [&](Value keyBlock) {
              Value firstKey = keyBlocks.emitStart(b, keyBlock);
              auto body = [&] {
                keyBlocks.emitSwitch(b, keyBlock, [&](int64_t keys) {
                  emitKeyBlock(item, firstKey, keys, /*first=*/false);
                });
              };
              if (!a.causal)
                return body();
              // Blocks that none of these queries may see are left out.
              Value end =
                  addIndex(b, addIndex(b, item.firstQuery, item.numQueries),
                           a.keys - a.queries);
              emitIf(b, lessThan(b, firstKey, end), body);
            });
  }
  emitResult(item);
}

void AttentionEmitter::emitKeyBlock(const Item &item, Value firstKey,
                                    int64_t keys, bool first) {
  SmallVector<Value> blockMax = emitScores(item, firstKey, keys);
  emitSoftmax(keys, blockMax, first);
  emitValues(item, firstKey, keys, first);
}

/// Keys are the broadcast side: widened once, not for every use.
void AttentionEmitter::emitWideKeys(const Item &item, Value firstKey,
                                    int64_t keys) {
  Value source = frame.inputs[a.k.argument];
  int64_t whole = a.k.isContiguous() ? a.depth / lanes * lanes : 0;
  emitFor(b, indexConstant(b, 0), indexConstant(b, keys), 1, [&](Value key) {
    Value from =
        addIndex(b, item.keyBase,
                 mulIndex(b, addIndex(b, firstKey, key), a.k.rowStride()));
    Value to = mulIndex(b, key, a.depth);
    for (int64_t k = 0; k < whole; k += lanes)
      storeVector(b, loadVector(b, source, addIndex(b, from, k), lanes),
                  wideKeys, addIndex(b, to, k));
    emitFor(
        b, indexConstant(b, whole), indexConstant(b, a.depth), 1, [&](Value k) {
          Value element = b.create<memref::LoadOp>(
              source, addIndex(b, from, mulIndex(b, k, a.k.columnStride())));
          storeElement(b, widenFloat(b, element), wideKeys, addIndex(b, to, k));
        });
  });
}

/// Writes the scores of `keys` keys; returns their maxima per query.
SmallVector<Value> AttentionEmitter::emitScores(const Item &item,
                                                Value firstKey, int64_t keys) {
  if (wideKeys)
    emitWideKeys(item, firstKey, keys);
  Tiling tiles = Tiling::balanced(keys, getLargestRows(features, vectors));
  SmallVector<Value> maximum(vectors,
                             constant(-std::numeric_limits<float>::max()));
  auto emitTiles = [&](int64_t begin, int64_t end, int64_t rows) {
    if (begin == end)
      return;
    maximum = emitFor(
        b, indexConstant(b, begin), indexConstant(b, end), 1, maximum,
        [&](Value tile, ValueRange carried) {
          SmallVector<Value> next(carried);
          Value row = tiles.emitStart(b, tile);
          Value key = addIndex(b, firstKey, row);
          Product product;
          product.width = lanes;
          product.depth = a.depth;
          product.setUniform(rows, a.k.rowStride(), vectors);
          product.a = frame.inputs[a.k.argument];
          product.aIndex =
              addIndex(b, item.keyBase, mulIndex(b, key, a.k.rowStride()));
          product.aStep = a.k.columnStride();
          if (wideKeys) {
            product.setUniform(rows, a.depth, vectors);
            product.a = wideKeys;
            product.aIndex = mulIndex(b, row, a.depth);
            product.aStep = 1;
          }
          product.b = packed;
          product.bIndex = indexConstant(b, 0);
          product.bStep = block;
          SmallVector<Value> result = product.emit(b, product.emitZeros(b));
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t v = 0; v < vectors; ++v) {
              Value score =
                  emitVisible(b, frame, a, item, result[r * vectors + v],
                              addIndex(b, key, r), v);
              next[v] = b.create<arith::MaxNumFOp>(next[v], score);
              Value at = mulIndex(b, addIndex(b, row, r), block);
              store(score, scores, addIndex(b, at, v * lanes));
            }
          return next;
        });
  };
  emitTiles(0, tiles.numBig, tiles.big);
  emitTiles(tiles.numBig, tiles.count, tiles.big - 1);
  return maximum;
}

/// Turns scores into weights and brings maxima and totals up to date.
void AttentionEmitter::emitSoftmax(int64_t keys, ArrayRef<Value> blockMax,
                                   bool first) {
  SmallVector<Value> maximum(blockMax), total;
  for (int64_t v = 0; v < vectors; ++v) {
    if (first) {
      if (a.logSumExp)
        store(maximum[v], maxima, v * lanes);
      total.push_back(constant(0));
      continue;
    }
    Value old = load(maxima, v * lanes);
    maximum[v] = b.create<arith::MaxNumFOp>(old, maximum[v]);
    Value correction =
        b.create<math::ExpOp>(b.create<arith::SubFOp>(old, maximum[v]));
    store(maximum[v], maxima, v * lanes);
    store(correction, corrections, v * lanes);
    total.push_back(
        b.create<arith::MulFOp>(load(totals, v * lanes), correction));
  }
  total = emitFor(b, indexConstant(b, 0), indexConstant(b, keys), 1, total,
                  [&](Value key, ValueRange carried) {
                    SmallVector<Value> next(carried);
                    for (int64_t v = 0; v < vectors; ++v) {
                      Value at =
                          addIndex(b, mulIndex(b, key, block), v * lanes);
                      Value shifted =
                          b.create<arith::SubFOp>(load(scores, at), maximum[v]);
                      Value weight = b.create<math::ExpOp>(shifted);
                      store(weight, scores, at);
                      next[v] = b.create<arith::AddFOp>(next[v], weight);
                    }
                    return next;
                  });
  for (int64_t v = 0; v < vectors; ++v)
    store(total[v], totals, v * lanes);
}

/// sums = sums * correction + weights^T x values.
void AttentionEmitter::emitValues(const Item &item, Value firstKey,
                                  int64_t keys, bool first) {
  Tiling columns = Tiling::balanced(valueVectors, 2);
  Tiling rows = Tiling::balanced(
      block, getLargestRows(features, std::max<int64_t>(columns.big, 1)));
  int64_t sumStride = valueVectors * lanes;
  emitFor(
      b, indexConstant(b, 0), indexConstant(b, columns.count), 1,
      [&](Value columnTile) {
        Value column = mulIndex(b, columns.emitStart(b, columnTile), lanes);
        emitFor(
            b, indexConstant(b, 0), indexConstant(b, rows.count), 1,
            [&](Value rowTile) {
              Value row = rows.emitStart(b, rowTile);
              rows.emitSwitch(b, rowTile, [&](int64_t numRows) {
                columns.emitSwitch(b, columnTile, [&](int64_t numVectors) {
                  Product product;
                  product.width = lanes;
                  product.depth = keys;
                  product.setUniform(numRows, 1, numVectors);
                  product.a = scores;
                  product.aIndex = row;
                  product.aStep = block;
                  product.b = frame.inputs[a.v.argument];
                  product.bIndex =
                      addIndex(b, addIndex(b, item.valueBase, column),
                               mulIndex(b, firstKey, a.v.rowStride()));
                  product.bStep = a.v.rowStride();
                  if (a.width % lanes)
                    for (int64_t v = 0; v < numVectors; ++v)
                      product.masks.push_back(
                          emitMask(b,
                                   b.createOrFold<arith::SubIOp>(
                                       indexConstant(b, a.width),
                                       addIndex(b, column, v * lanes)),
                                   lanes));
                  SmallVector<Value> result = product.emitZeros(b);
                  auto at = [&](int64_t r, int64_t v) {
                    Value line = mulIndex(b, addIndex(b, row, r), sumStride);
                    return addIndex(b, addIndex(b, line, column), v * lanes);
                  };
                  if (!first)
                    for (int64_t r = 0; r < numRows; ++r)
                      for (int64_t v = 0; v < numVectors; ++v)
                        result[r * numVectors + v] = b.create<arith::MulFOp>(
                            load(sums, at(r, v)),
                            splat(corrections, addIndex(b, row, r)));
                  result = product.emit(b, result);
                  for (int64_t r = 0; r < numRows; ++r)
                    for (int64_t v = 0; v < numVectors; ++v)
                      store(result[r * numVectors + v], sums, at(r, v));
                });
              });
            });
      });
}

void AttentionEmitter::emitResult(const Item &item) {
  // A query that sees nothing has a total of zero and gives zeros.
  for (int64_t v = 0; v < vectors; ++v) {
    Value total = load(totals, v * lanes);
    Value none =
        b.create<arith::CmpFOp>(arith::CmpFPredicate::OEQ, total, constant(0));
    Value inverse = b.create<arith::DivFOp>(constant(1), total);
    store(b.create<arith::SelectOp>(none, constant(0), inverse), corrections,
          v * lanes);
    if (!a.logSumExp)
      continue;
    Value sum = b.create<arith::AddFOp>(load(maxima, v * lanes),
                                        b.create<math::LogOp>(total));
    a.logSumExp->emitVector(
        b, frame, b.create<arith::SelectOp>(none, constant(0), sum),
        {item.batch, item.head, addIndex(b, item.firstQuery, v * lanes)},
        item.valid[v]);
  }
  emitFor(b, indexConstant(b, 0), item.numQueries, 1, [&](Value row) {
    Value inverse = splat(corrections, row);
    for (int64_t v = 0; v < valueVectors; ++v) {
      Value at = addIndex(b, mulIndex(b, row, valueVectors * lanes), v * lanes);
      Value result = b.create<arith::MulFOp>(load(sums, at), inverse);
      Value mask;
      if ((v + 1) * lanes > a.width)
        mask = emitMask(b, indexConstant(b, a.width - v * lanes), lanes);
      epilogue.emitVector(b, frame, result,
                          {item.batch, item.head,
                           addIndex(b, item.firstQuery, row),
                           indexConstant(b, v * lanes)},
                          mask);
    }
  });
}

FailureOr<LoweredKernel>
cpu::scheduleAttention(KernelOp kernel, ModuleOp module, StringRef symbol,
                       const CpuFeatures &features, std::string &whyNot) {
  FailureOr<KernelViews> views =
      KernelViews::get(kernel, AttentionSizes::isForward, whyNot);
  if (failed(views))
    return failure();
  Attention a;
  if (!a.read(*views, /*maskIndex=*/3, whyNot))
    return failure();
  if (!a.v.isContiguous()) {
    whyNot = "the values are not contiguous along the head";
    return failure();
  }
  FailureOr<Epilogue> logSumExp =
      Epilogue::get(*views, {a.batch, a.heads, a.queries}, features.vectorWidth,
                    whyNot, /*result=*/1);
  if (failed(logSumExp))
    return failure();
  if (!logSumExp->isEmpty())
    a.logSumExp = *logSumExp;
  return emitAnchored<AttentionEmitter>(
      kernel, *views, module, symbol, features, a,
      {a.batch, a.heads, a.queries, a.width}, whyNot);
}
