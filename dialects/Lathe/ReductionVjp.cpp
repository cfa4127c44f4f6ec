//===- ReductionVjp.cpp - Derivatives of reductions -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {
namespace {

/// A reduction with its axes in normal form: `g` and `y`, the cotangent and
/// the result, have the reduced dims as size 1, and stretch to `x`.
struct Reduced {
  template <typename OpTy>
  Reduced(OpTy op, OpBuilder &builder, Value cotangent)
      : b(builder, op), input(op.getInput()), x(b.widen(input)),
        axes(*normalizeAxes(op.getAxes(), getTensorType(input).getRank())) {
    ArrayRef<int64_t> shape = getTensorType(input).getShape();
    SmallVector<int64_t> kept(shape);
    for (int64_t axis : axes) {
      kept[axis] = 1;
      count *= shape[axis];
    }
    g = b.reshape(b.widen(cotangent), kept);
    y = b.reshape(b.widen(op.getResult()), kept);
  }

  SmallVector<Value> result(Value gradient) {
    gradient = b.broadcast(gradient, getTensorType(input).getShape());
    return {b.gradientOf(input, gradient)};
  }

  VjpBuilder b;
  Value input, x;
  SmallVector<int64_t> axes;
  int64_t count = 1;
  Value g, y;
};

/// max and min: shared by the elements that are equal to the result.
template <typename OpTy>
Gradients differentiateExtremum(OpTy op, OpBuilder &builder, Value cotangent) {
  Reduced r(op, builder, cotangent);
  VjpBuilder &b = r.b;
  Value isBest = b.compare(ComparePredicate::eq, r.x, r.y);
  Value share = b.cast(isBest, getTensorType(r.x).getElementType());
  Value ties = b.sum(share, r.axes);
  return r.result(b.mul(share, b.div(r.g, ties)));
}

} // namespace

Gradients ReduceSumOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  Reduced r(*this, builder, cotangents[0]);
  return r.result(r.g);
}

Gradients ReduceMeanOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  Reduced r(*this, builder, cotangents[0]);
  return r.result(r.b.scale(r.g, 1.0 / std::max<int64_t>(r.count, 1)));
}

Gradients ReduceMaxOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  return differentiateExtremum(*this, builder, cotangents[0]);
}

Gradients ReduceMinOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  return differentiateExtremum(*this, builder, cotangents[0]);
}

// The product of the others, also where the element, or one other, is 0.
Gradients ReduceProdOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  Reduced r(*this, builder, cotangents[0]);
  VjpBuilder &b = r.b;
  Value zero = b.number(0, r.x), one = b.number(1, r.x);
  Value isZero = b.compare(ComparePredicate::eq, r.x, zero);
  Value nonzero = b.select(isZero, one, r.x);
  Value product = b.make<ReduceProdOp>(nonzero, r.axes, /*keepdims=*/true);
  Value zeros =
      b.sum(b.cast(isZero, getTensorType(r.x).getElementType()), r.axes);
  Value none = b.compare(ComparePredicate::eq, zeros, zero);
  Value single = b.compare(ComparePredicate::eq, zeros, one);
  Value others = b.select(none, b.div(product, nonzero), zero);
  Value atZero = b.select(single, product, zero);
  return r.result(b.mul(r.g, b.select(isZero, atZero, others)));
}

Gradients CumSumOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  return SmallVector<Value>{b.make<CumSumOp>(cotangents[0], getAxis(),
                                             getExclusive(), !getReverse())};
}

Gradients TopKOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  if (!cotangents[0])
    return SmallVector<Value>{Value()};
  return SmallVector<Value>{
      b.make<ScatterElementsOp>(b.zerosLike(getInput()), getIndices(),
                                cotangents[0], getAxis(), ScatterMode::add)};
}

} // namespace lathe
