//===- Normalization.cpp - Softmax and normalization layers ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Composer.h"

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

/// x - max(x) along `axis`, in the type the op computes in.
static Value subtractMax(Composer &c, Value x, int64_t axis) {
  Value max = c.make<ReduceMaxOp>(x, ArrayRef(axis), /*keepdims=*/true);
  return c.make<SubOp>(x, max);
}

FailureOr<SmallVector<Value>> SoftmaxOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = tensorType(getInput());
  int64_t axis = *normalizeAxis(getAxis(), type.getRank());
  Value exp = c.make<ExpOp>(subtractMax(c, c.widen(getInput()), axis));
  Value sum = c.make<ReduceSumOp>(exp, ArrayRef(axis), /*keepdims=*/true);
  Value result = c.make<DivOp>(exp, sum);
  return SmallVector<Value>{c.cast(result, type.getElementType())};
}

FailureOr<SmallVector<Value>> LogSoftmaxOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = tensorType(getInput());
  int64_t axis = *normalizeAxis(getAxis(), type.getRank());
  Value shifted = subtractMax(c, c.widen(getInput()), axis);
  Value sum = c.make<ReduceSumOp>(c.make<ExpOp>(shifted), ArrayRef(axis),
                                  /*keepdims=*/true);
  Value result = c.make<SubOp>(shifted, c.make<LogOp>(sum));
  return SmallVector<Value>{c.cast(result, type.getElementType())};
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
  auto input = rankedOperand({location, getOperationName()}, adaptor.getInput(),
                             "an input", 1);
  if (failed(input) || failed(checkNormParameter<RmsNormOp>(
                           location, "a scale", adaptor.getScale(), *input,
                           input->getShape().take_back())))
    return failure();
  results.push_back(*input);
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

/// x / sqrt(mean(x^2) + epsilon) * scale + bias over `axes`; scale and bias may
/// be null.
static Value normalize(Composer &c, Value x, ArrayRef<int64_t> axes,
                       const APFloat &epsilon, Value scale, Value bias) {
  Type element = tensorType(x).getElementType();
  Value variance = c.make<ReduceMeanOp>(c.make<MulOp>(x, x), axes,
                                        /*keepdims=*/true);
  Value shifted =
      c.make<AddOp>(variance, c.constant(element, epsilon.convertToDouble()));
  Value result = c.make<MulOp>(x, c.make<RsqrtOp>(shifted));
  if (scale)
    result = c.make<MulOp>(result, c.widen(scale));
  if (bias)
    result = c.make<AddOp>(result, c.widen(bias));
  return result;
}

FailureOr<SmallVector<Value>> LayerNormOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = tensorType(getInput());
  SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(
      *normalizeAxis(getAxis(), type.getRank()), type.getRank()));
  Value x = c.widen(getInput());
  Value mean = c.make<ReduceMeanOp>(x, axes, /*keepdims=*/true);
  Value result = normalize(c, c.make<SubOp>(x, mean), axes, getEpsilon(),
                           getScale(), getBias());
  return SmallVector<Value>{c.cast(result, type.getElementType())};
}
FailureOr<SmallVector<Value>> RmsNormOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = tensorType(getInput());
  Value result = normalize(c, c.widen(getInput()), ArrayRef(type.getRank() - 1),
                           getEpsilon(), getScale(), /*bias=*/Value());
  return SmallVector<Value>{c.cast(result, type.getElementType())};
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

// x * a + b, where a and b depend on the statistics alone and so can be
// computed once, when weights are loaded.
FailureOr<SmallVector<Value>> BatchNormOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = tensorType(getInput());
  int64_t axis = *normalizeAxis(getAxis(), type.getRank());
  Value x = c.widen(getInput());
  Value epsilon = c.constant(tensorType(x).getElementType(),
                             getEpsilon().convertToDouble());
  Value deviation =
      c.make<SqrtOp>(c.make<AddOp>(c.widen(getVariance()), epsilon));
  Value a = c.make<DivOp>(c.widen(getScale()), deviation);
  Value b =
      c.make<SubOp>(c.widen(getBias()), c.make<MulOp>(c.widen(getMean()), a));
  Value scaled = c.make<MulOp>(x, c.alongAxis(a, axis, type.getRank()));
  Value result = c.make<AddOp>(scaled, c.alongAxis(b, axis, type.getRank()));
  return SmallVector<Value>{c.cast(result, type.getElementType())};
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Normalization.cpp.inc"
