//===- PlantFault.cpp - Wrong derivative rules, for tests -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Autodiff/PlantFault.h"

#include "dialects/Lathe/Vjp.h"

namespace lathe {

static constexpr std::pair<FaultKind, StringRef> kNames[] = {
    {FaultKind::Sign, "sign"},
    {FaultKind::Factor, "factor"},
    {FaultKind::Transpose, "transpose"},
    {FaultKind::NoBroadcastSum, "no-broadcast-sum"},
    {FaultKind::DropTerm, "drop-term"},
    {FaultKind::WrongType, "wrong-type"}};

StringRef faultName(FaultKind kind) {
  for (auto [other, name] : kNames)
    if (other == kind)
      return name;
  return {};
}

std::optional<FaultKind> faultFromName(StringRef name) {
  for (auto [kind, other] : kNames)
    if (other == name)
      return kind;
  return std::nullopt;
}

/// The permutation that swaps the last two dims, where that keeps the type.
static std::optional<SmallVector<int64_t>> swapOf(Value value) {
  auto type = getTensorType(value);
  int64_t rank = type.getRank();
  if (rank < 2 || type.getDimSize(rank - 1) < 2 ||
      type.getDimSize(rank - 1) != type.getDimSize(rank - 2))
    return std::nullopt;
  auto permutation = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  std::swap(permutation[rank - 1], permutation[rank - 2]);
  return permutation;
}

/// Everything that reads `old`, gradients included, reads `now`.
static void substitute(Value old, Value now, MutableArrayRef<Value> gradients) {
  old.replaceAllUsesExcept(now, now.getDefiningOp());
  for (Value &gradient : gradients)
    if (gradient == old)
      gradient = now;
}

/// The ops of a rule. Composites that no rule stands for are expanded, so that
/// mistakes can be made in their parts.
static SmallVector<Operation *> expand(ArrayRef<Operation *> built,
                                       MutableArrayRef<Value> gradients) {
  SmallVector<Operation *> steps;
  for (Operation *step : built) {
    auto composite = dyn_cast<DecomposableOpInterface>(step);
    if (!composite || isa<DifferentiableOpInterface>(step)) {
      steps.push_back(step);
      continue;
    }
    Operation *before = step->getPrevNode();
    OpBuilder builder(step);
    FailureOr<SmallVector<Value>> values = composite.decompose(builder);
    if (failed(values)) {
      steps.push_back(step);
      continue;
    }
    for (Operation *part = before ? before->getNextNode()
                                  : &step->getBlock()->front();
         part != step; part = part->getNextNode())
      steps.push_back(part);
    for (auto [old, now] : llvm::zip_equal(step->getResults(), *values))
      substitute(old, now, gradients);
    step->erase();
  }
  return steps;
}

/// Whether one of `values` depends on `step`, loops included.
static bool isNeeded(Operation *step, ArrayRef<Value> values) {
  SmallVector<Value> worklist(step->getResults());
  llvm::DenseSet<Value> seen;
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (!seen.insert(value).second)
      continue;
    if (llvm::is_contained(values, value))
      return true;
    for (OpOperand &use : value.getUses()) {
      Operation *user = use.getOwner();
      unsigned index = use.getOperandNumber();
      if (auto scan = dyn_cast<ScanOp>(user)) {
        worklist.push_back(scan.getBody().getArgument(index));
      } else if (auto scan = dyn_cast<ScanOp>(user->getParentOp());
                 scan && isa<YieldOp>(user)) {
        worklist.push_back(scan.getResult(index));
        if (index < scan.getInits().size())
          worklist.push_back(scan.getBody().getArgument(index));
      } else {
        llvm::append_range(worklist, user->getResults());
      }
    }
  }
  return false;
}

/// An op that gives gradients with its loss: its forward part, of which the
/// gradients (not the loss) now take the place of those of `op`, so that
/// mistakes can be made in what they depend on, too.
static SmallVector<Operation *> expandForward(LinearCrossEntropyOp op) {
  SmallVector<Operation *> steps;
  Operation *before = op->getPrevNode();
  OpBuilder builder(op);
  FailureOr<SmallVector<Value>> values = op.decompose(builder);
  if (failed(values))
    return steps;
  auto gradients = ArrayRef<Value>(*values).drop_front();
  for (Operation *part = before ? before->getNextNode()
                                : &op->getBlock()->front();
       part != op; part = part->getNextNode())
    part->walk([&](Operation *step) {
      if (isNeeded(step, gradients))
        steps.push_back(step);
    });
  for (auto [old, now] :
       llvm::zip_equal(op->getResults().drop_front(), gradients))
    old.replaceAllUsesWith(now);
  return steps;
}

void FaultPlanter::operator()(Operation *op, ArrayRef<Operation *> built,
                              MutableArrayRef<Value> gradients) {
  if (kind == FaultKind::Sign || kind == FaultKind::Factor ||
      kind == FaultKind::Transpose || kind == FaultKind::WrongType)
    for (unsigned i = 0; i < gradients.size(); ++i)
      if (gradients[i] && hasFloatElements(op->getOperand(i)))
        changeGradient(i, gradients);
  SmallVector<Operation *> steps = expand(built, gradients);
  if (auto loss = dyn_cast<LinearCrossEntropyOp>(op))
    llvm::append_range(steps, expandForward(loss));
  for (Operation *step : steps) {
    if (planted)
      return;
    OpBuilder builder(step->getContext());
    builder.setInsertionPointAfter(step);
    VjpBuilder b(builder, step);
    if (kind == FaultKind::Transpose && isa<MatmulOp>(step)) {
      for (OpOperand &operand : step->getOpOperands())
        if (auto swap = swapOf(operand.get()); swap && isHere()) {
          builder.setInsertionPoint(step);
          operand.set(b.transpose(operand.get(), *swap));
          planted = true;
        }
    }
    auto sum = dyn_cast<ReduceSumOp>(step);
    if (kind == FaultKind::NoBroadcastSum && sum &&
        getTensorType(sum.getInput()).getNumElements() >
            sum.getType().getNumElements() &&
        sum.getType().getNumElements() && isHere()) {
      SmallVector<int64_t> starts, ends,
          axes = *normalizeAxes(sum.getAxes(),
                                getTensorType(sum.getInput()).getRank());
      starts.assign(axes.size(), 0);
      ends.assign(axes.size(), 1);
      Value first = b.make<SliceOp>(sum.getInput(), starts, ends, axes,
                                    ArrayRef<int64_t>());
      first = b.reshape(first, sum.getType().getShape());
      substitute(sum, first, gradients);
      planted = true;
    }
    if (kind == FaultKind::DropTerm && isa<AddOp, SubOp>(step) &&
        hasFloatElements(step->getResult(0)))
      for (Value term : step->getOperands())
        if (isHere()) {
          Value alone =
              b.broadcast(term, getTensorType(step->getResult(0)).getShape());
          if (alone == term) // an op to stand for it, so that uses differ
            alone = b.scale(term, 1.0);
          substitute(step->getResult(0), alone, gradients);
          planted = true;
        }
  }
}

void FaultPlanter::changeGradient(unsigned index,
                                  MutableArrayRef<Value> gradients) {
  Value gradient = gradients[index];
  OpBuilder builder(gradient.getContext());
  builder.setInsertionPointAfterValue(gradient);
  // The gradient may be the cotangent itself: what is built by then is above
  // the end of the block.
  Block *block = gradient.getParentBlock();
  if (!block->empty() && block->back().hasTrait<OpTrait::IsTerminator>())
    builder.setInsertionPoint(block->getTerminator());
  else
    builder.setInsertionPointToEnd(block);
  auto b = VjpBuilder(builder, gradient.getLoc());
  if (kind == FaultKind::Transpose) {
    auto swap = swapOf(gradient);
    if (!swap || !isHere())
      return;
    gradients[index] = b.transpose(gradient, *swap);
  } else {
    if (!isHere())
      return;
    if (kind == FaultKind::WrongType) {
      SmallVector<int64_t> shape(getTensorType(gradient).getShape());
      shape.push_back(1);
      gradients[index] = b.reshape(gradient, shape);
    } else {
      gradients[index] =
          kind == FaultKind::Sign ? b.neg(gradient) : b.scale(gradient, 1.001);
    }
  }
  planted = true;
}

} // namespace lathe
