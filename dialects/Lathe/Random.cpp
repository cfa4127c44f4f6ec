//===- Random.cpp - Counter-based random numbers and dropout --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {

template <typename OpTy>
static LogicalResult checkKey(std::optional<Location> location, Value key) {
  auto type = dyn_cast<RankedTensorType>(key.getType());
  if (!type || type.getRank() != 1 || !sizesAgree(type.getDimSize(0), 2))
    return inferenceError<OpTy>(
        location, "expected a key of shape [2] (seed and step), got " +
                      (type ? shapeText(type.getShape()) : "no tensor"));
  return success();
}

template <typename OpTy>
static LogicalResult inferRandom(std::optional<Location> location,
                                 typename OpTy::Adaptor adaptor,
                                 SmallVectorImpl<Type> &results) {
  if (failed(checkKey<OpTy>(location, adaptor.getKey())))
    return failure();
  if (llvm::any_of(adaptor.getShape(), [](int64_t s) { return s < 0; }))
    return inferenceError<OpTy>(
        location, "expected a shape without negative sizes, got " +
                      shapeText(adaptor.getShape()));
  if (!isa<FloatType>(adaptor.getDtype())) {
    std::string found;
    llvm::raw_string_ostream(found) << adaptor.getDtype();
    return inferenceError<OpTy>(location,
                                "expected a float dtype, got '" + found + "'");
  }
  results.push_back(
      RankedTensorType::get(adaptor.getShape(), adaptor.getDtype()));
  return success();
}

//===----------------------------------------------------------------------===//
// random_uniform, random_normal
//===----------------------------------------------------------------------===//

LogicalResult RandomUniformOp::inferReturnTypes(
    MLIRContext *, std::optional<Location> location, Adaptor adaptor,
    SmallVectorImpl<Type> &results) {
  return inferRandom<RandomUniformOp>(location, adaptor, results);
}

LogicalResult RandomUniformOp::verify() {
  double low = getLow().convertToDouble(), high = getHigh().convertToDouble();
  if (!(low <= high))
    return emitOpError("expected low not above high, got ")
           << low << " and " << high;
  return success();
}

FusionKind RandomUniformOp::getFusionKind() { return FusionKind::Opaque; }

LogicalResult RandomNormalOp::inferReturnTypes(MLIRContext *,
                                               std::optional<Location> location,
                                               Adaptor adaptor,
                                               SmallVectorImpl<Type> &results) {
  return inferRandom<RandomNormalOp>(location, adaptor, results);
}

LogicalResult RandomNormalOp::verify() {
  double stddev = getStddev().convertToDouble();
  if (!(stddev >= 0))
    return emitOpError("expected a stddev that is not negative, got ")
           << stddev;
  return success();
}

FusionKind RandomNormalOp::getFusionKind() { return FusionKind::Opaque; }

//===----------------------------------------------------------------------===//
// dropout
//===----------------------------------------------------------------------===//

LogicalResult DropoutOp::inferReturnTypes(MLIRContext *,
                                          std::optional<Location> location,
                                          Adaptor adaptor,
                                          SmallVectorImpl<Type> &results) {
  if (failed(checkKey<DropoutOp>(location, adaptor.getKey())))
    return failure();
  results.push_back(adaptor.getInput().getType());
  return success();
}

LogicalResult DropoutOp::verify() {
  double rate = getRate().convertToDouble();
  if (!(rate >= 0.0 && rate < 1.0))
    return emitOpError("expected a rate from 0 to below 1, got ") << rate;
  return success();
}

FusionKind DropoutOp::getFusionKind() { return FusionKind::Opaque; }

SmallVector<Value> DropoutOp::buildInference(OpBuilder &) {
  return {getInput()};
}

FailureOr<SmallVector<Value>> DropoutOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = getTensorType(getInput());
  double rate = getRate().convertToDouble();
  if (rate == 0.0)
    return SmallVector<Value>{getInput()};
  if (!type.hasStaticShape())
    return failure();
  Type f32 = builder.getF32Type();
  Value random = c.make<RandomUniformOp>(
      getKey(), type.getShape(), f32, getStream(), APFloat(0.0), APFloat(1.0));
  Value keep =
      c.make<CompareOp>(ComparePredicate::ge, random, c.constant(f32, rate));
  Value x = c.widen(getInput());
  Type element = getTensorType(x).getElementType();
  Value scaled = c.make<MulOp>(x, c.constant(element, 1.0 / (1.0 - rate)));
  Value result = c.make<SelectOp>(keep, scaled, c.constant(element, 0.0));
  return SmallVector<Value>{c.cast(result, type.getElementType())};
}

// The same numbers decide which elements stay.
Gradients DropoutOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  return SmallVector<Value>{
      b.make<DropoutOp>(cotangents[0], getKey(), getRate(), getStream()),
      Value()};
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Random.cpp.inc"

void lathe::LatheDialect::addRandomOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Random.cpp.inc"
      >();
}
