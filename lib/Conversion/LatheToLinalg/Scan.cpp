//===- Scan.cpp - Running sums and top-k to loops -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"

namespace lathe {
namespace {

/// The loop indices with `position` inserted at `axis`.
SmallVector<Value> withAxis(ValueRange outer, int64_t axis, Value position) {
  SmallVector<Value> indices(outer);
  indices.insert(indices.begin() + axis, position);
  return indices;
}
SmallVector<int64_t> withoutAxis(Shape shape, int64_t axis) {
  SmallVector<int64_t> rest(shape);
  rest.erase(rest.begin() + axis);
  return rest;
}

LogicalResult lowerCumSum(Lowering &l, CumSumOp op) {
  Value input = l.get(op.getInput());
  Shape shape = Lowering::shape(input);
  Type element = Lowering::element(input);
  int64_t axis = frontAxis(op.getAxis(), shape.size()), size = shape[axis];
  Value out = l.empty(shape, element);
  SmallVector<Value> results = l.loops(
      withoutAxis(shape, axis), out, [&](ValueRange outer, ValueRange carried) {
        ElementBuilder b = l.elements();
        Value start = b.zero(getAccumulatorType(element));
        SmallVector<Value> row = l.loops(
            {size}, {carried[0], start},
            [&](ValueRange i, ValueRange state) -> SmallVector<Value> {
              ElementBuilder b = l.elements();
              Value at = i[0];
              if (op.getReverse())
                at = b.sub(b.integer(size - 1, at.getType()), at);
              SmallVector<Value> indices = withAxis(outer, axis, at);
              Value x = b.widen(b.create<tensor::ExtractOp>(input, indices));
              Value sum = b.add(state[1], x);
              Value stored =
                  b.narrow(op.getExclusive() ? state[1] : sum, element);
              return {b.create<tensor::InsertOp>(stored, state[0], indices),
                      sum};
            });
        return SmallVector<Value>{row[0]};
      });
  l.set(op.getResult(), results[0]);
  return success();
}

/// What a top-k lowering compares by.
struct Order {
  bool smallest, isUnsigned;
  /// Whether `a` stands strictly before `b`. NaN counts as the largest.
  Value before(ElementBuilder &b, Value x, Value y) const {
    x = b.widen(x);
    y = b.widen(y);
    if (smallest)
      std::swap(x, y);
    Value larger = b.compare("gt", x, y, isUnsigned);
    if (!isa<FloatType>(x.getType()))
      return larger;
    Value nan = b.logicalAnd(b.isNan(x), b.logicalNot(b.isNan(y)));
    return b.logicalOr(larger, nan);
  }
};

/// Keeps the best k in order while it reads the row: quick for small k.
SmallVector<Value> insertionTopK(Lowering &l, Order order, Value input,
                                 ValueRange outer, int64_t axis, int64_t size,
                                 int64_t k, ValueRange tensors) {
  return l.loops({size}, tensors, [&](ValueRange i, ValueRange state) {
    ElementBuilder b = l.elements();
    Value x = b.create<tensor::ExtractOp>(input, withAxis(outer, axis, i[0]));
    Value where = b.create<arith::IndexCastOp>(b.getI64Type(), i[0]);
    Type indexType = b.getIndexType();
    Value one = b.integer(1, indexType), zero = b.integer(0, indexType);
    Value count = b.create<arith::MinSIOp>(i[0], b.integer(k, indexType));
    // While the entry before the hole comes after x, it moves into the hole; a
    // hole at k falls off the end.
    auto loop = b.create<scf::WhileOp>(
        TypeRange{indexType, state[0].getType(), state[1].getType()},
        ValueRange{count, state[0], state[1]},
        [&](OpBuilder &inner, Location loc, ValueRange args) {
          ElementBuilder e(inner, loc);
          Value inside = e.compare("gt", args[0], zero);
          auto test = e.create<scf::IfOp>(e.getI1Type(), inside, true);
          {
            OpBuilder::InsertionGuard guard(e);
            e.setInsertionPointToStart(test.thenBlock());
            Value above = e.sub(args[0], one);
            Value other = e.create<tensor::ExtractOp>(
                args[1], withAxis(outer, axis, above));
            e.create<scf::YieldOp>(ValueRange{order.before(e, x, other)});
            e.setInsertionPointToStart(test.elseBlock());
            e.create<scf::YieldOp>(
                ValueRange{e.create<arith::ConstantIntOp>(0, 1)});
          }
          e.create<scf::ConditionOp>(test.getResult(0), args);
        },
        [&](OpBuilder &inner, Location loc, ValueRange args) {
          ElementBuilder e(inner, loc);
          Value above = e.sub(args[0], one);
          Value fits = e.compare("lt", args[0], e.integer(k, indexType));
          auto move = e.create<scf::IfOp>(
              TypeRange{args[1].getType(), args[2].getType()}, fits, true);
          OpBuilder::InsertionGuard guard(e);
          e.setInsertionPointToStart(move.thenBlock());
          SmallVector<Value> moved;
          for (Value tensor : args.drop_front()) {
            Value v = e.create<tensor::ExtractOp>(tensor,
                                                  withAxis(outer, axis, above));
            moved.push_back(e.create<tensor::InsertOp>(
                v, tensor, withAxis(outer, axis, args[0])));
          }
          e.create<scf::YieldOp>(moved);
          e.setInsertionPointToStart(move.elseBlock());
          e.create<scf::YieldOp>(args.drop_front());
          e.setInsertionPointAfter(move);
          e.create<scf::YieldOp>(
              ValueRange{above, move.getResult(0), move.getResult(1)});
        });
    Value hole = loop.getResult(0);
    Value fits = b.compare("lt", hole, b.integer(k, indexType));
    auto put = b.create<scf::IfOp>(state.getTypes(), fits, true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(put.thenBlock());
    SmallVector<Value> at = withAxis(outer, axis, hole);
    Value values = b.create<tensor::InsertOp>(x, loop.getResult(1), at);
    Value indices = b.create<tensor::InsertOp>(where, loop.getResult(2), at);
    b.create<scf::YieldOp>(ValueRange{values, indices});
    b.setInsertionPointToStart(put.elseBlock());
    b.create<scf::YieldOp>(ValueRange{loop.getResult(1), loop.getResult(2)});
    return SmallVector<Value>(put.getResults());
  });
}

/// One level of a bottom-up merge sort of the positions in `source`: runs of
/// `width` become runs of 2 * `width` in `target`.
Value mergeLevel(Lowering &l, Order order, Value input, ValueRange outer,
                 int64_t axis, int64_t size, int64_t width, Value source,
                 Value target) {
  ElementBuilder b = l.elements();
  Type indexType = b.getIndexType();
  Value zero = b.integer(0, indexType);
  auto read = [&](ElementBuilder &e, Value tensor, Value at) {
    Value last = e.integer(size - 1, indexType);
    Value position = e.create<tensor::ExtractOp>(
        tensor, ValueRange{e.create<arith::MinSIOp>(at, last)});
    return e.create<arith::IndexCastOp>(indexType, position).getResult();
  };
  return l
      .loops({size}, {target, zero, zero},
             [&](ValueRange out, ValueRange state) -> SmallVector<Value> {
               ElementBuilder e = l.elements();
               Value span = e.integer(2 * width, indexType);
               Value rest = e.create<arith::RemUIOp>(out[0], span);
               Value start = e.sub(out[0], rest);
               Value limit = e.integer(size, indexType);
               Value middle = e.create<arith::MinSIOp>(
                   e.add(start, e.integer(width, indexType)), limit);
               Value end = e.create<arith::MinSIOp>(e.add(start, span), limit);
               Value first = e.compare("eq", rest, e.integer(0, indexType));
               Value i = e.select(first, start, state[1]);
               Value j = e.select(first, middle, state[2]);
               Value left = read(e, source, i), right = read(e, source, j);
               Value x = e.create<tensor::ExtractOp>(
                   input, withAxis(outer, axis, left));
               Value y = e.create<tensor::ExtractOp>(
                   input, withAxis(outer, axis, right));
               // Ties go left, which keeps the order of indices.
               Value leftWins = e.logicalNot(order.before(e, y, x));
               Value useLeft =
                   e.logicalAnd(e.compare("lt", i, middle),
                                e.logicalOr(e.compare("ge", j, end), leftWins));
               Value chosen = e.create<arith::IndexCastOp>(
                   e.getI64Type(), e.select(useLeft, left, right));
               Value one = e.integer(1, indexType);
               return {e.create<tensor::InsertOp>(chosen, state[0], out[0]),
                       e.select(useLeft, e.add(i, one), i),
                       e.select(useLeft, j, e.add(j, one))};
             })
      .front();
}

SmallVector<Value> mergeTopK(Lowering &l, Order order, Value input,
                             ValueRange outer, int64_t axis, int64_t size,
                             int64_t k, ValueRange tensors) {
  auto positions = RankedTensorType::get({size}, l.builder.getI64Type());
  Value source = l.compute(positions, [](ElementBuilder &b, ValueRange i) {
    return b.create<arith::IndexCastOp>(b.getI64Type(), i[0]);
  });
  Value target = l.empty({size}, l.builder.getI64Type());
  for (int64_t width = 1; width < size; width *= 2) {
    Value merged =
        mergeLevel(l, order, input, outer, axis, size, width, source, target);
    target = source;
    source = merged;
  }
  return l.loops(
      {k}, tensors, [&](ValueRange i, ValueRange state) -> SmallVector<Value> {
        ElementBuilder b = l.elements();
        Value position = b.create<tensor::ExtractOp>(source, i);
        Value at = b.create<arith::IndexCastOp>(b.getIndexType(), position);
        Value x = b.create<tensor::ExtractOp>(input, withAxis(outer, axis, at));
        SmallVector<Value> to = withAxis(outer, axis, i[0]);
        return {b.create<tensor::InsertOp>(x, state[0], to),
                b.create<tensor::InsertOp>(position, state[1], to)};
      });
}

LogicalResult lowerTopK(Lowering &l, TopKOp op) {
  Value input = l.get(op.getInput());
  Shape shape = Lowering::shape(input);
  int64_t axis = frontAxis(op.getAxis(), shape.size()), k = op.getK();
  Order order{op.getSmallest(),
              isUnsignedElement(Lowering::element(op.getInput()))};
  Shape outShape = Lowering::shape(op.getValues());
  Value values = l.empty(outShape, Lowering::element(input));
  Value indices = l.empty(outShape, l.builder.getI64Type());
  if (k > 0) {
    auto rowTopK = k <= 32 ? insertionTopK : mergeTopK;
    SmallVector<Value> results =
        l.loops(withoutAxis(shape, axis), {values, indices},
                [&](ValueRange outer, ValueRange carried) {
                  SmallVector<Value> indexCopy(outer);
                  return rowTopK(l, order, input, indexCopy, axis, shape[axis],
                                 k, carried);
                });
    values = results[0];
    indices = results[1];
  }
  l.set(op.getValues(), values);
  l.set(op.getIndices(), indices);
  return success();
}

} // namespace

void addScanLowerings(LoweringTable &table) {
  addLowering<CumSumOp>(table, lowerCumSum);
  addLowering<TopKOp>(table, lowerTopK);
}

} // namespace lathe
