//===- LayoutRules.h - What ops need to follow a layout ---------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_LAYOUTRULES_H
#define LATHE_DIALECT_LAYOUTRULES_H

#include "dialects/Lathe/Inference.h"

namespace lathe {

/// The logical dims in the order in which `layout` stores them.
inline SmallVector<int64_t> getOrder(AffineMap layout) {
  return llvm::map_to_vector(layout.getResults(), [](AffineExpr expr) {
    return int64_t(cast<AffineDimExpr>(expr).getPosition());
  });
}

/// Where `layout` stores `axis`, which may count from the end.
inline int64_t storedAxis(AffineMap layout, int64_t axis) {
  SmallVector<int64_t> order = getOrder(layout);
  return llvm::find(order, axis < 0 ? axis + int64_t(order.size()) : axis) -
         order.begin();
}

/// Null for the identity, as ValueLayouts has it.
inline AffineMap orNull(AffineMap layout) {
  return layout.isIdentity() ? AffineMap() : layout;
}

/// The first `count` operands and all results in `layout`; failure where it has
/// not the rank of the first result.
inline FailureOr<ValueLayouts> sameLayouts(Operation *op, unsigned count,
                                           AffineMap layout) {
  if (int64_t(layout.getNumDims()) != getTensorType(op->getResult(0)).getRank())
    return failure();
  ValueLayouts layouts;
  layouts.operands.assign(op->getNumOperands(), AffineMap());
  std::fill_n(layouts.operands.begin(), count, layout);
  layouts.results.assign(op->getNumResults(), layout);
  return layouts;
}

} // namespace lathe

#endif // LATHE_DIALECT_LAYOUTRULES_H
