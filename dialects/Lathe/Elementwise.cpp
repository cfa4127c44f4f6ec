//===- Elementwise.cpp - Elementwise arithmetic, comparison, selection ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Inference, fusion and layout of every op of the family are the three
// templates below; folding is in ElementwiseFold.cpp.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/ElementwiseOps.h"
#include "dialects/Lathe/Inference.h"

namespace lathe {

//===----------------------------------------------------------------------===//
// Inference
//===----------------------------------------------------------------------===//

/// The element type of an op's result: that of the first operand, unless the op
/// says otherwise.
template <typename OpTy>
static Type resultElementType(MLIRContext *context,
                              typename OpTy::Adaptor adaptor) {
  if constexpr (llvm::is_one_of<OpTy, CompareOp, IsNanOp, IsInfOp>::value)
    return IntegerType::get(context, 1);
  else if constexpr (std::is_same_v<OpTy, SelectOp>)
    return getElementTypeOrSelf(adaptor.getOnTrue().getType());
  else if constexpr (std::is_same_v<OpTy, CastOp>)
    return adaptor.getDtype();
  else
    return getElementTypeOrSelf(adaptor.getOperands().front().getType());
}

template <typename OpTy>
static LogicalResult inferElementwise(MLIRContext *context,
                                      std::optional<Location> location,
                                      typename OpTy::Adaptor adaptor,
                                      SmallVectorImpl<Type> &results) {
  SmallVector<int64_t> shape;
  for (Value operand : adaptor.getOperands()) {
    auto type = dyn_cast<RankedTensorType>(operand.getType());
    if (!type)
      return inferenceError<OpTy>(location,
                                  "expected operands that are ranked tensors");
    FailureOr<SmallVector<int64_t>> both =
        broadcastShapes(shape, type.getShape());
    if (failed(both))
      return inferenceError<OpTy>(
          location, "expected operand shapes that broadcast, got " +
                        shapeText(shape) + " and " +
                        shapeText(type.getShape()));
    shape = std::move(*both);
  }
  Type element = resultElementType<OpTy>(context, adaptor);
  if (!element || !TensorType::isValidElementType(element))
    return inferenceError<OpTy>(location, "expected a tensor's element type");
  results.push_back(RankedTensorType::get(shape, element));
  return success();
}

//===----------------------------------------------------------------------===//
// Fusion and layout
//===----------------------------------------------------------------------===//

static SmallVector<AffineMap> elementwiseMaps(Operation *op) {
  ArrayRef<int64_t> result = getTensorType(op->getResult(0)).getShape();
  SmallVector<AffineMap> maps;
  for (Value operand : op->getOperands()) {
    ArrayRef<int64_t> shape = getTensorType(operand).getShape();
    // An open size may turn out to be a 1 that stretches.
    if (op->getNumOperands() > 1 && ShapedType::isDynamicShape(shape))
      return {};
    maps.push_back(broadcastMap(shape, result, op->getContext()));
  }
  maps.push_back(
      AffineMap::getMultiDimIdentityMap(result.size(), op->getContext()));
  return maps;
}

/// Everything of the result's rank in one layout; so are operands that stretch,
/// but for single elements, which are the same in any.
static FailureOr<ValueLayouts> elementwiseLayouts(Operation *op, Value value,
                                                  AffineMap layout) {
  int64_t rank = getTensorType(op->getResult(0)).getRank();
  if (getTensorType(value).getRank() != rank || layout.getNumDims() != rank)
    return failure();
  ValueLayouts layouts;
  for (Value operand : op->getOperands())
    layouts.operands.push_back(
        llvm::all_of(getTensorType(operand).getShape(),
                     [](int64_t size) { return size == 1; })
            ? AffineMap()
            : layout);
  layouts.results.push_back(layout);
  return layouts;
}

#define LATHE_ELEMENTWISE_METHODS(OP)                                          \
  LogicalResult OP::inferReturnTypes(                                          \
      MLIRContext *context, std::optional<Location> location, Adaptor adaptor, \
      SmallVectorImpl<Type> &results) {                                        \
    return inferElementwise<OP>(context, location, adaptor, results);          \
  }                                                                            \
  FusionKind OP::getFusionKind() { return FusionKind::Elementwise; }           \
  SmallVector<AffineMap> OP::getFusionMaps() {                                 \
    return elementwiseMaps(*this);                                             \
  }                                                                            \
  FailureOr<ValueLayouts> OP::getLayouts(Value value, AffineMap layout) {      \
    return elementwiseLayouts(*this, value, layout);                           \
  }                                                                            \
  void OP::applyLayouts(const ValueLayouts &) {}
LATHE_ELEMENTWISE_OPS(LATHE_ELEMENTWISE_METHODS)
#undef LATHE_ELEMENTWISE_METHODS

using OperandSets = SmallVector<SmallVector<unsigned, 2>>;

OperandSets AddOp::getScalableOperands() { return {{0, 1}}; }
OperandSets SubOp::getScalableOperands() { return {{0, 1}}; }
OperandSets MaxOp::getScalableOperands() { return {{0, 1}}; }
OperandSets MinOp::getScalableOperands() { return {{0, 1}}; }
OperandSets MulOp::getScalableOperands() { return {{0}, {1}}; }
OperandSets ReluOp::getScalableOperands() { return {{0}}; }
OperandSets NegOp::getScalableOperands() { return {{0}}; }

//===----------------------------------------------------------------------===//
// Verifiers
//===----------------------------------------------------------------------===//

LogicalResult CompareOp::verify() {
  Type lhs = getTensorType(getLhs()).getElementType();
  Type rhs = getTensorType(getRhs()).getElementType();
  if (lhs != rhs)
    return emitOpError("expected operands of one element type, got ")
           << lhs << " and " << rhs;
  return success();
}

LogicalResult SelectOp::verify() {
  Type onTrue = getTensorType(getOnTrue()).getElementType();
  Type onFalse = getTensorType(getOnFalse()).getElementType();
  if (onTrue != onFalse)
    return emitOpError("expected values of one element type, got ")
           << onTrue << " and " << onFalse;
  return success();
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Elementwise.cpp.inc"

void lathe::LatheDialect::addElementwiseOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Elementwise.cpp.inc"
      >();
}
