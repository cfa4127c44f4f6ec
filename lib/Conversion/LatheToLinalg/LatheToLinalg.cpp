//===- LatheToLinalg.cpp - The conversion's driver and elementwise ops ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Conversion/LatheToLinalg.h"

#include "Lowering.h"
#include "dialects/Lathe/Inference.h"
#include "lathe/Conversion/Passes.h"

#include "mlir/Dialect/Math/IR/Math.h"

namespace lathe {

#define GEN_PASS_DEF_CONVERTTOLINALG
#include "lathe/Conversion/Passes.h.inc"

static const LoweringTable &loweringTable() {
  static const LoweringTable table = [] {
    LoweringTable t;
    addReductionLowerings(t);
    addScanLowerings(t);
    addContractionLowerings(t);
    addConvolutionLowerings(t);
    addPoolLowerings(t);
    addResizeLowerings(t);
    addShapeLowerings(t);
    addPadLowerings(t);
    addIndexingLowerings(t);
    addRandomLowerings(t);
    return t;
  }();
  return table;
}

/// The splat value of a constant, in storage form, or null.
static TypedAttr getSplat(Value lowered) {
  auto constant = lowered.getDefiningOp<arith::ConstantOp>();
  if (!constant)
    return {};
  auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
  if (!dense || !dense.isSplat())
    return {};
  return cast<TypedAttr>(dense.getSplatValue<Attribute>());
}

/// Elementwise ops: one generic with the scalar body; constants of one value
/// are made inside it.
static bool lowerElementwise(Lowering &l, Operation *op) {
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  if (!fusible || fusible.getFusionKind() != FusionKind::Elementwise)
    return false;
  Value result = op->getResult(0);
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<TypedAttr> splats;
  for (Value operand : op->getOperands()) {
    Value lowered = l.get(operand);
    splats.push_back(getSplat(lowered));
    if (splats.back())
      continue;
    inputs.push_back(lowered);
    maps.push_back(broadcastMap(Lowering::shape(operand),
                                Lowering::shape(result), l.context()));
  }
  bool isElementwise = true;
  Value lowered = l.mapElements(
      inputs, maps, Lowering::storageType(result),
      [&](ElementBuilder &b, ValueRange args) -> Value {
        SmallVector<Value> operands;
        size_t next = 0;
        for (auto [operand, splat] :
             llvm::zip_equal(op->getOperands(), splats)) {
          Value value = splat ? b.create<arith::ConstantOp>(splat).getResult()
                              : args[next++];
          operands.push_back(
              fromStorage(b, l.loc, value, Lowering::element(operand)));
        }
        Value body = buildScalarBody(b, l.loc, op, operands);
        if (!body) {
          isElementwise = false;
          return args.back();
        }
        return toStorage(b, l.loc, body, Lowering::element(result));
      });
  if (!isElementwise) {
    lowered.getDefiningOp()->erase();
    return false;
  }
  l.set(result, lowered);
  return true;
}

/// A composite op: its decomposition is built, lowered and dropped again.
static LogicalResult lowerComposite(Lowering &l, DecomposableOpInterface op) {
  OpBuilder builder(op->getContext());
  auto holder = Block();
  builder.setInsertionPointToEnd(&holder);
  FailureOr<SmallVector<Value>> parts = op.decompose(builder);
  LogicalResult result =
      failed(parts) ? op->emitOpError("cannot be decomposed") : success();
  if (succeeded(result))
    for (Operation &part : holder)
      if (failed(result = l.lower(&part)))
        break;
  if (succeeded(result))
    for (auto [old, value] : llvm::zip_equal(op->getResults(), *parts))
      l.set(old, l.get(value));
  while (!holder.empty())
    holder.back().erase();
  return result;
}

LogicalResult Lowering::lower(Operation *op) {
  for (Type type : op->getResultTypes()) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !tensor.hasStaticShape())
      return op->emitOpError("has a result of type ")
             << type << ", expected a tensor of static shape";
  }
  loc = op->getLoc();
  if (lowerElementwise(*this, op))
    return success();
  auto found = loweringTable().find(op->getName().getTypeID());
  if (found != loweringTable().end())
    return found->second(*this, op);
  if (auto composite = dyn_cast<DecomposableOpInterface>(op))
    return lowerComposite(*this, composite);
  return op->emitOpError("has no lowering to linalg");
}

LogicalResult convertToLinalg(func::FuncOp function) {
  if (!function.getBody().hasOneBlock())
    return function.emitOpError("expected a body of one block");
  auto storage = [](TypeRange types, SmallVectorImpl<Type> &converted) {
    for (Type type : types) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      if (!tensor || !tensor.hasStaticShape())
        return false;
      converted.push_back(getStorageType(tensor));
    }
    return true;
  };
  SmallVector<Type> inputs, results;
  if (!storage(function.getArgumentTypes(), inputs) ||
      !storage(function.getResultTypes(), results))
    return function.emitOpError("expected tensors of static shape");

  // The new body grows beside the old one, which stays whole until it is done.
  Block &old = function.getBody().front();
  auto block = std::make_unique<Block>();
  OpBuilder builder(function.getContext());
  builder.setInsertionPointToEnd(block.get());
  Lowering lowering(builder);
  for (BlockArgument argument : old.getArguments())
    lowering.set(argument, block->addArgument(inputs[argument.getArgNumber()],
                                              argument.getLoc()));
  LogicalResult result = success();
  for (Operation &op : old.without_terminator())
    if (failed(result = lowering.lower(&op)))
      break;
  if (failed(result)) {
    while (!block->empty())
      block->back().erase();
    return failure();
  }
  SmallVector<Value> returned;
  for (Value value : old.getTerminator()->getOperands())
    returned.push_back(lowering.get(value));
  builder.create<func::ReturnOp>(old.getTerminator()->getLoc(), returned);
  while (!old.empty())
    old.back().erase();
  old.erase();
  function.getBody().push_back(block.release());
  function.setType(builder.getFunctionType(inputs, results));
  return success();
}

namespace {
struct ConvertToLinalg : impl::ConvertToLinalgBase<ConvertToLinalg> {
  void runOnOperation() override {
    if (!getOperation().isExternal() && failed(convertToLinalg(getOperation())))
      signalPassFailure();
  }
};
} // namespace

} // namespace lathe
