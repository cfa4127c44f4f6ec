//===- DiffSide.cpp - One of two programs that are compared ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DiffSide.h"

#include "InputData.h"
#include "dialects/Lathe/Lathe.h"
#include "lathe/Autodiff/Autograd.h"
#include "lathe/Autodiff/Passes.h"
#include "lathe/Autodiff/PlantFault.h"
#include "lathe/Autodiff/TrainStep.h"
#include "lathe/Pipelines/Training.h"
#include "lathe/Target/ProgramBuilder.h"
#include "lathe/Transforms/Passes.h"
#include "lathe/Transforms/Specialize.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"

namespace lathe {

func::FuncOp DiffSide::function() const {
  return ModuleOp(*module).lookupSymbol<func::FuncOp>(entryName);
}

bool DiffSide::load(MLIRContext &context, const std::vector<NamedTensor> &given,
                    StringRef plant, ArrayRef<std::string> known) {
  compile = options.compileOptions();
  if (gradients)
    compile.recompute = recompute.value_or(defaultRecompute(compile.optimize));
  PreparedModel prepared;
  if (gradients && options.entry.empty())
    options.entry = "loss";
  std::unique_ptr<Model> model = loadModel(context, options, given, prepared);
  if (!model)
    return false;
  auto shapes = resolveShapes(model->inputs(), options, given, prepared.notes);
  if (!shapes) {
    fail(shapes.takeError());
    return false;
  }
  notes = prepared.notes;
  llvm::erase_if(prepared.notes, [&](const std::string &note) {
    return llvm::is_contained(known, note);
  });
  prepared.printNotes();
  for (const InputDeclaration &input : model->inputs())
    inputNames.push_back(input.name);
  entryName = model->entry().getSymName().str();
  module = OwningOpRef<ModuleOp>(cast<ModuleOp>(model->module()->clone()));
  func::FuncOp entry = function();
  if (failed(specialize(entry, *shapes)))
    return false;
  // As compilation does: what can be trained runs in its form for inference,
  // and gradients within a model are ops like others.
  PassManager pm(&context, func::FuncOp::getOperationName());
  if (entryName == "main" && module->lookupSymbol("loss"))
    pm.addPass(createInferenceMode());
  pm.addPass(createExpandGradients());
  if (failed(pm.run(entry)))
    return false;
  for (auto other : llvm::make_early_inc_range(module->getOps<func::FuncOp>()))
    if (other != entry)
      other.erase();
  return !gradients || addGradient(plant);
}

bool DiffSide::addGradient(StringRef plant) {
  GradientOptions autograd;
  autograd.inputs = true;
  autograd.beforeBackward = [](func::FuncOp function) {
    markPart(function, kForwardPart);
  };
  auto [kind, site] = plant.split(':');
  std::optional<FaultKind> fault = faultFromName(kind);
  unsigned number = 0;
  (void)llvm::to_integer(site, number);
  FaultPlanter planter(fault.value_or(FaultKind::Sign), number);
  if (fault)
    autograd.afterRule = [&](Operation *op, ArrayRef<Operation *> built,
                             MutableArrayRef<Value> values) {
      planter(op, built, values);
    };
  func::FuncOp loss = function();
  {
    // Without parameters there are gradients by the inputs alone.
    ScopedDiagnosticHandler quiet(loss.getContext(),
                                  [](Diagnostic &) { return success(); });
    (void)makeTrainable(loss, TrainRecipe());
  }
  auto gradient = buildGradient(loss, autograd);
  if (failed(gradient))
    return false;
  markPart(*gradient, kBackwardPart);
  loss.erase();
  entryName = gradient->getSymName().str();
  return true;
}

bool DiffSide::makeInputTensors(std::vector<NamedTensor> given) {
  exec::Program signature;
  for (auto [name, type] :
       llvm::zip_equal(inputNames, function().getArgumentTypes())) {
    exec::Signature *input = signature.add_inputs();
    input->set_name(name);
    auto converted = toExecutableType(cast<RankedTensorType>(type));
    if (failed(converted))
      return false;
    *input->mutable_type() = *converted;
  }
  auto tensors =
      makeInputs(signature, options.inputs, std::move(given), options.seed);
  if (!tensors) {
    fail(tensors.takeError());
    return false;
  }
  owned = std::move(*tensors);
  inputs.assign(owned.begin(), owned.end());
  return true;
}

bool DiffSide::shareInputs(const DiffSide &other) {
  for (const std::string &name : inputNames) {
    auto it = llvm::find(other.inputNames, name);
    if (it == other.inputNames.end()) {
      fail("the other model has no input '" + name + "'");
      return false;
    }
    inputs.push_back(other.inputs[it - other.inputNames.begin()]);
  }
  return true;
}

llvm::Expected<ExposedRun> DiffSide::run(ArrayRef<unsigned> wanted) {
  WeightSource weights;
  if (llvm::Error error = openWeights(options, weights))
    return std::move(error);
  return runExposed(*module, entryName, wanted, ExposedForm::Whole, compile,
                    weights, options.sessionOptions(), inputs);
}

static constexpr StringLiteral kTag = "lathe.diff.";

/// The places that a location is tagged with.
static void collectTags(Location loc, SmallVectorImpl<unsigned> &tags) {
  loc->walk([&](Location part) {
    unsigned place;
    if (auto name = dyn_cast<NameLoc>(part))
      if (StringRef text = name.getName(); text.consume_front(kTag))
        if (llvm::to_integer(text, place) && !llvm::is_contained(tags, place))
          tags.push_back(place);
    return WalkResult::advance();
  });
}

/// Every op carries its place in its location through the passes; what a kernel
/// writes is, where type and place fit, that value of the model.
std::vector<KernelContent> DiffSide::findKernels() {
  OwningOpRef<ModuleOp> copy(cast<ModuleOp>((*module)->clone()));
  auto function = copy->lookupSymbol<func::FuncOp>(entryName);
  SmallVector<Value> values = listValues(function);
  SmallVector<Type> types;
  for (auto [place, value] : llvm::enumerate(values)) {
    types.push_back(value.getType());
    Operation *op = value.getDefiningOp();
    op->setLoc(NameLoc::get(
        StringAttr::get(op->getContext(), kTag + Twine(place)), op->getLoc()));
  }
  std::unique_ptr<Model> model = Model::fromModule(std::move(copy), entryName);
  if (!model)
    return {};
  CompileOptions options = compile;
  options.afterPass = nullptr;
  OwningOpRef<ModuleOp> lowered =
      model->lowerToKernels(argumentShapes(model->entry()), options);
  if (!lowered)
    return {};
  std::vector<KernelContent> result;
  lowered->lookupSymbol<func::FuncOp>(entryName).walk([&](KernelOp kernel) {
    Operation *end = kernel.getBody().front().getTerminator();
    SmallVector<unsigned> inside;
    for (Operation &op : kernel.getBody().front())
      collectTags(op.getLoc(), inside);
    llvm::sort(inside);
    for (Value written : end->getOperands()) {
      SmallVector<unsigned> tags;
      if (Operation *op = written.getDefiningOp())
        collectTags(op->getLoc(), tags);
      llvm::erase_if(tags, [&](unsigned place) {
        return types[place] != written.getType();
      });
      if (!tags.empty()) // of several that became one op, what they end in
        result.push_back({kernel.getName().str(),
                          *std::max_element(tags.begin(), tags.end()), inside});
    }
  });
  llvm::sort(result, [](const KernelContent &a, const KernelContent &b) {
    return a.output < b.output;
  });
  return result;
}

} // namespace lathe
