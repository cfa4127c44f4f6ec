//===- AttentionBackwardSchedule.cpp - Gradients of attention in blocks ---===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights are computed again from the log-sum-exp, a block of keys by a block
// of queries at a time, and used for all three gradients (Dao:
// "FlashAttention-2", 2023). As in the forward schedule queries stand along
// lanes: with Q^T and G^T packed (G: the cotangent), scores and the weights'
// gradients come out transposed,
//
//   P^T = exp(K Q^T - log_sum_exp),  S^T = P^T * (V G^T - delta),
//
// and are the broadcast side of dV += P^T G, dK += S^T Q and dQ += S K, whose
// other sides lie in memory as they are.
//
// A work item is a batch's key head with all queries that look at it, so that
// sums stay in one thread. Where there are few of those, items are instead
// blocks of queries (for dQ) and blocks of keys (for dK and dV), and scores are
// computed twice.
//
//===----------------------------------------------------------------------===//

#include "AttentionOperands.h"
#include "Epilogue.h"
#include "MicroKernel.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace lathe;
using namespace lathe::cpu;

/// Keys of a block.
static constexpr int64_t kKeys = 32;
/// Items below which work is cut into blocks.
static constexpr int64_t kFewItems = 8;

namespace {
struct Backward : AttentionOperands {
  HeadOperand cotangent;
  /// Per row; queries are their columns, contiguous but for delta with heads
  /// third.
  HeadOperand logSumExp, delta;
  Epilogue dQuery, dKey, dValue;

  bool read(const KernelViews &views, const CpuFeatures &features,
            std::string &whyNot);
};

/// Sums of one gradient: rows of whole vectors in the scratch.
struct Sums {
  Value buffer;
  int64_t columns, vectors;
};

class BackwardEmitter {
public:
  BackwardEmitter(ImplicitLocOpBuilder &b, KernelFrame &frame,
                  const Backward &a, const CpuFeatures &features)
      : b(b), frame(frame), a(a), features(features),
        queryBlocks(a.queries, features.vectorWidth), lanes(queryBlocks.lanes),
        vectors(queryBlocks.vectors), block(queryBlocks.getColumns()),
        keyBlocks(Tiling::balanced(a.keys, kKeys)),
        vector(VectorType::get(lanes, b.getF32Type())) {}

  int64_t emit();

private:
  /// A key head, and a block of queries of a head that looks at it.
  struct Place : QueryLanes {
    Value group, keyBase, valueBase, queryBase, cotangentBase;
    SmallVector<Value> logSumExp, delta;
  };
  /// A block of keys; its sums start at row `sumRow`.
  struct Keys {
    Value first, sumRow;
    int64_t count;
  };

  void emitGroup(Value item);
  void emitQueryItem(Value item);
  void emitKeyItem(Value item);

  Place emitPlace(Value batch, Value head, Value queryBlock);
  void emitPack(const HeadOperand &operand, Value base, int64_t depth,
                const Place &place, Value panel, double scale);
  void emitKeyBlocks(const Place &place, bool keySums);
  void emitIfSeen(const Place &place, Value firstKey, function_ref<void()> fn);
  void emitPair(const Place &place, int64_t queries, const Keys &keys,
                bool querySums, bool keySums);
  void emitScores(const HeadOperand &rows, Value base, int64_t depth,
                  const Keys &keys, Value panel, Value into);
  void emitWeights(const Place &place, const Keys &keys);
  void emitAccumulate(const Sums &sums, Value firstRow, int64_t rows, Value lhs,
                      int64_t rowStride, int64_t step, int64_t depth,
                      const HeadOperand &rhs, Value rhsIndex);
  void emitZeros(const Sums &sums, int64_t rows);
  void emitResult(const Epilogue &epilogue, const Sums &sums, Value count,
                  Value batch, Value head, Value firstRow, double scale);

  Value load(Value buffer, Value index) {
    return b.create<vector::LoadOp>(vector, buffer, index);
  }
  Value constant(double value) {
    return b.create<arith::ConstantOp>(
        vector, DenseElementsAttr::get(vector, float(value)));
  }
  Sums allocateSums(int64_t rows, int64_t columns) {
    int64_t count = llvm::divideCeil(columns, lanes);
    return {frame.allocate(b, rows * count * lanes), columns, count};
  }
  void forBlocks(const Tiling &tiling, function_ref<void(Value)> body) {
    emitFor(b, indexConstant(b, 0), indexConstant(b, tiling.count), 1, body);
  }

  ImplicitLocOpBuilder &b;
  KernelFrame &frame;
  const Backward &a;
  const CpuFeatures &features;
  QueryBlocks queryBlocks;
  int64_t lanes, vectors, block;
  Tiling keyBlocks;
  VectorType vector;
  /// Q^T [depth][block] (scaled) and G^T [width][block].
  Value packedQuery, packedCotangent;
  /// P^T and S^T [keys of a block][block].
  Value weights, scores;
  Sums dQuery, dKey, dValue;
};
} // namespace

int64_t BackwardEmitter::emit() {
  int64_t groups = a.batch * a.groups;
  bool few = groups < kFewItems;
  packedQuery = frame.allocate(b, a.depth * block);
  packedCotangent = frame.allocate(b, a.width * block);
  weights = frame.allocate(b, keyBlocks.big * block);
  scores = frame.allocate(b, keyBlocks.big * block);
  dQuery = allocateSums(block, a.depth);
  int64_t keyRows = few ? keyBlocks.big : a.keys;
  dKey = allocateSums(keyRows, a.depth);
  dValue = allocateSums(keyRows, a.width);
  if (!few) {
    emitFor(b, frame.begin, frame.end, 1, [&](Value item) { emitGroup(item); });
    return groups;
  }
  int64_t queryItems = a.batch * a.heads * queryBlocks.tiling.count;
  Value limit = indexConstant(b, queryItems);
  emitFor(b, frame.begin, frame.end, 1, [&](Value item) {
    emitIf(
        b, lessThan(b, item, limit), [&] { emitQueryItem(item); },
        [&] { emitKeyItem(addIndex(b, item, -queryItems)); });
  });
  return queryItems + groups * keyBlocks.count;
}

//===----------------------------------------------------------------------===//
// Items
//===----------------------------------------------------------------------===//

void BackwardEmitter::emitGroup(Value item) {
  Value group = remIndex(b, item, a.groups),
        batch = divIndex(b, item, a.groups);
  int64_t repeats = a.heads / a.groups;
  emitZeros(dKey, a.keys);
  emitZeros(dValue, a.keys);
  emitFor(b, indexConstant(b, 0), indexConstant(b, repeats), 1, [&](Value r) {
    Value head = addIndex(b, mulIndex(b, group, repeats), r);
    forBlocks(queryBlocks.tiling, [&](Value queryBlock) {
      Place place = emitPlace(batch, head, queryBlock);
      emitZeros(dQuery, queryBlocks.tiling.big);
      emitKeyBlocks(place, /*keySums=*/true);
      emitResult(a.dQuery, dQuery, place.numQueries, batch, head,
                 place.firstQuery, a.scale);
    });
  });
  Value zero = indexConstant(b, 0), keys = indexConstant(b, a.keys);
  emitResult(a.dKey, dKey, keys, batch, group, zero, a.scale);
  emitResult(a.dValue, dValue, keys, batch, group, zero, 1);
}

void BackwardEmitter::emitQueryItem(Value item) {
  Value queryBlock = remIndex(b, item, queryBlocks.tiling.count);
  Value rest = divIndex(b, item, queryBlocks.tiling.count);
  Value head = remIndex(b, rest, a.heads), batch = divIndex(b, rest, a.heads);
  Place place = emitPlace(batch, head, queryBlock);
  emitZeros(dQuery, queryBlocks.tiling.big);
  emitKeyBlocks(place, /*keySums=*/false);
  emitResult(a.dQuery, dQuery, place.numQueries, batch, head, place.firstQuery,
             a.scale);
}

void BackwardEmitter::emitKeyItem(Value item) {
  Value keyBlock = remIndex(b, item, keyBlocks.count);
  Value rest = divIndex(b, item, keyBlocks.count);
  Value group = remIndex(b, rest, a.groups),
        batch = divIndex(b, rest, a.groups);
  Value firstKey = keyBlocks.emitStart(b, keyBlock);
  int64_t repeats = a.heads / a.groups;
  emitZeros(dKey, keyBlocks.big);
  emitZeros(dValue, keyBlocks.big);
  emitFor(b, indexConstant(b, 0), indexConstant(b, repeats), 1, [&](Value r) {
    Value head = addIndex(b, mulIndex(b, group, repeats), r);
    forBlocks(queryBlocks.tiling, [&](Value queryBlock) {
      Place place = emitPlace(batch, head, queryBlock);
      emitIfSeen(place, firstKey, [&] {
        queryBlocks.tiling.emitSwitch(b, queryBlock, [&](int64_t queries) {
          keyBlocks.emitSwitch(b, keyBlock, [&](int64_t count) {
            emitPair(place, queries, {firstKey, indexConstant(b, 0), count},
                     /*querySums=*/false, /*keySums=*/true);
          });
        });
      });
    });
  });
  Value count = indexConstant(b, keyBlocks.big);
  if (!keyBlocks.isUniform())
    count = b.create<arith::SelectOp>(
        lessThan(b, keyBlock, indexConstant(b, keyBlocks.numBig)), count,
        indexConstant(b, keyBlocks.big - 1));
  emitResult(a.dKey, dKey, count, batch, group, firstKey, a.scale);
  emitResult(a.dValue, dValue, count, batch, group, firstKey, 1);
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

/// Packs a block of queries and of their cotangents.
BackwardEmitter::Place BackwardEmitter::emitPlace(Value batch, Value head,
                                                  Value queryBlock) {
  Place place;
  static_cast<QueryLanes &>(place) =
      queryBlocks.emitLanes(b, batch, head, queryBlock);
  place.group = divIndex(b, head, a.heads / a.groups);
  place.keyBase = a.k.emitBase(b, batch, place.group);
  place.valueBase = a.v.emitBase(b, batch, place.group);
  auto at = [&](const HeadOperand &operand) {
    return addIndex(b, operand.emitBase(b, batch, head),
                    mulIndex(b, place.firstQuery, operand.rowStride()));
  };
  place.queryBase = at(a.q);
  place.cotangentBase = at(a.cotangent);
  emitPack(a.q, place.queryBase, a.depth, place, packedQuery, a.scale);
  emitPack(a.cotangent, place.cotangentBase, a.width, place, packedCotangent,
           1);
  auto rows = [&](const HeadOperand &operand) {
    SmallVector<Value> result;
    int64_t stride = operand.isContiguous() ? 1 : operand.columnStride();
    Value index = addIndex(b, operand.emitBase(b, batch, head),
                           mulIndex(b, place.firstQuery, stride));
    Value buffer = frame.inputs[operand.argument];
    SmallVector<int32_t> offsets;
    for (int64_t lane = 0; lane < lanes; ++lane)
      offsets.push_back(lane * stride);
    Value lanesAt = b.create<arith::ConstantOp>(DenseElementsAttr::get(
        VectorType::get(lanes, b.getI32Type()), ArrayRef<int32_t>(offsets)));
    auto type = VectorType::get(
        lanes, cast<MemRefType>(buffer.getType()).getElementType());
    Value padding = b.create<arith::ConstantOp>(b.getZeroAttr(type));
    for (int64_t v = 0; v < vectors; ++v) {
      Value at = addIndex(b, index, v * lanes * stride);
      if (stride == 1)
        result.push_back(loadVector(b, buffer, at, lanes, place.valid[v]));
      else
        result.push_back(widenFloat(
            b, b.create<vector::GatherOp>(type, buffer, ValueRange(at), lanesAt,
                                          place.valid[v], padding)));
    }
    return result;
  };
  place.logSumExp = rows(a.logSumExp);
  place.delta = rows(a.delta);
  return place;
}

void BackwardEmitter::emitPack(const HeadOperand &operand, Value base,
                               int64_t depth, const Place &place, Value panel,
                               double scale) {
  PanelCopy copy;
  copy.source = frame.inputs[operand.argument];
  copy.index = base;
  copy.kStride = operand.columnStride();
  copy.columnStride = operand.rowStride();
  copy.depth = depth;
  copy.columns = block;
  copy.width = lanes;
  copy.validColumns = place.numQueries;
  copy.panel = panel;
  copy.panelStride = block;
  if (scale != 1)
    copy.scale = b.create<arith::ConstantOp>(b.getF32FloatAttr(scale));
  copy.emit(b);
}

/// Emits `fn` for blocks of keys that some of these queries may see.
void BackwardEmitter::emitIfSeen(const Place &place, Value firstKey,
                                 function_ref<void()> fn) {
  if (!a.causal)
    return fn();
  Value end = addIndex(b, addIndex(b, place.firstQuery, place.numQueries),
                       a.keys - a.queries);
  emitIf(b, lessThan(b, firstKey, end), fn);
}

/// All blocks of keys for one block of queries.
void BackwardEmitter::emitKeyBlocks(const Place &place, bool keySums) {
  auto emitAll = [&](int64_t queries) {
    forBlocks(keyBlocks, [&](Value keyBlock) {
      Value firstKey = keyBlocks.emitStart(b, keyBlock);
      emitIfSeen(place, firstKey, [&] {
        keyBlocks.emitSwitch(b, keyBlock, [&](int64_t count) {
          emitPair(place, queries, {firstKey, firstKey, count},
                   /*querySums=*/true, keySums);
        });
      });
    });
  };
  const Tiling &tiling = queryBlocks.tiling;
  if (tiling.isUniform())
    return emitAll(tiling.big);
  emitIf(
      b, lessThan(b, indexConstant(b, tiling.big - 1), place.numQueries),
      [&] { emitAll(tiling.big); }, [&] { emitAll(tiling.big - 1); });
}

/// One block of queries with one block of keys.
void BackwardEmitter::emitPair(const Place &place, int64_t queries,
                               const Keys &keys, bool querySums, bool keySums) {
  emitScores(a.k, place.keyBase, a.depth, keys, packedQuery, weights);
  emitScores(a.v, place.valueBase, a.width, keys, packedCotangent, scores);
  emitWeights(place, keys);
  if (keySums) {
    emitAccumulate(dValue, keys.sumRow, keys.count, weights, block, 1, queries,
                   a.cotangent, place.cotangentBase);
    emitAccumulate(dKey, keys.sumRow, keys.count, scores, block, 1, queries,
                   a.q, place.queryBase);
  }
  if (querySums)
    emitAccumulate(
        dQuery, indexConstant(b, 0), queries, scores, 1, block, keys.count, a.k,
        addIndex(b, place.keyBase, mulIndex(b, keys.first, a.k.rowStride())));
}

/// into[key][query] = row `key` of `rows` times the packed `panel`.
void BackwardEmitter::emitScores(const HeadOperand &rows, Value base,
                                 int64_t depth, const Keys &keys, Value panel,
                                 Value into) {
  Tiling tiles =
      Tiling::balanced(keys.count, getLargestRows(features, vectors));
  forBlocks(tiles, [&](Value tile) {
    tiles.emitSwitch(b, tile, [&](int64_t count) {
      Value row = tiles.emitStart(b, tile);
      Product product;
      product.width = lanes;
      product.depth = depth;
      product.setUniform(count, rows.rowStride(), vectors);
      product.a = frame.inputs[rows.argument];
      product.aIndex = addIndex(
          b, base, mulIndex(b, addIndex(b, keys.first, row), rows.rowStride()));
      product.aStep = rows.columnStride();
      product.b = panel;
      product.bIndex = indexConstant(b, 0);
      product.bStep = block;
      SmallVector<Value> result = product.emit(b, product.emitZeros(b));
      for (int64_t r = 0; r < count; ++r)
        for (int64_t v = 0; v < vectors; ++v)
          b.create<vector::StoreOp>(
              result[r * vectors + v], into,
              addIndex(b, mulIndex(b, addIndex(b, row, r), block), v * lanes));
    });
  });
}

/// Scores to weights, and the weights' gradients to the scores'.
void BackwardEmitter::emitWeights(const Place &place, const Keys &keys) {
  emitFor(b, indexConstant(b, 0), indexConstant(b, keys.count), 1,
          [&](Value row) {
            Value key = addIndex(b, keys.first, row);
            for (int64_t v = 0; v < vectors; ++v) {
              Value at = addIndex(b, mulIndex(b, row, block), v * lanes);
              Value score =
                  emitVisible(b, frame, a, place, load(weights, at), key, v);
              Value weight = b.create<math::ExpOp>(
                  b.create<arith::SubFOp>(score, place.logSumExp[v]));
              Value inner =
                  b.create<arith::SubFOp>(load(scores, at), place.delta[v]);
              b.create<vector::StoreOp>(weight, weights, at);
              b.create<vector::StoreOp>(b.create<arith::MulFOp>(weight, inner),
                                        scores, at);
            }
          });
}

/// sums[firstRow + r][c] += sum over i < depth of
/// lhs[r * rowStride + i * step] * rhs[rhsIndex + i * rhs.rowStride() + c].
void BackwardEmitter::emitAccumulate(const Sums &sums, Value firstRow,
                                     int64_t rows, Value lhs, int64_t rowStride,
                                     int64_t step, int64_t depth,
                                     const HeadOperand &rhs, Value rhsIndex) {
  // Three vectors at a time leave no single one behind.
  bool byThree = sums.vectors % 3 == 0 && features.vectorRegisters >= 32;
  Tiling columns = Tiling::balanced(sums.vectors, byThree ? 3 : 2);
  Tiling tiles = Tiling::balanced(rows, getLargestRows(features, columns.big));
  int64_t pitch = sums.vectors * lanes;
  forBlocks(columns, [&](Value columnTile) {
    Value column = mulIndex(b, columns.emitStart(b, columnTile), lanes);
    forBlocks(tiles, [&](Value tile) {
      Value row = tiles.emitStart(b, tile);
      tiles.emitSwitch(b, tile, [&](int64_t numRows) {
        columns.emitSwitch(b, columnTile, [&](int64_t numVectors) {
          Product product;
          product.width = lanes;
          product.depth = depth;
          product.setUniform(numRows, rowStride, numVectors);
          product.a = lhs;
          product.aIndex = mulIndex(b, row, rowStride);
          product.aStep = step;
          product.b = frame.inputs[rhs.argument];
          product.bIndex = addIndex(b, rhsIndex, column);
          product.bStep = rhs.rowStride();
          if (sums.columns % lanes)
            for (int64_t v = 0; v < numVectors; ++v)
              product.masks.push_back(emitMask(
                  b,
                  b.createOrFold<arith::SubIOp>(indexConstant(b, sums.columns),
                                                addIndex(b, column, v * lanes)),
                  lanes));
          auto at = [&](int64_t r, int64_t v) {
            Value line = addIndex(b, addIndex(b, firstRow, row), r);
            return addIndex(b, addIndex(b, mulIndex(b, line, pitch), column),
                            v * lanes);
          };
          SmallVector<Value> result;
          for (int64_t r = 0; r < numRows; ++r)
            for (int64_t v = 0; v < numVectors; ++v)
              result.push_back(load(sums.buffer, at(r, v)));
          result = product.emit(b, result);
          for (int64_t r = 0; r < numRows; ++r)
            for (int64_t v = 0; v < numVectors; ++v)
              b.create<vector::StoreOp>(result[r * numVectors + v], sums.buffer,
                                        at(r, v));
        });
      });
    });
  });
}

void BackwardEmitter::emitZeros(const Sums &sums, int64_t rows) {
  emitFor(b, indexConstant(b, 0), indexConstant(b, rows * sums.vectors * lanes),
          lanes, [&](Value i) {
            b.create<vector::StoreOp>(constant(0), sums.buffer, i);
          });
}

/// Writes `count` rows of sums, times `scale`.
void BackwardEmitter::emitResult(const Epilogue &epilogue, const Sums &sums,
                                 Value count, Value batch, Value head,
                                 Value firstRow, double scale) {
  if (epilogue.isEmpty())
    return;
  emitFor(b, indexConstant(b, 0), count, 1, [&](Value row) {
    for (int64_t v = 0; v < sums.vectors; ++v) {
      Value at = addIndex(b, mulIndex(b, row, sums.vectors * lanes), v * lanes);
      Value result = load(sums.buffer, at);
      if (scale != 1)
        result = b.create<arith::MulFOp>(result, constant(scale));
      Value mask;
      if ((v + 1) * lanes > sums.columns)
        mask = emitMask(b, indexConstant(b, sums.columns - v * lanes), lanes);
      epilogue.emitVector(b, frame, result,
                          {batch, head, addIndex(b, firstRow, row),
                           indexConstant(b, v * lanes)},
                          mask);
    }
  });
}

//===----------------------------------------------------------------------===//
// Reading the kernel
//===----------------------------------------------------------------------===//

bool Backward::read(const KernelViews &views, const CpuFeatures &features,
                    std::string &whyNot) {
  ArrayRef<AnchorOperand> operands = views.operands;
  if (!AttentionOperands::read(views, /*maskIndex=*/6, whyNot) ||
      !cotangent.read(operands[3], {batch, heads, queries, width}, whyNot) ||
      !logSumExp.read(operands[4], {1, batch, heads, queries}, whyNot) ||
      !delta.read(operands[5], {1, batch, heads, queries}, whyNot))
    return false;
  for (const HeadOperand *operand : {&q, &k, &cotangent})
    if (operand->column.size() > 1 || !operand->isContiguous()) {
      whyNot = "queries, keys or cotangents are not contiguous along the head";
      return false;
    }
  // Rows have the form {1, batch, head, query}.
  for (HeadOperand *row : {&logSumExp, &delta}) {
    if (row->column.size() > 1) {
      whyNot = "log_sum_exp or delta has no stride along the queries";
      return false;
    }
    row->batch = row->head;
    row->head = row->row;
    row->row.clear();
  }
  int64_t width = features.vectorWidth;
  FailureOr<Epilogue> results[] = {
      Epilogue::get(views, {batch, heads, queries, depth}, width, whyNot, 0),
      Epilogue::get(views, {batch, groups, keys, depth}, width, whyNot, 1),
      Epilogue::get(views, {batch, groups, keys, this->width}, width, whyNot,
                    2)};
  if (llvm::any_of(results, [](auto &result) { return failed(result); }))
    return false;
  dQuery = *results[0];
  dKey = *results[1];
  dValue = *results[2];
  return true;
}

FailureOr<LoweredKernel>
cpu::scheduleAttentionBackward(KernelOp kernel, ModuleOp module,
                               StringRef symbol, const CpuFeatures &features,
                               std::string &whyNot) {
  FailureOr<KernelViews> views =
      KernelViews::get(kernel, AttentionSizes::isBackward, whyNot);
  if (failed(views))
    return failure();
  Backward a;
  if (!a.read(*views, features, whyNot))
    return failure();
  ImplicitLocOpBuilder b(kernel.getLoc(), kernel.getContext());
  KernelFrame frame =
      KernelFrame::create(b, kernel, module, symbol, views->constants);
  int64_t items = BackwardEmitter(b, frame, a, features).emit();
  return frame.finish(b, items);
}
