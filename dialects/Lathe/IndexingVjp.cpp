//===- IndexingVjp.cpp - Derivatives of gathers and scatters --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The gradient of a gather adds into zeros, in the order of the updates: the
// same bits on every run. The two pairs of ops (by elements, by tuples) share
// the rules through GatherScatter.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {
namespace {

/// Gathers and scatters at the places of one op.
struct GatherScatter {
  VjpBuilder &b;
  Value indices;
  std::optional<int64_t> axis; ///< of elements; none for tuples

  Value gather(Value from) {
    if (axis)
      return b.make<GatherElementsOp>(from, indices, *axis);
    return b.make<GatherNdOp>(from, indices, /*batch_dims=*/0);
  }
  Value scatter(Value into, Value updates, ScatterMode mode) {
    if (axis)
      return b.make<ScatterElementsOp>(into, indices, updates, *axis, mode);
    return b.make<ScatterNdOp>(into, indices, updates, mode);
  }
};

/// Where the update is the one that stays: of several at one place the last.
Value findWinners(GatherScatter &at, Value input, Value updates) {
  VjpBuilder &b = at.b;
  Type i64 = IntegerType::get(input.getContext(), 64);
  auto type = getTensorType(updates);
  Value order = b.reshape(
      b.make<IotaOp>(ArrayRef(type.getNumElements()), /*axis=*/0, i64),
      type.getShape());
  Value none = b.broadcast(b.constant(i64, int64_t(-1)),
                           getTensorType(input).getShape());
  Value last = at.scatter(none, order, ScatterMode::assign);
  return b.compare(ComparePredicate::eq, at.gather(last), order);
}

/// input * the product of the updates at its place: as for reduce_prod, also
/// where factors are 0.
std::pair<Value, Value> differentiateProduct(GatherScatter &at, Value input,
                                             Value updates, Value g) {
  VjpBuilder &b = at.b;
  Value zero = b.number(0, input), one = b.number(1, input);
  Value isZero = b.compare(ComparePredicate::eq, updates, zero);
  Value nonzero = b.select(isZero, one, updates);
  Value zeros = at.scatter(
      b.zerosLike(input), b.cast(isZero, getTensorType(input).getElementType()),
      ScatterMode::add);
  Value ones = b.splat(getTensorType(input).getElementType(),
                       getTensorType(input).getShape(), 1.0);
  Value factor = at.scatter(ones, updates, ScatterMode::mul);
  Value product =
      at.gather(b.mul(g, at.scatter(input, nonzero, ScatterMode::mul)));
  Value count = at.gather(zeros);
  Value others = b.select(b.compare(ComparePredicate::eq, count, zero),
                          b.div(product, nonzero), zero);
  Value atZero =
      b.select(b.compare(ComparePredicate::eq, count, one), product, zero);
  return {b.mul(g, factor), b.select(isZero, atZero, others)};
}

/// min and max: shared by all that are equal to the result.
std::pair<Value, Value> differentiateExtremum(GatherScatter &at, Value input,
                                              Value updates, Value result,
                                              Value g) {
  VjpBuilder &b = at.b;
  Type element = getTensorType(input).getElementType();
  Value best = b.cast(b.compare(ComparePredicate::eq, input, result), element);
  Value update = b.cast(
      b.compare(ComparePredicate::eq, updates, at.gather(result)), element);
  Value share = b.div(g, at.scatter(best, update, ScatterMode::add));
  return {b.mul(best, share), b.mul(update, at.gather(share))};
}

template <typename OpTy>
Gradients differentiateScatter(OpTy op, GatherScatter at, Value cotangent) {
  VjpBuilder &b = at.b;
  Value x = b.widen(op.getInput()), u = b.widen(op.getUpdates());
  Value g = b.widen(cotangent), dx, du;
  switch (op.getMode()) {
  case ScatterMode::assign: {
    Value wins = findWinners(at, x, u);
    dx = at.scatter(g, b.zerosLike(u), ScatterMode::assign);
    du = b.select(wins, at.gather(g), b.number(0, g));
    break;
  }
  case ScatterMode::add:
    dx = g;
    du = at.gather(g);
    break;
  case ScatterMode::mul:
    std::tie(dx, du) = differentiateProduct(at, x, u, g);
    break;
  case ScatterMode::min:
  case ScatterMode::max:
    std::tie(dx, du) =
        differentiateExtremum(at, x, u, b.widen(op.getResult()), g);
    break;
  }
  return SmallVector<Value>{b.gradientOf(op.getInput(), dx), Value(),
                            b.gradientOf(op.getUpdates(), du)};
}

} // namespace

Gradients GatherOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  auto type = getTensorType(getInput());
  int64_t axis = *normalizeAxis(getAxis(), type.getRank());
  ArrayRef<int64_t> at = getTensorType(getIndices()).getShape();
  // Rows in front, one index each; then back.
  SmallVector<int64_t> front, rows;
  int64_t count = at.size(), rank = type.getRank() - 1 + count;
  for (int64_t i = 0; i < count; ++i)
    front.push_back(axis + i);
  for (int64_t i = 0; i < rank; ++i)
    if (i < axis || i >= axis + count)
      front.push_back(i);
  rows.push_back(type.getDimSize(axis));
  for (int64_t i = 0; i < type.getRank(); ++i)
    if (i != axis)
      rows.push_back(type.getDimSize(i));
  Value updates = b.transpose(cotangents[0], front);
  Value tuples = b.make<UnsqueezeOp>(getIndices(), ArrayRef(count));
  Value table = b.splat(type.getElementType(), rows, 0.0);
  Value sums = b.make<ScatterNdOp>(table, tuples, updates, ScatterMode::add);
  return SmallVector<Value>{b.moveAxis(sums, 0, axis), Value()};
}

Gradients GatherElementsOp::buildVjp(OpBuilder &builder,
                                     ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  GatherScatter at{b, getIndices(), int64_t(getAxis())};
  return SmallVector<Value>{
      at.scatter(b.zerosLike(getInput()), cotangents[0], ScatterMode::add),
      Value()};
}

// Batch dims become leading positions of the tuples.
Gradients GatherNdOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Value indices = getIndices();
  Type element = getTensorType(indices).getElementType();
  SmallVector<int64_t> shape(getTensorType(indices).getShape());
  shape.back() = 1;
  SmallVector<Value> parts;
  for (int64_t i = 0, e = getBatchDims(); i < e; ++i)
    parts.push_back(b.make<IotaOp>(shape, i, element));
  parts.push_back(indices);
  if (parts.size() > 1)
    indices = b.make<ConcatOp>(ValueRange(parts), int64_t(shape.size()) - 1);
  GatherScatter at{b, indices, std::nullopt};
  return SmallVector<Value>{
      at.scatter(b.zerosLike(getInput()), cotangents[0], ScatterMode::add),
      Value()};
}

Gradients ScatterElementsOp::buildVjp(OpBuilder &builder,
                                      ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  return differentiateScatter(*this, {b, getIndices(), int64_t(getAxis())},
                              cotangents[0]);
}

Gradients ScatterNdOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  return differentiateScatter(*this, {b, getIndices(), std::nullopt},
                              cotangents[0]);
}

} // namespace lathe
