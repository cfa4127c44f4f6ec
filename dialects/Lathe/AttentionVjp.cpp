//===- AttentionVjp.cpp - Derivatives of attention ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {

// With weights p = exp(score - log_sum_exp), the cotangent G of the result and
// g of log_sum_exp: the scores' gradient is p * (G v^T - (rowsum(G * result) -
// g)), because the sum over a row of p * (G v^T) is G times the result.
Gradients AttentionTrainingOp::buildVjp(OpBuilder &builder,
                                        ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Value cotangent = cotangents[0] ? cotangents[0] : b.zerosLike(getResult());
  Value delta =
      b.sum(b.mul(b.widen(cotangent), b.widen(getResult())), {3}, false);
  if (Value ofRows = cotangents[1]) {
    // Of [b, h, s] in any layout, unlike delta.
    if (getLayout() == HeadLayout::heads_third)
      ofRows = builder.create<TransposeOp>(getLoc(), ofRows,
                                           ArrayRef<int64_t>{0, 2, 1});
    delta = b.sub(delta, ofRows);
  }
  auto backward = builder.create<AttentionBackwardOp>(
      getLoc(), getQuery(), getKey(), getValue(), cotangent, getLogSumExp(),
      delta, getMask(), getScaleAttr(), getCausalAttr(), getLayoutAttr());
  SmallVector<Value> gradients(backward->getResults());
  if (Value mask = getMask())
    gradients.push_back(
        hasFloatElements(mask)
            ? b.gradientOf(mask, backward.buildScoreGradient(builder))
            : Value());
  return gradients;
}

} // namespace lathe
