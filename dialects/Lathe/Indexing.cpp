//===- Indexing.cpp - Gather and scatter ----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

#define GET_OP_CLASSES
#include "dialects/Lathe/Indexing.cpp.inc"

void lathe::LatheDialect::addIndexingOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Indexing.cpp.inc"
      >();
}

namespace lathe {

using Types = SmallVectorImpl<Type>;

static bool mayDiffer(int64_t a, int64_t b) {
  return !ShapedType::isDynamic(a) && !ShapedType::isDynamic(b) && a != b;
}

static FailureOr<int64_t> axisOf(const Site &site, Value input, int64_t axis) {
  int64_t rank = getTensorType(input).getRank();
  FailureOr<int64_t> normal = normalizeAxis(axis, rank);
  if (failed(normal))
    return inferenceError(site, "expected an axis of an input of rank " +
                                    Twine(rank) + ", got " + Twine(axis));
  return normal;
}

//===----------------------------------------------------------------------===//
// Gather
//===----------------------------------------------------------------------===//

static LogicalResult inferGather(const Site &site, Value input, Value indices,
                                 int64_t axis, Types &types) {
  FailureOr<int64_t> normal = axisOf(site, input, axis);
  if (failed(normal))
    return failure();
  ArrayRef<int64_t> in = getTensorType(input).getShape();
  SmallVector<int64_t> shape(in.take_front(*normal));
  llvm::append_range(shape, getTensorType(indices).getShape());
  llvm::append_range(shape, in.drop_front(*normal + 1));
  return inferLike(input, shape, types);
}

LogicalResult GatherOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                         Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  return inferGather(site, adaptor.getInput(), adaptor.getIndices(),
                     adaptor.getAxis(), types);
}

LogicalResult EmbeddingOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                            Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  return inferGather(site, adaptor.getTable(), adaptor.getIds(), 0, types);
}

FailureOr<SmallVector<Value>> EmbeddingOp::decompose(OpBuilder &builder) {
  return SmallVector<Value>{builder.create<GatherOp>(
      getLoc(), getType(), getTable(), getIds(), /*axis=*/0)};
}

/// The checks that gather_elements and scatter_elements share: indices lie
/// inside the input in every dim but `axis`.
static LogicalResult checkElements(const Site &site, Value input, Value indices,
                                   int64_t axis) {
  FailureOr<int64_t> normal = axisOf(site, input, axis);
  if (failed(normal))
    return failure();
  ArrayRef<int64_t> in = getTensorType(input).getShape();
  ArrayRef<int64_t> at = getTensorType(indices).getShape();
  if (in.size() != at.size())
    return inferenceError(site, "expected indices of the input's rank " +
                                    Twine(in.size()) + ", got rank " +
                                    Twine(at.size()));
  for (size_t i = 0; i < in.size(); ++i)
    if (int64_t(i) != *normal && mayDiffer(in[i], at[i]) && at[i] > in[i])
      return inferenceError(site, "expected at most " + Twine(in[i]) +
                                      " indices in dim " + Twine(i) + ", got " +
                                      Twine(at[i]));
  return success();
}

LogicalResult GatherElementsOp::inferReturnTypes(MLIRContext *,
                                                 MaybeLoc location,
                                                 Adaptor adaptor,
                                                 Types &types) {
  Site site{location, getOperationName()};
  if (failed(checkElements(site, adaptor.getInput(), adaptor.getIndices(),
                           adaptor.getAxis())))
    return failure();
  return inferLike(adaptor.getInput(),
                   getTensorType(adaptor.getIndices()).getShape(), types);
}

/// The shape of the slices that index tuples select: the outer dims of
/// `indices`, then the input dims that the tuples leave.
static FailureOr<SmallVector<int64_t>>
tupleShape(const Site &site, Value input, Value indices, int64_t batch) {
  ArrayRef<int64_t> in = getTensorType(input).getShape();
  ArrayRef<int64_t> at = getTensorType(indices).getShape();
  if (at.empty() || ShapedType::isDynamic(at.back()))
    return inferenceError(site, "expected indices with a last dim of static "
                                "size, got " +
                                    shapeText(at));
  int64_t rank = in.size();
  if (batch < 0 || batch >= int64_t(at.size()) || batch > rank)
    return inferenceError(site, "expected 'batch_dims' below the rank of the "
                                "indices and not above the input's, got " +
                                    Twine(batch));
  if (at.back() > rank - batch)
    return inferenceError(site, "expected index tuples of at most " +
                                    Twine(rank - batch) + " positions, got " +
                                    Twine(at.back()));
  for (int64_t i = 0; i < batch; ++i)
    if (mayDiffer(in[i], at[i]))
      return inferenceError(site, "expected equal batch dims, got " +
                                      Twine(in[i]) + " and " + Twine(at[i]) +
                                      " in dim " + Twine(i));
  SmallVector<int64_t> shape(at.drop_back());
  llvm::append_range(shape, in.drop_front(batch + at.back()));
  return shape;
}

LogicalResult GatherNdOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                           Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  auto shape = tupleShape(site, adaptor.getInput(), adaptor.getIndices(),
                          adaptor.getBatchDims());
  if (failed(shape))
    return failure();
  return inferLike(adaptor.getInput(), *shape, types);
}

//===----------------------------------------------------------------------===//
// Scatter
//===----------------------------------------------------------------------===//

static LogicalResult checkUpdates(const Site &site, Value input, Value updates,
                                  ArrayRef<int64_t> expected,
                                  ScatterMode mode) {
  Type element = getTensorType(input).getElementType();
  if (getTensorType(updates).getElementType() != element)
    return inferenceError(site, "expected updates of the input's element type");
  ArrayRef<int64_t> shape = getTensorType(updates).getShape();
  if (failed(verifyCompatibleShape(shape, expected)))
    return inferenceError(site, "expected updates of shape " +
                                    shapeText(expected) + ", got " +
                                    shapeText(shape));
  if (element.isInteger(1) && mode != ScatterMode::assign)
    return inferenceError(site, "expected mode 'assign' for i1, got '" +
                                    stringifyScatterMode(mode) + "'");
  return success();
}

LogicalResult ScatterElementsOp::inferReturnTypes(MLIRContext *,
                                                  MaybeLoc location,
                                                  Adaptor adaptor,
                                                  Types &types) {
  Site site{location, getOperationName()};
  if (failed(checkElements(site, adaptor.getInput(), adaptor.getIndices(),
                           adaptor.getAxis())) ||
      failed(checkUpdates(site, adaptor.getInput(), adaptor.getUpdates(),
                          getTensorType(adaptor.getIndices()).getShape(),
                          adaptor.getMode())))
    return failure();
  types.push_back(adaptor.getInput().getType());
  return success();
}

LogicalResult ScatterNdOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                            Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  auto shape = tupleShape(site, adaptor.getInput(), adaptor.getIndices(), 0);
  if (failed(shape) ||
      failed(checkUpdates(site, adaptor.getInput(), adaptor.getUpdates(),
                          *shape, adaptor.getMode())))
    return failure();
  types.push_back(adaptor.getInput().getType());
  return success();
}

//===----------------------------------------------------------------------===//
// Fusion kinds
//===----------------------------------------------------------------------===//

FusionKind GatherOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind GatherElementsOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind GatherNdOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind ScatterElementsOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind ScatterNdOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind EmbeddingOp::getFusionKind() { return FusionKind::Opaque; }

} // namespace lathe
