//===- RaiseBf16.cpp - Conversions of bfloat16, by their name again -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The lowering writes them as integer arithmetic, which is what processors
// without instructions for them need. GPUs have such instructions.
//
//===----------------------------------------------------------------------===//

#include "RaiseBf16.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace lathe::cuda {

static bool isInteger(Value value, int64_t constant) {
  APInt number;
  return matchPattern(value, m_ConstantInt(&number)) &&
         number.getSExtValue() == constant;
}

/// The left operand of `value`, an OpTy whose right one is `constant`.
template <typename OpTy> static Value leftOf(Value value, int64_t constant) {
  auto op = value.getDefiningOp<OpTy>();
  return op && isInteger(op.getRhs(), constant) ? op.getLhs() : Value();
}

template <typename OpTy> static Value operandOf(Value value) {
  auto op = value ? value.getDefiningOp<OpTy>() : OpTy();
  return op ? op->getOperand(0) : Value();
}

/// float((uint32)bits(x) << 16) of a bfloat16 x.
static Value matchExtension(arith::BitcastOp op) {
  Value bits = leftOf<arith::ShLIOp>(op.getIn(), 16);
  Value x = operandOf<arith::BitcastOp>(operandOf<arith::ExtUIOp>(bits));
  return x && x.getType().isBF16() && op.getType().isF32() ? x : Value();
}

/// bfloat16((isNan(x) ? bits | 0x400000 : bits + 0x7fff + odd) >> 16).
static Value matchTruncation(arith::BitcastOp op) {
  if (!op.getType().isBF16())
    return {};
  Value high = operandOf<arith::TruncIOp>(op.getIn());
  Value rounded = high ? leftOf<arith::ShRUIOp>(high, 16) : Value();
  auto select = rounded ? rounded.getDefiningOp<arith::SelectOp>() : nullptr;
  auto isNan =
      select ? select.getCondition().getDefiningOp<arith::CmpFOp>() : nullptr;
  if (!isNan || isNan.getPredicate() != arith::CmpFPredicate::UNO)
    return {};
  Value x = isNan.getLhs();
  Value bits = leftOf<arith::OrIOp>(select.getTrueValue(), 0x400000);
  auto sum = select.getFalseValue().getDefiningOp<arith::AddIOp>();
  auto addend =
      sum ? sum.getRhs().getDefiningOp<arith::AddIOp>() : arith::AddIOp();
  // 0x7fff + ((bits >> 16) & 1), the constant on either side.
  auto isOdd = [&](Value value) {
    Value shifted = leftOf<arith::AndIOp>(value, 1);
    return shifted && leftOf<arith::ShRUIOp>(shifted, 16) == bits;
  };
  bool isRounding =
      bits && addend && sum.getLhs() == bits &&
      ((isOdd(addend.getLhs()) && isInteger(addend.getRhs(), 0x7fff)) ||
       (isOdd(addend.getRhs()) && isInteger(addend.getLhs(), 0x7fff)));
  if (!isRounding || !x.getType().isF32() ||
      operandOf<arith::BitcastOp>(bits) != x)
    return {};
  return x;
}

void raiseBf16Casts(func::FuncOp function) {
  SmallVector<arith::BitcastOp> casts;
  function.walk([&](arith::BitcastOp op) { casts.push_back(op); });
  for (arith::BitcastOp op : casts) {
    OpBuilder builder(op);
    if (Value x = matchExtension(op))
      op.replaceAllUsesWith(
          builder.create<arith::ExtFOp>(op.getLoc(), op.getType(), x)
              .getResult());
    else if (Value x = matchTruncation(op))
      op.replaceAllUsesWith(
          builder.create<arith::TruncFOp>(op.getLoc(), op.getType(), x)
              .getResult());
  }
  // What is left of them: users stand behind what they use.
  SmallVector<Operation *> ops;
  function.walk([&](Operation *op) {
    if (isa<arith::ArithDialect>(op->getDialect()))
      ops.push_back(op);
  });
  for (Operation *op : llvm::reverse(ops))
    if (isOpTriviallyDead(op))
      op->erase();
}

} // namespace lathe::cuda
