//===- StoredWeights.cpp - Weights that stay as they are stored -----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/StoredWeights.h"

using namespace lathe;

static bool isRounding(CastOp cast) {
  Type to = getElementTypeOrSelf(cast.getType());
  return getElementTypeOrSelf(cast.getOperand().getType()).isF32() &&
         (to.isF16() || to.isBF16());
}

bool lathe::isStoredWeight(Operation *op) {
  if (auto cast = dyn_cast<CastOp>(op)) {
    auto dequantize = cast.getOperand().getDefiningOp<DequantizeOp>();
    return dequantize && isStoredWeight(dequantize);
  }
  auto dequantize = dyn_cast<DequantizeOp>(op);
  if (!dequantize || !dequantize->hasOneUse())
    return false;
  Type stored = getElementTypeOrSelf(dequantize.getInput().getType());
  if (!stored.isInteger(8) && !stored.isFloat8E4M3FN())
    return false;
  Type element = getElementTypeOrSelf(dequantize.getType());
  if (!element.isF32() && !element.isF16() && !element.isBF16())
    return false;
  OpOperand *use = &*dequantize->getUses().begin();
  if (auto cast = dyn_cast<CastOp>(use->getOwner())) {
    if (!isRounding(cast) || !cast->hasOneUse() ||
        cast->getBlock() != op->getBlock())
      return false;
    use = &*cast->getUses().begin();
  }
  Operation *reader = use->getOwner();
  auto type = cast<RankedTensorType>(dequantize.getType());
  if (!isa<LinearOp, MatmulOp>(reader) || use->getOperandNumber() != 1 ||
      reader->getBlock() != op->getBlock() || type.getRank() < 2)
    return false;
  auto group = dequantize->getAttrOfType<IntegerAttr>("group");
  if (!group || group.getInt() == 0)
    return true;
  // A last group that is shorter has no strides.
  int64_t axis = dequantize.getAxis();
  int64_t size = type.getDimSize(axis < 0 ? axis + type.getRank() : axis);
  return !ShapedType::isDynamic(size) && size % group.getInt() == 0;
}
