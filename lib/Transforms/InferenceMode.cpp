//===- InferenceMode.cpp - A model as it is outside of training -----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Lathe.h"
#include "lathe/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {
#define GEN_PASS_DEF_INFERENCEMODE
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

namespace {
class InferenceMode : public lathe::impl::InferenceModeBase<InferenceMode> {
  using InferenceModeBase::InferenceModeBase;

  void runOnOperation() override {
    SmallVector<TrainingOpInterface> ops;
    getOperation()->walk([&](TrainingOpInterface op) { ops.push_back(op); });
    for (TrainingOpInterface op : ops) {
      OpBuilder builder(op);
      SmallVector<Value> values = op.buildInference(builder);
      op->replaceAllUsesWith(values);
      op->erase();
      ++numReplaced;
    }
    SmallVector<SetParameterOp> sets;
    getOperation()->walk([&](SetParameterOp set) { sets.push_back(set); });
    for (SetParameterOp set : sets) {
      auto get = set.getValue().getDefiningOp<GetParameterOp>();
      if (freeze || (get && get.getName() == set.getName()))
        set.erase();
    }
  }
};
} // namespace
