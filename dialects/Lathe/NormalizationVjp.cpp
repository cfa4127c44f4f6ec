//===- NormalizationVjp.cpp - Derivatives of softmax and norms ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {

Gradients SoftmaxOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t axis = *normalizeAxis(getAxis(), getTensorType(getInput()).getRank());
  Value y = b.widen(getResult()), g = b.widen(cotangents[0]);
  Value inner = b.sum(b.mul(g, y), {axis});
  return SmallVector<Value>{
      b.gradientOf(getInput(), b.mul(y, b.sub(g, inner)))};
}

Gradients LogSoftmaxOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t axis = *normalizeAxis(getAxis(), getTensorType(getInput()).getRank());
  Value y = b.widen(getResult()), g = b.widen(cotangents[0]);
  Value spread = b.mul(b.make<ExpOp>(y), b.sum(g, {axis}));
  return SmallVector<Value>{b.gradientOf(getInput(), b.sub(g, spread))};
}

/// The gradients of unit(x) * scale + bias, where unit divides `centred` by
/// its root mean square over `axes`. With `isCentred`, centred is x - mean(x),
/// else x itself. scale and bias may be null, and have no gradient then.
static SmallVector<Value>
differentiateNorm(VjpBuilder &b, Value input, Value centred,
                  ArrayRef<int64_t> axes, const APFloat &epsilon, Value scale,
                  Value bias, bool isCentred, Value g) {
  Value variance = b.mean(b.mul(centred, centred), axes);
  Value shifted = b.add(variance, b.number(epsilon.convertToDouble(), centred));
  Value inverse = b.make<RsqrtOp>(shifted);
  Value unit = b.mul(centred, inverse);
  SmallVector<Value> gradients;
  Value gUnit = scale ? b.mul(g, b.widen(scale)) : g;
  Value rest = b.mul(unit, b.mean(b.mul(gUnit, unit), axes));
  Value inner = b.sub(gUnit, rest);
  if (isCentred)
    inner = b.sub(inner, b.mean(gUnit, axes));
  gradients.push_back(b.gradientOf(input, b.mul(inverse, inner)));
  if (scale)
    gradients.push_back(b.gradientOf(scale, b.mul(g, unit)));
  if (bias)
    gradients.push_back(b.gradientOf(bias, g));
  return gradients;
}

Gradients LayerNormOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t rank = getTensorType(getInput()).getRank();
  auto axes = llvm::to_vector(
      llvm::seq<int64_t>(*normalizeAxis(getAxis(), rank), rank));
  Value x = b.widen(getInput());
  return differentiateNorm(b, getInput(), b.sub(x, b.mean(x, axes)), axes,
                           getEpsilon(), getScale(), getBias(),
                           /*isCentred=*/true, b.widen(cotangents[0]));
}

Gradients RmsNormOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t last = getTensorType(getInput()).getRank() - 1;
  return differentiateNorm(b, getInput(), b.widen(getInput()), {last},
                           getEpsilon(), getScale(), /*bias=*/Value(),
                           /*isCentred=*/false, b.widen(cotangents[0]));
}

Gradients BatchNormOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t rank = getTensorType(getInput()).getRank();
  int64_t axis = *normalizeAxis(getAxis(), rank);
  SmallVector<int64_t> others;
  for (int64_t i = 0; i < rank; ++i)
    if (i != axis)
      others.push_back(i);
  // One number per channel, which stretches over the input.
  auto channel = [&](Value value) {
    return b.alongAxis(b.widen(value), axis, rank);
  };
  auto gradientOf = [&](Value parameter, Value whole) {
    Value sum = others.empty() ? whole : b.sum(whole, others, false);
    return b.cast(sum, getTensorType(parameter).getElementType());
  };
  Value x = b.widen(getInput()), g = b.widen(cotangents[0]);
  Value epsilon = b.number(getEpsilon().convertToDouble(), x);
  Value inverse = b.make<RsqrtOp>(b.add(channel(getVariance()), epsilon));
  Value unit = b.mul(b.sub(x, channel(getMean())), inverse);
  Value gInput = b.mul(g, b.mul(channel(getScale()), inverse));
  // d unit / d variance = -unit / 2 / (variance + epsilon)
  Value gVariance = b.scale(b.mul(gInput, b.mul(unit, inverse)), -0.5);
  return SmallVector<Value>{
      b.gradientOf(getInput(), gInput), gradientOf(getScale(), b.mul(g, unit)),
      gradientOf(getBias(), g), gradientOf(getMean(), b.neg(gInput)),
      gradientOf(getVariance(), gVariance)};
}

// With the mean m and the deviation d of the batch, unit = (x - m) / d:
//   dx = scale / d * (g - mean(g) - unit * mean(g * unit))
// (Ioffe and Szegedy, arXiv 1502.03167). The statistics are spelled as in the
// decomposition, so that they are computed once; what is left are the two sums
// and one pass over the elements with two numbers per channel.
Gradients BatchNormTrainingOp::buildVjp(OpBuilder &builder,
                                        ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  auto type = getTensorType(getInput());
  int64_t rank = type.getRank(), axis = *normalizeAxis(getAxis(), rank);
  SmallVector<int64_t> axes;
  int64_t count = 1;
  for (int64_t i = 0; i < rank; ++i)
    if (i != axis) {
      axes.push_back(i);
      count *= type.getDimSize(i);
    }
  if (axes.empty() || count == 0)
    return emitOpError("expected elements to normalize over");
  auto channel = [&](Value value) { return b.alongAxis(value, axis, rank); };
  auto mean = [&](Value value) -> Value {
    return b.make<ReduceMeanOp>(value, axes, /*keepdims=*/false);
  };
  auto gradientOf = [&](Value operand, Value gradient) {
    return gradient ? b.cast(gradient, getTensorType(operand).getElementType())
                    : Value();
  };
  Value x = b.widen(getInput());
  Value centered = b.sub(x, channel(mean(x)));
  Value variance = mean(b.mul(centered, centered));
  Value shifted =
      b.add(variance, b.number(getEpsilon().convertToDouble(), variance));
  Value deviation = b.make<SqrtOp>(shifted);

  // dx = a * g + b * centered + c, each null where it is zero.
  double n = double(count), momentum = getMomentum().convertToDouble();
  Value dx, slope, offset, gScale, gBias, gMean, gVariance;
  auto plus = [&](Value a, Value more) { return a ? b.add(a, more) : more; };
  if (cotangents[0]) {
    Value g = b.widen(cotangents[0]);
    Value factor = b.div(b.widen(getScale()), deviation);
    gBias = b.sum(g, axes, /*keepdims=*/false);
    Value along = b.sum(b.mul(g, centered), axes, /*keepdims=*/false);
    gScale = b.div(along, deviation);
    dx = b.mul(g, channel(factor));
    slope = b.scale(b.div(b.mul(factor, along), shifted), -1.0 / n);
    offset = b.scale(b.mul(factor, gBias), -1.0 / n);
  }
  if (cotangents[1]) {
    Value g = b.widen(cotangents[1]);
    offset = plus(offset, b.scale(g, momentum / n));
    gMean = b.scale(g, 1.0 - momentum);
  }
  if (cotangents[2]) {
    Value g = b.widen(cotangents[2]);
    double correction = getBiased() || count < 2 ? n : n - 1;
    slope = plus(slope, b.scale(g, 2.0 * momentum / correction));
    gVariance = b.scale(g, 1.0 - momentum);
  }
  if (slope)
    dx = plus(dx, b.mul(centered, channel(slope)));
  if (offset)
    dx = dx ? b.add(dx, channel(offset))
            : b.broadcast(channel(offset), type.getShape());
  return SmallVector<Value>{
      b.gradientOf(getInput(), dx), gradientOf(getScale(), gScale),
      gradientOf(getBias(), gBias), gradientOf(getMean(), gMean),
      gradientOf(getVariance(), gVariance)};
}

} // namespace lathe
