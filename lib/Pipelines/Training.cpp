//===- Training.cpp - From a model file to a training program -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Pipelines/Training.h"

#include "dialects/Lathe/Lathe.h"
#include "lathe/Autodiff/Autograd.h"
#include "lathe/Autodiff/TrainStep.h"
#include "lathe/Transforms/Passes.h"
#include "lathe/Transforms/Specialize.h"
#include "mlir/Pass/PassManager.h"

namespace lathe {

func::FuncOp findLoss(const Model &model) {
  auto loss = model.module().lookupSymbol<func::FuncOp>("loss");
  if (loss && !loss.isExternal())
    return loss;
  model.module().emitError("has no function '@loss' to train by");
  return nullptr;
}

/// A copy of the model with `@loss` as the one entry, specialized, and its
/// parameters marked.
static OwningOpRef<ModuleOp> prepare(const Model &model,
                                     ArrayRef<SmallVector<int64_t>> shapes,
                                     const TrainRecipe &recipe) {
  if (!findLoss(model))
    return nullptr;
  OwningOpRef<ModuleOp> copy(cast<ModuleOp>(model.module()->clone()));
  auto loss = copy->lookupSymbol<func::FuncOp>("loss");
  for (auto function : llvm::make_early_inc_range(copy->getOps<func::FuncOp>()))
    if (function != loss && function.isPublic())
      function.erase();
  if (failed(specialize(loss, shapes)) || failed(makeTrainable(loss, recipe)))
    return nullptr;
  return copy;
}

static LogicalResult runOn(func::FuncOp function, std::unique_ptr<Pass> pass) {
  PassManager pm(function.getContext(), func::FuncOp::getOperationName());
  pm.addPass(std::move(pass));
  return pm.run(function);
}

/// The shapes of one of the parts that gradients accumulate over.
static FailureOr<SmallVector<SmallVector<int64_t>>>
divideBatch(func::FuncOp loss, ArrayRef<SmallVector<int64_t>> shapes,
            int64_t parts) {
  SmallVector<SmallVector<int64_t>> divided(shapes);
  for (auto [i, shape] : llvm::enumerate(divided)) {
    auto name = loss.getArgAttrOfType<StringAttr>(i, "lathe.name");
    if (shape.empty() || parts <= 1 || (name && name == "random_key"))
      continue;
    if (shape[0] % parts)
      return loss.emitError("expected a batch that can be divided by ")
             << parts << " to accumulate gradients, got " << shape[0];
    shape[0] /= parts;
  }
  return divided;
}

OwningOpRef<ModuleOp> buildTrainingModule(const Model &model,
                                          ArrayRef<SmallVector<int64_t>> shapes,
                                          const TrainRecipe &recipe) {
  func::FuncOp original = findLoss(model);
  if (!original)
    return nullptr;
  auto parts = divideBatch(original, shapes, recipe.accumulate);
  if (failed(parts))
    return nullptr;
  OwningOpRef<ModuleOp> module = prepare(model, *parts, recipe);
  if (!module)
    return nullptr;
  auto loss = module->lookupSymbol<func::FuncOp>("loss");
  if (recipe.precision != TrainPrecision::Float32) {
    AutocastOptions cast;
    cast.type = recipe.precision == TrainPrecision::BFloat16 ? "bf16" : "f16";
    if (failed(runOn(loss, createAutocast(cast))))
      return nullptr;
  }
  if (failed(prepareLoss(loss, recipe)))
    return nullptr;
  FailureOr<func::FuncOp> gradient = buildGradient(loss, GradientOptions());
  if (failed(gradient) || failed(buildTrainStep(*gradient, recipe)))
    return nullptr;
  gradient->erase();
  loss.erase();
  return module;
}

OwningOpRef<ModuleOp>
buildEvaluationModule(const Model &model, ArrayRef<SmallVector<int64_t>> shapes,
                      const TrainRecipe &recipe) {
  OwningOpRef<ModuleOp> module = prepare(model, shapes, recipe);
  if (!module)
    return nullptr;
  auto loss = module->lookupSymbol<func::FuncOp>("loss");
  InferenceModeOptions mode;
  mode.freeze = true;
  if (failed(runOn(loss, createInferenceMode(mode))))
    return nullptr;
  loss.setSymName("eval");
  return module;
}

static LogicalResult compileEntry(OwningOpRef<ModuleOp> module, StringRef entry,
                                  const CompileOptions &options,
                                  exec::Executable &executable,
                                  CompileStatistics &sum) {
  if (!module)
    return failure();
  std::unique_ptr<Model> model = Model::fromModule(std::move(module), entry);
  if (!model)
    return failure();
  SmallVector<SmallVector<int64_t>> shapes;
  for (Type type : model->entry().getArgumentTypes())
    shapes.emplace_back(cast<RankedTensorType>(type).getShape());
  CompileStatistics one;
  if (failed(model->compile(shapes, options, executable, &one)))
    return failure();
  sum.seconds += one.seconds;
  sum.kernels += one.kernels;
  sum.distinct += one.distinct;
  sum.fromCache += one.fromCache;
  return success();
}

LogicalResult
compileTraining(const Model &model, ArrayRef<SmallVector<int64_t>> stepShapes,
                ArrayRef<SmallVector<int64_t>> evalShapes,
                const TrainRecipe &recipe, const CompileOptions &options,
                exec::Executable &executable, CompileStatistics *statistics) {
  CompileStatistics sum;
  if (failed(compileEntry(buildTrainingModule(model, stepShapes, recipe),
                          "train_step", options, executable, sum)))
    return failure();
  if (!evalShapes.empty() &&
      failed(compileEntry(buildEvaluationModule(model, evalShapes, recipe),
                          "eval", options, executable, sum)))
    return failure();
  if (statistics)
    *statistics = sum;
  return success();
}

} // namespace lathe
