//===- Training.cpp - From a model file to a training program -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Pipelines/Training.h"

#include "dialects/Lathe/Lathe.h"
#include "lathe/Autodiff/Autograd.h"
#include "lathe/Autodiff/Passes.h"
#include "lathe/Autodiff/TrainStep.h"
#include "lathe/Executable/MemoryUse.h"
#include "lathe/Transforms/Passes.h"
#include "lathe/Transforms/Specialize.h"
#include "mlir/Pass/PassManager.h"

#include <limits>

namespace lathe {

func::FuncOp findLoss(const Model &model) {
  auto loss = model.module().lookupSymbol<func::FuncOp>("loss");
  if (loss && !loss.isExternal())
    return loss;
  model.module().emitError("has no function '@loss' to train by");
  return nullptr;
}

static LogicalResult runOn(func::FuncOp function, std::unique_ptr<Pass> pass) {
  PassManager pm(function.getContext(), func::FuncOp::getOperationName());
  pm.addPass(std::move(pass));
  return pm.run(function);
}

/// What the recipe's quantization leaves of numbers, in training and
/// evaluation.
static LogicalResult roundAsRecipe(func::FuncOp loss,
                                   const TrainRecipe &recipe) {
  if (!recipe.quantize)
    return success();
  QuantizeOptions quantize;
  quantize.scheme = recipe.quantize.name;
  quantize.group = recipe.quantize.group;
  quantize.training = true;
  return runOn(loss, createQuantize(quantize));
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
  if (failed(specialize(loss, shapes)) ||
      failed(runOn(loss, createExpandGradients())) ||
      failed(makeTrainable(loss, recipe)))
    return nullptr;
  return copy;
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
    auto type = dyn_cast<RankedTensorType>(loss.getArgumentTypes()[i]);
    // A model of one part's fixed size takes a batch of so many.
    if (type && !type.isDynamicDim(0) && type.getDimSize(0) * parts != shape[0])
      return loss.emitError("accumulation cuts the batch into parts, and so "
                            "expects an open first dimension of each input, "
                            "got ")
             << type << (name ? " of '" + name.str() + "'" : std::string());
    if (shape[0] % parts)
      return loss.emitError("expected a batch that can be divided by ")
             << parts << " to accumulate gradients, got " << shape[0];
    shape[0] /= parts;
  }
  return divided;
}

void markPart(func::FuncOp function, StringRef part) {
  auto value = StringAttr::get(function.getContext(), part);
  function.walk([&](Operation *op) {
    if (op != function && !op->hasAttr(kPartMark))
      op->setAttr(kPartMark, value);
  });
}

OwningOpRef<ModuleOp> buildTrainingModule(const Model &model,
                                          ArrayRef<SmallVector<int64_t>> shapes,
                                          const TrainRecipe &recipe,
                                          bool markParts) {
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
  if (failed(augment(loss, recipe)))
    return nullptr;
  // Both here, so that the backward part goes through what they make.
  if (failed(roundAsRecipe(loss, recipe)))
    return nullptr;
  if (is16Bit(recipe.precision)) {
    PrecisionOptions precision;
    precision.type = precisionName(recipe.precision).str();
    if (failed(runOn(loss, createPrecision(precision))))
      return nullptr;
  }
  if (failed(prepareLoss(loss, recipe)) ||
      failed(runOn(loss, createChunkLosses())) ||
      failed(weighParts(loss, recipe)))
    return nullptr;
  GradientOptions gradientOptions;
  if (markParts)
    gradientOptions.beforeBackward = [](func::FuncOp function) {
      markPart(function, kForwardPart);
    };
  FailureOr<func::FuncOp> gradient = buildGradient(loss, gradientOptions);
  if (failed(gradient))
    return nullptr;
  if (markParts)
    markPart(*gradient, kBackwardPart);
  if (failed(buildTrainStep(*gradient, recipe)))
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
  if (failed(roundAsRecipe(loss, recipe)))
    return nullptr;
  InferenceModeOptions mode;
  mode.freeze = true;
  if (failed(runOn(loss, createInferenceMode(mode))))
    return nullptr;
  loss.setSymName("eval");
  return module;
}

static std::unique_ptr<Model> makeModel(OwningOpRef<ModuleOp> module,
                                        StringRef entry) {
  return module ? Model::fromModule(std::move(module), entry) : nullptr;
}

static SmallVector<SmallVector<int64_t>> shapesOf(const Model &model) {
  SmallVector<SmallVector<int64_t>> shapes;
  for (Type type : model.entry().getArgumentTypes())
    shapes.emplace_back(cast<RankedTensorType>(type).getShape());
  return shapes;
}

static LogicalResult compileEntry(const Model &model,
                                  const CompileOptions &options,
                                  exec::Executable &executable,
                                  CompileStatistics &sum) {
  CompileStatistics one;
  if (failed(model.compile(shapesOf(model), options, executable, &one)))
    return failure();
  sum.seconds += one.seconds;
  sum.kernels += one.kernels;
  sum.distinct += one.distinct;
  sum.fromCache += one.fromCache;
  if (!one.recomputed.empty()) {
    sum.recomputed = std::move(one.recomputed);
    sum.recomputeFlops = one.recomputeFlops;
    sum.bytesSaved = one.bytesSaved;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// What the program would take, without workspace.
static FailureOr<MemoryUse> planMemory(const Model &model,
                                       const CompileOptions &options) {
  OwningOpRef<ModuleOp> kernels =
      model.lowerToKernels(shapesOf(model), options);
  if (!kernels)
    return failure();
  return lathe::planMemory(
      kernels->lookupSymbol<func::FuncOp>(model.entry().getSymName()));
}

/// Bytes of the train step, the last program but one, and of what evaluation
/// needs besides.
static uint64_t totalOf(const exec::Executable &executable, size_t first,
                        unsigned threads) {
  uint64_t total = 0;
  for (size_t i = first; i < size_t(executable.programs_size()); ++i) {
    MemoryUse use = measureMemory(executable, i, threads);
    total += i == first ? use.total() : use.arena + use.signature;
  }
  return total;
}

/// Compiles the step so that it fits, keeping as much as then can be.
static LogicalResult fitStep(const Model &step, const Model *evaluation,
                             CompileOptions options,
                             exec::Executable &executable,
                             CompileStatistics &sum) {
  uint64_t least = std::numeric_limits<uint64_t>::max(), states = 0, beside = 0;
  bool isBound = false; ///< `least` is without workspace
  unsigned first = *options.recompute;
  if (evaluation) {
    options.recompute = 0;
    FailureOr<MemoryUse> use = planMemory(*evaluation, options);
    if (failed(use))
      return failure();
    beside = use->arena + use->signature;
  }
  for (unsigned level = first; level <= kMostRecompute; ++level) {
    options.recompute = level;
    FailureOr<MemoryUse> use = planMemory(step, options);
    if (failed(use))
      return failure();
    states = use->states + use->weights;
    if (uint64_t planned = use->total() + beside; planned > options.maxMemory) {
      // Workspace is known of compiled kernels alone, and comes on top.
      isBound |= planned < least;
      least = std::min(least, planned);
      continue;
    }
    exec::Executable candidate = executable;
    CompileStatistics statistics;
    if (failed(compileEntry(step, options, candidate, statistics)))
      return failure();
    uint64_t total =
        totalOf(candidate, executable.programs_size(), options.threads) +
        beside;
    if (total > options.maxMemory) {
      isBound &= total >= least;
      least = std::min(least, total);
      continue;
    }
    executable.Swap(&candidate);
    sum = std::move(statistics);
    return success();
  }
  return step.entry().emitError("the training needs ")
         << (isBound ? "at least " : "") << formatBytes(least) << ", "
         << formatBytes(least - options.maxMemory)
         << " more than --max-memory allows, with all computed again that can "
            "be; "
         << formatBytes(states)
         << " of it are parameters and the optimizer's state"
         << (beside ? ", " + formatBytes(beside) + " evaluation" : "")
         << ": a smaller --batch needs less, and so does --accumulate, which "
            "cuts the batch into parts";
}

LogicalResult
compileTraining(const Model &model, ArrayRef<SmallVector<int64_t>> stepShapes,
                ArrayRef<SmallVector<int64_t>> evalShapes,
                const TrainRecipe &recipe, const CompileOptions &options,
                exec::Executable &executable, CompileStatistics *statistics) {
  CompileStatistics sum;
  std::unique_ptr<Model> step =
      makeModel(buildTrainingModule(model, stepShapes, recipe), "train_step");
  if (!step)
    return failure();
  std::unique_ptr<Model> evaluation;
  if (!evalShapes.empty()) {
    evaluation =
        makeModel(buildEvaluationModule(model, evalShapes, recipe), "eval");
    if (!evaluation)
      return failure();
  }
  CompileOptions forStep = options;
  // 16-bit floats are in the step by now; evaluation is of the weights as they
  // are.
  forStep.precision =
      is16Bit(recipe.precision) ? Precision::F32 : recipe.precision;
  if (!forStep.recompute)
    forStep.recompute = defaultRecompute(options.optimize);
  CompileOptions forEvaluation = forStep;
  forEvaluation.recompute = 0;
  if (failed(options.maxMemory
                 ? fitStep(*step, evaluation.get(), forStep, executable, sum)
                 : compileEntry(*step, forStep, executable, sum)))
    return failure();
  if (evaluation &&
      failed(compileEntry(*evaluation, forEvaluation, executable, sum)))
    return failure();
  if (statistics)
    *statistics = std::move(sum);
  return success();
}

} // namespace lathe
