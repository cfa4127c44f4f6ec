//===- LossVjp.cpp - Derivatives of training losses -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {

// softmax(logits) - target, times the row's cotangent; target is 1 - s at the
// label, and s / classes more everywhere.
Gradients CrossEntropyOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Value logits = b.widen(getLogits()), labels = getLabels();
  auto type = getTensorType(logits);
  int64_t last = type.getRank() - 1, classes = type.getShape().back();
  Type element = type.getElementType();
  Type labelType = getTensorType(labels).getElementType();
  Value zero = b.number(0, logits);

  Value column = b.make<UnsqueezeOp>(labels, ArrayRef(last));
  Value index = b.make<IotaOp>(ArrayRef(classes), /*axis=*/0, labelType);
  Value isLabel = b.compare(ComparePredicate::eq, column, index);
  double smoothing = getLabelSmoothing().convertToDouble();
  double floor = classes ? smoothing / double(classes) : 0.0;
  Value target = b.select(isLabel, b.number(1.0 - smoothing + floor, logits),
                          b.number(floor, logits));
  Value gradient = b.sub(b.make<SoftmaxOp>(logits, last), target);

  // The cotangent of each row.
  Value g = b.widen(cotangents[0]);
  Value counted;
  if (std::optional<int64_t> ignored = getIgnoreIndex())
    counted = b.compare(ComparePredicate::ne, labels,
                        b.constant(labelType, *ignored));
  if (getReduction() == LossReduction::mean) {
    if (counted)
      g = b.div(g, b.make<ReduceSumOp>(b.cast(counted, element),
                                       ArrayRef<int64_t>()));
    else
      g = b.scale(g, 1.0 / double(std::max<int64_t>(
                               1, getTensorType(labels).getNumElements())));
  }
  if (counted)
    g = b.select(counted, g, zero);
  if (getTensorType(g).getRank() == last && last > 0)
    g = b.make<UnsqueezeOp>(g, ArrayRef(last));
  return SmallVector<Value>{b.gradientOf(getLogits(), b.mul(gradient, g)),
                            Value()};
}

Gradients MseOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Value difference = b.sub(b.widen(getPrediction()), b.widen(getTarget()));
  double factor = 2.0;
  if (getReduction() == LossReduction::mean)
    factor /= double(
        std::max<int64_t>(1, getTensorType(getPrediction()).getNumElements()));
  Value g = b.scale(b.widen(cotangents[0]), factor);
  Value gradient = b.mul(difference, g);
  return SmallVector<Value>{b.gradientOf(getPrediction(), gradient),
                            b.gradientOf(getTarget(), b.neg(gradient))};
}

} // namespace lathe
