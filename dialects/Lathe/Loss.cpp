//===- Loss.cpp - Training losses -----------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

namespace lathe {

//===----------------------------------------------------------------------===//
// cross_entropy
//===----------------------------------------------------------------------===//

LogicalResult CrossEntropyOp::inferReturnTypes(MLIRContext *,
                                               std::optional<Location> location,
                                               Adaptor adaptor,
                                               SmallVectorImpl<Type> &results) {
  auto logits = dyn_cast<RankedTensorType>(adaptor.getLogits().getType());
  auto labels = dyn_cast<RankedTensorType>(adaptor.getLabels().getType());
  if (!logits || !labels || logits.getRank() < 1)
    return inferenceError<CrossEntropyOp>(location,
                                          "expected logits of rank 1 or more");
  ArrayRef<int64_t> rows = logits.getShape().drop_back();
  if (failed(verifyCompatibleShape(rows, labels.getShape())))
    return inferenceError<CrossEntropyOp>(
        location, "expected labels of shape " + shapeText(rows) +
                      ", as the logits without their last dim, got " +
                      shapeText(labels.getShape()));
  SmallVector<int64_t> shape;
  if (adaptor.getReduction() == LossReduction::none)
    for (auto [a, b] : llvm::zip_equal(rows, labels.getShape()))
      shape.push_back(mergeSizes(a, b));
  results.push_back(RankedTensorType::get(shape, logits.getElementType()));
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

FailureOr<SmallVector<Value>> CrossEntropyOp::decompose(OpBuilder &builder) {
  return failure();
}

//===----------------------------------------------------------------------===//
// mse
//===----------------------------------------------------------------------===//

LogicalResult MseOp::inferReturnTypes(MLIRContext *,
                                      std::optional<Location> location,
                                      Adaptor adaptor,
                                      SmallVectorImpl<Type> &results) {
  auto prediction =
      dyn_cast<RankedTensorType>(adaptor.getPrediction().getType());
  auto target = dyn_cast<RankedTensorType>(adaptor.getTarget().getType());
  if (!prediction || !target)
    return inferenceError<MseOp>(location, "expected ranked tensors");
  if (failed(verifyCompatibleShape(prediction.getShape(), target.getShape())))
    return inferenceError<MseOp>(
        location, "expected prediction and target of one shape, got " +
                      shapeText(prediction.getShape()) + " and " +
                      shapeText(target.getShape()));
  SmallVector<int64_t> shape;
  if (adaptor.getReduction() == LossReduction::none)
    for (auto [a, b] :
         llvm::zip_equal(prediction.getShape(), target.getShape()))
      shape.push_back(mergeSizes(a, b));
  results.push_back(RankedTensorType::get(shape, prediction.getElementType()));
  return success();
}

LogicalResult MseOp::verify() {
  Type prediction = tensorType(getPrediction()).getElementType();
  Type target = tensorType(getTarget()).getElementType();
  if (prediction != target)
    return emitOpError(
               "expected prediction and target of one element type, got ")
           << prediction << " and " << target;
  return success();
}

FusionKind MseOp::getFusionKind() { return FusionKind::Opaque; }

FailureOr<SmallVector<Value>> MseOp::decompose(OpBuilder &builder) {
  return failure();
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Loss.cpp.inc"
