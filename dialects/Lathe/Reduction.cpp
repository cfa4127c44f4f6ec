//===- Reduction.cpp - Reductions, arg-reductions, scans along an axis ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/LayoutRules.h"

namespace lathe {

//===----------------------------------------------------------------------===//
// reduce_*
//===----------------------------------------------------------------------===//

template <typename OpTy>
static LogicalResult inferReduce(std::optional<Location> location,
                                 typename OpTy::Adaptor adaptor,
                                 SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  if (!input)
    return inferenceError<OpTy>(location, "expected a ranked tensor");
  FailureOr<SmallVector<int64_t>> axes =
      normalizeAxes(adaptor.getAxes(), input.getRank());
  if (failed(axes))
    return axesError<OpTy>(location, input.getRank(), adaptor.getAxes());
  SmallVector<int64_t> shape;
  for (auto [dim, size] : llvm::enumerate(input.getShape())) {
    if (!llvm::is_contained(*axes, int64_t(dim)))
      shape.push_back(size);
    else if (adaptor.getKeepdims())
      shape.push_back(1);
  }
  results.push_back(RankedTensorType::get(shape, input.getElementType()));
  return success();
}

/// Iteration space: the input's dims. The result map drops the reduced dims, or
/// has constant 0 in their place.
static SmallVector<AffineMap> reductionMaps(RankedTensorType input,
                                            ArrayRef<int64_t> writtenAxes,
                                            bool keepdims) {
  MLIRContext *context = input.getContext();
  FailureOr<SmallVector<int64_t>> axes =
      normalizeAxes(writtenAxes, input.getRank());
  if (failed(axes))
    return {};
  SmallVector<AffineExpr> exprs;
  for (int64_t dim = 0; dim < input.getRank(); ++dim) {
    if (!llvm::is_contained(*axes, dim))
      exprs.push_back(getAffineDimExpr(dim, context));
    else if (keepdims)
      exprs.push_back(getAffineConstantExpr(0, context));
  }
  return {AffineMap::getMultiDimIdentityMap(input.getRank(), context),
          AffineMap::get(input.getRank(), 0, exprs, context)};
}

/// Dims that stay keep their order in the stored input.
template <typename OpTy>
static FailureOr<ValueLayouts> reductionLayouts(OpTy op, Value value,
                                                AffineMap layout) {
  int64_t rank = getTensorType(op.getInput()).getRank();
  if (int64_t(layout.getNumDims()) != rank)
    return failure();
  if (op.getKeepdims())
    return ValueLayouts{{layout}, {layout}};
  auto axes = normalizeAxes(op.getAxes(), rank);
  if (value != op.getInput() || failed(axes))
    return failure();
  SmallVector<unsigned> kept;
  for (int64_t dim : getOrder(layout))
    if (!llvm::is_contained(*axes, dim))
      kept.push_back(dim - llvm::count_if(*axes, [&](int64_t axis) {
                       return axis < dim;
                     }));
  if (kept.empty())
    return ValueLayouts{{layout}, {AffineMap()}};
  return ValueLayouts{
      {layout}, {orNull(AffineMap::getPermutationMap(kept, op.getContext()))}};
}

template <typename OpTy>
static void applyToReduction(OpTy op, const ValueLayouts &layouts) {
  SmallVector<int64_t> axes;
  for (int64_t axis : op.getAxes())
    axes.push_back(storedAxis(layouts.operands[0], axis));
  llvm::sort(axes);
  op.setAxes(axes);
}

#define LATHE_REDUCE_METHODS(OP)                                               \
  LogicalResult OP::inferReturnTypes(                                          \
      MLIRContext *, std::optional<Location> location, Adaptor adaptor,        \
      SmallVectorImpl<Type> &results) {                                        \
    return inferReduce<OP>(location, adaptor, results);                        \
  }                                                                            \
  FusionKind OP::getFusionKind() { return FusionKind::Reduction; }             \
  SmallVector<AffineMap> OP::getFusionMaps() {                                 \
    return reductionMaps(getTensorType(getInput()), getAxes(), getKeepdims()); \
  }                                                                            \
  FailureOr<ValueLayouts> OP::getLayouts(Value value, AffineMap layout) {      \
    return reductionLayouts(*this, value, layout);                             \
  }                                                                            \
  void OP::applyLayouts(const ValueLayouts &layouts) {                         \
    applyToReduction(*this, layouts);                                          \
  }
LATHE_REDUCE_METHODS(ReduceSumOp)
LATHE_REDUCE_METHODS(ReduceMeanOp)
LATHE_REDUCE_METHODS(ReduceMaxOp)
LATHE_REDUCE_METHODS(ReduceMinOp)
LATHE_REDUCE_METHODS(ReduceProdOp)
#undef LATHE_REDUCE_METHODS

//===----------------------------------------------------------------------===//
// argmax, argmin
//===----------------------------------------------------------------------===//

template <typename OpTy>
static LogicalResult
inferArgReduce(MLIRContext *context, std::optional<Location> location,
               typename OpTy::Adaptor adaptor, SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  if (!input)
    return inferenceError<OpTy>(location, "expected a ranked tensor");
  FailureOr<int64_t> axis = normalizeAxis(adaptor.getAxis(), input.getRank());
  if (failed(axis))
    return axisError<OpTy>(location, input.getRank(), adaptor.getAxis());
  if (input.getDimSize(*axis) == 0)
    return inferenceError<OpTy>(
        location, "expected at least one element along axis " + Twine(*axis));
  SmallVector<int64_t> shape(input.getShape());
  if (adaptor.getKeepdims())
    shape[*axis] = 1;
  else
    shape.erase(shape.begin() + *axis);
  results.push_back(
      RankedTensorType::get(shape, IntegerType::get(context, 64)));
  return success();
}

LogicalResult ArgMaxOp::inferReturnTypes(MLIRContext *context,
                                         std::optional<Location> location,
                                         Adaptor adaptor,
                                         SmallVectorImpl<Type> &results) {
  return inferArgReduce<ArgMaxOp>(context, location, adaptor, results);
}

LogicalResult ArgMinOp::inferReturnTypes(MLIRContext *context,
                                         std::optional<Location> location,
                                         Adaptor adaptor,
                                         SmallVectorImpl<Type> &results) {
  return inferArgReduce<ArgMinOp>(context, location, adaptor, results);
}

FusionKind ArgMaxOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind ArgMinOp::getFusionKind() { return FusionKind::Opaque; }

//===----------------------------------------------------------------------===//
// cumsum
//===----------------------------------------------------------------------===//

LogicalResult CumSumOp::inferReturnTypes(MLIRContext *,
                                         std::optional<Location> location,
                                         Adaptor adaptor,
                                         SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  if (!input)
    return inferenceError<CumSumOp>(location, "expected a ranked tensor");
  if (failed(normalizeAxis(adaptor.getAxis(), input.getRank())))
    return axisError<CumSumOp>(location, input.getRank(), adaptor.getAxis());
  results.push_back(input);
  return success();
}

FusionKind CumSumOp::getFusionKind() { return FusionKind::Opaque; }

//===----------------------------------------------------------------------===//
// top_k
//===----------------------------------------------------------------------===//

LogicalResult TopKOp::inferReturnTypes(MLIRContext *context,
                                       std::optional<Location> location,
                                       Adaptor adaptor,
                                       SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  if (!input)
    return inferenceError<TopKOp>(location, "expected a ranked tensor");
  FailureOr<int64_t> axis = normalizeAxis(adaptor.getAxis(), input.getRank());
  if (failed(axis))
    return axisError<TopKOp>(location, input.getRank(), adaptor.getAxis());
  int64_t k = adaptor.getK(), size = input.getDimSize(*axis);
  if (k < 0)
    return inferenceError<TopKOp>(location,
                                  "expected k of at least 0, got " + Twine(k));
  if (!ShapedType::isDynamic(size) && k > size)
    return inferenceError<TopKOp>(location,
                                  "expected k of at most the " + Twine(size) +
                                      " elements along axis " + Twine(*axis) +
                                      ", got " + Twine(k));
  SmallVector<int64_t> shape(input.getShape());
  shape[*axis] = k;
  results.push_back(RankedTensorType::get(shape, input.getElementType()));
  results.push_back(
      RankedTensorType::get(shape, IntegerType::get(context, 64)));
  return success();
}

FusionKind TopKOp::getFusionKind() { return FusionKind::Opaque; }

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Reduction.cpp.inc"

void lathe::LatheDialect::addReductionOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Reduction.cpp.inc"
      >();
}
