//===- CheckCases.cpp - What a gradient check runs ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Autodiff/CheckCases.h"

#include "dialects/Lathe/Lathe.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/StringSet.h"

namespace lathe {

static bool holdsFloats(Type type) {
  return isa<FloatType>(getElementTypeOrSelf(type));
}

SmallVector<unsigned> floatArguments(func::FuncOp function) {
  SmallVector<unsigned> result;
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes()))
    if (holdsFloats(type))
      result.push_back(i);
  return result;
}

SmallVector<unsigned> floatResults(func::FuncOp function) {
  SmallVector<unsigned> result;
  for (auto [i, type] : llvm::enumerate(function.getResultTypes()))
    if (holdsFloats(type))
      result.push_back(i);
  return result;
}

/// An empty `@forward` with arguments of `types` in a new module.
static func::FuncOp makeForward(CheckCase &check, TypeRange arguments) {
  MLIRContext *context = check.location.getContext();
  check.module = ModuleOp::create(check.location);
  OpBuilder builder = OpBuilder::atBlockBegin(check.module->getBody());
  auto forward = builder.create<func::FuncOp>(
      check.location, "forward", FunctionType::get(context, arguments, {}));
  forward.addEntryBlock();
  return forward;
}

static void finishForward(func::FuncOp forward, OpBuilder &builder,
                          ValueRange results) {
  builder.create<func::ReturnOp>(forward.getLoc(), results);
  forward.setType(FunctionType::get(
      forward.getContext(), forward.getArgumentTypes(), results.getTypes()));
}

/// The function with such ops as they are, where `@forward` has others.
static constexpr StringLiteral kExact = "exact";

/// Puts what rules are the derivatives of in the place of ops with
/// straight-through gradients; whether there are any.
static bool useSurrogates(func::FuncOp function) {
  SmallVector<DifferentiableOpInterface> ops;
  function.walk([&](DifferentiableOpInterface op) { ops.push_back(op); });
  bool hasAny = false;
  for (DifferentiableOpInterface op : ops) {
    OpBuilder builder(op);
    SmallVector<Value> values = op.buildSurrogate(builder);
    if (values.empty())
      continue;
    op->replaceAllUsesWith(values);
    op->erase();
    hasAny = true;
  }
  return hasAny;
}

static CheckCase extractOp(Operation *op) {
  CheckCase check{op->getName().getStringRef().str(), op->getLoc(), {}};
  llvm::SetVector<Value> reads(op->operand_begin(), op->operand_end());
  getUsedValuesDefinedAbove(op->getRegions(), reads);
  SmallVector<Value> constants, arguments;
  for (Value value : reads)
    (value.getDefiningOp<ConstantOp>() ? constants : arguments)
        .push_back(value);
  func::FuncOp forward = makeForward(check, TypeRange(ValueRange(arguments)));
  IRMapping mapping;
  mapping.map(arguments, forward.getArguments());
  OpBuilder builder = OpBuilder::atBlockEnd(&forward.getBody().front());
  for (Value value : constants)
    builder.clone(*value.getDefiningOp(), mapping);
  // Parameters in the body of a loop: as what they hold.
  Operation *copy = builder.clone(*op, mapping);
  copy->walk([&](GetParameterOp read) {
    forward.insertArgument(forward.getNumArguments(), read.getType(), {},
                           read.getLoc());
    read.replaceAllUsesWith(forward.getArgument(forward.getNumArguments() - 1));
    read.erase();
  });
  finishForward(forward, builder, copy->getResults());
  // The rule is the op's own, the differences are those of its surrogate.
  builder.setInsertionPointAfter(forward);
  auto exact = cast<func::FuncOp>(builder.clone(*forward));
  exact.setSymName(kExact);
  exact.setPrivate();
  if (!useSurrogates(forward))
    exact.erase();
  return check;
}

std::vector<CheckCase> extractOpCases(func::FuncOp function) {
  std::vector<CheckCase> cases;
  llvm::StringSet<> known;
  function.walk([&](Operation *op) {
    auto floats = [](ValueRange values) {
      return llvm::any_of(values,
                          [](Value v) { return holdsFloats(v.getType()); });
    };
    llvm::SetVector<Value> reads(op->operand_begin(), op->operand_end());
    getUsedValuesDefinedAbove(op->getRegions(), reads);
    if (op == function || op->hasTrait<OpTrait::IsTerminator>() ||
        !floats(reads.getArrayRef()) || !floats(op->getResults()))
      return;
    CheckCase check = extractOp(op);
    std::string text;
    llvm::raw_string_ostream stream(text);
    check.module->print(stream);
    if (known.insert(text).second)
      cases.push_back(std::move(check));
  });
  return cases;
}

CheckCase extractFunctionCase(func::FuncOp function) {
  CheckCase check{function.getSymName().str(), function.getLoc(), {}};
  func::FuncOp forward = makeForward(check, function.getArgumentTypes());
  IRMapping mapping;
  Block &from = function.getBody().front(), &to = forward.getBody().front();
  mapping.map(from.getArguments(), to.getArguments());
  OpBuilder builder = OpBuilder::atBlockEnd(&to);
  for (Operation &op : from.without_terminator())
    if (!isa<SetParameterOp>(op)) // what the next run starts from
      builder.clone(op, mapping);
  auto nameAttr = StringAttr::get(function.getContext(), "lathe.name");
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (Attribute name = function.getArgAttr(i, nameAttr))
      forward.setArgAttr(i, nameAttr, name);
  DenseMap<Attribute, Value> parameters;
  forward.walk([&](GetParameterOp read) {
    Value &value = parameters[read.getNameAttr()];
    if (!value) {
      unsigned index = forward.getNumArguments();
      forward.insertArgument(index, read.getType(), {}, read.getLoc());
      forward.setArgAttr(index, nameAttr,
                         StringAttr::get(function.getContext(),
                                         "parameter " + read.getName()));
      value = forward.getArgument(index);
    }
    read.replaceAllUsesWith(value);
    read.erase();
  });
  SmallVector<Value> results;
  for (Value value : from.getTerminator()->getOperands())
    results.push_back(mapping.lookupOrDefault(value));
  auto first = results.empty()
                   ? RankedTensorType()
                   : dyn_cast<RankedTensorType>(results[0].getType());
  if (first && first.getRank() == 0 && holdsFloats(first))
    results.resize(1);
  finishForward(forward, builder, results);
  useSurrogates(forward);
  return check;
}

LogicalResult addVjp(CheckCase &check, const GradientOptions &options) {
  auto forward = check.module->lookupSymbol<func::FuncOp>("forward");
  OpBuilder builder(forward->getContext());
  builder.setInsertionPointAfter(forward);
  auto exact = check.module->lookupSymbol<func::FuncOp>(kExact);
  auto vjp = cast<func::FuncOp>(builder.clone(exact ? *exact : *forward));
  vjp.setSymName("vjp");
  vjp.setPublic();
  Operation *end = vjp.getBody().front().getTerminator();
  builder.setInsertionPoint(end);
  Value sum;
  for (unsigned i : floatResults(forward)) {
    Value result = end->getOperand(i);
    unsigned index = vjp.getNumArguments();
    vjp.insertArgument(index, result.getType(), {}, check.location);
    Value product =
        builder.create<MulOp>(check.location, result, vjp.getArgument(index));
    Value part = builder.create<ReduceSumOp>(check.location, product,
                                             ArrayRef<int64_t>());
    for (Value added : {product, part})
      added.getDefiningOp()->setAttr(kCheckMark, builder.getUnitAttr());
    sum = sum ? builder.create<AddOp>(check.location, sum, part).getResult()
              : part;
  }
  if (!sum)
    return forward.emitError("expected a result of floats, to check its "
                             "gradient");
  builder.create<func::ReturnOp>(check.location, sum);
  end->erase();
  vjp.removeResAttrsAttr();
  vjp.setType(FunctionType::get(vjp.getContext(), vjp.getArgumentTypes(),
                                sum.getType()));
  FailureOr<func::FuncOp> gradient = buildGradient(vjp, options);
  vjp.erase();
  return success(succeeded(gradient));
}

/// What the op allows for its operand `index`; 0 where it does not index.
static int64_t boundOf(Operation *op, unsigned index) {
  auto shape = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getShape();
  };
  auto at = [](ArrayRef<int64_t> sizes, int64_t axis) {
    return sizes[axis < 0 ? axis + sizes.size() : axis];
  };
  auto smallest = [&](ArrayRef<int64_t> sizes, ArrayRef<int64_t> indices) {
    int64_t bound = std::numeric_limits<int64_t>::max();
    for (int64_t size : sizes.take_front(indices.back()))
      bound = std::min(bound, size);
    return bound;
  };
  if (auto loss = dyn_cast<LinearCrossEntropyOp>(op))
    return index == 2 ? shape(loss.getWeight())[0] : 0;
  if (index != 1)
    return 0;
  if (auto gather = dyn_cast<GatherOp>(op))
    return at(shape(gather.getInput()), gather.getAxis());
  if (auto gather = dyn_cast<GatherElementsOp>(op))
    return at(shape(gather.getInput()), gather.getAxis());
  if (auto scatter = dyn_cast<ScatterElementsOp>(op))
    return at(shape(scatter.getInput()), scatter.getAxis());
  if (auto embedding = dyn_cast<EmbeddingOp>(op))
    return shape(embedding.getTable())[0];
  if (auto gather = dyn_cast<GatherNdOp>(op))
    return smallest(shape(gather.getInput()).drop_front(gather.getBatchDims()),
                    shape(gather.getIndices()));
  if (auto scatter = dyn_cast<ScatterNdOp>(op))
    return smallest(shape(scatter.getInput()), shape(scatter.getIndices()));
  if (auto loss = dyn_cast<CrossEntropyOp>(op))
    return shape(loss.getLogits()).back();
  return 0;
}

int64_t indexBound(func::FuncOp function, unsigned index) {
  int64_t bound = 0;
  SmallVector<Value> worklist{function.getArgument(index)};
  llvm::DenseSet<Value> seen;
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (!seen.insert(value).second)
      continue;
    for (OpOperand &use : value.getUses()) {
      Operation *user = use.getOwner();
      if (int64_t here = boundOf(user, use.getOperandNumber())) {
        bound = bound ? std::min(bound, here) : here;
        continue;
      }
      if (auto scan = dyn_cast<ScanOp>(user))
        worklist.push_back(scan.getBody().getArgument(use.getOperandNumber()));
      auto fusible = dyn_cast<FusibleOpInterface>(user);
      if (isa<CastOp, SliceOp, ConcatOp>(user) ||
          (fusible && fusible.getFusionKind() == FusionKind::View))
        worklist.push_back(user->getResult(0));
    }
  }
  return std::max<int64_t>(bound, bound ? 1 : 2);
}

} // namespace lathe
