//===- Rematerialize.cpp - What the backward part keeps or recomputes -----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The forward part of a train step is what its loss depends on; everything else
// is the backward part and the optimizer. Values of the first that the second
// reads stay in memory in between. Which ones is the least cut of a graph: an
// edge per value, as wide as the value has bytes, between where values cannot
// be made again and where the backward part needs them.
//
// The same question is asked of two places: of a block, and of a pair of scans,
// where the one runs back over the iterations of the other and reads what that
// has stacked.
//
//===----------------------------------------------------------------------===//

#include "MinCut.h"
#include "lathe/Analysis/Cost.h"
#include "lathe/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

namespace lathe {
#define GEN_PASS_DEF_REMATERIALIZE
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// What moving data with a kernel of its own counts as, in flops per byte.
static constexpr double kMoveFlopsPerByte = 16;

/// Arithmetic to make a byte of the op's result again. Where that is the error
/// function, to write the result and read it takes less time: it is kept. A
/// reduction to a tenth has ten operations per element; so has a product with
/// an inner size of five.
static double getFlopsPerByte(Operation *op) {
  if (op->getNumOperands() == 0)
    return 0;
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  FusionKind kind = fusible ? fusible.getFusionKind() : FusionKind::Opaque;
  if (kind == FusionKind::View)
    return 0;
  double bytes = 1;
  for (Value result : op->getResults())
    bytes += getNumBytes(result.getType());
  double flops = getCost(op).flops * getTimePerFlop(op) / bytes;
  if (kind != FusionKind::Opaque)
    return flops;
  // What makes much of little (random numbers, for one) needs no traffic.
  double read = 0;
  for (Value operand : op->getOperands())
    read += getNumBytes(operand.getType());
  return read * 8 <= bytes ? flops : flops + kMoveFlopsPerByte;
}

static bool canRecompute(Operation *op, double limit) {
  return op && isa_and_nonnull<LatheDialect>(op->getDialect()) &&
         op->getNumRegions() == 0 && isMemoryEffectFree(op) &&
         getFlopsPerByte(op) <= limit;
}

namespace {
/// Values that the other part needs, and how they get there.
class Choice {
public:
  /// `bytes` is what it costs to keep a value: 0 for those that are there
  /// anyway. `limit` is in flops per byte.
  Choice(llvm::function_ref<int64_t(Value)> bytes, double limit)
      : bytes(bytes), limit(limit) {}

  void need(Value value) { needed.insert(value); }
  bool isNeeded(Value value) const { return needed.contains(value); }
  void solve();
  bool isKept(Value value) const { return kept.contains(value); }
  /// Whether a needed value is made again.
  bool anyRecomputed() const {
    return llvm::any_of(needed, [&](Value v) { return !kept.contains(v); });
  }
  int64_t bytesBefore() const { return sum(needed); }
  int64_t bytesKept() const { return sum(kept); }

private:
  template <typename Range> int64_t sum(const Range &values) const {
    int64_t total = 0;
    for (Value value : values)
      total += bytes(value);
    return total;
  }

  llvm::function_ref<int64_t(Value)> bytes;
  double limit;
  llvm::SetVector<Value> needed, kept;
};

/// Puts copies of ops where the values are needed again.
class Copies {
public:
  /// `find` gives a kept value as it is known where the copies stand.
  Copies(const Choice &choice, llvm::function_ref<Value(Value)> find)
      : choice(choice), find(find) {}

  /// Without recursion: models can be thousands of ops deep.
  Value get(Value value, OpBuilder &builder) {
    SmallVector<Value> worklist = {value};
    while (!worklist.empty()) {
      Value next = worklist.back();
      if (!made.contains(next) && choice.isKept(next))
        made.map(next, find(next));
      if (made.contains(next)) {
        worklist.pop_back();
        continue;
      }
      // What it is made of comes first.
      Operation *op = next.getDefiningOp();
      size_t waiting = worklist.size();
      for (Value operand : llvm::reverse(op->getOperands()))
        if (!made.contains(operand))
          worklist.push_back(operand);
      if (worklist.size() == waiting)
        ops.push_back(builder.clone(*op, made));
    }
    return made.lookup(value);
  }
  ArrayRef<Operation *> created() const { return ops; }

private:
  const Choice &choice;
  llvm::function_ref<Value(Value)> find;
  IRMapping made;
  SmallVector<Operation *> ops;
};

class Rematerialize : public lathe::impl::RematerializeBase<Rematerialize> {
  using RematerializeBase::RematerializeBase;

  void runOnOperation() override;
  void runOnBlock(Block &block, ArrayRef<Value> roots);
  void runOnScans(ScanOp forward, ScanOp backward,
                  const DenseSet<Operation *> &isForward);
  void runOnValues(Block &block, const DenseSet<Operation *> &isForward);
  void record(const Choice &choice, const Copies &copies, int64_t trips);

  // Of the function at hand; statistics add up.
  SmallVector<Attribute> report;
  int64_t saved = 0, flops = 0;
};
} // namespace

void Choice::solve() {
  MinCut graph;
  DenseMap<Value, unsigned> nodes; // in; out is the next one
  SmallVector<Value> order;
  auto nodeOf = [&](Value value) {
    auto [it, isNew] = nodes.try_emplace(value, 0u);
    if (isNew) {
      it->second = graph.addNode();
      graph.addNode();
      order.push_back(value);
    }
    return it->second;
  };
  for (Value value : needed)
    graph.addEdge(nodeOf(value) + 1, MinCut::kSink, MinCut::kInfinite);
  for (size_t i = 0; i < order.size(); ++i) {
    Value value = order[i];
    unsigned in = nodes.lookup(value);
    int64_t cost = bytes(value);
    graph.addEdge(in, in + 1, cost);
    if (cost == 0)
      continue;
    Operation *op = value.getDefiningOp();
    if (!canRecompute(op, limit)) {
      graph.addEdge(MinCut::kSource, in, MinCut::kInfinite);
      continue;
    }
    for (Value operand : op->getOperands())
      graph.addEdge(nodeOf(operand) + 1, in, MinCut::kInfinite);
  }
  llvm::BitVector side = graph.solve();
  for (Value value : order) {
    unsigned in = nodes.lookup(value);
    if (!side.test(in) && side.test(in + 1))
      kept.insert(value);
  }
}

/// The ops of `block` that `roots` depend on.
static DenseSet<Operation *> findForward(Block &block, ArrayRef<Value> roots) {
  DenseSet<Operation *> found;
  SmallVector<Value> worklist(roots);
  while (!worklist.empty()) {
    Operation *op = worklist.pop_back_val().getDefiningOp();
    if (!op || op->getBlock() != &block || !found.insert(op).second)
      continue;
    llvm::append_range(worklist, op->getOperands());
    if (op->getNumRegions()) {
      llvm::SetVector<Value> captured;
      getUsedValuesDefinedAbove(op->getRegions(), captured);
      llvm::append_range(worklist, captured);
    }
  }
  return found;
}

/// Whether the value is in memory over the whole step anyway.
static bool isThereAnyway(Value value, const Block &block) {
  Operation *op = value.getDefiningOp();
  return !op || op->getBlock() != &block ||
         op->hasTrait<OpTrait::ConstantLike>() || isa<GetParameterOp>(op);
}

void Rematerialize::record(const Choice &choice, const Copies &copies,
                           int64_t trips) {
  int64_t bytes = choice.bytesBefore() - choice.bytesKept();
  saved += bytes;
  bytesSaved += bytes;
  for (Operation *op : copies.created()) {
    int64_t count = getCost(op).flops * trips;
    flops += count;
    flopsAdded += count;
    ++numRecomputed;
    Builder b(op->getContext());
    if (explain && count)
      report.push_back(b.getDictionaryAttr(
          {b.getNamedAttr("op", op->getName().getIdentifier()),
           b.getNamedAttr("at", LocationAttr(op->getLoc())),
           b.getNamedAttr("flops", b.getI64IntegerAttr(count))}));
  }
}

//===----------------------------------------------------------------------===//
// Values of a block
//===----------------------------------------------------------------------===//

void Rematerialize::runOnValues(Block &block,
                                const DenseSet<Operation *> &isForward) {
  auto bytes = [&](Value value) {
    return isThereAnyway(value, block) ? 0 : getNumBytes(value.getType());
  };
  Choice choice(bytes, values);
  SmallVector<OpOperand *> uses;
  for (Operation &op : block.without_terminator()) {
    if (isForward.contains(&op))
      continue;
    op.walk([&](Operation *inner) {
      for (OpOperand &use : inner->getOpOperands()) {
        Operation *maker = use.get().getDefiningOp();
        if (!maker || !isForward.contains(maker) ||
            isThereAnyway(use.get(), block))
          continue;
        choice.need(use.get());
        uses.push_back(&use);
      }
    });
  }
  choice.solve();
  if (!choice.anyRecomputed() || choice.bytesBefore() == choice.bytesKept())
    return;
  auto same = [](Value value) { return value; };
  Copies copies(choice, same);
  for (OpOperand *use : uses) {
    OpBuilder builder(block.findAncestorOpInBlock(*use->getOwner()));
    use->set(copies.get(use->get(), builder));
  }
  record(choice, copies, 1);
}

//===----------------------------------------------------------------------===//
// What scans stack
//===----------------------------------------------------------------------===//

/// The number of the result of `forward` that the input is; none where it is
/// another value.
static std::optional<unsigned> getStacked(ScanOp forward, Value input) {
  auto result = dyn_cast<OpResult>(input);
  if (!result || result.getOwner() != forward ||
      result.getResultNumber() < forward.getNumCarried())
    return std::nullopt;
  return result.getResultNumber();
}

/// The scan with other stacked results: those `keep` says of the old ones, then
/// `added`, values of its body.
static ScanOp restack(ScanOp scan, const llvm::BitVector &keep,
                      ArrayRef<Value> added) {
  Operation *yield = scan.getBody().front().getTerminator();
  SmallVector<Type> types;
  SmallVector<Value> yielded;
  for (unsigned i = 0; i < scan.getNumResults(); ++i)
    if (keep.test(i)) {
      types.push_back(scan.getResult(i).getType());
      yielded.push_back(yield->getOperand(i));
    }
  for (Value value : added) {
    auto type = cast<RankedTensorType>(value.getType());
    SmallVector<int64_t> shape = {scan.computeTripCount()};
    llvm::append_range(shape, type.getShape());
    types.push_back(type.clone(shape));
    yielded.push_back(value);
  }
  yield->setOperands(yielded);
  OpBuilder builder(scan);
  auto made = builder.create<ScanOp>(scan.getLoc(), types, scan.getInits(),
                                     scan.getInputs(), scan.getTripCountAttr(),
                                     scan.getReverseAttr());
  made.getBody().takeBody(scan.getBody());
  unsigned next = 0;
  for (unsigned i = 0; i < scan.getNumResults(); ++i)
    if (keep.test(i))
      scan.getResult(i).replaceAllUsesWith(made.getResult(next++));
  scan.erase();
  return made;
}

void Rematerialize::runOnScans(ScanOp forward, ScanOp backward,
                               const DenseSet<Operation *> &isForward) {
  Block &body = forward.getBody().front(), &back = backward.getBody().front();
  Block &outer = *forward->getBlock();
  Operation *yield = body.getTerminator();
  int64_t trips = forward.computeTripCount();
  unsigned carried = forward.getNumCarried();
  // Slices of the backward scan, by what they are in the forward one.
  DenseMap<Value, BlockArgument> slices;
  SmallVector<std::pair<BlockArgument, Value>> links;
  for (auto [i, input] : llvm::enumerate(backward.getInputs())) {
    BlockArgument slice = back.getArgument(backward.getNumCarried() + i);
    if (std::optional<unsigned> result = getStacked(forward, input)) {
      links.push_back({slice, yield->getOperand(*result)});
      slices.try_emplace(links.back().second, slice);
    }
    for (auto [j, given] : llvm::enumerate(forward.getInputs()))
      if (given == input)
        slices.try_emplace(body.getArgument(carried + j), slice);
  }
  if (links.empty())
    return;

  auto isUsedElsewhere = [&](Value value) {
    return llvm::any_of(value.getUsers(), [&](Operation *user) {
      Operation *ancestor = outer.findAncestorOpInBlock(*user);
      return ancestor != backward && ancestor && !isForward.contains(ancestor);
    });
  };
  DenseSet<Value> thereAnyway; // stacked for another reason
  for (unsigned i = carried; i < forward.getNumResults(); ++i)
    if (isUsedElsewhere(forward.getResult(i)))
      thereAnyway.insert(yield->getOperand(i));
  auto bytes = [&](Value value) -> int64_t {
    auto argument = dyn_cast<BlockArgument>(value);
    if (argument && argument.getOwner() == &body &&
        argument.getArgNumber() >= carried) {
      Value whole = forward.getInputs()[argument.getArgNumber() - carried];
      return isThereAnyway(whole, outer) || isUsedElsewhere(whole)
                 ? 0
                 : getNumBytes(whole.getType());
    }
    if (value.getParentBlock() != &body)
      return isThereAnyway(value, outer) || isUsedElsewhere(value)
                 ? 0
                 : getNumBytes(value.getType());
    return thereAnyway.contains(value) ? 0
                                       : trips * getNumBytes(value.getType());
  };
  Choice choice(bytes, stacked);
  for (auto &[slice, value] : links)
    choice.need(value);
  choice.solve();
  if (!choice.anyRecomputed() || choice.bytesBefore() <= choice.bytesKept())
    return;

  // Kept values become slices of the backward scan, unless they are already.
  SmallVector<Value> added, newInputs;
  // Inputs that are results of the forward scan, which is about to be replaced.
  SmallVector<std::pair<unsigned, unsigned>> fromResults; // input, result
  auto find = [&](Value value) -> Value {
    if (value.getParentBlock() != &body)
      return value;
    BlockArgument &slice = slices[value];
    if (slice)
      return slice;
    slice = back.addArgument(value.getType(), value.getLoc());
    auto argument = dyn_cast<BlockArgument>(value);
    if (argument && argument.getArgNumber() >= carried) {
      newInputs.push_back(
          forward.getInputs()[argument.getArgNumber() - carried]);
      return slice;
    }
    for (unsigned i = carried; i < forward.getNumResults(); ++i)
      if (yield->getOperand(i) == value) {
        fromResults.push_back({unsigned(newInputs.size()), i});
        newInputs.push_back(Value());
        return slice;
      }
    fromResults.push_back({unsigned(newInputs.size()),
                           unsigned(forward.getNumResults() + added.size())});
    newInputs.push_back(Value());
    added.push_back(value);
    return slice;
  };
  Copies copies(choice, find);
  DenseMap<Value, Value> made; // slices that go: their values
  for (auto &[slice, value] : links)
    if (!choice.isKept(value))
      made[slice] = value;
  SmallVector<OpOperand *> uses;
  for (Operation &op : back)
    op.walk([&](Operation *inner) {
      for (OpOperand &use : inner->getOpOperands())
        if (made.count(use.get()))
          uses.push_back(&use);
    });
  for (OpOperand *use : uses) {
    OpBuilder builder(back.findAncestorOpInBlock(*use->getOwner()));
    use->set(copies.get(made.lookup(use->get()), builder));
  }

  // First the results that are new, then the inputs, then what nobody reads.
  record(choice, copies, trips);
  llvm::BitVector all(forward.getNumResults(), true);
  ScanOp longer = restack(forward, all, added);
  for (auto [input, result] : fromResults)
    newInputs[input] = longer.getResult(result);
  backward.getInputsMutable().append(newInputs);
  for (unsigned i = back.getNumArguments(); i-- > backward.getNumCarried();)
    if (back.getArgument(i).use_empty() &&
        (backward.getInputs().size() > 1 || backward.getTripCountAttr())) {
      back.eraseArgument(i);
      backward.getInputsMutable().erase(i - backward.getNumCarried());
    }
  llvm::BitVector used(longer.getNumResults(), true);
  for (unsigned i = carried; i < longer.getNumResults(); ++i)
    if (longer.getResult(i).use_empty())
      used.reset(i);
  if (!used.all())
    restack(longer, used, {});
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

void Rematerialize::runOnBlock(Block &block, ArrayRef<Value> roots) {
  // Scans are replaced as their results change: found anew for every pair.
  DenseSet<std::pair<Operation *, unsigned>> done;
  SmallVector<ScanOp> backwards;
  {
    DenseSet<Operation *> isForward = findForward(block, roots);
    for (auto scan : block.getOps<ScanOp>())
      if (!isForward.contains(scan))
        backwards.push_back(scan);
  }
  if (stacked < 0)
    backwards.clear();
  for (ScanOp backward : backwards) {
    llvm::SetVector<Operation *> makers;
    for (Value input : backward.getInputs())
      if (auto forward = input.getDefiningOp<ScanOp>())
        makers.insert(forward);
    for (Operation *maker : makers) {
      auto forward = cast<ScanOp>(maker);
      DenseSet<Operation *> isForward = findForward(block, roots);
      if (isForward.contains(forward) && forward->getBlock() == &block &&
          forward.getReverse() != backward.getReverse() &&
          forward.computeTripCount() == backward.computeTripCount())
        runOnScans(forward, backward, isForward);
    }
  }
  DenseSet<Operation *> isForward = findForward(block, roots);
  if (values >= 0)
    runOnValues(block, isForward);
  // A loop over parts of the batch has a forward and a backward part in each
  // iteration. What it stacks is for others, and so what it carries for them.
  for (auto scan : block.getOps<ScanOp>()) {
    if (!isForward.contains(scan))
      continue;
    Operation *yield = scan.getBody().front().getTerminator();
    SmallVector<Value> inside;
    for (OpResult result : scan.getResults())
      if (result.getResultNumber() >= scan.getNumCarried() ||
          llvm::any_of(result.getUsers(), [&](Operation *user) {
            Operation *ancestor = block.findAncestorOpInBlock(*user);
            return isForward.contains(ancestor) ||
                   ancestor == block.getTerminator();
          }))
        inside.push_back(yield->getOperand(result.getResultNumber()));
    runOnBlock(scan.getBody().front(), inside);
  }
}

void Rematerialize::runOnOperation() {
  func::FuncOp function = getOperation();
  if (function.isExternal() || !llvm::hasSingleElement(function.getBody()) ||
      function.getNumResults() == 0)
    return;
  auto loss = dyn_cast<RankedTensorType>(function.getResultTypes()[0]);
  if (!loss || loss.getRank() != 0 || !isa<FloatType>(loss.getElementType()))
    return;
  WalkResult open = function.walk([](Operation *op) {
    return llvm::all_of(op->getResultTypes(),
                        [](Type type) {
                          auto tensor = dyn_cast<RankedTensorType>(type);
                          return !tensor || tensor.hasStaticShape();
                        })
               ? WalkResult::advance()
               : WalkResult::interrupt();
  });
  if (open.wasInterrupted())
    return; // what cannot be weighed
  Block &block = function.getBody().front();
  report.clear();
  saved = flops = 0;
  runOnBlock(block, block.getTerminator()->getOperand(0));
  function.walk<WalkOrder::PostOrder, ReverseIterator>([&](Operation *op) {
    if (op != function && isOpTriviallyDead(op))
      op->erase();
  });
  if (!explain)
    return;
  Builder b(&getContext());
  function->setAttr(
      "lathe.recomputed",
      b.getDictionaryAttr(
          {b.getNamedAttr("bytes_saved", b.getI64IntegerAttr(saved)),
           b.getNamedAttr("flops", b.getI64IntegerAttr(flops)),
           b.getNamedAttr("ops", b.getArrayAttr(report))}));
}
