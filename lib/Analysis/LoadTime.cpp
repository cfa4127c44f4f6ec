//===- LoadTime.cpp - What is known once weights are loaded ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/LoadTime.h"

#include "lathe/Analysis/Cost.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/MathExtras.h"
#include <limits>

using namespace lathe;

LoadTime::LoadTime(func::FuncOp function) {
  if (auto module = function->getParentOfType<ModuleOp>())
    for (auto parameter : module.getOps<ParameterOp>())
      if (parameter.isMutable())
        mutableParameters.insert(parameter.getSymName());
  // Definitions come before uses in a walk, so one pass is enough.
  function->walk<WalkOrder::PreOrder>([&](Operation *op) { visit(op); });
}

void LoadTime::visit(Operation *op) {
  if (auto scan = dyn_cast<ScanOp>(op)) {
    auto arguments = scan.getBody().front().getArguments();
    for (auto [input, slice] : llvm::zip(
             scan.getInputs(), arguments.drop_front(scan.getNumCarried())))
      if (isKnown(input)) {
        slices[slice] = scan;
        sources[slice] = getNumBytes(slice.getType());
        free.insert(slice);
      }
  }
  if (!isa_and_nonnull<LatheDialect>(op->getDialect()) ||
      !isMemoryEffectFree(op) || op->hasTrait<OpTrait::IsTerminator>())
    return;
  auto parameter = dyn_cast<GetParameterOp>(op);
  if (parameter && mutableParameters.contains(parameter.getName()))
    return;
  if (op->hasTrait<OpTrait::ConstantLike>() || parameter) {
    for (Value result : op->getResults()) {
      known.insert(result);
      free.insert(result);
      sources[result] = getNumBytes(result.getType());
      // A splat takes no room.
      DenseElementsAttr elements;
      if (matchPattern(result, m_Constant(&elements)) && elements.isSplat())
        sources[result] = 0;
    }
    return;
  }

  ScanOp slicing;
  int64_t bytes = 0;
  auto accept = [&](Value value) {
    if (llvm::AddOverflow(bytes, getSourceBytes(value), bytes))
      bytes = std::numeric_limits<int64_t>::max();
    if (isKnown(value))
      return true;
    ScanOp scan = getSlicingScan(value);
    if (!scan || (slicing && slicing != scan))
      return false;
    slicing = scan;
    return true;
  };
  if (!llvm::all_of(op->getOperands(), accept))
    return;
  if (op->getNumRegions() != 0) {
    llvm::SetVector<Value> captured;
    getUsedValuesDefinedAbove(op->getRegions(), captured);
    if (!llvm::all_of(captured, accept) || slicing)
      return;
  }
  bool isFreeOp = isa<ReshapeOp>(op) && isFree(op->getOperand(0));
  for (Value result : op->getResults()) {
    if (slicing)
      slices[result] = slicing;
    else
      known.insert(result);
    if (isFreeOp)
      free.insert(result);
    sources[result] = bytes;
  }
}
