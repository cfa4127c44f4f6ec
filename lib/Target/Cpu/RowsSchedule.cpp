//===- RowsSchedule.cpp - Pointwise ops and reductions, row by row --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowPlan.h"

#include "lathe/Target/KernelFunction.h"

#include "mlir/Transforms/CSE.h"

namespace lathe::cpu {

/// Rows that do not fit into the caches gain nothing from this schedule.
static constexpr int64_t largestScratch = 8 << 20;

FailureOr<LoweredKernel> scheduleRows(KernelOp kernel, ModuleOp module,
                                      StringRef symbol,
                                      const CpuFeatures &features,
                                      std::string &whyNot) {
  FailureOr<func::FuncOp> tensors =
      buildTensorFunction(kernel, module, (symbol + ".tensors").str(), whyNot);
  if (failed(tensors))
    return failure();
  std::optional<RowProgram> program = RowProgram::analyze(*tensors, whyNot);
  SmallVector<PlannedRows, 0> parts;
  LoweredKernel lowered;
  lowered.workItems = 0;
  if (program)
    for (RowProgram &part : program->split()) {
      std::optional<RowPlan> plan = planRows(part, features, whyNot);
      if (!plan) {
        parts.clear();
        break;
      }
      lowered.workItems += plan->getWorkItems(part);
      parts.push_back({std::move(part), std::move(*plan)});
    }
  if (parts.empty()) {
    tensors->erase();
    return failure();
  }
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  lowered.function = builder.create<func::FuncOp>(
      kernel.getLoc(), symbol,
      getKernelSignature(*tensors, getCpuArguments(kernel.getContext())));
  lowered.scratchBytes = emitRows(parts, lowered.function);
  tensors->erase();
  if (lowered.scratchBytes > largestScratch) {
    whyNot = "a row with its temporaries takes " +
             std::to_string(lowered.scratchBytes) + " bytes";
    lowered.function.erase();
    return failure();
  }
  IRRewriter rewriter(module.getContext());
  DominanceInfo dominance(lowered.function);
  eliminateCommonSubExpressions(rewriter, dominance, lowered.function);
  return lowered;
}

} // namespace lathe::cpu
