//===- Reduction.cpp - Reductions and arg-reductions to linalg ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"
#include "dialects/Lathe/Inference.h"

#include <limits>

namespace lathe {
namespace {

using Combine = Value (*)(ElementBuilder &, Value, Value, bool);

Value combineSum(ElementBuilder &b, Value acc, Value x, bool) {
  return b.add(acc, x);
}
Value combineProduct(ElementBuilder &b, Value acc, Value x, bool) {
  return b.mul(acc, x);
}
Value combineMax(ElementBuilder &b, Value acc, Value x, bool isUnsigned) {
  return b.max(acc, x, isUnsigned);
}
Value combineMin(ElementBuilder &b, Value acc, Value x, bool isUnsigned) {
  return b.min(acc, x, isUnsigned);
}

/// The smallest (or largest) value of an element type, in storage form.
Value extreme(Lowering &l, Type element, bool largest) {
  Type type = getAccumulatorType(getStorageType(element));
  ElementBuilder b = l.elements();
  if (isa<FloatType>(type)) {
    double inf = std::numeric_limits<double>::infinity();
    return b.number(largest ? inf : -inf, type);
  }
  unsigned bits = type.getIntOrFloatBitWidth();
  // Booleans are bytes that hold 0 and 1.
  APInt value = element.isInteger(1) ? APInt(bits, largest)
                : isUnsignedElement(element)
                    ? (largest ? APInt::getMaxValue(bits) : APInt(bits, 0))
                    : (largest ? APInt::getSignedMaxValue(bits)
                               : APInt::getSignedMinValue(bits));
  return b.create<arith::ConstantOp>(IntegerAttr::get(type, value));
}

struct ReductionSpace {
  SmallVector<int64_t> kept;
  SmallVector<AffineExpr> keptExprs;
  SmallVector<IteratorType> iterators;
  int64_t count = 1;
};

ReductionSpace makeSpace(Lowering &l, Shape shape, Shape axes) {
  ReductionSpace space;
  for (int64_t i = 0, e = shape.size(); i < e; ++i) {
    bool reduced = llvm::is_contained(axes, i);
    space.iterators.push_back(reduced ? IteratorType::reduction
                                      : IteratorType::parallel);
    if (reduced) {
      space.count *= shape[i];
    } else {
      space.kept.push_back(shape[i]);
      space.keptExprs.push_back(l.dim(i));
    }
  }
  return space;
}

/// Reduces over the axes to the result's shape; the accumulator is of the
/// accumulator type.
Value reduceAxes(Lowering &l, Value input, Type element, Shape axes, Value init,
                 Combine combine) {
  Shape shape = Lowering::shape(input);
  ReductionSpace space = makeSpace(l, shape, axes);
  bool isUnsigned = isUnsignedElement(element);
  AffineMap maps[] = {l.identity(shape.size()),
                      l.map(shape.size(), space.keptExprs)};
  return l.reduce(input, l.filled(space.kept, init), maps, space.iterators,
                  [&](ElementBuilder &b, ValueRange args) {
                    return combine(b, args[1], b.widen(args[0]), isUnsigned);
                  });
}

template <typename OpTy> LogicalResult lowerReduce(Lowering &l, OpTy op) {
  Value input = l.get(op.getInput());
  Type element = Lowering::element(op.getInput());
  auto axes = normalizeAxes(op.getAxes(), Lowering::shape(input).size());
  if (failed(axes))
    return op->emitOpError("has axes outside of the input's rank");
  ElementBuilder b = l.elements();
  Type accumulator = getAccumulatorType(getStorageType(element));
  Value init;
  Combine combine;
  bool isMean = std::is_same_v<OpTy, ReduceMeanOp>;
  if constexpr (std::is_same_v<OpTy, ReduceMaxOp>) {
    init = extreme(l, element, /*largest=*/false);
    combine = combineMax;
  } else if constexpr (std::is_same_v<OpTy, ReduceMinOp>) {
    init = extreme(l, element, /*largest=*/true);
    combine = combineMin;
  } else if constexpr (std::is_same_v<OpTy, ReduceProdOp>) {
    init = b.number(1, accumulator);
    combine = combineProduct;
  } else {
    init = b.zero(accumulator);
    combine = combineSum;
  }
  Value reduced = reduceAxes(l, input, element, *axes, init, combine);
  auto type =
      RankedTensorType::get(Lowering::shape(reduced), getStorageType(element));
  if (isMean) {
    int64_t count = 1;
    for (int64_t axis : *axes)
      count *= Lowering::shape(input)[axis];
    bool isUnsigned = isUnsignedElement(element);
    reduced = l.mapElements(reduced, l.identity(type.getRank()), type,
                            [&](ElementBuilder &b, ValueRange args) {
                              Value n = b.number(count, args[0].getType());
                              return b.narrow(b.div(args[0], n, isUnsigned),
                                              getStorageType(element));
                            });
  } else {
    reduced = l.narrow(reduced, element);
  }
  l.set(op.getResult(), l.reshape(reduced, Lowering::shape(op.getResult())));
  return success();
}

template <typename OpTy> LogicalResult lowerArgReduce(Lowering &l, OpTy op) {
  Value input = l.get(op.getInput());
  Type element = Lowering::element(op.getInput());
  Shape shape = Lowering::shape(input);
  int64_t axis = frontAxis(op.getAxis(), shape.size());
  bool isMax = std::is_same_v<OpTy, ArgMaxOp>, last = op.getSelectLast();
  bool isUnsigned = isUnsignedElement(element);
  ReductionSpace space = makeSpace(l, shape, axis);
  ElementBuilder b = l.elements();
  Value best = l.filled(space.kept, extreme(l, element, !isMax));
  Value where = l.filled(space.kept, b.integer(0, b.getI64Type()));
  AffineMap out = l.map(shape.size(), space.keptExprs);
  AffineMap maps[] = {l.identity(shape.size()), out, out};
  SmallVector<Value> results = l.reduce(
      input, {best, where}, maps, space.iterators,
      [&](ElementBuilder &b, ValueRange args) -> SmallVector<Value> {
        Value x = b.widen(args[0]), acc = args[1];
        StringRef predicate =
            isMax ? (last ? "ge" : "gt") : (last ? "le" : "lt");
        Value better = b.compare(predicate, x, acc, isUnsigned);
        if (isa<FloatType>(x.getType())) {
          // NaN beats every number; the first one stays unless the last is
          // asked for.
          Value accIsNumber = b.logicalNot(b.isNan(acc));
          Value nan = last ? b.isNan(x) : b.logicalAnd(b.isNan(x), accIsNumber);
          better = b.logicalOr(b.logicalAnd(better, accIsNumber), nan);
        }
        Value i = b.create<arith::IndexCastOp>(b.getI64Type(),
                                               b.create<linalg::IndexOp>(axis));
        return {b.select(better, x, acc), b.select(better, i, args[2])};
      });
  l.set(op.getResult(), l.reshape(results[1], Lowering::shape(op.getResult())));
  return success();
}

} // namespace

void addReductionLowerings(LoweringTable &table) {
  addLowering<ReduceSumOp>(table, lowerReduce<ReduceSumOp>);
  addLowering<ReduceMeanOp>(table, lowerReduce<ReduceMeanOp>);
  addLowering<ReduceMaxOp>(table, lowerReduce<ReduceMaxOp>);
  addLowering<ReduceMinOp>(table, lowerReduce<ReduceMinOp>);
  addLowering<ReduceProdOp>(table, lowerReduce<ReduceProdOp>);
  addLowering<ArgMaxOp>(table, lowerArgReduce<ArgMaxOp>);
  addLowering<ArgMinOp>(table, lowerArgReduce<ArgMinOp>);
}

} // namespace lathe
