//===- ControlFlow.cpp - The backward parts of scan and if ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The backward part of a region is a region of its own, first built as if the
// values of the forward one could be seen. What it uses of them is then brought
// along: a `scan` stacks them as further results, an `if` returns them (and
// zeros from the branch that has none); constants and views are made again.
//
//===----------------------------------------------------------------------===//

#include "Backward.h"

#include "dialects/Lathe/Vjp.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

namespace lathe {

SmallVector<Value> Backward::activeCaptures(Region &region) const {
  llvm::SetVector<Value> captures;
  getUsedValuesDefinedAbove(region, captures);
  return llvm::to_vector(llvm::make_filter_range(
      captures, [&](Value value) { return activity.isActive(value); }));
}

/// Whether making the value again costs nothing beside keeping it.
static bool isRemade(Operation *op) {
  if (!op || op->getNumRegions() || !isMemoryEffectFree(op))
    return false;
  if (op->getNumOperands() == 0 || isa<BroadcastOp>(op))
    return true;
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  return fusible && fusible.getFusionKind() == FusionKind::View;
}

/// Replaces the uses in `backward` of values of the region `forward` by what
/// `save` returns for them.
static void bringValues(Block &backward, Region &forward,
                        function_ref<Value(Value)> save) {
  OpBuilder front(forward.getContext());
  front.setInsertionPointToStart(&backward);
  IRMapping brought;
  std::function<Value(Value)> bring = [&](Value value) -> Value {
    if (value.getParentRegion() != &forward)
      return value;
    if (Value known = brought.lookupOrNull(value))
      return known;
    Operation *op = value.getDefiningOp();
    if (!isRemade(op)) {
      brought.map(value, save(value));
      return brought.lookup(value);
    }
    for (Value operand : op->getOperands())
      brought.map(operand, bring(operand));
    front.clone(*op, brought);
    return brought.lookup(value);
  };
  SmallVector<OpOperand *> uses;
  backward.walk([&](Operation *op) {
    for (OpOperand &use : op->getOpOperands())
      if (use.get().getParentRegion() == &forward)
        uses.push_back(&use);
  });
  for (OpOperand *use : uses)
    use->set(bring(use->get()));
}

static RankedTensorType stackedType(Value value, int64_t trips) {
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<int64_t> shape{trips};
  llvm::append_range(shape, type.getShape());
  return RankedTensorType::get(shape, type.getElementType());
}

//===----------------------------------------------------------------------===//
// scan
//===----------------------------------------------------------------------===//

// Backward, the loop runs the other way. It carries the cotangents of the
// carried values and the sums of those of captured values; it takes those of
// stacked results slice by slice, and stacks those of the inputs.
LogicalResult Backward::differentiate(ScanOp op, Cotangents &cotangents,
                                      OpBuilder &builder) {
  Location loc = op.getLoc();
  VjpBuilder b(builder, op);
  Region &forward = op.getBody();
  Block &body = forward.front();
  Operation *yield = body.getTerminator();
  int64_t trips = op.computeTripCount();
  unsigned carried = op.getNumCarried();

  // Operands of the loop, and what stands in the body for them.
  SmallVector<Value> inits, inputs;
  Region region;
  Block *block = new Block();
  region.push_back(block);
  Cotangents inside;
  // The region has no op yet that would lead to the context.
  OpBuilder inner(op.getContext());
  inner.setInsertionPointToEnd(block);
  SmallVector<unsigned> active;
  for (unsigned i = 0; i < carried; ++i) {
    Value result = op.getResult(i), argument = body.getArgument(i);
    Value cotangent = cotangents.get(result);
    if (!activity.isVaried(result) ||
        (!cotangent && !activity.isActive(argument)))
      continue;
    active.push_back(i);
    inits.push_back(cotangent ? cotangent : b.zerosLike(result));
    Value slot = block->addArgument(argument.getType(), loc);
    if (activity.isVaried(yield->getOperand(i)))
      inside.add(inner, yield->getOperand(i), slot);
  }
  SmallVector<Value> captures = activeCaptures(forward), sums;
  for (Value capture : captures) {
    inits.push_back(b.zerosLike(capture));
    sums.push_back(block->addArgument(capture.getType(), loc));
  }
  for (unsigned i = carried; i < op.getNumResults(); ++i) {
    Value cotangent = cotangents.get(op.getResult(i));
    Value value = yield->getOperand(i);
    if (!cotangent || !activity.isVaried(value))
      continue;
    inputs.push_back(cotangent);
    inside.add(inner, value, block->addArgument(value.getType(), loc));
  }

  if (failed(run(body, inside, inner)))
    return failure();

  // Captures that only ops without a gradient use need no sum.
  for (size_t i = captures.size(); i-- > 0;)
    if (!inside.get(captures[i])) {
      block->eraseArgument(active.size() + i);
      inits.erase(inits.begin() + active.size() + i);
      captures.erase(captures.begin() + i);
      sums.erase(sums.begin() + i);
    }
  SmallVector<Value> yielded;
  VjpBuilder innerB(inner, op);
  auto cotangentOf = [&](Value value) {
    Value cotangent = inside.get(value);
    return cotangent ? cotangent : innerB.zerosLike(value);
  };
  for (unsigned i : active)
    yielded.push_back(cotangentOf(body.getArgument(i)));
  for (auto [capture, sum] : llvm::zip_equal(captures, sums))
    yielded.push_back(innerB.add(sum, inside.get(capture)));
  SmallVector<unsigned> activeInputs;
  for (unsigned i = 0; i < op.getInputs().size(); ++i)
    if (activity.isActive(body.getArgument(carried + i))) {
      activeInputs.push_back(i);
      yielded.push_back(cotangentOf(body.getArgument(carried + i)));
    }
  inner.create<YieldOp>(loc, yielded);

  // Slices of the inputs are there already, and what is stacked anyway; the
  // rest becomes further results.
  SmallVector<Value> saved;
  SmallVector<std::pair<unsigned, unsigned>> slots; // of inputs, of results
  bringValues(*block, forward, [&](Value value) -> Value {
    auto argument = dyn_cast<BlockArgument>(value);
    if (argument && argument.getOwner() == &body &&
        argument.getArgNumber() >= carried) {
      inputs.push_back(op.getInputs()[argument.getArgNumber() - carried]);
    } else {
      unsigned result = carried;
      while (result < op.getNumResults() && yield->getOperand(result) != value)
        ++result;
      if (result == op.getNumResults()) {
        result += saved.size();
        saved.push_back(value);
      }
      slots.push_back({unsigned(inputs.size()), result});
      inputs.push_back(Value());
    }
    return block->addArgument(value.getType(), loc);
  });
  Operation *source = op;
  if (!saved.empty()) {
    SmallVector<Type> types(op.getResultTypes());
    for (Value value : saved)
      types.push_back(stackedType(value, trips));
    OpBuilder before(op);
    auto longer =
        before.create<ScanOp>(loc, types, op.getInits(), op.getInputs(),
                              op.getTripCountAttr(), op.getReverseAttr());
    longer.getBody().takeBody(forward);
    yield->insertOperands(yield->getNumOperands(), saved);
    replace(op, longer.getResults().take_front(op.getNumResults()));
    source = longer;
  }
  for (auto [input, result] : slots)
    inputs[input] = source->getResult(result);

  SmallVector<Type> types(ValueRange(inits).getTypes());
  for (unsigned i : activeInputs)
    types.push_back(op.getInputs()[i].getType());
  auto backward = builder.create<ScanOp>(
      loc, types, inits, inputs, builder.getI64IntegerAttr(trips),
      op.getReverse() ? UnitAttr() : builder.getUnitAttr());
  backward.getBody().takeBody(region);

  unsigned next = 0;
  for (unsigned i : active) {
    Value cotangent = backward.getResult(next++);
    if (activity.isVaried(op.getInits()[i]))
      cotangents.add(builder, op.getInits()[i], cotangent);
  }
  for (Value capture : captures)
    cotangents.add(builder, capture, backward.getResult(next++));
  for (unsigned i : activeInputs)
    cotangents.add(builder, op.getInputs()[i], backward.getResult(next++));
  return success();
}

//===----------------------------------------------------------------------===//
// if
//===----------------------------------------------------------------------===//

// Backward, the same branch is taken: it returns the cotangents of the values
// that either branch uses from outside.
LogicalResult Backward::differentiate(IfOp op, Cotangents &cotangents,
                                      OpBuilder &builder) {
  Location loc = op.getLoc();
  Region *forward[] = {&op.getThenRegion(), &op.getElseRegion()};
  Region regions[2];
  Cotangents inside[2];
  llvm::SetVector<Value> captures;
  for (unsigned side = 0; side < 2; ++side) {
    Block *block = new Block();
    regions[side].push_back(block);
    Operation *yield = forward[side]->front().getTerminator();
    // The region has no op yet that would lead to the context.
    OpBuilder inner(op.getContext());
    inner.setInsertionPointToEnd(block);
    for (auto [result, value] :
         llvm::zip_equal(op.getResults(), yield->getOperands())) {
      Value cotangent = cotangents.get(result);
      if (cotangent && activity.isVaried(value))
        inside[side].add(inner, value, cotangent);
    }
    if (failed(run(forward[side]->front(), inside[side], inner)))
      return failure();
    for (Value capture : activeCaptures(*forward[side]))
      if (inside[side].get(capture))
        captures.insert(capture);
  }

  SmallVector<std::pair<unsigned, Value>> saved; // the branch it is from
  for (unsigned side = 0; side < 2; ++side) {
    Block *block = &regions[side].front();
    // The region has no op yet that would lead to the context.
    OpBuilder inner(op.getContext());
    inner.setInsertionPointToEnd(block);
    VjpBuilder b(inner, op);
    SmallVector<Value> yielded;
    for (Value capture : captures) {
      Value cotangent = inside[side].get(capture);
      yielded.push_back(cotangent ? cotangent : b.zerosLike(capture));
    }
    inner.create<YieldOp>(loc, yielded);
    bringValues(*block, *forward[side], [&](Value value) {
      saved.push_back({side, value});
      // Becomes the result of the new `if`.
      return block->addArgument(value.getType(), loc);
    });
  }
  if (!saved.empty()) {
    SmallVector<Type> types(op.getResultTypes());
    SmallVector<Value> more[2];
    for (auto [from, value] : saved) {
      types.push_back(value.getType());
      for (unsigned side = 0; side < 2; ++side) {
        OpBuilder end(forward[side]->front().getTerminator());
        auto type = cast<RankedTensorType>(value.getType());
        more[side].push_back(
            side == from
                ? value
                : end.create<BroadcastOp>(
                         loc,
                         end.create<ConstantOp>(
                             loc, DenseElementsAttr::get(
                                      RankedTensorType::get(
                                          {}, type.getElementType()),
                                      end.getZeroAttr(type.getElementType()))),
                         type.getShape())
                      .getResult());
      }
    }
    OpBuilder before(op);
    auto longer = before.create<IfOp>(loc, types, op.getCondition());
    Region *target[] = {&longer.getThenRegion(), &longer.getElseRegion()};
    unsigned argument[2] = {0, 0};
    for (unsigned side = 0; side < 2; ++side) {
      Operation *yield = forward[side]->front().getTerminator();
      yield->insertOperands(yield->getNumOperands(), more[side]);
      target[side]->takeBody(*forward[side]);
    }
    for (auto [index, entry] : llvm::enumerate(saved))
      regions[entry.first]
          .front()
          .getArgument(argument[entry.first]++)
          .replaceAllUsesWith(longer.getResult(op.getNumResults() + index));
    for (Region &region : regions)
      region.front().eraseArguments(0, region.front().getNumArguments());
    replace(op, longer.getResults());
  }
  auto backward = builder.create<IfOp>(
      loc, ValueRange(captures.getArrayRef()).getTypes(), op.getCondition());
  backward.getThenRegion().takeBody(regions[0]);
  backward.getElseRegion().takeBody(regions[1]);
  for (auto [capture, cotangent] :
       llvm::zip_equal(captures, backward.getResults()))
    cotangents.add(builder, capture, cotangent);
  return success();
}

} // namespace lathe
