//===- UpdateInPlace.cpp - New values of states over the old ones ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Lathe.h"
#include "lathe/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"

namespace lathe {
#define GEN_PASS_DEF_UPDATEINPLACE
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// Whether the kernel may write its result over its input, both of one type.
///
/// It may where it is one loop over the elements: then every element is read
/// before it is written, provided that all readers of the input lead to the
/// result. Code generation runs the ops of a kernel in the order of their
/// dependencies, joining an op only with a sole user of its result: no reader
/// can end up behind the write.
static LogicalResult canOverwrite(KernelOp kernel, unsigned input,
                                  unsigned result, StringRef &whyNot) {
  Block &body = kernel.getBody().front();
  BlockArgument argument = body.getArgument(input);
  auto type = cast<RankedTensorType>(argument.getType());
  Operation *writer = body.getTerminator()->getOperand(result).getDefiningOp();
  for (Operation &op : body.without_terminator()) {
    if (op.hasTrait<OpTrait::ConstantLike>())
      continue;
    auto fusible = dyn_cast<FusibleOpInterface>(op);
    bool isElementwise =
        fusible && fusible.getFusionKind() == FusionKind::Elementwise;
    for (Value value : op.getResults()) {
      auto produced = cast<RankedTensorType>(value.getType());
      isElementwise &= produced.getShape() == type.getShape() ||
                       (produced.getNumElements() == 1 &&
                        !llvm::is_contained(op.getOperands(), argument));
    }
    if (!isElementwise) {
      whyNot = "the kernel is not one loop over the elements";
      return failure();
    }
  }
  // What leads to the writer, found backwards.
  DenseSet<Operation *> leads;
  SmallVector<Operation *> worklist;
  if (writer)
    worklist.push_back(writer);
  while (!worklist.empty()) {
    Operation *op = worklist.pop_back_val();
    if (!leads.insert(op).second)
      continue;
    for (Value operand : op->getOperands())
      if (Operation *producer = operand.getDefiningOp())
        worklist.push_back(producer);
  }
  for (Operation *reader : argument.getUsers())
    if (!leads.contains(reader)) {
      whyNot = "the kernel reads the old value for something else, too";
      return failure();
    }
  return success();
}

namespace {
class UpdateInPlace : public lathe::impl::UpdateInPlaceBase<UpdateInPlace> {
  using UpdateInPlaceBase::UpdateInPlaceBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal())
      return;
    llvm::StringMap<SmallVector<GetParameterOp>> reads;
    function->walk(
        [&](GetParameterOp get) { reads[get.getName()].push_back(get); });
    DenseSet<Value> taken;
    for (auto set : function.getBody().front().getOps<SetParameterOp>()) {
      StringRef whyNot;
      bool done =
          succeeded(update(set, reads.lookup(set.getName()), taken, whyNot));
      set.setInPlace(done);
      if (done)
        ++numInPlace;
      else
        ++numCopied;
      if (!done && explain)
        set.emitRemark("is copied: ") << whyNot;
    }
  }

  LogicalResult update(SetParameterOp set, ArrayRef<GetParameterOp> reads,
                       DenseSet<Value> &taken, StringRef &whyNot);
};
} // namespace

LogicalResult UpdateInPlace::update(SetParameterOp set,
                                    ArrayRef<GetParameterOp> reads,
                                    DenseSet<Value> &taken, StringRef &whyNot) {
  auto kernel = set.getValue().getDefiningOp<KernelOp>();
  Block *block = set->getBlock();
  if (!kernel || kernel->getBlock() != block) {
    whyNot = "no kernel of this block computes the value";
    return failure();
  }
  unsigned result = cast<OpResult>(set.getValue()).getResultNumber();
  if (taken.contains(set.getValue())) {
    whyNot = "another parameter gets the same value";
    return failure();
  }
  // Every other reader of the old value must have run.
  SmallVector<int64_t> inputs;
  SmallVector<Value> worklist;
  for (GetParameterOp get : reads)
    worklist.push_back(get.getResult());
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    for (OpOperand &use : value.getUses()) {
      Operation *user = use.getOwner();
      if (user == kernel && !value.getDefiningOp<ReshapeOp>()) {
        inputs.push_back(use.getOperandNumber());
        continue;
      }
      if (isa<ReshapeOp>(user)) {
        worklist.push_back(user->getResult(0));
        continue;
      }
      Operation *around = block->findAncestorOpInBlock(*user);
      if (!around || !around->isBeforeInBlock(kernel)) {
        whyNot = "the old value is read after the new one is computed";
        return failure();
      }
    }
  }
  for (int64_t input : inputs)
    if (failed(canOverwrite(kernel, input, result, whyNot)))
      return failure();
  taken.insert(set.getValue());
  SmallVector<int64_t> pairs;
  if (auto known = kernel->getAttrOfType<DenseI64ArrayAttr>("lathe.in_place"))
    llvm::append_range(pairs, known.asArrayRef());
  for (int64_t input : inputs)
    pairs.append({int64_t(result), input});
  if (!pairs.empty())
    kernel->setAttr("lathe.in_place",
                    DenseI64ArrayAttr::get(&getContext(), pairs));
  return success();
}
