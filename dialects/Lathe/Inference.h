//===- Inference.h - Shared shape inference of the op families --*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Used by the family files only.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_INFERENCE_H
#define LATHE_DIALECT_INFERENCE_H

#include "dialects/Lathe/Lathe.h"

namespace lathe {

/// NumPy broadcast of two shapes; kDynamic meets 1 as kDynamic, meets a static
/// size above 1 as that size. Failure where they contradict.
FailureOr<SmallVector<int64_t>> broadcastShapes(ArrayRef<int64_t> a,
                                                ArrayRef<int64_t> b);

/// Axis in [0, rank), counted from the end where negative; failure outside.
FailureOr<int64_t> normalizeAxis(int64_t axis, int64_t rank);

/// All of `axes` normalized, sorted, without duplicates (failure on one);
/// empty means all axes.
FailureOr<SmallVector<int64_t>> normalizeAxes(ArrayRef<int64_t> axes,
                                              int64_t rank);

/// The integers of a constant operand, or nullopt where it is not constant or
/// has more than 4096 elements.
std::optional<SmallVector<int64_t>> getConstantIntegers(Value value);

/// a * b and a + b of sizes, kDynamic where either is; failure where the result
/// does not fit or is negative.
FailureOr<int64_t> multiplySizes(int64_t a, int64_t b);
FailureOr<int64_t> addSizes(int64_t a, int64_t b);

/// The number of elements, kDynamic where a size is open (and none is 0);
/// failure where it does not fit 64 bits.
FailureOr<int64_t> elementCount(ArrayRef<int64_t> shape);

/// Emits `message` at `location` where there is one, and fails.
LogicalResult inferenceError(std::optional<Location> location,
                             const Twine &message);

/// The same, led by the op's name as verifiers write it.
template <typename OpTy>
LogicalResult inferenceError(std::optional<Location> location,
                             const Twine &message) {
  return inferenceError(location,
                        "'" + OpTy::getOperationName() + "' op " + message);
}

/// "[2, ?, 3]", for messages.
std::string shapeText(ArrayRef<int64_t> shape);

/// What is wrong with an axis, or axes, that normalize* refused.
template <typename OpTy>
LogicalResult axisError(std::optional<Location> location, int64_t rank,
                        int64_t axis) {
  if (rank == 0)
    return inferenceError<OpTy>(
        location,
        "expected an input of rank 1 or more for axis " + Twine(axis));
  return inferenceError<OpTy>(location,
                              "expected an axis from " + Twine(-rank) + " to " +
                                  Twine(rank - 1) + ", got " + Twine(axis));
}
template <typename OpTy>
LogicalResult axesError(std::optional<Location> location, int64_t rank,
                        ArrayRef<int64_t> axes) {
  if (rank == 0)
    return inferenceError<OpTy>(location, "expected no axes for rank 0, got " +
                                              shapeText(axes));
  return inferenceError<OpTy>(
      location, "expected different axes from " + Twine(-rank) + " to " +
                    Twine(rank - 1) + ", got " + shapeText(axes));
}

/// Whether two sizes may be the same at run time.
inline bool sizesAgree(int64_t a, int64_t b) {
  return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b);
}

/// The more precise of two sizes that agree.
inline int64_t mergeSizes(int64_t a, int64_t b) {
  return ShapedType::isDynamic(a) ? b : a;
}

using MaybeLoc = std::optional<Location>;

/// Infers one result of `shape` with the element type of `like`.
inline LogicalResult inferLike(Value like, ArrayRef<int64_t> shape,
                               SmallVectorImpl<Type> &types) {
  Type element = cast<RankedTensorType>(like.getType()).getElementType();
  types.push_back(RankedTensorType::get(shape, element));
  return success();
}

/// Where inference runs: messages name the op, and go nowhere without location.
struct Site {
  MaybeLoc location;
  StringRef op;
};
inline LogicalResult inferenceError(const Site &site, const Twine &message) {
  return inferenceError(site.location, "'" + site.op + "' op " + message);
}

/// The error of a result size that does not fit 63 bits.
LogicalResult sizeTooLarge(const Site &site, int64_t dim);

/// The element type of a product: the operands' own, i32 for 8-bit integers;
/// failure after an error where they do not go together.
FailureOr<Type> productElementType(const Site &site, Value lhs, Value rhs);

/// Checks that the `bias`, if any, has the product's element type.
LogicalResult checkBiasElementType(const Site &site, Value bias, Type element);

/// The static length of a rank-1 operand `what` of sizes or positions.
FailureOr<int64_t> vectorLength(const Site &site, Value operand,
                                StringRef what);

/// The type of the operand `what` ("an input") of rank `least` and up, or of
/// rank `least` exactly; failure after an error where it is another.
FailureOr<RankedTensorType> rankedOperand(const Site &site, Value operand,
                                          StringRef what, int64_t least,
                                          bool exactly = false);

/// The indexing map of an operand of shape `shape` that is NumPy-broadcast to
/// a result of shape `result`: constant 0 where a static 1 stretches.
AffineMap broadcastMap(ArrayRef<int64_t> shape, ArrayRef<int64_t> result,
                       MLIRContext *context);

} // namespace lathe

#endif // LATHE_DIALECT_INFERENCE_H
