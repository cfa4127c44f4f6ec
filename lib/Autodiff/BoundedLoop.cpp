//===- BoundedLoop.cpp - A while with a known bound as a scan -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A reverse sweep must know how much to keep. The bound comes from a counter:
// the condition compares it with a constant (and may ask for more), it starts
// at a constant and the body adds a constant.
//
//===----------------------------------------------------------------------===//

#include "Backward.h"

#include "dialects/Lathe/Inference.h"

namespace lathe {
namespace {

/// The most iterations whose values we are willing to stack.
constexpr int64_t kMostTrips = 1'000'000;

class Counter {
public:
  explicit Counter(WhileOp loop)
      : loop(loop), condition(loop.getCondition().front()),
        body(loop.getBody().front()) {}

  /// How often the body runs at most, where `value`, of the condition's block,
  /// must hold.
  std::optional<int64_t> bound(Value value) {
    if (auto both = value.getDefiningOp<AndOp>()) {
      std::optional<int64_t> a = bound(both.getLhs());
      std::optional<int64_t> b = bound(both.getRhs());
      return a && b ? std::min(*a, *b) : a ? a : b;
    }
    auto compare = value.getDefiningOp<CompareOp>();
    if (!compare || getTensorType(compare.getLhs()).getRank() != 0)
      return std::nullopt;
    std::optional<int64_t> bound =
        count(compare.getLhs(), compare.getPredicate(), compare.getRhs());
    if (bound)
      return bound;
    return count(compare.getRhs(), mirrored(compare.getPredicate()),
                 compare.getLhs());
  }

private:
  static ComparePredicate mirrored(ComparePredicate predicate) {
    switch (predicate) {
    case ComparePredicate::lt:
      return ComparePredicate::gt;
    case ComparePredicate::le:
      return ComparePredicate::ge;
    case ComparePredicate::gt:
      return ComparePredicate::lt;
    case ComparePredicate::ge:
      return ComparePredicate::le;
    default:
      return predicate;
    }
  }

  static std::optional<int64_t> number(Value value) {
    auto numbers = getConstantIntegers(value);
    if (!numbers || numbers->size() != 1)
      return std::nullopt;
    int64_t number = (*numbers)[0];
    // Of unsigned numbers of 64 bits the upper half comes out below 0.
    bool isUnsigned = getElementTypeOrSelf(value.getType()).isUnsignedInteger();
    if (number > kFar || number < (isUnsigned ? 0 : -kFar))
      return std::nullopt;
    return number;
  }

  /// The value of something that never changes: a constant, or carried as it
  /// started.
  std::optional<int64_t> fixedNumber(Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    if (!argument || argument.getOwner() != &condition)
      return number(value);
    unsigned i = argument.getArgNumber();
    if (body.getTerminator()->getOperand(i) != body.getArgument(i))
      return std::nullopt;
    return number(loop.getInits()[i]);
  }

  std::optional<int64_t> count(Value counter, ComparePredicate predicate,
                               Value limitValue) {
    auto argument = dyn_cast<BlockArgument>(counter);
    std::optional<int64_t> limit = fixedNumber(limitValue);
    if (!argument || argument.getOwner() != &condition || !limit)
      return std::nullopt;
    unsigned i = argument.getArgNumber();
    std::optional<int64_t> start = number(loop.getInits()[i]), step;
    Value next = body.getTerminator()->getOperand(i);
    Value current = body.getArgument(i);
    if (auto add = next.getDefiningOp<AddOp>()) {
      if (add.getLhs() == current)
        step = number(add.getRhs());
      else if (add.getRhs() == current)
        step = number(add.getLhs());
    } else if (auto sub = next.getDefiningOp<SubOp>()) {
      if (sub.getLhs() == current && (step = number(sub.getRhs())))
        step = -*step;
    }
    if (!start || !step || *step == 0)
      return std::nullopt;
    std::optional<int64_t> trips = countUp(*start, *limit, *step, predicate);
    // Past the end of its type the counter begins anew at the other end.
    if (!trips || !isInType(*start + *trips * *step, counter.getType()))
      return std::nullopt;
    return trips;
  }

  static bool isInType(int64_t number, Type type) {
    auto integer = cast<IntegerType>(getElementTypeOrSelf(type));
    unsigned width = integer.getWidth();
    if (width < 2) // truth values do not count
      return false;
    return integer.isUnsigned() ? number >= 0 && llvm::isUIntN(width, number)
                                : llvm::isIntN(width, number);
  }

  /// How often `start` + n * `step` meets the predicate before it does not, if
  /// numbers have no end.
  static std::optional<int64_t> countUp(int64_t start, int64_t limit,
                                        int64_t step,
                                        ComparePredicate predicate) {
    // Counted so that the counter goes up.
    int64_t distance = limit - start, stride = step;
    if (stride < 0) {
      distance = -distance;
      stride = -stride;
      predicate = mirrored(predicate);
    }
    switch (predicate) {
    case ComparePredicate::lt:
      return distance <= 0 ? 0 : (distance - 1) / stride + 1;
    case ComparePredicate::le:
      return distance < 0 ? 0 : distance / stride + 1;
    case ComparePredicate::ne:
      if (distance < 0 || distance % stride)
        return std::nullopt;
      return distance / stride;
    case ComparePredicate::eq:
      return distance == 0 ? 1 : 0;
    default: // up and away: it may be false at once, or run on
      return std::nullopt;
    }
  }

  static constexpr int64_t kFar = int64_t(1) << 60;
  WhileOp loop;
  Block &condition, &body;
};

} // namespace

LogicalResult boundLoop(WhileOp loop) {
  Location loc = loop.getLoc();
  Block &condition = loop.getCondition().front();
  Value proceed = condition.getTerminator()->getOperand(0);
  std::optional<int64_t> trips = Counter(loop).bound(proceed);
  if (!trips)
    return loop.emitOpError(
        "has no known bound, and the gradient of the loss must pass through "
        "it: expected a condition like 'counter < constant', with a counter "
        "that starts at a constant and changes by a constant");
  if (*trips > kMostTrips)
    return loop.emitOpError("may run ")
           << *trips << " times, and the gradient of the loss must pass "
           << "through it: expected at most " << kMostTrips;

  OpBuilder builder(loop);
  auto scan = builder.create<ScanOp>(
      loc, loop.getResultTypes(), loop.getInits(), ValueRange(),
      builder.getI64IntegerAttr(*trips), UnitAttr());
  bool isExact = proceed.getDefiningOp<CompareOp>() != nullptr;
  if (isExact) {
    scan.getBody().takeBody(loop.getBody());
  } else {
    // It may end early: then the rest of the iterations changes nothing.
    Block *block =
        builder.createBlock(&scan.getBody(), {}, loop.getResultTypes(),
                            SmallVector<Location>(loop.getNumResults(), loc));
    for (auto [old, now] :
         llvm::zip_equal(condition.getArguments(), block->getArguments()))
      old.replaceAllUsesWith(now);
    condition.getTerminator()->erase();
    block->getOperations().splice(block->end(), condition.getOperations());
    builder.setInsertionPointToEnd(block);
    auto branch = builder.create<IfOp>(loc, loop.getResultTypes(), proceed);
    builder.create<YieldOp>(loc, branch.getResults());
    Block &body = loop.getBody().front();
    for (auto [old, now] :
         llvm::zip_equal(body.getArguments(), block->getArguments()))
      old.replaceAllUsesWith(now);
    body.eraseArguments(0, body.getNumArguments());
    branch.getThenRegion().takeBody(loop.getBody());
    builder.createBlock(&branch.getElseRegion());
    builder.create<YieldOp>(loc, block->getArguments());
  }
  loop.replaceAllUsesWith(scan.getResults());
  loop.erase();
  return success();
}

} // namespace lathe
