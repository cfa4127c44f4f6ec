//===- StepsSchedule.cpp - Pointwise ops and reductions -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RaiseBf16.h"
#include "StepGrids.h"

#include "lathe/Target/KernelFunction.h"

namespace lathe::cuda {

static StringRef nameOf(const Phase &phase) {
  return !phase.isReduction() ? "pointwise"
         : phase.isColumns    ? "columns"
                              : "rows";
}

/// Whether several phases have no reductions and compute all they read.
static bool areSideBySide(const RowProgram &program, const RowPhases &plan) {
  return plan.phases.size() > 1 &&
         llvm::all_of(plan.phases, [&](const Phase &phase) {
           return !phase.isReduction() &&
                  llvm::all_of(phase.steps, [&](unsigned s) {
                    return llvm::all_of(
                        program.steps[s].inputs,
                        [&](const RowProgram::Operand &read) {
                          return read.kind != RowProgram::Operand::Computed ||
                                 phase.has(program.values[read.value].step);
                        });
                  });
         });
}

FailureOr<KernelText> scheduleSteps(KernelOp kernel, StringRef symbol,
                                    const GpuFeatures &, std::string &whyNot) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(kernel.getLoc());
  FailureOr<func::FuncOp> function =
      buildTensorFunction(kernel, *module, symbol, whyNot);
  if (failed(function))
    return failure();
  raiseBf16Casts(*function);
  std::optional<RowProgram> program = RowProgram::analyze(*function, whyNot);
  if (!program)
    return failure();
  std::optional<RowPhases> plan = RowPhases::plan(*program, whyNot);
  if (!plan)
    return failure();
  SmallVector<StringRef> headers;
  if (llvm::any_of(plan->phases, [](auto &p) { return p.isReduction(); }))
    headers.push_back("reduce.cuh");
  KernelFile file(kernel, symbol, headers);
  if (areSideBySide(*program, *plan)) {
    if (failed(emitSideBySide(*program, *plan, file, whyNot)))
      return failure();
    KernelText text = file.take(plan->scratchBytes);
    text.schedule = "pointwise";
    return text;
  }
  std::string name;
  for (const Phase &phase : plan->phases) {
    auto emit = phase.isReduction() ? emitReduction : emitPointwise;
    if (failed(emit(*program, *plan, phase, file, whyNot)))
      return failure();
    if (!StringRef(name).contains(nameOf(phase)))
      name += (name.empty() ? "" : "+") + nameOf(phase).str();
  }
  KernelText text = file.take(plan->scratchBytes);
  text.schedule = name;
  return text;
}

} // namespace lathe::cuda
