//===- IntegerProducts.cpp - Products of dequantized operands -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What an op makes of integers, scales and zero points is its own knowledge
// (QuantizableOpInterface::buildQuantized); this pass finds the ops and says
// why others stay in floats.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/QuantizedProduct.h"
#include "lathe/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {
#define GEN_PASS_DEF_INTEGERPRODUCTS
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// The operand as `op` dequantizes it.
static QuantizedOperand getQuantized(DequantizeOp op) {
  return {op.getInput(), op.getScale(), op.getZeroPoint(),
          int64_t(op.getAxis()), int64_t(op.getGroup())};
}

/// What `op` reads, dequantized or not: ops whose operands are all as the model
/// has them are no matter of this pass.
static bool readsDequantized(QuantizableOpInterface op) {
  return llvm::any_of(op->getOperands(), [](Value operand) {
    return operand.getDefiningOp<DequantizeOp>() != nullptr;
  });
}

namespace {
class IntegerProducts
    : public lathe::impl::IntegerProductsBase<IntegerProducts> {
  using IntegerProductsBase::IntegerProductsBase;

  void runOnOperation() override {
    SmallVector<QuantizableOpInterface> worklist;
    getOperation()->walk([&](QuantizableOpInterface op) {
      if (readsDequantized(op))
        worklist.push_back(op);
    });
    for (QuantizableOpInterface op : worklist) {
      std::string whyNot;
      if (succeeded(convert(op, whyNot)))
        ++numConverted;
      else if (explain)
        op.emitRemark("stays in floats: ") << whyNot;
    }
    SmallVector<QuantizeOp> roundings;
    getOperation()->walk([&](QuantizeOp op) { roundings.push_back(op); });
    for (QuantizeOp op : roundings)
      if (succeeded(quantizeBeforeMaximum(op)))
        ++numPooled;
  }

  LogicalResult convert(QuantizableOpInterface op, std::string &whyNot);
};
} // namespace

LogicalResult IntegerProducts::convert(QuantizableOpInterface op,
                                       std::string &whyNot) {
  SmallVector<QuantizableOperand> places = op.getQuantizableOperands(whyNot);
  if (places.empty())
    return failure();
  for (Type type : op->getOperandTypes())
    if (!cast<RankedTensorType>(type).hasStaticShape()) {
      whyNot = "has open sizes: specialize them first";
      return failure();
    }
  llvm::SmallSetVector<Operation *, 2> sources; // one may feed both sides
  SmallVector<QuantizedOperand> operands;
  for (const QuantizableOperand &place : places) {
    auto source = op->getOperand(place.index).getDefiningOp<DequantizeOp>();
    if (!source) {
      whyNot = "operand " + std::to_string(place.index) + " is not quantized";
      return failure();
    }
    sources.insert(source);
    operands.push_back(getQuantized(source));
  }
  OpBuilder builder(op);
  FailureOr<SmallVector<Value>> results =
      op.buildQuantized(builder, operands, whyNot);
  if (failed(results))
    return failure();
  op->replaceAllUsesWith(*results);
  op->erase();
  for (Operation *source : sources)
    if (source->use_empty())
      source->erase();
  return success();
}
