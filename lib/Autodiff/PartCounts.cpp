//===- PartCounts.cpp - What parts of a batch must know of it -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A mean over the labels that count is one of the batch, not of its parts: the
// mean of the parts' means would weigh a part with few labels like one with
// many, and have none where a part has none. So each part's mean is weighed by
// its share of the batch's labels, which are counted before the first part.
//
//===----------------------------------------------------------------------===//

#include "PartCounts.h"

#include "lathe/Autodiff/TrainStep.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringSet.h"

namespace lathe {

namespace {
/// A mean over the labels that are not `ignored`.
struct LabelMean {
  Operation *op;
  Value labels;
  int64_t ignored;
};
} // namespace

static std::optional<LabelMean> findMean(Operation *op) {
  if (auto loss = dyn_cast<CrossEntropyOp>(op))
    if (loss.getIgnoreIndex() && loss.getReduction() == LossReduction::mean)
      return LabelMean{op, loss.getLabels(), int64_t(*loss.getIgnoreIndex())};
  if (auto loss = dyn_cast<LinearCrossEntropyOp>(op))
    if (loss.getIgnoreIndex())
      return LabelMean{op, loss.getLabels(), int64_t(*loss.getIgnoreIndex())};
  return std::nullopt;
}

static DictionaryAttr nameOf(OpBuilder &builder, const Twine &name) {
  return builder.getDictionaryAttr(
      builder.getNamedAttr("lathe.name", builder.getStringAttr(name)));
}

LogicalResult weighParts(func::FuncOp loss, const TrainRecipe &recipe) {
  if (recipe.accumulate <= 1)
    return success();
  SmallVector<LabelMean> means;
  loss.walk([&](Operation *op) {
    if (std::optional<LabelMean> mean = findMean(op))
      means.push_back(*mean);
  });
  Block &body = loss.getBody().front();
  for (auto [i, mean] : llvm::enumerate(means)) {
    Operation *op = mean.op;
    if (op->getBlock() != &body)
      return op->emitError("ignores labels inside of a loop or a branch, so "
                           "that its mean over a batch is not that of the "
                           "batch's parts: expected no accumulation, got ")
             << recipe.accumulate << " parts";
    OpBuilder builder(op);
    GraphMath math(builder, op->getLoc());
    Value result = op->getResult(0);
    Type element = GraphMath::elementOf(result);
    Type wide = element.isF64() ? element : Type(builder.getF32Type());
    std::string number = std::to_string(i);
    unsigned index = loss.getNumArguments();
    loss.insertArgument(index, RankedTensorType::get({}, wide),
                        nameOf(builder, totalArgument + number), loss.getLoc());
    Value total = loss.getArgument(index);
    Value counted = math.compare(ComparePredicate::ne, mean.labels,
                                 math.like(double(mean.ignored), mean.labels));
    Value count = math.sum(math.to(counted, wide));
    // A part without labels takes others, weighed by 0: its mean would be nan.
    // In a batch without any it is.
    Value isSpare = math.make<AndOp>(
        math.compare(ComparePredicate::eq, count, math.like(0, count)),
        math.compare(ComparePredicate::gt, total, math.like(0, total)));
    Value labels =
        math.select(isSpare, math.like(mean.ignored == 0 ? 1 : 0, mean.labels),
                    mean.labels);
    op->replaceUsesOfWith(mean.labels, labels);
    builder.setInsertionPointAfter(op);
    Value weight = math.div(math.mul(count, double(recipe.accumulate)),
                            math.max(total, 1.0));
    Value widened = math.to(result, wide);
    Value product = math.mul(widened, weight);
    Value weighed = math.to(product, element);
    Operation *first =
        widened == result ? product.getDefiningOp() : widened.getDefiningOp();
    result.replaceAllUsesExcept(weighed, first);
    Operation *end = body.getTerminator();
    end->insertOperands(end->getNumOperands(), count);
    loss.insertResult(loss.getNumResults(), count.getType(),
                      nameOf(builder, countResult + number));
  }
  return success();
}

/// The ops of `body` that `values` are computed from.
static SetVector<Operation *> findNeeded(Block &body, ArrayRef<Value> values) {
  SetVector<Operation *> needed;
  auto add = [&](Value value) {
    Operation *op = value.getDefiningOp();
    op = op ? op : value.getParentBlock()->getParentOp();
    if (Operation *top = body.findAncestorOpInBlock(*op))
      needed.insert(top);
  };
  llvm::for_each(values, add);
  for (size_t i = 0; i < needed.size(); ++i)
    needed[i]->walk(
        [&](Operation *op) { llvm::for_each(op->getOperands(), add); });
  return needed;
}

ScanOp buildPartLoop(GraphMath &math, func::FuncOp gradient,
                     ArrayRef<Value> inits, const BatchParts &parts,
                     IRMapping &mapping) {
  OpBuilder &builder = math.builder;
  Block &body = gradient.getBody().front();
  SmallVector<unsigned> sliced;
  SmallVector<Value> inputs;
  for (unsigned i = 0; i < gradient.getNumArguments(); ++i)
    if (Value stack = parts.stacked.lookup(i)) {
      sliced.push_back(i);
      inputs.push_back(stack);
    }
  auto scan = builder.create<ScanOp>(
      math.location, ValueRange(inits).getTypes(), inits, inputs,
      inputs.empty() ? builder.getI64IntegerAttr(parts.count) : IntegerAttr(),
      /*reverse=*/UnitAttr());
  Block &block = scan.getBody().emplaceBlock();
  for (auto [index, value] : parts.whole)
    mapping.map(body.getArgument(index), value);
  for (Value init : inits)
    block.addArgument(init.getType(), math.location);
  if (parts.key)
    mapping.map(body.getArgument(*parts.key), block.getArguments().back());
  for (unsigned index : sliced)
    mapping.map(
        body.getArgument(index),
        block.addArgument(gradient.getArgumentTypes()[index], math.location));
  return scan;
}

Value buildNextKey(GraphMath &math, Value key) {
  auto type = RankedTensorType::get({2}, math.builder.getI64Type());
  return math.add(key, math.make<ConstantOp>(DenseElementsAttr::get(
                           type, ArrayRef<int64_t>{0, 1})));
}

FailureOr<SmallVector<Value>> sumOverParts(GraphMath &math,
                                           func::FuncOp gradient,
                                           ArrayRef<unsigned> results,
                                           const BatchParts &parts) {
  OpBuilder &builder = math.builder;
  Block &body = gradient.getBody().front();
  SmallVector<Value> wanted, inits, inputs;
  for (unsigned index : results)
    wanted.push_back(body.getTerminator()->getOperand(index));
  SetVector<Operation *> needed = findNeeded(body, wanted);
  llvm::StringSet<> written;
  gradient.walk([&](SetParameterOp set) { written.insert(set.getName()); });
  for (Operation *op : needed)
    if (auto get = dyn_cast<GetParameterOp>(op);
        get && written.contains(get.getName()))
      return get.emitError("is a state of which labels are made, and it "
                           "changes from part to part: expected no "
                           "accumulation, got ")
             << parts.count << " parts";

  for (Value value : wanted)
    inits.push_back(math.like(0, value));
  if (parts.key)
    inits.push_back(parts.whole.lookup(*parts.key));
  IRMapping mapping;
  ScanOp scan = buildPartLoop(math, gradient, inits, parts, mapping);
  Block &block = scan.getBody().front();

  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(&block);
  for (Operation &op : body.without_terminator())
    if (needed.contains(&op))
      builder.clone(op, mapping);
  SmallVector<Value> next;
  for (auto [i, value] : llvm::enumerate(wanted))
    next.push_back(
        math.add(block.getArgument(i), mapping.lookupOrDefault(value)));
  if (parts.key)
    next.push_back(buildNextKey(math, block.getArgument(wanted.size())));
  builder.create<YieldOp>(math.location, next);
  return llvm::to_vector(
      llvm::map_range(scan.getResults().take_front(wanted.size()),
                      [](OpResult value) -> Value { return value; }));
}

} // namespace lathe
