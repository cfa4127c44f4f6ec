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
  int64_t axis = *normalizeAxis(getAxis(), tensorType(getInput()).getRank());
  Value y = b.widen(getResult()), g = b.widen(cotangents[0]);
  Value inner = b.sum(b.mul(g, y), {axis});
  return SmallVector<Value>{
      b.gradientOf(getInput(), b.mul(y, b.sub(g, inner)))};
}

Gradients LogSoftmaxOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t axis = *normalizeAxis(getAxis(), tensorType(getInput()).getRank());
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
  int64_t rank = tensorType(getInput()).getRank();
  auto axes = llvm::to_vector(
      llvm::seq<int64_t>(*normalizeAxis(getAxis(), rank), rank));
  Value x = b.widen(getInput());
  return differentiateNorm(b, getInput(), b.sub(x, b.mean(x, axes)), axes,
                           getEpsilon(), getScale(), getBias(),
                           /*isCentred=*/true, b.widen(cotangents[0]));
}

Gradients RmsNormOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t last = tensorType(getInput()).getRank() - 1;
  return differentiateNorm(b, getInput(), b.widen(getInput()), {last},
                           getEpsilon(), getScale(), /*bias=*/Value(),
                           /*isCentred=*/false, b.widen(cotangents[0]));
}

Gradients BatchNormOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t rank = tensorType(getInput()).getRank();
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
    return b.cast(sum, tensorType(parameter).getElementType());
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

} // namespace lathe
