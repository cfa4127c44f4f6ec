//===- Recognize.h - Helpers of the passes that recognize ops ---*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_RECOGNIZE_H
#define LATHE_TRANSFORMS_RECOGNIZE_H

#include "dialects/Lathe/Lathe.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

namespace lathe {

/// The number a constant holds in all its elements, seen through views.
inline std::optional<double> getSplatNumber(Value value) {
  while (auto view = value.getDefiningOp<FusibleOpInterface>()) {
    if (view.getFusionKind() != FusionKind::View)
      break;
    value = view->getOperand(0);
  }
  DenseElementsAttr elements;
  if (!matchPattern(value, m_Constant(&elements)) || !elements.isSplat() ||
      !isa<FloatType>(elements.getElementType()))
    return std::nullopt;
  APFloat number = elements.getSplatValue<APFloat>();
  bool losesInfo;
  number.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven,
                 &losesInfo);
  return number.convertToDouble();
}

/// Whether a number in a model stands for `expected`, which its exporter wrote
/// with the digits of its element type, or fewer.
inline bool isNumber(std::optional<double> number, double expected) {
  return number && std::abs(*number - expected) <= 1e-4 * std::abs(expected);
}

/// For `a op b` with one operand a splat number: the other operand and the
/// number; a null value otherwise.
inline std::pair<Value, double> splitNumber(Operation *op) {
  if (auto number = getSplatNumber(op->getOperand(1)))
    return {op->getOperand(0), *number};
  if (auto number = getSplatNumber(op->getOperand(0)))
    return {op->getOperand(1), *number};
  return {Value(), 0.0};
}

/// The factors of a tree of `mul` and `div` by numbers whose inner nodes have
/// one use, numbers multiplied into `scale`. A tree of more than a few nodes is
/// none of those looked for, and stays a factor where it gets too big.
inline void collectFactors(Value root, SmallVectorImpl<Value> &factors,
                           double &scale) {
  unsigned budget = 16;
  SmallVector<Value> worklist = {root};
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (auto number = getSplatNumber(value)) {
      scale *= *number;
      continue;
    }
    if (budget != 0 && (value == root || value.hasOneUse())) {
      --budget;
      if (auto mul = value.getDefiningOp<MulOp>()) {
        worklist.push_back(mul.getRhs());
        worklist.push_back(mul.getLhs());
        continue;
      }
      if (auto div = value.getDefiningOp<DivOp>())
        if (auto number = getSplatNumber(div.getRhs())) {
          scale /= *number;
          worklist.push_back(div.getLhs());
          continue;
        }
    }
    factors.push_back(value);
  }
}

} // namespace lathe

#endif // LATHE_TRANSFORMS_RECOGNIZE_H
