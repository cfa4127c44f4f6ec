//===- QuantizedProduct.h - Sums of products of quantized numbers -*- C++
//-*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sizes are static. For numbers a = sa (qa - za), b = sb (qb - zb) a sum over k
// of them is
//
//   sa sb (sum(qa qb) - za sum(qb) - zb sum(qa) + k za zb),
//
// where the bracket is exact in i32, which wraps. 8-bit floats have no zero
// points, and their sum is one of f32.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_QUANTIZEDPRODUCT_H
#define LATHE_DIALECT_QUANTIZEDPRODUCT_H

#include "dialects/Lathe/Composer.h"
#include "dialects/Lathe/ConstantNumbers.h"

namespace lathe {

/// The smallest and largest number that is stored, of elements `element` and an
/// attribute `storage` (null: all numbers of the type, of floats the finite
/// ones).
struct StorageRange {
  int64_t low, high;
};
StorageRange getStorageRange(Type element, TypeAttr storage);

/// Where `op` reads the largest of some elements that nobody else reads but to
/// quantize them, too, quantizes those instead: rounding keeps their order, and
/// bytes are compared four times as fast. Erases `op` then. (A NaN does not
/// hide the others of its window any more.)
LogicalResult quantizeBeforeMaximum(QuantizeOp op);

/// `parameter`, a scale or zero point of `operand`, in a form that broadcasts
/// against it: of one element and rank 0, or of the operand's rank and size 1
/// along `reducedAxes`. Null, with the reason, where it differs along them.
Value alignParameter(Composer &c, Value parameter,
                     const QuantizedOperand &operand,
                     ArrayRef<int64_t> reducedAxes, std::string &whyNot);

/// The same of the scale and zero point of each of `operands`, which stand at
/// `places`.
LogicalResult alignParameters(Composer &c, ArrayRef<QuantizedOperand> operands,
                              ArrayRef<QuantizableOperand> places,
                              MutableArrayRef<Value> scales,
                              MutableArrayRef<Value> zeroPoints,
                              std::string &whyNot);

/// One side of a sum of products: its scale and zero point broadcast against
/// the result.
struct ProductSide {
  Value scale, zeroPoint;
  /// The sum of this side's integers, as i32 and broadcasting against the
  /// result; only called where the other side has a zero point.
  llvm::function_ref<Value()> sum;
};

/// Reasons why a product of these operands is not one of 8-bit integers, nor of
/// 8-bit floats.
LogicalResult checkBytes(ArrayRef<QuantizedOperand> operands,
                         std::string &whyNot);

/// What is left to do with `sum`, the i32 sum of products of `depth` pairs:
/// exactly, in i32. Nothing, where both zero points are 0.
Value subtractZeroPoints(Composer &c, Value sum, const ProductSide &lhs,
                         const ProductSide &rhs, int64_t depth);

/// The same, times the scales, as `element`.
Value finishProduct(Composer &c, Value sum, const ProductSide &lhs,
                    const ProductSide &rhs, int64_t depth, Type element);

} // namespace lathe

#endif // LATHE_DIALECT_QUANTIZEDPRODUCT_H
