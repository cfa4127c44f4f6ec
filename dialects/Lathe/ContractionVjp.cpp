//===- ContractionVjp.cpp - Derivatives of matrix products ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {

using Sizes = ArrayRef<int64_t>;

static int64_t productOf(Sizes sizes) {
  int64_t product = 1;
  for (int64_t size : sizes)
    product *= size;
  return product;
}

/// `value` as a matrix: all dims but the last in one.
static Value flattenRows(VjpBuilder &b, Value value) {
  Sizes shape = getTensorType(value).getShape();
  return b.reshape(value, {productOf(shape.drop_back()), shape.back()});
}

// With A and B standing for the operands after their transposes, dA = g B^T and
// dB = A^T g. The transposes become flags of the products.
Gradients MatmulOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Value lhs = getLhs(), rhs = getRhs(), g = cotangents[0];
  bool tl = getTransposeLhs(), tr = getTransposeRhs();
  Value dLhs = tl ? b.make<MatmulOp>(rhs, g, tr, true)
                  : b.make<MatmulOp>(g, rhs, false, !tr);
  Value dRhs;
  Sizes left = getTensorType(lhs).getShape(),
        right = getTensorType(rhs).getShape();
  bool oneMatrix =
      productOf(right.drop_back(2)) == 1 &&
      left.drop_back(2) == getTensorType(g).getShape().drop_back(2);
  if (oneMatrix && !tl) {
    // One product over all rows, instead of a batch of them that is summed.
    Value rows = flattenRows(b, lhs), gRows = flattenRows(b, g);
    dRhs = tr ? b.make<MatmulOp>(gRows, rows, true, false)
              : b.make<MatmulOp>(rows, gRows, true, false);
    dRhs = b.reshape(dRhs, right);
  } else {
    dRhs = tr ? b.make<MatmulOp>(g, lhs, true, tl)
              : b.make<MatmulOp>(lhs, g, !tl, false);
  }
  return SmallVector<Value>{b.sumTo(dLhs, left), b.sumTo(dRhs, right)};
}

Gradients LinearOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Value rows = flattenRows(b, getInput());
  Value g = flattenRows(b, cotangents[0]);
  Value dInput = b.make<MatmulOp>(g, getWeight(), false, false);
  Value dWeight = b.make<MatmulOp>(g, rows, true, false);
  SmallVector<Value> gradients{
      b.reshape(dInput, getTensorType(getInput()).getShape()), dWeight};
  if (getBias())
    gradients.push_back(b.sum(g, {0}, /*keepdims=*/false));
  return gradients;
}

} // namespace lathe
