//===- TrainStep.cpp - From gradients to a training program ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The gradient function is copied into the step (into a loop over the parts of
// the batch where gradients accumulate), and behind it stand unscaling,
// clipping, schedule and optimizer, all as ops: they are fused and planned like
// the rest.
//
//===----------------------------------------------------------------------===//

#include "lathe/Autodiff/TrainStep.h"

#include "FindFunction.h"
#include "Optimizers.h"
#include "PartCounts.h"
#include "lathe/Autodiff/Passes.h"
#include "lathe/Support/KeyPattern.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

#include <limits>

namespace lathe {
#define GEN_PASS_DEF_BUILDTRAINSTEP
#include "lathe/Autodiff/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral scaleArgument = "loss_scale";
constexpr llvm::StringLiteral keyArgument = "random_key";

/// A parameter that is trained, and the result that holds its gradient.
struct Trained {
  ParameterOp parameter;
  unsigned result;
  Value gradient = {};
};

/// A rank-0 result of the step.
struct Figure {
  std::string name;
  Value value;
};

class TrainStepBuilder {
public:
  TrainStepBuilder(func::FuncOp gradient, const TrainRecipe &recipe)
      : gradient(gradient), body(gradient.getBody().front()), recipe(recipe),
        module(gradient->getParentOfType<ModuleOp>()), symbols(module),
        builder(gradient.getContext()), math(builder, gradient.getLoc()) {}

  FailureOr<func::FuncOp> run();

private:
  LogicalResult check();
  LogicalResult collect();
  LogicalResult createFunction();
  Value readState(StringRef name, RankedTensorType type, StringRef init,
                  double number = 0);
  void write(StringRef name, Value value) {
    builder.create<SetParameterOp>(math.location, name, value);
  }
  bool isScaled() const { return recipe.precision == Precision::F16; }

  void runOnce();
  LogicalResult runInParts();
  LogicalResult mapTotals(IRMapping &mapping, const BatchParts &parts);
  void mapScale(IRMapping &mapping);
  void addFigure(unsigned result, Value value);

  void unscale();
  void clip();
  void updateScale();
  LogicalResult update(Trained &trained);

  std::string argumentName(unsigned index) {
    auto name = gradient.getArgAttrOfType<StringAttr>(index, "lathe.name");
    return name ? name.str() : "";
  }
  bool isSplit(unsigned index) {
    auto type = cast<RankedTensorType>(gradient.getArgumentTypes()[index]);
    return recipe.accumulate > 1 && type.getRank() > 0 &&
           argumentName(index) != keyArgument;
  }
  /// Those that the step computes and does not take.
  bool isOwn(unsigned index) {
    std::string name = argumentName(index);
    return name == scaleArgument || StringRef(name).starts_with(totalArgument);
  }

  func::FuncOp gradient;
  Block &body;
  const TrainRecipe &recipe;
  ModuleOp module;
  SymbolTable symbols;
  OpBuilder builder;
  GraphMath math;
  func::FuncOp step;
  SmallVector<Trained> trained;
  SmallVector<unsigned> figureResults; // rank-0 results but the loss
  SmallVector<unsigned> countResults;  // of labels, see weighParts
  DenseMap<unsigned, Value> arguments; // of the gradient, in the step
  SmallVector<Figure> figures;
  Value loss, stepNumber, updates, scale, allFinite;
  StepValues values;
};

LogicalResult TrainStepBuilder::check() {
  if (llvm::Error error = checkRecipe(recipe))
    return gradient.emitError("the recipe cannot be built: ")
           << llvm::toString(std::move(error));
  auto type = gradient.getNumResults()
                  ? dyn_cast<RankedTensorType>(gradient.getResultTypes()[0])
                  : RankedTensorType();
  if (!type || type.getRank() != 0 || !isa<FloatType>(type.getElementType()))
    return gradient.emitError(
        "expected a rank-0 float, the loss, as first result");
  for (Type argument : gradient.getArgumentTypes())
    if (auto tensor = dyn_cast<RankedTensorType>(argument);
        !tensor || !tensor.hasStaticShape())
      return gradient.emitError("expected static shapes in a train step, got ")
             << argument;
  if (module.lookupSymbol("train_step"))
    return gradient.emitError("expected no function '@train_step' beside it");
  return success();
}

/// Which results are gradients of what is trained, and which are figures.
LogicalResult TrainStepBuilder::collect() {
  llvm::StringSet<> written;
  gradient.walk([&](SetParameterOp set) { written.insert(set.getName()); });
  for (unsigned i = 1; i < gradient.getNumResults(); ++i) {
    auto type = cast<RankedTensorType>(gradient.getResultTypes()[i]);
    auto of =
        gradient.getResultAttrOfType<FlatSymbolRefAttr>(i, "lathe.gradient_of");
    if (!of) {
      auto name = gradient.getResultAttrOfType<StringAttr>(i, "lathe.name");
      if (name && name.getValue().starts_with(countResult))
        countResults.push_back(i);
      else if (type.getRank() == 0 &&
               !gradient.getResultAttr(i, "lathe.gradient_of_input"))
        figureResults.push_back(i);
      continue;
    }
    auto parameter = symbols.lookup<ParameterOp>(of.getValue());
    if (!parameter || parameter.getType() != type)
      return gradient.emitError("result ")
             << i << " is marked as the gradient of " << of
             << ", expected a parameter of type " << type;
    bool isFrozen = llvm::any_of(recipe.freeze, [&](const std::string &text) {
      return matchesPattern(text, parameter.getSymName());
    });
    if (!isFrozen && !written.contains(parameter.getSymName()))
      trained.push_back({parameter, i});
  }
  if (trained.empty())
    return gradient.emitError("gives no gradient of a parameter that is "
                              "trained");
  return success();
}

LogicalResult TrainStepBuilder::createFunction() {
  SmallVector<Type> types;
  SmallVector<DictionaryAttr> attributes;
  for (auto [i, argument] : llvm::enumerate(gradient.getArgumentTypes())) {
    if (isOwn(i))
      continue;
    auto type = cast<RankedTensorType>(argument);
    if (isSplit(i)) {
      SmallVector<int64_t> shape(type.getShape());
      shape[0] *= recipe.accumulate;
      type = type.clone(shape);
    }
    types.push_back(type);
    attributes.push_back(gradient.getArgAttrDict(i));
  }
  builder.setInsertionPointAfter(gradient);
  step = builder.create<func::FuncOp>(gradient.getLoc(), "train_step",
                                      builder.getFunctionType(types, {}));
  step.setAllArgAttrs(attributes);
  Block *entry = step.addEntryBlock();
  unsigned next = 0;
  for (unsigned i = 0; i < gradient.getNumArguments(); ++i)
    if (!isOwn(i))
      arguments[i] = entry->getArgument(next++);
  builder.setInsertionPointToEnd(entry);
  return success();
}

/// Declares a state and reads it; null where its name is taken by another type.
Value TrainStepBuilder::readState(StringRef name, RankedTensorType type,
                                  StringRef init, double number) {
  auto known = symbols.lookup(name);
  auto parameter = dyn_cast_or_null<ParameterOp>(known);
  if (known && (!parameter || parameter.getType() != type)) {
    known->emitError("has a name that training needs for a state of type ")
        << type;
    return {};
  }
  if (!parameter) {
    OpBuilder top(gradient);
    OperationState state(gradient.getLoc(), ParameterOp::getOperationName());
    state.addAttribute("sym_name", builder.getStringAttr(name));
    state.addAttribute("type", TypeAttr::get(type));
    FloatAttr value =
        init == "constant" ? builder.getF64FloatAttr(number) : FloatAttr();
    state.addAttribute("init",
                       InitializerAttr::get(builder.getContext(),
                                            *symbolizeInitializerKind(init),
                                            value, FloatAttr()));
    parameter = cast<ParameterOp>(top.create(state));
    symbols.insert(parameter, gradient->getIterator());
  }
  parameter.setMutable(true);
  return math.make<GetParameterOp>(type, name);
}

void TrainStepBuilder::addFigure(unsigned result, Value value) {
  auto name = gradient.getResultAttrOfType<StringAttr>(result, "lathe.name");
  figures.push_back(
      {name ? name.str() : "figure" + std::to_string(result), value});
}

void TrainStepBuilder::mapScale(IRMapping &mapping) {
  for (unsigned i = 0; i < gradient.getNumArguments(); ++i)
    if (argumentName(i) == scaleArgument)
      mapping.map(body.getArgument(i),
                  math.to(scale, GraphMath::elementOf(body.getArgument(i))));
}

/// The gradients of the whole batch at once.
void TrainStepBuilder::runOnce() {
  IRMapping mapping;
  for (auto [index, value] : arguments)
    mapping.map(body.getArgument(index), value);
  mapScale(mapping);
  for (Operation &op : body.without_terminator())
    builder.clone(op, mapping);
  Operation *end = body.getTerminator();
  auto resultOf = [&](unsigned index) {
    return mapping.lookupOrDefault(end->getOperand(index));
  };
  loss = resultOf(0);
  for (Trained &one : trained)
    one.gradient = resultOf(one.result);
  for (unsigned index : figureResults)
    addFigure(index, resultOf(index));
}

/// Counts the batch's labels, for means over those that are not ignored.
LogicalResult TrainStepBuilder::mapTotals(IRMapping &mapping,
                                          const BatchParts &parts) {
  if (countResults.empty())
    return success();
  auto counts = sumOverParts(math, gradient, countResults, parts);
  if (failed(counts))
    return failure();
  llvm::StringMap<Value> totals;
  for (auto [index, count] : llvm::zip_equal(countResults, *counts)) {
    auto name = gradient.getResultAttrOfType<StringAttr>(index, "lathe.name");
    totals[name.getValue().drop_front(countResult.size())] = count;
  }
  for (unsigned i = 0; i < gradient.getNumArguments(); ++i) {
    std::string name = argumentName(i);
    StringRef number = name;
    if (number.consume_front(totalArgument))
      mapping.map(body.getArgument(i), totals.lookup(number));
  }
  return success();
}

/// A loop over the parts of the batch that carries the sums of gradients and
/// figures, what the model writes to its own states, and the random key.
LogicalResult TrainStepBuilder::runInParts() {
  int64_t parts = recipe.accumulate;
  Location loc = gradient.getLoc();
  SmallVector<Value> inits;
  SmallVector<unsigned> summed = {0}; // results whose sums are carried
  llvm::append_range(summed, figureResults);
  for (const Trained &one : trained)
    summed.push_back(one.result);
  for (unsigned index : summed) {
    auto type = cast<RankedTensorType>(gradient.getResultTypes()[index]);
    inits.push_back(builder.create<ConstantOp>(
        loc, cast<ElementsAttr>(builder.getZeroAttr(type))));
  }
  // The model's own states pass from part to part.
  SmallVector<SetParameterOp> sets(body.getOps<SetParameterOp>());
  llvm::StringMap<unsigned> carriedStates;
  for (SetParameterOp set : sets) {
    carriedStates[set.getName()] = inits.size();
    inits.push_back(
        math.make<GetParameterOp>(set.getValue().getType(), set.getName()));
  }
  // Keys are (seed, step); part i of step n gets the key of step n * parts + i.
  std::optional<unsigned> keyIndex;
  for (unsigned i = 0; i < gradient.getNumArguments(); ++i)
    if (argumentName(i) == keyArgument)
      keyIndex = i;
  BatchParts batch{parts, arguments, DenseMap<unsigned, Value>(), keyIndex};
  if (keyIndex) {
    auto type = RankedTensorType::get({2}, builder.getI64Type());
    Value factors = builder.create<ConstantOp>(
        loc, DenseElementsAttr::get(type, ArrayRef<int64_t>{1, parts}));
    inits.push_back(math.mul(arguments[*keyIndex], factors));
    batch.whole[*keyIndex] = inits.back();
  }

  for (unsigned i = 0; i < gradient.getNumArguments(); ++i)
    if (arguments.count(i) && isSplit(i)) {
      auto part = cast<RankedTensorType>(gradient.getArgumentTypes()[i]);
      SmallVector<int64_t> shape = {parts};
      llvm::append_range(shape, part.getShape());
      batch.stacked[i] = builder.create<ReshapeOp>(
          loc, part.clone(shape), arguments[i],
          builder.getDenseI64ArrayAttr(shape),
          llvm::is_contained(shape, 0) ? builder.getUnitAttr() : UnitAttr());
    }
  IRMapping mapping;
  mapScale(mapping);
  if (failed(mapTotals(mapping, batch)))
    return failure();
  ScanOp scan = buildPartLoop(math, gradient, inits, batch, mapping);
  Block &block = scan.getBody().front();

  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(&block);
  SmallVector<Value> next(inits.size());
  for (Operation &op : body.without_terminator()) {
    if (auto get = dyn_cast<GetParameterOp>(op)) {
      auto state = carriedStates.find(get.getName());
      if (state != carriedStates.end()) {
        mapping.map(get.getResult(), block.getArgument(state->second));
        continue;
      }
    }
    if (auto set = dyn_cast<SetParameterOp>(op)) {
      next[carriedStates[set.getName()]] = set.getValue();
      continue;
    }
    builder.clone(op, mapping);
  }
  for (Value &value : next)
    if (value)
      value = mapping.lookupOrDefault(value);
  Operation *end = body.getTerminator();
  for (auto [position, index] : llvm::enumerate(summed))
    next[position] = math.add(block.getArgument(position),
                              mapping.lookupOrDefault(end->getOperand(index)));
  if (keyIndex)
    next.back() = buildNextKey(math, block.getArgument(inits.size() - 1));
  builder.create<YieldOp>(loc, next);

  builder.setInsertionPointAfter(scan);
  auto resultOf = [&](unsigned position) -> Value {
    Value sum = scan.getResult(position);
    return isa<FloatType>(GraphMath::elementOf(sum)) ? math.div(sum, parts)
                                                     : sum;
  };
  loss = resultOf(0);
  for (auto [i, index] : llvm::enumerate(figureResults))
    addFigure(index, resultOf(1 + i));
  for (auto [i, one] : llvm::enumerate(trained))
    one.gradient = resultOf(1 + figureResults.size() + i);
  for (const auto &state : carriedStates)
    write(state.getKey(), scan.getResult(state.second));
  return success();
}

/// Takes the loss scale out again, and finds out whether it was too large.
void TrainStepBuilder::unscale() {
  Value factor = math.div(math.like(1, scale), scale);
  loss = math.mul(loss, math.to(factor, GraphMath::elementOf(loss)));
  for (Trained &one : trained) {
    Value value = one.gradient;
    Value isFinite =
        math.compare(ComparePredicate::lt, math.largest(value),
                     math.like(std::numeric_limits<double>::infinity(), value));
    allFinite = allFinite ? math.make<AndOp>(allFinite, isFinite) : isFinite;
    one.gradient =
        math.mul(value, math.to(factor, GraphMath::elementOf(value)));
  }
}

void TrainStepBuilder::clip() {
  if (recipe.clipValue > 0)
    for (Trained &one : trained)
      one.gradient =
          math.min(math.max(one.gradient, -recipe.clipValue), recipe.clipValue);
  if (recipe.clipNorm <= 0)
    return;
  bool anyF64 = llvm::any_of(trained, [](const Trained &one) {
    return GraphMath::elementOf(one.gradient).isF64();
  });
  Type type = anyF64 ? Type(builder.getF64Type()) : builder.getF32Type();
  Value total;
  for (const Trained &one : trained) {
    Value sum = math.sum(math.square(math.to(one.gradient, type)));
    total = total ? math.add(total, sum) : sum;
  }
  Value norm = math.sqrt(total);
  // As clip_grad_norm_: never made larger.
  Value factor = math.min(
      math.div(math.like(recipe.clipNorm, norm), math.add(norm, 1e-6)), 1.0);
  for (Trained &one : trained)
    one.gradient = math.mul(
        one.gradient, math.to(factor, GraphMath::elementOf(one.gradient)));
  figures.push_back({"gradient_norm", norm});
}

/// torch.amp.GradScaler.update: half after an overflow, double after a number
/// of updates in a row, where that is finite.
void TrainStepBuilder::updateScale() {
  Value count = readState(
      goodStepsState, RankedTensorType::get({}, builder.getI64Type()), "zeros");
  if (!count)
    return;
  Value zero = math.like(0, count);
  Value good = math.add(count, 1.0);
  Value isDue =
      math.compare(ComparePredicate::eq, good,
                   math.like(double(recipe.scaleGrowthInterval), count));
  Value larger = math.mul(scale, recipe.scaleGrowth);
  Value fits =
      math.compare(ComparePredicate::lt, larger,
                   math.like(std::numeric_limits<double>::infinity(), larger));
  Value grown = math.select(math.make<AndOp>(isDue, fits), larger, scale);
  Value next =
      math.select(allFinite, grown, math.mul(scale, recipe.scaleBackoff));
  Value counted = math.select(allFinite, math.select(isDue, zero, good), zero);
  write(lossScaleState, next);
  write(goodStepsState, counted);
  figures.push_back({"loss_scale", scale});
}

/// Rank of one layer's tensor, and whether the parameter stacks layers.
static bool isStacked(ParameterOp parameter) {
  std::optional<StringRef> key = parameter.getKey();
  return key && KeyPattern(*key).isStacked();
}

static double weightDecayOf(const TrainRecipe &recipe, ParameterOp parameter) {
  for (const WeightDecayGroup &group : recipe.weightDecayGroups)
    if (matchesPattern(group.pattern, parameter.getSymName()))
      return group.weightDecay;
  auto type = cast<RankedTensorType>(parameter.getType());
  bool isVector = type.getRank() - isStacked(parameter) <= 1;
  return isVector && !recipe.decayVectors ? 0 : recipe.weightDecay;
}

LogicalResult TrainStepBuilder::update(Trained &one) {
  auto type = cast<RankedTensorType>(one.parameter.getType());
  std::string name = one.parameter.getSymName().str();
  // 16-bit parameters are updated in f32, and their moments are f32.
  Type element = type.getElementType();
  Type computed =
      element.getIntOrFloatBitWidth() < 32 ? builder.getF32Type() : element;
  Value before = math.make<GetParameterOp>(type, name);
  ParameterUpdate update;
  update.before = math.to(before, computed);
  update.gradient = math.to(one.gradient, computed);
  update.stacked = isStacked(one.parameter);
  update.weightDecay = weightDecayOf(recipe, one.parameter);
  update.states = declareStates(recipe, type.clone(computed), update.stacked);
  for (OptimizerState &state : update.states) {
    state.name = (optimizerPrefix + state.name + "." + name).str();
    state.before = readState(state.name, state.type, "zeros");
    if (!state.before)
      return failure();
  }
  buildUpdate(math, recipe, values, update);
  auto keep = [&](Value after, Value old) {
    return allFinite ? math.select(allFinite, after, old) : after;
  };
  one.parameter.setMutable(true);
  write(name, keep(math.to(update.after, element), before));
  for (const OptimizerState &state : update.states)
    write(state.name, keep(state.after, state.before));
  return success();
}

FailureOr<func::FuncOp> TrainStepBuilder::run() {
  if (failed(check()) || failed(collect()) || failed(createFunction()))
    return failure();
  auto counter = RankedTensorType::get({}, builder.getI64Type());
  stepNumber = updates = readState(stepState, counter, "zeros");
  if (!stepNumber)
    return failure();
  if (isScaled()) {
    updates = readState(updatesState, counter, "zeros");
    scale = readState(lossScaleState,
                      RankedTensorType::get({}, builder.getF32Type()),
                      "constant", recipe.initialScale);
    if (!updates || !scale)
      return failure();
  }
  if (recipe.accumulate <= 1)
    runOnce();
  else if (failed(runInParts()))
    return failure();
  if (isScaled())
    unscale();
  clip();

  Value done = math.to(updates, builder.getF64Type());
  values.update = math.add(done, 1.0);
  values.learningRate =
      math.mul(buildSchedule(math, recipe, done), recipe.learningRate);
  addCorrections(math, recipe, values);
  figures.push_back({"learning_rate", values.learningRate});
  if (isScaled())
    updateScale();
  write(stepState, math.add(stepNumber, 1.0));
  if (isScaled())
    write(updatesState,
          math.add(updates, math.to(allFinite, builder.getI64Type())));
  for (Trained &one : trained)
    if (failed(update(one)))
      return failure();

  SmallVector<Value> results = {loss};
  SmallVector<DictionaryAttr> names = {builder.getDictionaryAttr(
      builder.getNamedAttr("lathe.name", builder.getStringAttr("loss")))};
  for (const Figure &figure : figures) {
    results.push_back(figure.value);
    names.push_back(builder.getDictionaryAttr(builder.getNamedAttr(
        "lathe.name", builder.getStringAttr(figure.name))));
  }
  builder.create<func::ReturnOp>(gradient.getLoc(), results);
  step.setType(builder.getFunctionType(step.getArgumentTypes(),
                                       ValueRange(results).getTypes()));
  step.setAllResultAttrs(names);
  return step;
}

class BuildTrainStep : public impl::BuildTrainStepBase<BuildTrainStep> {
  using BuildTrainStepBase::BuildTrainStepBase;

  void runOnOperation() override {
    func::FuncOp gradient = findFunction(getOperation(), function);
    if (!gradient)
      return signalPassFailure();
    TrainRecipe parsed;
    for (const std::string &entry : recipe) {
      auto [key, value] = StringRef(entry).split('=');
      if (llvm::Error error = setRecipeField(parsed, key, value)) {
        gradient.emitError(llvm::toString(std::move(error)));
        return signalPassFailure();
      }
    }
    if (failed(buildTrainStep(gradient, parsed)))
      return signalPassFailure();
  }
};

} // namespace

FailureOr<func::FuncOp> buildTrainStep(func::FuncOp gradient,
                                       const TrainRecipe &recipe) {
  return TrainStepBuilder(gradient, recipe).run();
}

} // namespace lathe
