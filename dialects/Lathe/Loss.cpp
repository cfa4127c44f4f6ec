//===- Loss.cpp - Training losses -----------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Composer.h"

namespace lathe {

/// The mean or sum over all elements, or `loss` itself.
static Value reduceLoss(Composer &c, Value loss, LossReduction reduction) {
  if (reduction == LossReduction::mean)
    return c.make<ReduceMeanOp>(loss, ArrayRef<int64_t>());
  if (reduction == LossReduction::sum)
    return c.make<ReduceSumOp>(loss, ArrayRef<int64_t>());
  return loss;
}

/// The type of a loss between values of the shapes `a` and `b`: one number, or
/// as many as there are without a reduction.
static RankedTensorType lossType(LossReduction reduction, RankedTensorType like,
                                 ArrayRef<int64_t> a, ArrayRef<int64_t> b) {
  SmallVector<int64_t> shape;
  if (reduction == LossReduction::none)
    for (auto [left, right] : llvm::zip_equal(a, b))
      shape.push_back(mergeSizes(left, right));
  return RankedTensorType::get(shape, like.getElementType());
}

//===----------------------------------------------------------------------===//
// cross_entropy
//===----------------------------------------------------------------------===//

LogicalResult CrossEntropyOp::inferReturnTypes(MLIRContext *,
                                               std::optional<Location> location,
                                               Adaptor adaptor,
                                               SmallVectorImpl<Type> &results) {
  Site site{location, getOperationName()};
  auto logits = rankedOperand(site, adaptor.getLogits(), "logits", 1);
  if (failed(logits))
    return failure();
  auto labels = rankedOperand(site, adaptor.getLabels(), "labels", 0);
  if (failed(labels))
    return failure();
  ArrayRef<int64_t> rows = logits->getShape().drop_back();
  if (failed(verifyCompatibleShape(rows, labels->getShape())))
    return inferenceError(site, "expected labels of shape " + shapeText(rows) +
                                    ", as the logits without their last dim, "
                                    "got " +
                                    shapeText(labels->getShape()));
  results.push_back(
      lossType(adaptor.getReduction(), *logits, rows, labels->getShape()));
  return success();
}

LogicalResult CrossEntropyOp::verify() {
  double smoothing = getLabelSmoothing().convertToDouble();
  if (!(smoothing >= 0.0 && smoothing <= 1.0))
    return emitOpError("expected label_smoothing from 0 to 1, got ")
           << smoothing;
  return success();
}

FusionKind CrossEntropyOp::getFusionKind() { return FusionKind::Opaque; }

// The label's logarithm is picked by comparing labels with an iota, not by a
// gather: so the loss stays one reduction over rows that a kernel can hold.
FailureOr<SmallVector<Value>> CrossEntropyOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = getTensorType(getLogits());
  int64_t classes = type.getShape().back(), last = type.getRank() - 1;
  if (ShapedType::isDynamic(classes))
    return failure();
  Value logits = c.widen(getLogits());
  Type element = getTensorType(logits).getElementType();
  Type labelType = getTensorType(getLabels()).getElementType();
  Value zero = c.constant(element, 0.0);

  Value logs = c.make<LogSoftmaxOp>(logits);
  Value index = c.make<IotaOp>(ArrayRef(classes), /*axis=*/0, labelType);
  Value isLabel = c.make<CompareOp>(
      ComparePredicate::eq, c.make<UnsqueezeOp>(getLabels(), ArrayRef(last)),
      index);
  Value picked = c.make<SelectOp>(isLabel, logs, zero);
  Value loss = c.make<NegOp>(c.make<ReduceSumOp>(picked, ArrayRef(last)));
  double smoothing = getLabelSmoothing().convertToDouble();
  if (smoothing != 0.0) {
    Value uniform = c.make<ReduceMeanOp>(logs, ArrayRef(last));
    loss =
        c.make<SubOp>(c.make<MulOp>(loss, c.constant(element, 1.0 - smoothing)),
                      c.make<MulOp>(uniform, c.constant(element, smoothing)));
  }
  Value counted;
  if (std::optional<int64_t> ignored = getIgnoreIndex()) {
    counted = c.make<CompareOp>(ComparePredicate::ne, getLabels(),
                                c.constant(labelType, *ignored));
    loss = c.make<SelectOp>(counted, loss, zero);
  }
  if (getReduction() == LossReduction::mean && counted)
    loss = c.make<DivOp>(
        c.make<ReduceSumOp>(loss, ArrayRef<int64_t>()),
        c.make<ReduceSumOp>(c.cast(counted, element), ArrayRef<int64_t>()));
  else
    loss = reduceLoss(c, loss, getReduction());
  return SmallVector<Value>{c.cast(loss, type.getElementType())};
}

//===----------------------------------------------------------------------===//
// mse
//===----------------------------------------------------------------------===//

LogicalResult MseOp::inferReturnTypes(MLIRContext *,
                                      std::optional<Location> location,
                                      Adaptor adaptor,
                                      SmallVectorImpl<Type> &results) {
  Site site{location, getOperationName()};
  auto prediction =
      rankedOperand(site, adaptor.getPrediction(), "a prediction", 0);
  auto target = rankedOperand(site, adaptor.getTarget(), "a target", 0);
  if (failed(prediction) || failed(target))
    return failure();
  ArrayRef<int64_t> a = prediction->getShape(), b = target->getShape();
  if (failed(verifyCompatibleShape(a, b)))
    return inferenceError(site, "expected prediction and target of one shape, "
                                "got " +
                                    shapeText(a) + " and " + shapeText(b));
  results.push_back(lossType(adaptor.getReduction(), *prediction, a, b));
  return success();
}

LogicalResult MseOp::verify() {
  Type prediction = getTensorType(getPrediction()).getElementType();
  Type target = getTensorType(getTarget()).getElementType();
  if (prediction != target)
    return emitOpError(
               "expected prediction and target of one element type, got ")
           << prediction << " and " << target;
  return success();
}

FusionKind MseOp::getFusionKind() { return FusionKind::Opaque; }

FailureOr<SmallVector<Value>> MseOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  Value difference =
      c.make<SubOp>(c.widen(getPrediction()), c.widen(getTarget()));
  Value loss =
      reduceLoss(c, c.make<MulOp>(difference, difference), getReduction());
  return SmallVector<Value>{
      c.cast(loss, getTensorType(getPrediction()).getElementType())};
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Loss.cpp.inc"

void lathe::LatheDialect::addLossOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Loss.cpp.inc"
      >();
}
