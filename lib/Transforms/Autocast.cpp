//===- Autocast.cpp - Products in 16 bits ---------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Lathe.h"
#include "lathe/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {
#define GEN_PASS_DEF_AUTOCAST
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

static bool isF32(Value value) {
  return getElementTypeOrSelf(value.getType()).isF32();
}

namespace {
class Autocast : public lathe::impl::AutocastBase<Autocast> {
  using AutocastBase::AutocastBase;

  void runOnOperation() override {
    Type element = type == "bf16"  ? Type(BFloat16Type::get(&getContext()))
                   : type == "f16" ? Type(Float16Type::get(&getContext()))
                                   : Type();
    if (!element) {
      getOperation().emitError("expected 'type' of bf16 or f16, got '")
          << type << "'";
      return signalPassFailure();
    }
    SmallVector<FusibleOpInterface> products;
    getOperation()->walk([&](FusibleOpInterface op) {
      if (op.getFusionKind() == FusionKind::Contraction &&
          op->getNumResults() == 1 && isF32(op->getResult(0)))
        products.push_back(op);
    });
    // A value that several products read is converted once.
    DenseMap<Value, Value> narrow;
    for (FusibleOpInterface op : products) {
      OpBuilder builder(op);
      for (OpOperand &operand : op->getOpOperands()) {
        if (!isF32(operand.get()))
          continue;
        Value &cast = narrow[operand.get()];
        if (!cast) {
          OpBuilder::InsertionGuard guard(builder);
          builder.setInsertionPointAfterValue(operand.get());
          cast = builder.create<CastOp>(op->getLoc(), operand.get(), element);
        }
        operand.set(cast);
      }
      Value result = op->getResult(0);
      result.setType(cast<RankedTensorType>(result.getType()).clone(element));
      builder.setInsertionPointAfter(op);
      auto wide =
          builder.create<CastOp>(op->getLoc(), result, builder.getF32Type());
      result.replaceAllUsesExcept(wide, wide);
      ++numConverted;
    }
  }
};
} // namespace
