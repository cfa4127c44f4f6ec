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

/// The ops of the kernel that are connected with `start` by values they
/// compute.
static DenseSet<Operation *> findPart(Block &body,
                                      SmallVector<Operation *> start) {
  DenseSet<Operation *> part;
  auto visit = [&](Operation *op) {
    if (op && op->getBlock() == &body && op != body.getTerminator() &&
        !op->hasTrait<OpTrait::ConstantLike>() && part.insert(op).second)
      start.push_back(op);
  };
  SmallVector<Operation *> first;
  std::swap(first, start);
  llvm::for_each(first, visit);
  while (!start.empty()) {
    Operation *op = start.pop_back_val();
    for (Value operand : op->getOperands())
      visit(operand.getDefiningOp());
    llvm::for_each(op->getUsers(), visit);
  }
  return part;
}

/// The ops of a kernel that lead to `op`, which may be null, and `op` itself.
static DenseSet<Operation *> findLeads(Operation *op) {
  DenseSet<Operation *> leads;
  SmallVector<Operation *> worklist{op};
  while (!worklist.empty()) {
    Operation *next = worklist.pop_back_val();
    if (!next || !leads.insert(next).second)
      continue;
    for (Value operand : next->getOperands())
      worklist.push_back(operand.getDefiningOp());
  }
  return leads;
}

/// Whether the kernel may write its result over its input, both of one type.
///
/// It may where the part of it that has to do with either is one loop over the
/// elements: then every element is read before it is written, provided that all
/// readers of the input lead to the result. Code generation runs the ops of a
/// kernel in the order of their dependencies, joining an op only with a sole
/// user of its result: no reader can end up behind the write. A product whose
/// result has the elements' shape is no exception, where only what follows it
/// reads the input: the schedules of products finish the sums of a tile before
/// they go on with it. A product of what comes of the input reads elements far
/// from those it has written.
static LogicalResult canOverwrite(KernelOp kernel, unsigned input,
                                  unsigned result, StringRef &whyNot) {
  Block &body = kernel.getBody().front();
  BlockArgument argument = body.getArgument(input);
  auto type = cast<RankedTensorType>(argument.getType());
  Operation *writer = body.getTerminator()->getOperand(result).getDefiningOp();
  SmallVector<Operation *> start(argument.user_begin(), argument.user_end());
  start.push_back(writer);
  for (Operation *op : findPart(body, start)) {
    auto fusible = dyn_cast<FusibleOpInterface>(op);
    bool isContraction =
        fusible && fusible.getFusionKind() == FusionKind::Contraction;
    if (isContraction) {
      DenseSet<Operation *> leads = findLeads(op);
      if (llvm::any_of(argument.getUsers(), [&](Operation *reader) {
            return leads.contains(reader);
          })) {
        whyNot = "a product reads the old value in another order";
        return failure();
      }
    }
    bool isElementwise =
        isContraction ||
        (fusible && fusible.getFusionKind() == FusionKind::Elementwise);
    for (Value value : op->getResults()) {
      auto produced = cast<RankedTensorType>(value.getType());
      isElementwise &= produced.getShape() == type.getShape() ||
                       (produced.getNumElements() == 1 &&
                        !llvm::is_contained(op->getOperands(), argument));
    }
    if (!isElementwise) {
      whyNot = "the kernel is not one loop over the elements";
      return failure();
    }
  }
  DenseSet<Operation *> leads = findLeads(writer);
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
    function->walk([&](ScanOp scan) { updateCarried(scan); });
  }

  LogicalResult update(SetParameterOp set, ArrayRef<GetParameterOp> reads,
                       DenseSet<Value> &taken, StringRef &whyNot);
  void updateCarried(ScanOp scan);
  LogicalResult overwrite(OpResult value, ArrayRef<Value> old,
                          StringRef &whyNot);
};
} // namespace

/// Marks the kernel that computes `value` as writing it over `old`, all of
/// which stand in one place, or says why it cannot.
LogicalResult UpdateInPlace::overwrite(OpResult value, ArrayRef<Value> old,
                                       StringRef &whyNot) {
  auto kernel = cast<KernelOp>(value.getOwner());
  Block *block = kernel->getBlock();
  unsigned result = value.getResultNumber();
  // Every other reader of the old value must have run.
  SmallVector<int64_t> inputs;
  SmallVector<Value> worklist(old);
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

LogicalResult UpdateInPlace::update(SetParameterOp set,
                                    ArrayRef<GetParameterOp> reads,
                                    DenseSet<Value> &taken, StringRef &whyNot) {
  auto kernel = set.getValue().getDefiningOp<KernelOp>();
  if (!kernel || kernel->getBlock() != set->getBlock()) {
    whyNot = "no kernel of this block computes the value";
    return failure();
  }
  if (taken.contains(set.getValue())) {
    whyNot = "another parameter gets the same value";
    return failure();
  }
  SmallVector<Value> old;
  for (GetParameterOp get : reads)
    old.push_back(get.getResult());
  if (failed(overwrite(cast<OpResult>(set.getValue()), old, whyNot)))
    return failure();
  taken.insert(set.getValue());
  return success();
}

void UpdateInPlace::updateCarried(ScanOp scan) {
  Block &body = scan.getBody().front();
  ValueRange yields = body.getTerminator()->getOperands();
  SmallVector<int64_t> inPlace;
  for (unsigned i = 0; i < scan.getNumCarried(); ++i) {
    auto value = dyn_cast<OpResult>(yields[i]);
    StringRef whyNot;
    if (!value || !isa<KernelOp>(value.getOwner()) ||
        value.getOwner()->getBlock() != &body)
      whyNot = "no kernel of the body computes it";
    else if (llvm::count(yields, value) != 1)
      whyNot = "it leaves the body twice";
    else if (succeeded(overwrite(value, Value(body.getArgument(i)), whyNot))) {
      inPlace.push_back(i);
      ++numCarried;
      continue;
    }
    if (explain)
      scan.emitRemark("copies carried value ") << i << ": " << whyNot;
  }
  if (!inPlace.empty())
    scan->setAttr("lathe.in_place",
                  DenseI64ArrayAttr::get(&getContext(), inPlace));
}
