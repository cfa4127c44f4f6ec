//===- ShapeVjp.cpp - Derivatives of views and data movement --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// These ops are linear, each rule is the transpose: what was copied is summed,
// what was dropped becomes 0.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {

using Sizes = ArrayRef<int64_t>;

/// Of the ops that keep the elements and their order.
template <typename OpTy>
static Gradients differentiateView(OpTy op, OpBuilder &builder, Value g) {
  VjpBuilder b(builder, op);
  return SmallVector<Value>{
      b.reshape(g, getTensorType(op.getInput()).getShape())};
}
Gradients ReshapeOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  return differentiateView(*this, builder, cotangents[0]);
}
Gradients SqueezeOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  return differentiateView(*this, builder, cotangents[0]);
}
Gradients UnsqueezeOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  return differentiateView(*this, builder, cotangents[0]);
}

Gradients TransposeOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  SmallVector<int64_t> inverse(getPermutation().size());
  for (auto [i, from] : llvm::enumerate(getPermutation()))
    inverse[from] = i;
  return SmallVector<Value>{b.transpose(cotangents[0], inverse)};
}

Gradients BroadcastOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  return SmallVector<Value>{
      b.sumTo(cotangents[0], getTensorType(getInput()).getShape())};
}

/// Elements [start, start + size) of one dim.
static Value sliceDim(VjpBuilder &b, Value value, int64_t dim, int64_t start,
                      int64_t size) {
  if (start == 0 && size == getTensorType(value).getDimSize(dim))
    return value;
  return b.make<SliceOp>(value, Sizes(start), Sizes(start + size), Sizes(dim),
                         Sizes());
}

/// Zeros around one dim, or less of it where negative.
static Value padDim(VjpBuilder &b, Value value, int64_t dim, int64_t low,
                    int64_t high) {
  if (low == 0 && high == 0)
    return value;
  int64_t rank = getTensorType(value).getRank();
  SmallVector<int64_t> lows(rank, 0), highs(rank, 0);
  lows[dim] = low;
  highs[dim] = high;
  return b.make<PadOp>(value, Value(), lows, highs);
}

/// The transpose of taking `range` out of a dim of `size`: the elements go back
/// to their places, zeros stand between them.
static Value unsliceDim(VjpBuilder &b, Value g, int64_t dim, SliceRange range,
                        int64_t size) {
  if (range.size == 0)
    return padDim(b, g, dim, 0, size);
  int64_t first = range.start, step = range.step;
  if (step < 0) {
    g = b.make<ReverseOp>(g, Sizes(dim));
    first = range.start + (range.size - 1) * step;
    step = -step;
  }
  int64_t used = range.size;
  if (step > 1 && range.size > 1) {
    SmallVector<int64_t> apart(getTensorType(g).getShape());
    SmallVector<int64_t> together = apart;
    apart.insert(apart.begin() + dim + 1, 1);
    together[dim] *= step;
    g = padDim(b, b.reshape(g, apart), dim + 1, 0, step - 1);
    g = b.reshape(g, together);
    used = range.size * step;
  }
  return padDim(b, g, dim, first, size - first - used);
}

Gradients SliceOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  auto type = getTensorType(getInput());
  Value g = cotangents[0];
  for (auto [i, start, end] : llvm::enumerate(getStarts(), getEnds())) {
    int64_t dim = getAxes().empty()
                      ? int64_t(i)
                      : *normalizeAxis(getAxes()[i], type.getRank());
    int64_t step = getSteps().empty() ? 1 : getSteps()[i];
    int64_t size = type.getDimSize(dim);
    g = unsliceDim(b, g, dim, normalizeSlice(start, end, step, size), size);
  }
  return SmallVector<Value>{g};
}

Gradients ConcatOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t axis = *normalizeAxis(getAxis(), getType().getRank()), start = 0;
  SmallVector<Value> gradients;
  for (Value input : getInputs()) {
    int64_t size = getTensorType(input).getDimSize(axis);
    gradients.push_back(sliceDim(b, cotangents[0], axis, start, size));
    start += size;
  }
  return gradients;
}

/// One dim of a pad that repeats elements: `g` of the padded dim becomes that
/// of the `size` elements it was made from. Null where the padding reaches
/// around them more than once, or wraps and crops.
static Value foldPadding(VjpBuilder &b, Value g, int64_t dim, int64_t size,
                         int64_t low, int64_t high, PadMode mode) {
  int64_t inner = size + std::min<int64_t>(low, 0) + std::min<int64_t>(high, 0);
  int64_t before = std::max<int64_t>(low, 0);
  int64_t after = std::max<int64_t>(high, 0);
  int64_t most = mode == PadMode::reflect ? inner - 1 : inner;
  if (mode != PadMode::edge && (before > most || after > most))
    return {};
  if (mode == PadMode::wrap && inner != size)
    return {};
  Value result = sliceDim(b, g, dim, before, inner);
  auto addPart = [&](int64_t start, int64_t count, int64_t place) {
    if (count == 0)
      return;
    Value part = sliceDim(b, g, dim, start, count);
    if (mode == PadMode::edge)
      part = b.sum(part, {dim});
    else if (mode == PadMode::reflect)
      part = b.make<ReverseOp>(part, Sizes(dim));
    int64_t width = mode == PadMode::edge ? 1 : count;
    result = b.add(result, padDim(b, part, dim, place, inner - place - width));
  };
  bool reflects = mode == PadMode::reflect, wraps = mode == PadMode::wrap;
  addPart(0, before, reflects ? 1 : wraps ? inner - before : 0);
  addPart(before + inner, after,
          reflects ? inner - 1 - after
          : wraps  ? 0
                   : inner - 1);
  return padDim(b, result, dim, -std::min<int64_t>(low, 0),
                -std::min<int64_t>(high, 0));
}

Gradients PadOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  auto type = getTensorType(getInput());
  Value g = cotangents[0];
  if (getMode() != PadMode::constant) {
    for (int64_t dim = 0; dim < type.getRank(); ++dim) {
      g = foldPadding(b, g, dim, type.getDimSize(dim), getLow()[dim],
                      getHigh()[dim], getMode());
      if (!g)
        return emitOpError("has no derivative for padding of mode '")
               << stringifyPadMode(getMode()) << "' by " << getLow()[dim]
               << " and " << getHigh()[dim] << " around dim " << dim
               << " of size " << type.getDimSize(dim);
    }
    SmallVector<Value> gradients(getNumOperands());
    gradients[0] = g;
    return gradients;
  }
  SmallVector<int64_t> low, high;
  for (auto [l, h] : llvm::zip_equal(getLow(), getHigh())) {
    low.push_back(-l);
    high.push_back(-h);
  }
  SmallVector<Value> gradients{b.make<PadOp>(g, Value(), low, high)};
  if (Value value = getValue()) {
    // 1 where the value stands.
    Value one = b.number(1, value);
    Value inside = b.splat(type.getElementType(), type.getShape(), 0.0);
    Value mask = b.make<PadOp>(inside, one, getLow(), getHigh());
    gradients.push_back(b.sumTo(b.mul(g, mask), {}));
  }
  return gradients;
}

Gradients TileOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Sizes shape = getTensorType(getInput()).getShape();
  SmallVector<int64_t> apart, axes;
  for (auto [size, count] : llvm::zip_equal(shape, getRepeats())) {
    axes.push_back(apart.size());
    apart.append({count, size});
  }
  Value g = b.reshape(cotangents[0], apart);
  return SmallVector<Value>{b.sum(g, axes, /*keepdims=*/false)};
}

Gradients ReverseOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  return SmallVector<Value>{b.make<ReverseOp>(cotangents[0], getAxes())};
}

} // namespace lathe
