//===- Shape.cpp - Views and slices ---------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Shape inference and interface methods of the first half of the family; the
// second is ShapeMovement.cpp, folding is ShapeFold.cpp. Inference runs on
// constructed and on parsed ops, before their verifiers, so it checks
// everything it reads.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

#define GET_OP_CLASSES
#include "dialects/Lathe/Shape.cpp.inc"

void lathe::LatheDialect::addShapeOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Shape.cpp.inc"
      >();
}

namespace lathe {

using Types = SmallVectorImpl<Type>;
static constexpr int64_t kDynamic = ShapedType::kDynamic;

//===----------------------------------------------------------------------===//
// ConstantOp
//===----------------------------------------------------------------------===//

LogicalResult ConstantOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                           Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  auto type = dyn_cast_or_null<RankedTensorType>(
      adaptor.getValue() ? adaptor.getValue().getType() : ShapedType());
  if (!type)
    return inferenceError(site, "expected a value of ranked tensor type");
  types.push_back(type);
  return success();
}

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

//===----------------------------------------------------------------------===//
// Reshape, squeeze, unsqueeze
//===----------------------------------------------------------------------===//

static FailureOr<SmallVector<int64_t>> reshapeShape(const Site &site,
                                                    ArrayRef<int64_t> input,
                                                    ArrayRef<int64_t> shape,
                                                    bool allowZero) {
  SmallVector<int64_t> result, restIn, restOut;
  SmallVector<bool> copied(input.size(), false);
  int64_t inferred = -1;
  bool copiedZero = false;
  for (auto [i, size] : llvm::enumerate(shape)) {
    if (size == 0 && !allowZero) {
      if (i >= input.size())
        return inferenceError(
            site, "expected 0 in 'shape' only at a position of the input, got "
                  "it at position " +
                      Twine(i) + " with an input of rank " +
                      Twine(input.size()));
      copied[i] = true;
      copiedZero |= input[i] == 0;
      result.push_back(input[i]);
    } else if (size == -1) {
      if (inferred >= 0)
        return inferenceError(site, "expected at most one -1 in 'shape', got " +
                                        shapeText(shape));
      inferred = i;
      result.push_back(kDynamic);
    } else if (size < 0) {
      return inferenceError(
          site, "expected sizes of -1 or more in 'shape', got " + Twine(size));
    } else {
      result.push_back(size);
      restOut.push_back(size);
    }
  }
  // Copied sizes cancel, so that one -1 follows even where they are open.
  for (auto [i, size] : llvm::enumerate(input))
    if (!copied[i])
      restIn.push_back(size);
  FailureOr<int64_t> countIn = elementCount(restIn);
  FailureOr<int64_t> countOut = elementCount(restOut);
  if (failed(countIn) || failed(countOut))
    return inferenceError(site, "expected fewer than 2^63 elements, got " +
                                    shapeText(input) + " to " +
                                    shapeText(shape));
  auto mismatch = [&] {
    return inferenceError(site, "cannot reshape " + shapeText(input) + " to " +
                                    shapeText(shape) +
                                    ": the element counts differ");
  };
  if (inferred < 0) {
    // Copied sizes cancel, unless one is 0: then both counts are.
    bool open = ShapedType::isDynamicShape(input);
    if (!open && *countIn != *countOut && !copiedZero)
      return mismatch();
    return result;
  }
  if (*countOut == 0)
    return inferenceError(site,
                          "cannot infer -1 beside a size of 0 in 'shape' " +
                              shapeText(shape));
  if (!ShapedType::isDynamic(*countIn)) {
    if (*countIn % *countOut)
      return mismatch();
    result[inferred] = *countIn / *countOut;
  }
  return result;
}

LogicalResult ReshapeOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                          Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  auto shape = reshapeShape(site, getTensorType(adaptor.getInput()).getShape(),
                            adaptor.getShape(), adaptor.getAllowZero());
  if (failed(shape))
    return failure();
  return inferLike(adaptor.getInput(), *shape, types);
}

LogicalResult DynamicReshapeOp::inferReturnTypes(MLIRContext *,
                                                 MaybeLoc location,
                                                 Adaptor adaptor,
                                                 Types &types) {
  Site site{location, getOperationName()};
  FailureOr<int64_t> rank = vectorLength(site, adaptor.getShape(), "shape");
  if (failed(rank))
    return failure();
  FailureOr<SmallVector<int64_t>> shape;
  if (auto constant = getConstantIntegers(adaptor.getShape()))
    shape = reshapeShape(site, getTensorType(adaptor.getInput()).getShape(),
                         *constant, adaptor.getAllowZero());
  else if (ShapedType::isDynamic(*rank))
    return inferenceError(site, "expected a 'shape' of known length");
  else
    shape = SmallVector<int64_t>(*rank, kDynamic);
  if (failed(shape))
    return failure();
  return inferLike(adaptor.getInput(), *shape, types);
}

LogicalResult SqueezeOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                          Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  ArrayRef<int64_t> input = getTensorType(adaptor.getInput()).getShape();
  ArrayRef<int64_t> axes = adaptor.getAxes();
  if (axes.empty() && ShapedType::isDynamicShape(input))
    return inferenceError(site,
                          "expected static sizes where 'axes' is empty, got " +
                              shapeText(input) + "; name the axes to squeeze");
  auto normal = normalizeAxes(axes, input.size());
  if (failed(normal))
    return inferenceError(site, "expected different axes of an input of rank " +
                                    Twine(input.size()) + ", got " +
                                    shapeText(axes));
  SmallVector<int64_t> shape;
  for (auto [i, size] : llvm::enumerate(input)) {
    if (axes.empty() ? size == 1 : llvm::is_contained(*normal, int64_t(i))) {
      if (size != 1 && !ShapedType::isDynamic(size))
        return inferenceError(site, "expected size 1 in dim " + Twine(i) +
                                        " to squeeze it, got " + Twine(size));
      continue;
    }
    shape.push_back(size);
  }
  return inferLike(adaptor.getInput(), shape, types);
}

LogicalResult UnsqueezeOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                            Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  ArrayRef<int64_t> input = getTensorType(adaptor.getInput()).getShape();
  ArrayRef<int64_t> axes = adaptor.getAxes();
  if (axes.empty())
    return inferLike(adaptor.getInput(), input, types);
  size_t rank = input.size() + axes.size();
  auto normal = normalizeAxes(axes, rank);
  if (failed(normal))
    return inferenceError(site, "expected different axes of a result of rank " +
                                    Twine(rank) + ", got " + shapeText(axes));
  SmallVector<int64_t> shape(input);
  for (int64_t axis : *normal)
    shape.insert(shape.begin() + axis, 1);
  return inferLike(adaptor.getInput(), shape, types);
}

//===----------------------------------------------------------------------===//
// Transpose, broadcast
//===----------------------------------------------------------------------===//

LogicalResult TransposeOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                            Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  ArrayRef<int64_t> input = getTensorType(adaptor.getInput()).getShape();
  ArrayRef<int64_t> permutation = adaptor.getPermutation();
  if (permutation.size() != input.size() ||
      failed(normalizeAxes(permutation, input.size())))
    return inferenceError(site, "expected a permutation of " +
                                    Twine(input.size()) + " dims, got " +
                                    shapeText(permutation));
  SmallVector<int64_t> shape;
  for (int64_t axis : permutation)
    shape.push_back(input[*normalizeAxis(axis, input.size())]);
  return inferLike(adaptor.getInput(), shape, types);
}

SmallVector<AffineMap> TransposeOp::getFusionMaps() {
  // Result dim i is iteration dim i and input dim permutation[i].
  int64_t rank = getPermutation().size();
  SmallVector<AffineExpr> exprs(rank);
  for (auto [i, axis] : llvm::enumerate(getPermutation()))
    exprs[*normalizeAxis(axis, rank)] = getAffineDimExpr(i, getContext());
  return {AffineMap::get(rank, 0, exprs, getContext()),
          AffineMap::getMultiDimIdentityMap(rank, getContext())};
}

static FailureOr<SmallVector<int64_t>> broadcastTo(const Site &site,
                                                   ArrayRef<int64_t> input,
                                                   ArrayRef<int64_t> shape) {
  for (int64_t size : shape)
    if (size < 0)
      return inferenceError(
          site, "expected sizes of 0 or more in 'shape', got " + Twine(size));
  auto result = broadcastShapes(input, shape);
  if (failed(result))
    return inferenceError(site, "cannot broadcast " + shapeText(input) +
                                    " to " + shapeText(shape));
  return result;
}

LogicalResult BroadcastOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                            Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  auto shape = broadcastTo(site, getTensorType(adaptor.getInput()).getShape(),
                           adaptor.getShape());
  if (failed(shape))
    return failure();
  return inferLike(adaptor.getInput(), *shape, types);
}

SmallVector<AffineMap> BroadcastOp::getFusionMaps() {
  ArrayRef<int64_t> result = getTensorType(getResult()).getShape();
  return {
      broadcastMap(getTensorType(getInput()).getShape(), result, getContext()),
      AffineMap::getMultiDimIdentityMap(result.size(), getContext())};
}

LogicalResult DynamicBroadcastOp::inferReturnTypes(MLIRContext *,
                                                   MaybeLoc location,
                                                   Adaptor adaptor,
                                                   Types &types) {
  Site site{location, getOperationName()};
  ArrayRef<int64_t> input = getTensorType(adaptor.getInput()).getShape();
  FailureOr<int64_t> length = vectorLength(site, adaptor.getShape(), "shape");
  if (failed(length))
    return failure();
  FailureOr<SmallVector<int64_t>> shape;
  if (auto constant = getConstantIntegers(adaptor.getShape())) {
    shape = broadcastTo(site, input, *constant);
    if (failed(shape))
      return failure();
  } else if (ShapedType::isDynamic(*length)) {
    return inferenceError(site, "expected a 'shape' of known length");
  } else {
    // A size above 1 cannot stretch; everything else may become anything.
    shape =
        SmallVector<int64_t>(std::max<size_t>(input.size(), *length), kDynamic);
    size_t shift = shape->size() - input.size();
    for (auto [i, size] : llvm::enumerate(input))
      if (size != 1 || i + shift < shape->size() - *length)
        (*shape)[i + shift] = size;
  }
  return inferLike(adaptor.getInput(), *shape, types);
}

//===----------------------------------------------------------------------===//
// Slice
//===----------------------------------------------------------------------===//

SliceRange normalizeSlice(int64_t start, int64_t end, int64_t step,
                          int64_t size) {
  int64_t low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
  auto place = [&](int64_t position) {
    return std::clamp(position < 0 ? position + size : position, low, high);
  };
  start = place(start);
  end = place(end);
  int64_t distance = step < 0 ? start - end : end - start;
  if (distance <= 0)
    return {
        std::min(std::max<int64_t>(start, 0), std::max<int64_t>(size - 1, 0)),
        1, 0};
  // The magnitude of INT64_MIN fits only unsigned.
  uint64_t stride = step < 0 ? 0 - uint64_t(step) : uint64_t(step);
  int64_t count = int64_t(uint64_t(distance - 1) / stride) + 1;
  return {start, count == 1 ? 1 : step, count};
}

static LogicalResult sliceShape(const Site &site, ArrayRef<int64_t> input,
                                ArrayRef<int64_t> starts,
                                ArrayRef<int64_t> ends, ArrayRef<int64_t> axes,
                                ArrayRef<int64_t> steps,
                                SmallVectorImpl<int64_t> &shape) {
  size_t count = starts.size();
  if (ends.size() != count || (!axes.empty() && axes.size() != count) ||
      (!steps.empty() && steps.size() != count))
    return inferenceError(
        site, "expected as many 'ends', 'axes' and 'steps' as 'starts', got " +
                  Twine(count) + " starts, " + Twine(ends.size()) + " ends, " +
                  Twine(axes.size()) + " axes, " + Twine(steps.size()) +
                  " steps");
  if (count > input.size())
    return inferenceError(site, "expected at most " + Twine(input.size()) +
                                    " sliced dims, got " + Twine(count));
  if (!axes.empty() && failed(normalizeAxes(axes, input.size())))
    return inferenceError(site, "expected different axes of an input of rank " +
                                    Twine(input.size()) + ", got " +
                                    shapeText(axes));
  shape.assign(input.begin(), input.end());
  for (size_t i = 0; i < count; ++i) {
    int64_t axis = axes.empty() ? i : *normalizeAxis(axes[i], input.size());
    int64_t step = steps.empty() ? 1 : steps[i];
    if (step == 0)
      return inferenceError(site, "expected steps other than 0");
    if (!ShapedType::isDynamic(input[axis]))
      shape[axis] = normalizeSlice(starts[i], ends[i], step, input[axis]).size;
    else if (starts[i] != 0 || ends[i] != INT64_MAX || step != 1)
      shape[axis] = kDynamic;
  }
  return success();
}

LogicalResult SliceOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                        Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  SmallVector<int64_t> shape;
  if (failed(sliceShape(site, getTensorType(adaptor.getInput()).getShape(),
                        adaptor.getStarts(), adaptor.getEnds(),
                        adaptor.getAxes(), adaptor.getSteps(), shape)))
    return failure();
  return inferLike(adaptor.getInput(), shape, types);
}

LogicalResult DynamicSliceOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                               Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  ArrayRef<int64_t> input = getTensorType(adaptor.getInput()).getShape();
  int64_t length = kDynamic;
  std::pair<Value, StringRef> vectors[] = {{adaptor.getStarts(), "starts"},
                                           {adaptor.getEnds(), "ends"},
                                           {adaptor.getAxes(), "axes"},
                                           {adaptor.getSteps(), "steps"}};
  for (auto [vector, what] : vectors) {
    if (!vector)
      continue;
    FailureOr<int64_t> size = vectorLength(site, vector, what);
    if (failed(size))
      return failure();
    if (!sizesAgree(length, *size))
      return inferenceError(site, "expected " + Twine(length) + " " + what +
                                      ", as there are starts, got " +
                                      Twine(*size));
    length = mergeSizes(length, *size);
  }
  if (!ShapedType::isDynamic(length) && length > int64_t(input.size()))
    return inferenceError(site, "expected at most " + Twine(input.size()) +
                                    " starts, one per dim, got " +
                                    Twine(length));
  auto starts = getConstantIntegers(adaptor.getStarts());
  auto ends = getConstantIntegers(adaptor.getEnds());
  auto axes = getConstantIntegers(adaptor.getAxes());
  auto steps = getConstantIntegers(adaptor.getSteps());
  SmallVector<int64_t> shape(input);
  if (starts && ends && (axes || !adaptor.getAxes()) &&
      (steps || !adaptor.getSteps())) {
    if (failed(sliceShape(site, input, *starts, *ends,
                          axes.value_or(SmallVector<int64_t>{}),
                          steps.value_or(SmallVector<int64_t>{}), shape)))
      return failure();
    return inferLike(adaptor.getInput(), shape, types);
  }
  // Only the sliced dims are open.
  if (axes) {
    for (int64_t axis : *axes) {
      FailureOr<int64_t> normal = normalizeAxis(axis, input.size());
      if (failed(normal))
        return inferenceError(site, "expected axes of an input of rank " +
                                        Twine(input.size()) + ", got " +
                                        Twine(axis));
      shape[*normal] = kDynamic;
    }
  } else {
    int64_t open = input.size();
    if (!adaptor.getAxes() && !ShapedType::isDynamic(length))
      open = length;
    std::fill_n(shape.begin(), open, kDynamic);
  }
  return inferLike(adaptor.getInput(), shape, types);
}

//===----------------------------------------------------------------------===//
// Fusion kinds
//===----------------------------------------------------------------------===//

SmallVector<SmallVector<unsigned, 2>> ReshapeOp::getScalableOperands() {
  return {{0}};
}
SmallVector<SmallVector<unsigned, 2>> TransposeOp::getScalableOperands() {
  return {{0}};
}

FusionKind ReshapeOp::getFusionKind() { return FusionKind::View; }
FusionKind SqueezeOp::getFusionKind() { return FusionKind::View; }
FusionKind UnsqueezeOp::getFusionKind() { return FusionKind::View; }
FusionKind TransposeOp::getFusionKind() { return FusionKind::View; }
FusionKind BroadcastOp::getFusionKind() { return FusionKind::View; }
FusionKind DynamicReshapeOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind DynamicBroadcastOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind SliceOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind DynamicSliceOp::getFusionKind() { return FusionKind::Opaque; }

} // namespace lathe
