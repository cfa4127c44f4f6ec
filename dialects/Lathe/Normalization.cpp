//===- Normalization.cpp - Softmax and normalization layers ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

namespace lathe {

//===----------------------------------------------------------------------===//
// softmax, log_softmax
//===----------------------------------------------------------------------===//

template <typename OpTy>
static LogicalResult inferSoftmax(std::optional<Location> location,
                                  typename OpTy::Adaptor adaptor,
                                  SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  if (!input)
    return inferenceError<OpTy>(location, "expected a ranked tensor");
  if (failed(normalizeAxis(adaptor.getAxis(), input.getRank())))
    return axisError<OpTy>(location, input.getRank(), adaptor.getAxis());
  results.push_back(input);
  return success();
}

LogicalResult SoftmaxOp::inferReturnTypes(MLIRContext *,
                                          std::optional<Location> location,
                                          Adaptor adaptor,
                                          SmallVectorImpl<Type> &results) {
  return inferSoftmax<SoftmaxOp>(location, adaptor, results);
}

LogicalResult LogSoftmaxOp::inferReturnTypes(MLIRContext *,
                                             std::optional<Location> location,
                                             Adaptor adaptor,
                                             SmallVectorImpl<Type> &results) {
  return inferSoftmax<LogSoftmaxOp>(location, adaptor, results);
}

FusionKind SoftmaxOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind LogSoftmaxOp::getFusionKind() { return FusionKind::Opaque; }

FailureOr<SmallVector<Value>> SoftmaxOp::decompose(OpBuilder &builder) {
  return failure();
}
FailureOr<SmallVector<Value>> LogSoftmaxOp::decompose(OpBuilder &builder) {
  return failure();
}

//===----------------------------------------------------------------------===//
// layer_norm, rms_norm
//===----------------------------------------------------------------------===//

/// Checks that `parameter` (may be null) broadcasts to the normalized dims
/// `dims` and has the input's element type.
template <typename OpTy>
static LogicalResult checkNormParameter(std::optional<Location> location,
                                        StringRef name, Value parameter,
                                        RankedTensorType input,
                                        ArrayRef<int64_t> dims) {
  if (!parameter)
    return success();
  auto type = dyn_cast<RankedTensorType>(parameter.getType());
  if (!type || type.getElementType() != input.getElementType()) {
    std::string expected, found;
    llvm::raw_string_ostream(expected) << input.getElementType();
    llvm::raw_string_ostream(found)
        << getElementTypeOrSelf(parameter.getType());
    return inferenceError<OpTy>(location, "expected " + name +
                                              " of the input's element type " +
                                              expected + ", got " + found);
  }
  bool fits = type.getRank() <= int64_t(dims.size());
  for (int64_t i = 1; fits && i <= type.getRank(); ++i) {
    int64_t size = type.getShape()[type.getRank() - i];
    fits = size == 1 || sizesAgree(size, dims[dims.size() - i]);
  }
  if (!fits)
    return inferenceError<OpTy>(
        location, "expected " + name +
                      " that broadcasts to the normalized dims " +
                      shapeText(dims) + ", got " + shapeText(type.getShape()));
  return success();
}

LogicalResult LayerNormOp::inferReturnTypes(MLIRContext *,
                                            std::optional<Location> location,
                                            Adaptor adaptor,
                                            SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  if (!input)
    return inferenceError<LayerNormOp>(location, "expected a ranked tensor");
  FailureOr<int64_t> axis = normalizeAxis(adaptor.getAxis(), input.getRank());
  if (failed(axis))
    return axisError<LayerNormOp>(location, input.getRank(), adaptor.getAxis());
  ArrayRef<int64_t> dims = input.getShape().drop_front(*axis);
  if (failed(checkNormParameter<LayerNormOp>(
          location, "a scale", adaptor.getScale(), input, dims)) ||
      failed(checkNormParameter<LayerNormOp>(location, "a bias",
                                             adaptor.getBias(), input, dims)))
    return failure();
  results.push_back(input);
  return success();
}

LogicalResult RmsNormOp::inferReturnTypes(MLIRContext *,
                                          std::optional<Location> location,
                                          Adaptor adaptor,
                                          SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  if (!input || input.getRank() < 1)
    return inferenceError<RmsNormOp>(location,
                                     "expected an input of rank 1 or more");
  if (failed(checkNormParameter<RmsNormOp>(location, "a scale",
                                           adaptor.getScale(), input,
                                           input.getShape().take_back())))
    return failure();
  results.push_back(input);
  return success();
}

static LogicalResult verifyEpsilon(Operation *op, const APFloat &epsilon) {
  if (epsilon.isFinite() && !epsilon.isNegative())
    return success();
  return op->emitOpError(
             "expected an epsilon that is finite and not negative, got ")
         << epsilon.convertToDouble();
}

LogicalResult LayerNormOp::verify() {
  return verifyEpsilon(*this, getEpsilon());
}
LogicalResult RmsNormOp::verify() { return verifyEpsilon(*this, getEpsilon()); }

FusionKind LayerNormOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind RmsNormOp::getFusionKind() { return FusionKind::Opaque; }

FailureOr<SmallVector<Value>> LayerNormOp::decompose(OpBuilder &builder) {
  return failure();
}
FailureOr<SmallVector<Value>> RmsNormOp::decompose(OpBuilder &builder) {
  return failure();
}

//===----------------------------------------------------------------------===//
// batch_norm
//===----------------------------------------------------------------------===//

LogicalResult BatchNormOp::inferReturnTypes(MLIRContext *,
                                            std::optional<Location> location,
                                            Adaptor adaptor,
                                            SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  if (!input)
    return inferenceError<BatchNormOp>(location, "expected a ranked tensor");
  FailureOr<int64_t> axis = normalizeAxis(adaptor.getAxis(), input.getRank());
  if (failed(axis))
    return axisError<BatchNormOp>(location, input.getRank(), adaptor.getAxis());
  SmallVector<int64_t> shape(input.getShape());
  std::pair<StringRef, Value> parameters[] = {
      {"a scale", adaptor.getScale()},
      {"a bias", adaptor.getBias()},
      {"a mean", adaptor.getMean()},
      {"a variance", adaptor.getVariance()}};
  for (auto [name, parameter] : parameters) {
    auto type = dyn_cast<RankedTensorType>(parameter.getType());
    if (!type || type.getRank() != 1 ||
        !sizesAgree(type.getDimSize(0), shape[*axis]))
      return inferenceError<BatchNormOp>(
          location, "expected " + name + " of shape " +
                        shapeText({shape[*axis]}) + ", got " +
                        (type ? shapeText(type.getShape()) : "no tensor"));
    shape[*axis] = mergeSizes(shape[*axis], type.getDimSize(0));
  }
  results.push_back(RankedTensorType::get(shape, input.getElementType()));
  return success();
}

LogicalResult BatchNormOp::verify() {
  Type element = tensorType(getInput()).getElementType();
  for (Value parameter : getOperands().drop_front()) {
    Type type = tensorType(parameter).getElementType();
    if (type != element)
      return emitOpError("expected parameters of the input's element type ")
             << element << ", got " << type;
  }
  return verifyEpsilon(*this, getEpsilon());
}

FusionKind BatchNormOp::getFusionKind() { return FusionKind::Opaque; }

FailureOr<SmallVector<Value>> BatchNormOp::decompose(OpBuilder &builder) {
  return failure();
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Normalization.cpp.inc"
