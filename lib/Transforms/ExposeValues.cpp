//===- ExposeValues.cpp - Inner values as results -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/ExposeValues.h"

#include "dialects/Lathe/Lathe.h"
#include "lathe/Transforms/Passes.h"

namespace lathe {
#define GEN_PASS_DEF_EXPOSEVALUES
#include "lathe/Transforms/Passes.h.inc"

static bool isInCondition(Operation *op) {
  for (Region *region = op->getParentRegion(); region;
       region = region->getParentRegion())
    if (auto loop = dyn_cast<WhileOp>(region->getParentOp()))
      if (region == &loop.getCondition())
        return true;
  return false;
}

SmallVector<Value> listValues(func::FuncOp function) {
  SmallVector<Value> values;
  function.walk<WalkOrder::PostOrder>([&](Operation *op) {
    if (op == function || isInCondition(op))
      return;
    for (Value result : op->getResults())
      if (cast<RankedTensorType>(result.getType()).getNumElements() > 0)
        values.push_back(result);
  });
  return values;
}

namespace {
class Exposer {
public:
  Exposer(func::FuncOp function, ArrayRef<unsigned> wanted, ExposedForm form)
      : function(function), form(form), builder(function.getContext()) {
    SmallVector<Value> values = listValues(function);
    for (unsigned place : wanted)
      places[values[place]] = place;
  }
  void run();

private:
  /// A value that can be read at the end of the block at hand.
  struct Exposed {
    unsigned place;
    Value value;
  };
  SmallVector<Exposed> exposeBlock(Block &block);
  SmallVector<Exposed> exposeOp(Operation *op);
  Operation *rebuild(ScanOp op, SmallVectorImpl<Exposed> &inner);
  Operation *rebuild(IfOp op, SmallVectorImpl<Exposed> &inner);
  Operation *rebuild(WhileOp op, SmallVectorImpl<Exposed> &inner);
  Value summarize(Value value);
  Value zeros(Type type, Location loc) {
    return builder.create<ConstantOp>(
        loc, cast<ElementsAttr>(builder.getZeroAttr(type)));
  }
  static void append(Block &block, ArrayRef<Exposed> values) {
    Operation *end = block.getTerminator();
    for (const Exposed &one : values)
      end->insertOperands(end->getNumOperands(), one.value);
  }

  func::FuncOp function;
  ExposedForm form;
  OpBuilder builder;
  DenseMap<Value, unsigned> places;
};
} // namespace

/// The last dim first: rows are in memory order.
Value Exposer::summarize(Value value) {
  if (form == ExposedForm::Whole)
    return value;
  Location loc = value.getLoc();
  Value result = builder.create<AbsOp>(loc, value);
  auto reduce = [&](ArrayRef<int64_t> axes) {
    result = builder.create<ReduceMaxOp>(loc, result,
                                         builder.getDenseI64ArrayAttr(axes),
                                         builder.getBoolAttr(false));
  };
  int64_t rank = cast<RankedTensorType>(value.getType()).getRank();
  if (rank > 0)
    reduce(rank - 1);
  if (rank > 1)
    reduce(llvm::to_vector(llvm::seq<int64_t>(0, rank - 1)));
  return result;
}

SmallVector<Exposer::Exposed> Exposer::exposeBlock(Block &block) {
  SmallVector<Exposed> result;
  for (Operation &op : llvm::make_early_inc_range(block.without_terminator()))
    llvm::append_range(result, exposeOp(&op));
  return result;
}

SmallVector<Exposer::Exposed> Exposer::exposeOp(Operation *op) {
  SmallVector<std::pair<unsigned, unsigned>> own; // place, result
  for (OpResult result : op->getResults())
    if (auto it = places.find(result); it != places.end())
      own.push_back({it->second, result.getResultNumber()});
  SmallVector<Exposed> exposed;
  if (auto scan = dyn_cast<ScanOp>(op))
    op = rebuild(scan, exposed);
  else if (auto branch = dyn_cast<IfOp>(op))
    op = rebuild(branch, exposed);
  else if (auto loop = dyn_cast<WhileOp>(op))
    op = rebuild(loop, exposed);
  builder.setInsertionPointAfter(op);
  for (auto [place, index] : own)
    exposed.push_back({place, summarize(op->getResult(index))});
  return exposed;
}

/// Takes the regions of `op` over into `now`, whose first results are its own.
static void replaceOp(Operation *op, Operation *now) {
  for (auto [from, to] : llvm::zip_equal(op->getRegions(), now->getRegions()))
    to.takeBody(from);
  now->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  op->replaceAllUsesWith(now->getResults().take_front(op->getNumResults()));
  op->erase();
}

Operation *Exposer::rebuild(ScanOp op, SmallVectorImpl<Exposed> &exposed) {
  Block &body = op.getBody().front();
  exposed = exposeBlock(body);
  if (exposed.empty())
    return op;
  append(body, exposed);
  SmallVector<Type> types(op->getResultTypes());
  for (const Exposed &one : exposed) {
    auto type = cast<RankedTensorType>(one.value.getType());
    SmallVector<int64_t> shape = {op.computeTripCount()};
    llvm::append_range(shape, type.getShape());
    types.push_back(type.clone(shape));
  }
  builder.setInsertionPoint(op);
  auto now =
      builder.create<ScanOp>(op.getLoc(), types, op.getInits(), op.getInputs(),
                             op.getTripCountAttr(), op.getReverseAttr());
  unsigned first = op->getNumResults();
  replaceOp(op, now);
  for (auto [i, one] : llvm::enumerate(exposed))
    one.value = now->getResult(first + i);
  return now;
}

Operation *Exposer::rebuild(IfOp op, SmallVectorImpl<Exposed> &exposed) {
  SmallVector<Type> types(op->getResultTypes());
  unsigned first = types.size();
  Block &yes = op.getThenRegion().front(), &no = op.getElseRegion().front();
  auto addBranch = [&](Block &taken, Block &other) {
    SmallVector<Exposed> values = exposeBlock(taken);
    append(taken, values);
    SmallVector<Exposed> none;
    builder.setInsertionPoint(other.getTerminator());
    for (const Exposed &one : values) {
      types.push_back(one.value.getType());
      none.push_back({one.place, zeros(one.value.getType(), op.getLoc())});
    }
    append(other, none);
    llvm::append_range(exposed, values);
  };
  addBranch(yes, no);
  addBranch(no, yes);
  if (exposed.empty())
    return op;
  builder.setInsertionPoint(op);
  auto now = builder.create<IfOp>(op.getLoc(), types, op.getCondition());
  replaceOp(op, now);
  for (auto [i, one] : llvm::enumerate(exposed))
    one.value = now->getResult(first + i);
  return now;
}

Operation *Exposer::rebuild(WhileOp op, SmallVectorImpl<Exposed> &exposed) {
  Block &body = op.getBody().front();
  exposed = exposeBlock(body);
  if (exposed.empty())
    return op;
  SmallVector<Type> types(op->getResultTypes());
  SmallVector<Value> inits(op.getInits());
  unsigned first = types.size();
  for (Exposed &one : exposed) {
    Type type = one.value.getType();
    Location loc = one.value.getLoc();
    builder.setInsertionPoint(op);
    inits.push_back(zeros(type, loc));
    types.push_back(type);
    op.getCondition().front().addArgument(type, loc);
    Value before = body.addArgument(type, loc);
    builder.setInsertionPoint(body.getTerminator());
    if (form == ExposedForm::Largest)
      one.value = builder.create<MaxOp>(loc, before, one.value);
  }
  append(body, exposed);
  builder.setInsertionPoint(op);
  auto now = builder.create<WhileOp>(op.getLoc(), types, inits);
  replaceOp(op, now);
  for (auto [i, one] : llvm::enumerate(exposed))
    one.value = now->getResult(first + i);
  return now;
}

void Exposer::run() {
  Block &block = function.getBody().front();
  SmallVector<Exposed> exposed = exposeBlock(block);
  llvm::sort(exposed, [](const Exposed &a, const Exposed &b) {
    return a.place < b.place;
  });
  append(block, exposed);
  for (const Exposed &one : exposed)
    (void)function.insertResult(
        function.getNumResults(), one.value.getType(),
        builder.getDictionaryAttr(builder.getNamedAttr(
            "lathe.name",
            builder.getStringAttr("value." + std::to_string(one.place)))));
}

void exposeValues(func::FuncOp function, ArrayRef<unsigned> wanted,
                  ExposedForm form) {
  Exposer(function, wanted, form).run();
}

namespace {
class ExposeValues : public impl::ExposeValuesBase<ExposeValues> {
  using ExposeValuesBase::ExposeValuesBase;

  void runOnOperation() override {
    if (form != "whole" && form != "largest") {
      getOperation().emitError("expected whole or largest in option 'form', "
                               "got '")
          << form << "'";
      return signalPassFailure();
    }
    auto isOpen = [](Value value) {
      auto type = dyn_cast<RankedTensorType>(value.getType());
      return !type || !type.hasStaticShape();
    };
    auto found = getOperation().walk([&](Operation *op) {
      if (!isa<func::CallOp>(op) && !llvm::any_of(op->getResults(), isOpen))
        return WalkResult::advance();
      op->emitError("expected static shapes and no calls where values are "
                    "exposed");
      return WalkResult::interrupt();
    });
    if (found.wasInterrupted())
      return signalPassFailure();
    ExposedForm chosen =
        form == "whole" ? ExposedForm::Whole : ExposedForm::Largest;
    SmallVector<unsigned> wanted;
    for (auto [place, value] : llvm::enumerate(listValues(getOperation())))
      if (!value.getDefiningOp<ConstantOp>() &&
          (chosen == ExposedForm::Whole ||
           isa<FloatType>(getElementTypeOrSelf(value.getType()))))
        wanted.push_back(place);
    exposeValues(getOperation(), wanted, chosen);
  }
};
} // namespace

} // namespace lathe
