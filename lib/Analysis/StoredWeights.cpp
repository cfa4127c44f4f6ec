//===- StoredWeights.cpp - Weights that stay as they are stored -----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/StoredWeights.h"

using namespace lathe;

bool lathe::isStoredWeight(Operation *op) {
  auto dequantize = dyn_cast<DequantizeOp>(op);
  if (!dequantize || !dequantize->hasOneUse() ||
      !getElementTypeOrSelf(dequantize.getInput().getType()).isInteger(8))
    return false;
  Type element = getElementTypeOrSelf(dequantize.getType());
  if (!element.isF32() && !element.isF16() && !element.isBF16())
    return false;
  OpOperand &use = *dequantize->getUses().begin();
  auto type = cast<RankedTensorType>(dequantize.getType());
  if (!isa<LinearOp, MatmulOp>(use.getOwner()) || use.getOperandNumber() != 1 ||
      use.getOwner()->getBlock() != op->getBlock() || type.getRank() < 2)
    return false;
  auto group = dequantize->getAttrOfType<IntegerAttr>("group");
  if (!group || group.getInt() == 0)
    return true;
  // A last group that is shorter has no strides.
  int64_t axis = dequantize.getAxis();
  int64_t size = type.getDimSize(axis < 0 ? axis + type.getRank() : axis);
  return !ShapedType::isDynamic(size) && size % group.getInt() == 0;
}
