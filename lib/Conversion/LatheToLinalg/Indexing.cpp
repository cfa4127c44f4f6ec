//===- Indexing.cpp - Gather and scatter to linalg and loops ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Negative indices count from the end; what is still outside is clamped, so a
// kernel never reads or writes beyond its operands.
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"

namespace lathe {
namespace {

LogicalResult lowerGather(Lowering &l, GatherOp op) {
  Value input = l.get(op.getInput()), indices = l.get(op.getIndices());
  RankedTensorType type = Lowering::storageType(op.getResult());
  Shape in = Lowering::shape(input);
  unsigned axis = frontAxis(op.getAxis(), in.size());
  unsigned count = Lowering::shape(indices).size();
  SmallVector<AffineExpr> exprs;
  for (unsigned i = 0; i < count; ++i)
    exprs.push_back(l.dim(axis + i));
  Value result = l.mapElements(
      indices, l.map(type.getRank(), exprs), type,
      [&](ElementBuilder &b, ValueRange args) {
        SmallVector<Value> at;
        for (unsigned i = 0; i < in.size(); ++i)
          at.push_back(i == axis ? Lowering::wrapIndex(b, args[0], in[axis])
                                 : b.create<linalg::IndexOp>(
                                        i < axis ? i : i + count - 1)
                                       .getResult());
        return b.create<tensor::ExtractOp>(input, at).getResult();
      });
  l.set(op.getResult(), result);
  return success();
}

LogicalResult lowerGatherElements(Lowering &l, GatherElementsOp op) {
  Value input = l.get(op.getInput());
  RankedTensorType type = Lowering::storageType(op.getResult());
  unsigned axis = frontAxis(op.getAxis(), type.getRank());
  Value result =
      l.mapElements(l.get(op.getIndices()), l.identity(type.getRank()), type,
                    [&](ElementBuilder &b, ValueRange args) {
                      SmallVector<Value> at;
                      for (unsigned i = 0; i < type.getRank(); ++i)
                        at.push_back(b.create<linalg::IndexOp>(i));
                      at[axis] = Lowering::wrapIndex(
                          b, args[0], Lowering::shape(input)[axis]);
                      return b.create<tensor::ExtractOp>(input, at).getResult();
                    });
  l.set(op.getResult(), result);
  return success();
}

/// Reads the tuple at `prefix` of `indices`: positions in dims [first, ...) of
/// a tensor of shape `shape`.
SmallVector<Value> readTuple(ElementBuilder &b, Value indices,
                             ValueRange prefix, Shape shape, unsigned first) {
  SmallVector<Value> tuple;
  int64_t length = Lowering::shape(indices).back();
  for (int64_t j = 0; j < length; ++j) {
    SmallVector<Value> at(prefix);
    at.push_back(b.integer(j, b.getIndexType()));
    Value raw = b.create<tensor::ExtractOp>(indices, at);
    tuple.push_back(Lowering::wrapIndex(b, raw, shape[first + j]));
  }
  return tuple;
}

LogicalResult lowerGatherNd(Lowering &l, GatherNdOp op) {
  Value input = l.get(op.getInput()), indices = l.get(op.getIndices());
  Shape in = Lowering::shape(input);
  unsigned batch = op.getBatchDims();
  unsigned prefix = Lowering::shape(indices).size() - 1;
  l.set(op.getResult(),
        l.compute(Lowering::storageType(op.getResult()), [&](ElementBuilder &b,
                                                             ValueRange i) {
          SmallVector<Value> at(i.take_front(batch));
          llvm::append_range(
              at, readTuple(b, indices, i.take_front(prefix), in, batch));
          llvm::append_range(at, i.drop_front(prefix));
          return b.create<tensor::ExtractOp>(input, at).getResult();
        }));
  return success();
}

Value combine(ElementBuilder &b, ScatterMode mode, Value old, Value update,
              Type element) {
  if (mode == ScatterMode::assign)
    return update;
  bool isUnsigned = isUnsignedElement(element);
  Value x = b.widen(old), y = b.widen(update), result;
  switch (mode) {
  case ScatterMode::assign:
    break;
  case ScatterMode::add:
    result = b.add(x, y);
    break;
  case ScatterMode::mul:
    result = b.mul(x, y);
    break;
  case ScatterMode::min:
    result = b.min(x, y, isUnsigned);
    break;
  case ScatterMode::max:
    result = b.max(x, y, isUnsigned);
    break;
  }
  // Booleans are bytes that hold 0 and 1: their sum is "or".
  if (element.isInteger(1) && mode == ScatterMode::add)
    result = b.max(x, y, true);
  return b.narrow(result, getStorageType(element));
}

/// Runs over the updates in row-major order; `place` gives the target position.
template <typename OpTy>
LogicalResult lowerScatter(
    Lowering &l, OpTy op,
    function_ref<SmallVector<Value>(ElementBuilder &, ValueRange)> place) {
  Value updates = l.get(op.getUpdates());
  Type element = Lowering::element(op.getInput());
  // A copy to write to: where the caller wants the result.
  Value input = l.get(op.getInput());
  auto type = cast<RankedTensorType>(input.getType());
  Value start =
      l.mapElements(input, l.identity(type.getRank()), type,
                    [](ElementBuilder &, ValueRange args) { return args[0]; });
  SmallVector<Value> results =
      l.loops(Lowering::shape(updates), start,
              [&](ValueRange i, ValueRange carried) -> SmallVector<Value> {
                ElementBuilder b = l.elements();
                SmallVector<Value> at = place(b, i);
                Value update = b.create<tensor::ExtractOp>(updates, i);
                Value old = b.create<tensor::ExtractOp>(carried[0], at);
                Value next = combine(b, op.getMode(), old, update, element);
                return {b.create<tensor::InsertOp>(next, carried[0], at)};
              });
  l.set(op.getResult(), results[0]);
  return success();
}

LogicalResult lowerScatterElements(Lowering &l, ScatterElementsOp op) {
  Value indices = l.get(op.getIndices());
  Shape in = Lowering::shape(op.getInput());
  unsigned axis = frontAxis(op.getAxis(), in.size());
  return lowerScatter(l, op, [&](ElementBuilder &b, ValueRange i) {
    SmallVector<Value> at(i);
    Value raw = b.create<tensor::ExtractOp>(indices, i);
    at[axis] = Lowering::wrapIndex(b, raw, in[axis]);
    return at;
  });
}

LogicalResult lowerScatterNd(Lowering &l, ScatterNdOp op) {
  Value indices = l.get(op.getIndices());
  Shape in = Lowering::shape(op.getInput());
  unsigned prefix = Lowering::shape(indices).size() - 1;
  return lowerScatter(l, op, [&](ElementBuilder &b, ValueRange i) {
    SmallVector<Value> at =
        readTuple(b, indices, i.take_front(prefix), in, /*first=*/0);
    llvm::append_range(at, i.drop_front(prefix));
    return at;
  });
}

} // namespace

void addIndexingLowerings(LoweringTable &table) {
  addLowering<GatherOp>(table, lowerGather);
  addLowering<GatherElementsOp>(table, lowerGatherElements);
  addLowering<GatherNdOp>(table, lowerGatherNd);
  addLowering<ScatterElementsOp>(table, lowerScatterElements);
  addLowering<ScatterNdOp>(table, lowerScatterNd);
}

} // namespace lathe
