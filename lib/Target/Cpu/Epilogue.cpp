//===- Epilogue.cpp - From accumulators to a kernel's outputs -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Epilogue.h"
#include "lathe/Conversion/ElementBuilder.h"
#include "lathe/Conversion/ScalarBody.h"

using namespace lathe;
using namespace lathe::cpu;

/// Bits of a cache line.
static constexpr int64_t kLineBits = 512;

/// Rough instructions per vector.
int64_t Epilogue::getCost(const Expr &expr) {
  if (expr.operands.empty())
    return 0;
  int64_t cost = kPolynomial;
  if (expr.kind == Expr::Kind::Sum)
    cost = 1;
  else if (isa<AddOp, SubOp, MulOp, MaxOp, MinOp, ReluOp, NegOp, AbsOp,
               RoundOp>(expr.op))
    cost = 1;
  else if (isa<CompareOp, SelectOp, ReciprocalOp, DivOp, CastOp>(expr.op))
    cost = 2;
  for (const ExprPtr &operand : expr.operands)
    cost += getCost(*operand);
  return cost;
}

static bool isFlat(ArrayRef<Factor> factors) {
  return llvm::all_of(factors, [](Factor f) { return f.stride == 0; });
}

bool Epilogue::addAccess(const Expr &leaf, const StridedView &view,
                         ArrayRef<int64_t> coordinates, std::string &whyNot) {
  auto access = view.split(coordinates);
  if (!access) {
    whyNot = "an epilogue operand has no strides over the product";
    return false;
  }
  ArrayRef<Factor> lanes = access->back();
  if (!isFlat(lanes)) {
    if (lanes.back().stride > 1 || lanes.back().stride < 0 ||
        (lanes.size() > 1 && lanes.back().size % width)) {
      whyNot = "an epilogue operand is not contiguous along the columns";
      return false;
    }
  }
  leafAccess[&leaf] = std::move(*access);
  return true;
}

FailureOr<Epilogue> Epilogue::get(const KernelViews &views,
                                  ArrayRef<int64_t> coordinates, int64_t width,
                                  std::string &whyNot, unsigned which) {
  Epilogue result;
  result.width = width;
  for (auto [place, output] : llvm::enumerate(views.outputs))
    if (output.result == which) {
      result.outputs.push_back(output);
      result.places.push_back(place);
    }
  for (KernelOutput &output : result.outputs) {
    bool ok = true;
    forEachLeaf(*output.value, [&](Expr &leaf) {
      if (leaf.kind == Expr::Kind::Argument && ok)
        ok = result.addAccess(leaf, leaf.view, coordinates, whyNot);
    });
    if (!ok)
      return failure();
    result.cost += getCost(*output.value);
    auto access = output.destination.split(coordinates);
    if (!access) {
      whyNot = "an output has no strides over the product";
      return failure();
    }
    SmallVector<Factor> &lanes = access->back();
    if (lanes.empty())
      lanes.push_back({1, 1});
    if (lanes.back().stride != 1 ||
        (lanes.size() > 1 && lanes.back().size % width)) {
      whyNot = "an output is not contiguous along the columns";
      return failure();
    }
    result.outputAccess.push_back(std::move(*access));
  }
  return result;
}

Value Epilogue::emitIndex(ImplicitLocOpBuilder &b, const Access &access,
                          int64_t offset, ArrayRef<Value> coordinates) const {
  Value index = indexConstant(b, offset);
  for (auto [factors, coordinate] : llvm::zip_equal(access, coordinates))
    index = addIndex(b, emitOffset(b, factors, coordinate), index);
  return index;
}

Value Epilogue::emitLeaf(ImplicitLocOpBuilder &b, const KernelFrame &function,
                         const Expr &leaf, ArrayRef<Value> coordinates,
                         Value mask, Cache &cache) const {
  if (leaf.kind == Expr::Kind::Splat) {
    Type element = getComputeType(leaf.elementType);
    Attribute number = leaf.splat;
    if (auto integer = dyn_cast<IntegerAttr>(number))
      number = IntegerAttr::get(element, integer.getValue());
    return b.create<arith::ConstantOp>(DenseElementsAttr::get(
        VectorType::get(width, element), ArrayRef<Attribute>(number)));
  }
  const Access &access = leafAccess.find(&leaf)->second;
  bool sameForRows = llvm::all_of(
      ArrayRef(access).drop_back(),
      [](const SmallVector<Factor> &factors) { return isFlat(factors); });
  std::pair<const Expr *, Value> key{&leaf, coordinates.back()};
  if (sameForRows)
    if (Value known = cache.lookup(key))
      return known;

  Value buffer = function.inputs[leaf.index];
  Value index = emitIndex(b, access, leaf.view.offset, coordinates);
  auto storage = VectorType::get(width, getStorageType(leaf.elementType));
  Value value;
  ArrayRef<Factor> lanes = access.back();
  if (lanes.empty() || lanes.back().stride == 0) {
    value = b.create<memref::LoadOp>(buffer, index);
    value = b.create<vector::BroadcastOp>(storage, value);
  } else if (mask) {
    Value padding = b.create<arith::ConstantOp>(b.getZeroAttr(storage));
    value =
        b.create<vector::MaskedLoadOp>(storage, buffer, index, mask, padding);
  } else {
    value = b.create<vector::LoadOp>(storage, buffer, index);
  }
  value = fromStorage(b, b.getLoc(), value, leaf.elementType);
  if (sameForRows)
    cache[key] = value;
  return value;
}

Value Epilogue::emitExpr(ImplicitLocOpBuilder &b, const KernelFrame &function,
                         const Expr &expr, Value anchor,
                         ArrayRef<Value> coordinates, Value mask,
                         Cache &cache) const {
  if (expr.kind == Expr::Kind::Anchor)
    return isa<FloatType>(expr.elementType)
               ? roundFloat(b, anchor, expr.elementType)
               : anchor;
  if (expr.operands.empty())
    return emitLeaf(b, function, expr, coordinates, mask, cache);
  SmallVector<Value> operands;
  for (const ExprPtr &operand : expr.operands)
    operands.push_back(expr.kind == Expr::Kind::Sum &&
                               operand->kind == Expr::Kind::Anchor
                           ? anchor
                           : emitExpr(b, function, *operand, anchor,
                                      coordinates, mask, cache));
  // Rounded once, with the bias.
  if (expr.kind == Expr::Kind::Sum)
    return roundFloat(b,
                      b.create<arith::AddFOp>(widenFloat(b, operands[0]),
                                              widenFloat(b, operands[1])),
                      expr.elementType);
  return buildScalarBody(b, b.getLoc(), expr.op, operands);
}

void Epilogue::emitOutputs(ImplicitLocOpBuilder &b, const KernelFrame &function,
                           Value anchor, ArrayRef<Value> coordinates,
                           Value mask, Cache &cache) const {
  SmallVector<Value> values;
  for (const KernelOutput &output : outputs)
    values.push_back(
        emitExpr(b, function, *output.value, anchor, coordinates, mask, cache));
  for (size_t i = 0; i < outputs.size(); ++i) {
    Value index = emitIndex(b, outputAccess[i], outputs[i].destination.offset,
                            coordinates);
    Value value = toStorage(b, b.getLoc(), values[i], outputs[i].elementType);
    Value buffer = function.outputs[places[i]];
    if (mask)
      b.create<vector::MaskedStoreOp>(buffer, index, mask, value);
    else
      b.create<vector::StoreOp>(value, buffer, index);
  }
}

void Epilogue::emitVector(ImplicitLocOpBuilder &b, const KernelFrame &function,
                          Value anchor, ArrayRef<Value> coordinates,
                          Value mask) const {
  Cache cache;
  emitOutputs(b, function, anchor, coordinates, mask, cache);
}

void Epilogue::emitFetch(ImplicitLocOpBuilder &b, const KernelFrame &function,
                         int64_t rows, int64_t vectors,
                         ArrayRef<Value> coordinates) const {
  SmallVector<Value> at(coordinates);
  Value &row = at[at.size() - 2];
  Value firstRow = row;
  auto fetch = [&](const Access &access, int64_t offset, Type element,
                   Value buffer) {
    // A row of its own in every line, or what all rows share.
    if (access.back().empty() || access.back().back().stride != 1 ||
        isFlat(access[access.size() - 2]))
      return;
    int64_t bits = element.getIntOrFloatBitWidth();
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t bit = 0; bit < vectors * width * bits; bit += kLineBits) {
        row = addIndex(b, firstRow, r);
        at.back() = addIndex(b, coordinates.back(), bit / bits);
        b.create<memref::PrefetchOp>(
            buffer, ValueRange(emitIndex(b, access, offset, at)),
            /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
      }
  };
  for (auto [i, output] : llvm::enumerate(outputs)) {
    fetch(outputAccess[i], output.destination.offset,
          getStorageType(output.elementType), function.outputs[places[i]]);
    forEachLeaf(*output.value, [&](Expr &leaf) {
      if (leaf.kind == Expr::Kind::Argument)
        fetch(leafAccess.find(&leaf)->second, leaf.view.offset,
              getStorageType(leaf.elementType), function.inputs[leaf.index]);
    });
  }
}

void Epilogue::emitTile(ImplicitLocOpBuilder &b, const KernelFrame &function,
                        ArrayRef<Value> accumulators, int64_t rows,
                        int64_t vectors, ArrayRef<Value> coordinates,
                        ArrayRef<Value> masks, Value tile) const {
  if (!isCheap()) {
    for (int64_t i = 0; i < rows * vectors; ++i)
      b.create<vector::StoreOp>(accumulators[i], tile,
                                indexConstant(b, i * width));
    return emitStoredTile(b, function, tile, 0, rows, vectors, coordinates,
                          masks);
  }
  SmallVector<Value> columns;
  for (int64_t v = 0; v < vectors; ++v)
    columns.push_back(addIndex(b, coordinates.back(), v * width));
  SmallVector<Value> at(coordinates);
  Value &row = at[at.size() - 2];
  Value firstRow = row;
  Cache cache;
  for (int64_t r = 0; r < rows; ++r) {
    row = addIndex(b, firstRow, r);
    for (int64_t v = 0; v < vectors; ++v) {
      at.back() = columns[v];
      emitOutputs(b, function, accumulators[r * vectors + v], at,
                  masks.empty() ? Value() : masks[v], cache);
    }
  }
}

void Epilogue::emitStoredTile(ImplicitLocOpBuilder &b,
                              const KernelFrame &function, Value tile,
                              int64_t first, int64_t rows, int64_t vectors,
                              ArrayRef<Value> coordinates,
                              ArrayRef<Value> masks) const {
  auto type =
      VectorType::get(width, cast<MemRefType>(tile.getType()).getElementType());
  SmallVector<Value> at(coordinates);
  Value &row = at[at.size() - 2];
  Value firstRow = row;
  emitFor(b, indexConstant(b, 0), indexConstant(b, rows), 1, [&](Value r) {
    row = addIndex(b, firstRow, r);
    Cache cache;
    for (int64_t v = 0; v < vectors; ++v) {
      at.back() = addIndex(b, coordinates.back(), v * width);
      Value index = addIndex(b, mulIndex(b, r, vectors * width),
                             (first * vectors + v) * width);
      Value anchor = b.create<vector::LoadOp>(type, tile, index);
      emitOutputs(b, function, anchor, at, masks.empty() ? Value() : masks[v],
                  cache);
    }
  });
}
