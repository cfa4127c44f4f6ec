//===- KernelGroups.cpp - Which ops of a block share a kernel -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Greedy, in block order, so nearly linear:
//  1. attention takes the transposes around it,
//  2. a contraction takes the longest chain of elementwise consumers from which
//     one value leaves, and the `dequantize` of its weight,
//  3. every other elementwise op, reduction and view joins the kernels of its
//     producers where they share its rows (RowDomain.h), the latest first.
// A join must not make the graph of kernels cyclic. The search for a cycle is
// bounded; where the bound is met, the op stays out.
//
//===----------------------------------------------------------------------===//

#include "KernelGroups.h"
#include "KernelRules.h"

#include "lathe/Analysis/Cost.h"
#include "lathe/Analysis/StoredWeights.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallPtrSet.h"
#include <queue>

using namespace lathe;

/// Ops visited before the search for a cycle gives up.
static constexpr unsigned kSearchBudget = 512;
/// Elementwise ops that a contraction takes.
static constexpr unsigned kMaxEpilogue = 24;

KernelGroups::KernelGroups(Block &block, const KernelGroupOptions &options)
    : block(block), options(options) {
  collect();
  for (Operation &op : block)
    if (belongsInKernel(&op) && isAttention(&op))
      formAttention(&op);
  for (Operation &op : block)
    if (belongsInKernel(&op) && !getGroup(&op) &&
        getFusionKindOf(&op) == FusionKind::Contraction)
      formContraction(&op);
  for (Operation &op : block)
    if (belongsInKernel(&op) && !getGroup(&op))
      formRows(&op);
  while (!sortUnits())
    ;
}

void KernelGroups::collect() {
  unsigned next = 0;
  for (Operation &op : block)
    place[&op] = next++;
  for (Operation &op : block) {
    llvm::SmallSetVector<Operation *, 4> seen;
    auto add = [&](Value value) {
      Operation *producer = value.getDefiningOp();
      if (producer && producer->getBlock() == &block)
        seen.insert(producer);
    };
    llvm::for_each(op.getOperands(), add);
    if (op.getNumRegions() != 0) {
      llvm::SetVector<Value> captured;
      getUsedValuesDefinedAbove(op.getRegions(), captured);
      llvm::for_each(captured, add);
    }
    dependencies[&op].assign(seen.begin(), seen.end());
  }
}

KernelGroup *KernelGroups::newGroup(ArrayRef<Operation *> ops,
                                    StringRef schedule) {
  groups.push_back(std::make_unique<KernelGroup>());
  KernelGroup *group = groups.back().get();
  group->schedule = schedule;
  group->first = group->last = place.lookup(ops.front());
  extend(*group, ops);
  return group;
}

void KernelGroups::extend(KernelGroup &group, ArrayRef<Operation *> ops) {
  llvm::append_range(group.ops, ops);
  llvm::sort(group.ops, [&](Operation *a, Operation *b) {
    return place.lookup(a) < place.lookup(b);
  });
  for (Operation *op : ops) {
    groupOf[op] = &group;
    group.first = std::min(group.first, place.lookup(op));
    group.last = std::max(group.last, place.lookup(op));
  }
}

void KernelGroups::refuse(Operation *producer, Operation *consumer,
                          const Twine &reason) {
  if (options.explain)
    reasons[{producer, consumer}] =
        (consumer->getName().getStringRef() + " " + reason).str();
}

/// Whether `from` depends on `to` through a kernel or op that is neither: if
/// so, the two cannot be one kernel. Gives up, and says yes, after a bounded
/// search.
bool KernelGroups::pathOutside(const KernelGroup *from, Operation *fromOp,
                               const KernelGroup *to, Operation *toOp) const {
  unsigned floor = to ? to->first : place.lookup(toOp);
  auto isFrom = [&](Operation *op) {
    return op == fromOp || (from && groupOf.lookup(op) == from);
  };
  auto isTo = [&](Operation *op) {
    return op == toOp || (to && groupOf.lookup(op) == to);
  };
  SmallVector<Operation *> worklist;
  llvm::SmallPtrSet<const void *, 32> seen;
  unsigned visited = 0;
  // Queues a unit that is neither end and may still reach `to`.
  auto visit = [&](Operation *op) {
    KernelGroup *group = groupOf.lookup(op);
    const void *unit = group ? static_cast<const void *>(group) : op;
    unsigned last = group ? group->last : place.lookup(op);
    if (last <= floor || isFrom(op) || !seen.insert(unit).second)
      return;
    if (group)
      llvm::append_range(worklist, group->ops);
    else
      worklist.push_back(op);
  };
  auto start = [&](Operation *op) {
    for (Operation *producer : dependencies.find(op)->second)
      if (!isTo(producer))
        visit(producer);
  };
  if (from)
    llvm::for_each(from->ops, start);
  if (fromOp)
    start(fromOp);
  while (!worklist.empty()) {
    if (++visited > kSearchBudget)
      return true;
    for (Operation *producer :
         dependencies.find(worklist.pop_back_val())->second) {
      if (isTo(producer))
        return true;
      visit(producer);
    }
  }
  return false;
}

/// Whether `op` depends on one of `members`, the first of which stands at
/// `floor`, through an op that is none. Says yes where the search gets long.
bool KernelGroups::readsThroughOthers(
    Operation *op, const llvm::SmallPtrSetImpl<Operation *> &members,
    unsigned floor) const {
  SmallVector<Operation *> worklist;
  llvm::SmallPtrSet<Operation *, 16> seen;
  auto visit = [&](Operation *producer) {
    if (place.lookup(producer) > floor && !members.contains(producer) &&
        seen.insert(producer).second)
      worklist.push_back(producer);
  };
  llvm::for_each(dependencies.find(op)->second, visit);
  while (!worklist.empty()) {
    if (seen.size() > kSearchBudget)
      return true;
    for (Operation *producer :
         dependencies.find(worklist.pop_back_val())->second) {
      if (members.contains(producer))
        return true;
      visit(producer);
    }
  }
  return false;
}

LogicalResult KernelGroups::canShare(KernelGroup &into,
                                     ArrayRef<Operation *> extra,
                                     std::string &whyNot) const {
  if (into.ops.size() + extra.size() > options.maxOps) {
    whyNot = "would make a kernel of more than " +
             std::to_string(options.maxOps) + " ops";
    return failure();
  }
  llvm::SmallPtrSet<Operation *, 32> members(into.ops.begin(), into.ops.end());
  members.insert(extra.begin(), extra.end());
  llvm::SmallPtrSet<Value, 32> inputs;
  for (Operation *op : members)
    for (Value operand : op->getOperands())
      if (!members.contains(operand.getDefiningOp()) &&
          !isSmallConstant(operand))
        inputs.insert(operand);
  if (inputs.size() > options.maxInputs) {
    whyNot = "would make a kernel of more than " +
             std::to_string(options.maxInputs) + " inputs";
    return failure();
  }
  return success();
}

void KernelGroups::formAttention(Operation *op) {
  SmallVector<Operation *> ops = {op};
  if (options.fuse) {
    // All operands but the mask and what stands for rows.
    unsigned sides = isa<AttentionBackwardOp>(op) ? 4 : 3;
    for (Value side : op->getOperands().take_front(sides))
      if (TransposeOp transpose = getTransposeFor(side, op))
        if (transpose->getBlock() == &block && !getGroup(transpose) &&
            !llvm::is_contained(ops, transpose))
          ops.push_back(transpose);
    for (Value result : op->getResults())
      if (result.hasOneUse()) {
        Operation *user = *result.user_begin();
        if (isa<TransposeOp>(user) && user->getBlock() == &block &&
            !getGroup(user))
          ops.push_back(user);
      }
  }
  newGroup(ops, "attention");
}

void KernelGroups::formContraction(Operation *op) {
  StringRef schedule = getContractionSchedule(op);
  SmallVector<Operation *> best = {op};
  // Bytes are dequantized where the product reads them.
  if (options.fuse)
    for (Value operand : op->getOperands())
      if (Operation *weight = operand.getDefiningOp();
          weight && isStoredWeight(weight) && !getGroup(weight)) {
        best.insert(best.begin(), weight);
        if (isa<CastOp>(weight))
          best.insert(best.begin(), weight->getOperand(0).getDefiningOp());
      }
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  if (!options.fuse || op->getNumResults() != 1) {
    newGroup(best, schedule);
    return;
  }

  // Candidates in block order; the longest prefix from which one value leaves
  // is the epilogue.
  SmallVector<Operation *> chain = best;
  llvm::SmallPtrSet<Operation *, 16> members(best.begin(), best.end());
  auto byPlace = [&](Operation *a, Operation *b) {
    return place.lookup(a) > place.lookup(b);
  };
  std::priority_queue<Operation *, std::vector<Operation *>, decltype(byPlace)>
      candidates(byPlace);
  llvm::SmallPtrSet<Operation *, 16> queued;
  auto queueUsers = [&](Operation *producer) {
    for (Operation *user : producer->getResult(0).getUsers())
      if (user->getBlock() == &block && queued.insert(user).second)
        candidates.push(user);
  };
  auto admits = [&](Operation *user) -> std::string {
    if (!belongsInKernel(user) || getGroup(user) ||
        getFusionKindOf(user) != FusionKind::Elementwise ||
        user->getNumResults() != 1)
      return "is not elementwise";
    auto result = cast<RankedTensorType>(user->getResult(0).getType());
    if (result.getShape() != type.getShape())
      return "has another shape than the contraction";
    if (llvm::any_of(user->getOperands(), [&](Value operand) {
          Operation *rounding = operand.getDefiningOp();
          return rounding && members.contains(rounding) &&
                 isRounding(rounding) && !rounding->hasOneUse();
        }))
      return "reads bytes, which are stored for others anyway";
    if (readsThroughOthers(user, members, place.lookup(op)))
      return "reads what is computed from a result of the kernel";
    return "";
  };
  auto escapes = [&](Operation *member) {
    return llvm::any_of(member->getResult(0).getUsers(), [&](Operation *user) {
      return !members.contains(user);
    });
  };
  // One value leaves, and what it is rounded to for products of bytes: that is
  // a quarter of the bytes of reading it again.
  auto isComplete = [&](Operation *last) {
    int64_t wide = 0, rounded = 0;
    for (Operation *member : chain)
      if (escapes(member))
        ++(isRounding(member) ? rounded : wide);
    return wide <= 1 && rounded <= 1 && (escapes(last) || last->use_empty());
  };
  queueUsers(op);
  while (!candidates.empty() && chain.size() <= kMaxEpilogue) {
    Operation *user = candidates.top();
    candidates.pop();
    std::string whyNot = admits(user);
    if (!whyNot.empty()) {
      // What can join no kernel at all has a better reason.
      if (getOpAccess(user))
        for (Value operand : user->getOperands())
          if (members.contains(operand.getDefiningOp()))
            refuse(operand.getDefiningOp(), user, whyNot);
      continue;
    }
    // What is stretched on the way in, to the whole shape or from bytes to
    // floats, is not worth a tensor.
    for (Value operand : user->getOperands()) {
      Operation *outer = operand.getDefiningOp();
      SmallVector<Operation *> expansion;
      unsigned room = kMaxEpilogue - chain.size();
      if (outer && outer->getBlock() == &block && !members.contains(outer) &&
          isExpansion(outer, user, expansion, room) &&
          llvm::all_of(expansion,
                       [&](Operation *op) { return admits(op).empty(); }))
        for (Operation *op : expansion)
          if (members.insert(op).second)
            chain.push_back(op);
    }
    chain.push_back(user);
    members.insert(user);
    queueUsers(user);
    if (isComplete(user))
      best = chain;
  }
  if (best.size() > 1 && isWidenedByReaders(best.back())) {
    Operation *widening = best.pop_back_val();
    chain.resize(best.size());
    refuse(widening->getOperand(0).getDefiningOp(), widening,
           "is done by its readers, for whom 16 bits are stored");
  }
  for (Operation *left : ArrayRef<Operation *>(chain).drop_front(best.size()))
    for (Value operand : left->getOperands())
      if (members.contains(operand.getDefiningOp()))
        refuse(operand.getDefiningOp(), left,
               "follows an intermediate result that is used elsewhere, too");
  newGroup(best, schedule);
}

void KernelGroups::formRows(Operation *op) {
  std::optional<RowDomain> alone = RowDomain::start(op);
  if (!alone) {
    newGroup(op, "opaque");
    return;
  }
  if (!options.fuse) {
    newGroup(op, "rows")->rows = std::move(alone);
    return;
  }

  // The kernels of the producers, the latest first.
  SmallVector<KernelGroup *> producers;
  auto producerIn = [&](KernelGroup *group) {
    for (Operation *producer : dependencies.find(op)->second)
      if (getGroup(producer) == group)
        return producer;
    return static_cast<Operation *>(nullptr);
  };
  for (Operation *producer : dependencies.find(op)->second)
    if (KernelGroup *group = getGroup(producer))
      if (!llvm::is_contained(producers, group))
        producers.push_back(group);
  llvm::sort(producers,
             [](KernelGroup *a, KernelGroup *b) { return a->last > b->last; });

  static constexpr StringLiteral cycle =
      "would make kernels depend on each other in a circle";
  KernelGroup *home = nullptr;
  for (KernelGroup *group : producers) {
    if (!group->rows)
      continue;
    std::string whyNot;
    if (!home) {
      if (failed(canShare(*group, op, whyNot))) {
      } else if (pathOutside(nullptr, op, group, nullptr) ||
                 pathOutside(group, nullptr, nullptr, op)) {
        whyNot = cycle;
      } else if (succeeded(group->rows->join(op, whyNot))) {
        extend(*group, op);
        home = group;
        continue;
      }
    } else if (failed(canShare(*home, group->ops, whyNot))) {
    } else if (pathOutside(home, nullptr, group, nullptr) ||
               pathOutside(group, nullptr, home, nullptr)) {
      whyNot = cycle;
    } else if (succeeded(home->rows->merge(*group->rows, op, whyNot))) {
      extend(*home, group->ops);
      group->ops.clear();
      continue;
    }
    refuse(producerIn(group), op, whyNot);
  }
  if (!home)
    newGroup(op, "rows")->rows = std::move(alone);
}

/// Orders the units by dependency, and by place among the ready ones. Returns
/// false after taking apart kernels that depend on each other in a circle;
/// the checks before should leave none.
bool KernelGroups::sortUnits() {
  llvm::erase_if(groups, [](auto &group) { return group->ops.empty(); });
  order.clear();
  DenseMap<const void *, unsigned> index;
  SmallVector<Unit> units;
  for (Operation &op : block) {
    KernelGroup *group = getGroup(&op);
    const void *key = group ? static_cast<const void *>(group) : &op;
    if (index.try_emplace(key, units.size()).second)
      units.push_back({group, group ? nullptr : &op});
  }
  auto unitOf = [&](Operation *op) {
    KernelGroup *group = getGroup(op);
    return index.lookup(group ? static_cast<const void *>(group) : op);
  };
  SmallVector<SmallVector<unsigned, 4>> users(units.size());
  SmallVector<unsigned> waiting(units.size(), 0);
  std::optional<unsigned> lastEffect;
  for (Operation &op : block) {
    unsigned unit = unitOf(&op);
    auto dependOn = [&](unsigned producer) {
      if (producer == unit)
        return;
      users[producer].push_back(unit);
      ++waiting[unit];
    };
    for (Operation *producer : dependencies.find(&op)->second)
      dependOn(unitOf(producer));
    // Effects keep their order, and the terminator stays behind everything.
    if (!getGroup(&op) && !isMemoryEffectFree(&op)) {
      if (lastEffect)
        dependOn(*lastEffect);
      lastEffect = unit;
    }
  }
  std::priority_queue<unsigned, std::vector<unsigned>, std::greater<unsigned>>
      ready;
  for (unsigned unit = 0; unit < units.size(); ++unit)
    if (waiting[unit] == 0)
      ready.push(unit);
  while (!ready.empty()) {
    unsigned unit = ready.top();
    ready.pop();
    if (!units[unit].op || !units[unit].op->hasTrait<OpTrait::IsTerminator>())
      order.push_back(units[unit]);
    for (unsigned user : users[unit])
      if (--waiting[user] == 0)
        ready.push(user);
  }
  bool sorted = true;
  for (unsigned unit = 0; unit < units.size(); ++unit) {
    KernelGroup *group = units[unit].group;
    if (waiting[unit] == 0 || !group || group->ops.size() == 1)
      continue;
    sorted = false;
    SmallVector<Operation *> ops = std::move(group->ops);
    group->ops.clear();
    for (Operation *op : ops) {
      std::optional<RowDomain> rows = RowDomain::start(op);
      StringRef schedule = isAttention(op) ? "attention"
                           : getFusionKindOf(op) == FusionKind::Contraction
                               ? getContractionSchedule(op)
                           : rows ? "rows"
                                  : "opaque";
      newGroup(op, schedule)->rows = std::move(rows);
    }
  }
  return sorted;
}

std::string KernelGroups::getReason(Operation *producer,
                                    Operation *consumer) const {
  if (auto it = reasons.find({producer, consumer}); it != reasons.end())
    return it->second;
  auto fits = [](Operation *op) {
    FusionKind kind = getFusionKindOf(op);
    return kind != FusionKind::Opaque && getOpAccess(op).has_value();
  };
  if (!options.fuse)
    return "fusion is off";
  for (auto [op, other] :
       {std::pair(producer, consumer), {consumer, producer}}) {
    std::string name = op->getName().getStringRef().str();
    if (isa<ReshapeOp>(op))
      return name + " moves no data and stays outside as an alias";
    if (!belongsInKernel(op))
      return name + " stays outside of kernels";
    KernelGroup *group = getGroup(op);
    if (group && group->schedule == "attention")
      return "attention takes only transposes of its operands and result that "
             "nobody else reads";
  }
  if (getFusionKindOf(consumer) == FusionKind::Contraction)
    return "a contraction takes no producers: it would compute them again for "
           "every tile of the product";
  for (Operation *op : {producer, consumer})
    if (KernelGroup *group = getGroup(op))
      if (group->schedule == "opaque")
        return op->getName().getStringRef().str() +
               " is opaque and has a kernel of its own";
  KernelGroup *group = getGroup(producer);
  if (group && !group->rows)
    return "only an elementwise op on the whole, single-use result can follow "
           "in "
           "a kernel of schedule " +
           group->schedule.str();
  if (!fits(consumer))
    return consumer->getName().getStringRef().str() +
           " has no affine accesses that fusion could follow";
  group = getGroup(consumer);
  if (group && !group->rows)
    return consumer->getName().getStringRef().str() +
           " is in the epilogue of another contraction";
  return "shares no rows with it";
}
