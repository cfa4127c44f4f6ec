//===- Normalization.cpp - Softmax and normalization layers ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Composer.h"
#include "dialects/Lathe/LayoutRules.h"

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
  auto type = getTensorType(getInput());
  int64_t axis = *normalizeAxis(getAxis(), type.getRank());
  Value exp = c.make<ExpOp>(subtractMax(c, c.widen(getInput()), axis));
  Value sum = c.make<ReduceSumOp>(exp, ArrayRef(axis), /*keepdims=*/true);
  Value result = c.make<DivOp>(exp, sum);
  return SmallVector<Value>{c.cast(result, type.getElementType())};
}

FailureOr<SmallVector<Value>> LogSoftmaxOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = getTensorType(getInput());
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
  Type element = getTensorType(x).getElementType();
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
  auto type = getTensorType(getInput());
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
  auto type = getTensorType(getInput());
  Value result = normalize(c, c.widen(getInput()), ArrayRef(type.getRank() - 1),
                           getEpsilon(), getScale(), /*bias=*/Value());
  return SmallVector<Value>{c.cast(result, type.getElementType())};
}

//===----------------------------------------------------------------------===//
// batch_norm
//===----------------------------------------------------------------------===//

/// The shape of a batch norm's input, its channels as precise as the parameters
/// say, and the axis.
template <typename OpTy, typename Adaptor>
static FailureOr<std::pair<SmallVector<int64_t>, int64_t>>
inferBatchNorm(std::optional<Location> location, Adaptor adaptor) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  if (!input)
    return inferenceError<OpTy>(location, "expected a ranked tensor");
  FailureOr<int64_t> axis = normalizeAxis(adaptor.getAxis(), input.getRank());
  if (failed(axis))
    return axisError<OpTy>(location, input.getRank(), adaptor.getAxis());
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
      return inferenceError<OpTy>(
          location, "expected " + name + " of shape " +
                        shapeText({shape[*axis]}) + ", got " +
                        (type ? shapeText(type.getShape()) : "no tensor"));
    shape[*axis] = mergeSizes(shape[*axis], type.getDimSize(0));
  }
  return std::pair(shape, *axis);
}

LogicalResult BatchNormOp::inferReturnTypes(MLIRContext *,
                                            std::optional<Location> location,
                                            Adaptor adaptor,
                                            SmallVectorImpl<Type> &results) {
  auto inferred = inferBatchNorm<BatchNormOp>(location, adaptor);
  if (failed(inferred))
    return failure();
  results.push_back(cast<RankedTensorType>(adaptor.getInput().getType())
                        .clone(inferred->first));
  return success();
}

/// All parameters have the input's element type.
static LogicalResult verifyParameterTypes(Operation *op) {
  Type element = getTensorType(op->getOperand(0)).getElementType();
  for (Value parameter : op->getOperands().drop_front()) {
    Type type = getTensorType(parameter).getElementType();
    if (type != element)
      return op->emitOpError("expected parameters of the input's element type ")
             << element << ", got " << type;
  }
  return success();
}

LogicalResult BatchNormOp::verify() {
  if (failed(verifyParameterTypes(*this)))
    return failure();
  return verifyEpsilon(*this, getEpsilon());
}

FusionKind BatchNormOp::getFusionKind() { return FusionKind::Opaque; }

FailureOr<ValueLayouts> BatchNormOp::getLayouts(Value value, AffineMap layout) {
  if (value != getInput() && value != getResult())
    return failure();
  return sameLayouts(*this, 1, layout);
}
void BatchNormOp::applyLayouts(const ValueLayouts &layouts) {
  setAxis(storedAxis(layouts.results[0], getAxis()));
}

// x * a + b, where a and b depend on the statistics alone and so can be
// computed once, when weights are loaded.
FailureOr<SmallVector<Value>> BatchNormOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = getTensorType(getInput());
  int64_t axis = *normalizeAxis(getAxis(), type.getRank());
  Value x = c.widen(getInput());
  Value epsilon = c.constant(getTensorType(x).getElementType(),
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

//===----------------------------------------------------------------------===//
// batch_norm_training
//===----------------------------------------------------------------------===//

LogicalResult BatchNormTrainingOp::inferReturnTypes(
    MLIRContext *, std::optional<Location> location, Adaptor adaptor,
    SmallVectorImpl<Type> &results) {
  auto inferred = inferBatchNorm<BatchNormTrainingOp>(location, adaptor);
  if (failed(inferred))
    return failure();
  const auto &[shape, axis] = *inferred;
  auto input = cast<RankedTensorType>(adaptor.getInput().getType());
  results.push_back(input.clone(shape));
  for (Value statistics : {adaptor.getMean(), adaptor.getVariance()})
    results.push_back(cast<RankedTensorType>(statistics.getType())
                          .clone(ArrayRef<int64_t>(shape[axis])));
  return success();
}

LogicalResult BatchNormTrainingOp::verify() {
  if (failed(verifyParameterTypes(*this)))
    return failure();
  double momentum = getMomentum().convertToDouble();
  if (!(momentum >= 0 && momentum <= 1))
    return emitOpError("expected a momentum in [0, 1], got ") << momentum;
  return verifyEpsilon(*this, getEpsilon());
}

FusionKind BatchNormTrainingOp::getFusionKind() { return FusionKind::Opaque; }

FailureOr<SmallVector<Value>>
BatchNormTrainingOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = getTensorType(getInput());
  int64_t axis = *normalizeAxis(getAxis(), type.getRank());
  SmallVector<int64_t> axes;
  int64_t count = 1;
  for (int64_t i = 0; i < type.getRank(); ++i)
    if (i != axis) {
      axes.push_back(i);
      count *= type.getDimSize(i);
    }
  // Of rank 1 there is nothing to reduce over.
  if (!type.hasStaticShape() || axes.empty())
    return failure();
  Value x = c.widen(getInput());
  Type element = getTensorType(x).getElementType();
  auto along = [&](Value value) {
    return c.alongAxis(value, axis, type.getRank());
  };
  auto mean = [&](Value value) {
    return c.make<ReduceMeanOp>(value, axes, /*keepdims=*/false);
  };
  Value average = mean(x);
  Value centered = c.make<SubOp>(x, along(average));
  Value variance = mean(c.make<MulOp>(centered, centered));
  Value deviation = c.make<SqrtOp>(c.make<AddOp>(
      variance, c.constant(element, getEpsilon().convertToDouble())));
  Value factor = c.make<DivOp>(c.widen(getScale()), deviation);
  Value result = c.make<AddOp>(c.make<MulOp>(centered, along(factor)),
                               along(c.widen(getBias())));
  double momentum = getMomentum().convertToDouble();
  auto follow = [&](Value old, Value batch, double share) {
    return c.cast(
        c.make<AddOp>(
            c.make<MulOp>(c.widen(old), c.constant(element, 1 - momentum)),
            c.make<MulOp>(batch, c.constant(element, share))),
        type.getElementType());
  };
  double correction =
      getBiased() || count < 2 ? 1.0 : double(count) / double(count - 1);
  return SmallVector<Value>{
      c.cast(result, type.getElementType()),
      follow(getMean(), average, momentum),
      follow(getVariance(), variance, momentum * correction)};
}

SmallVector<Value> BatchNormTrainingOp::buildInference(OpBuilder &builder) {
  Composer c(builder, *this);
  Value result =
      c.make<BatchNormOp>(getInput(), getScale(), getBias(), getMean(),
                          getVariance(), getEpsilon(), getAxis());
  return {result, getMean(), getVariance()};
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Normalization.cpp.inc"

void lathe::LatheDialect::addNormalizationOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Normalization.cpp.inc"
      >();
}
