//===- PrepareLoss.cpp - A recipe's part in the loss ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Lathe.h"
#include "lathe/Autodiff/Passes.h"
#include "lathe/Autodiff/TrainStep.h"

#include "FindFunction.h"
#include "llvm/ADT/StringSet.h"

namespace lathe {
#define GEN_PASS_DEF_MAKETRAINABLE
#include "lathe/Autodiff/Passes.h.inc"

LogicalResult makeTrainable(func::FuncOp loss, const TrainRecipe &recipe) {
  llvm::StringSet<> read, written, patterns;
  loss.walk([&](GetParameterOp get) { read.insert(get.getName()); });
  loss.walk([&](SetParameterOp set) { written.insert(set.getName()); });
  unsigned trainable = 0, frozen = 0;
  for (auto parameter :
       loss->getParentOfType<ModuleOp>().getOps<ParameterOp>()) {
    StringRef name = parameter.getSymName();
    bool isFrozen = false;
    for (const std::string &pattern : recipe.freeze)
      if (matchesPattern(pattern, name)) {
        isFrozen = true;
        patterns.insert(pattern);
      }
    if (!read.contains(name) || written.contains(name) ||
        !isa<FloatType>(getElementTypeOrSelf(parameter.getType())))
      continue;
    parameter.setMutable(!isFrozen);
    (isFrozen ? frozen : trainable)++;
  }
  for (const std::string &pattern : recipe.freeze)
    if (!patterns.contains(pattern))
      return loss.emitError("no parameter matches the pattern '")
             << pattern << "' of what is frozen";
  if (trainable)
    return success();
  if (frozen)
    return loss.emitError("all ")
           << frozen << " parameters of the loss are frozen";
  return loss.emitError("the loss reads no parameter of floats to train");
}

LogicalResult prepareLoss(func::FuncOp loss, const TrainRecipe &recipe) {
  if (recipe.labelSmoothing > 0)
    loss.walk([&](CrossEntropyOp op) {
      if (op.getLabelSmoothing().isZero())
        op.setLabelSmoothing(APFloat(recipe.labelSmoothing));
    });
  if (recipe.precision != Precision::F16)
    return success();
  Operation *end = loss.getBody().front().getTerminator();
  if (end->getNumOperands() == 0)
    return loss.emitError("expected the loss as first result, got none");
  Value value = end->getOperand(0);
  OpBuilder builder(end);
  unsigned index = loss.getNumArguments();
  loss.insertArgument(index, value.getType(),
                      builder.getDictionaryAttr(builder.getNamedAttr(
                          "lathe.name", builder.getStringAttr("loss_scale"))),
                      loss.getLoc());
  end->setOperand(
      0, builder.create<MulOp>(loss.getLoc(), value, loss.getArgument(index)));
  return success();
}

namespace {
class MakeTrainable : public impl::MakeTrainableBase<MakeTrainable> {
  using MakeTrainableBase::MakeTrainableBase;

  void runOnOperation() override {
    func::FuncOp loss = findFunction(getOperation(), function);
    if (!loss)
      return signalPassFailure();
    TrainRecipe recipe;
    recipe.freeze.assign(freeze.begin(), freeze.end());
    if (failed(makeTrainable(loss, recipe)))
      signalPassFailure();
  }
};
} // namespace

} // namespace lathe
