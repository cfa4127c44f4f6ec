//===- HoistLoad.cpp - Work on weights alone, done once -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/Cost.h"
#include "lathe/Analysis/LoadTime.h"
#include "lathe/Analysis/StoredWeights.h"
#include "lathe/Transforms/Passes.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

namespace lathe {
#define GEN_PASS_DEF_HOISTLOAD
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// A persistent value may be this many times bigger than what it is made from.
static constexpr int64_t kMaxGrowth = 4;
/// Values up to here are kept whatever they are made from.
static constexpr int64_t kSmallBytes = 4096;

/// Ops that read a tensor many times, or in no order a kernel could compute it
/// in, want it in memory.
static bool readsFromMemory(Operation *user) {
  if (user->getNumRegions() != 0)
    return true;
  auto fusible = dyn_cast<FusibleOpInterface>(user);
  if (!fusible)
    return false;
  FusionKind kind = fusible.getFusionKind();
  return kind == FusionKind::Contraction || kind == FusionKind::Opaque;
}

/// Values that take no work to make, but for writing them, are not kept from
/// here on: the zeros that the gradient of a vocabulary is scattered into.
static constexpr int64_t kMaxSpread = 16 << 20;

/// Whether `value`, known at load, is worth a buffer of its own.
static bool isWorthKeeping(Value value, const LoadTime &loadTime,
                           ArrayRef<Operation *> users) {
  if (loadTime.isFree(value) || isStoredWeight(value.getDefiningOp()))
    return false;
  int64_t bytes = getNumBytes(value.getType());
  int64_t source = loadTime.getSourceBytes(value);
  auto fusible = value.getDefiningOp<FusibleOpInterface>();
  bool isSpread =
      fusible && fusible.getFusionKind() == FusionKind::View && bytes > source;
  if (isSpread && source <= kSmallBytes && bytes >= kMaxSpread)
    return false;
  if (llvm::any_of(users, readsFromMemory))
    return true;
  if (isSpread)
    return false;
  return bytes <= kSmallBytes || bytes / kMaxGrowth <= source;
}

/// The ops among `candidates` (in block order) whose results are to be computed
/// at load, and the results the rest of the program reads.
static void chooseKept(ArrayRef<Operation *> candidates,
                       const LoadTime &loadTime,
                       llvm::SmallSetVector<Value, 16> &kept) {
  DenseSet<Operation *> moving(candidates.begin(), candidates.end());
  for (Operation *op : llvm::reverse(candidates)) {
    bool keepsAll = true;
    SmallVector<Value> needed;
    for (Value result : op->getResults()) {
      SmallVector<Operation *> outside;
      for (Operation *user : result.getUsers()) {
        Operation *around = user;
        while (around && !moving.contains(around))
          around = around->getParentOp();
        if (!around)
          outside.push_back(user);
      }
      if (outside.empty())
        continue;
      needed.push_back(result);
      keepsAll &= isWorthKeeping(result, loadTime, outside);
    }
    // What is cheap to make, or too big to keep, is made where it is read.
    if (!keepsAll)
      moving.erase(op);
    else
      kept.insert(needed.begin(), needed.end());
  }
}

/// Copies what `values` are computed from, in order, to the builder's place.
static void cloneSlice(OpBuilder &builder, ValueRange values,
                       function_ref<bool(Operation *)> belongs,
                       IRMapping &mapping) {
  SmallVector<std::pair<Operation *, bool>> stack;
  DenseSet<Operation *> done;
  for (Value value : values)
    stack.push_back({value.getDefiningOp(), false});
  while (!stack.empty()) {
    auto [op, isReady] = stack.pop_back_val();
    if (!op || done.contains(op) || !belongs(op))
      continue;
    if (isReady) {
      done.insert(op);
      builder.clone(*op, mapping);
      continue;
    }
    stack.push_back({op, true});
    for (Value operand : op->getOperands())
      stack.push_back({operand.getDefiningOp(), false});
    llvm::SetVector<Value> captured;
    getUsedValuesDefinedAbove(op->getRegions(), captured);
    for (Value value : captured)
      stack.push_back({value.getDefiningOp(), false});
  }
}

/// All values that the computation of `values` reads.
static DenseSet<Value> collectReads(ValueRange values,
                                    function_ref<bool(Operation *)> belongs) {
  DenseSet<Value> seen;
  SmallVector<Value> worklist(values);
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (!seen.insert(value).second)
      continue;
    if (Operation *op = value.getDefiningOp(); op && belongs(op))
      llvm::append_range(worklist, op->getOperands());
  }
  return seen;
}

namespace {
class HoistLoad : public lathe::impl::HoistLoadBase<HoistLoad> {
  using HoistLoadBase::HoistLoadBase;

  void runOnOperation() override {
    SmallVector<func::FuncOp> entries;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function.isPublic() && !function.isExternal() &&
          !function->hasAttr("lathe.load_for"))
        entries.push_back(function);
    for (func::FuncOp entry : entries) {
      SmallVector<ScanOp> scans;
      entry->walk<WalkOrder::PreOrder>(
          [&](ScanOp scan) { scans.push_back(scan); });
      for (ScanOp scan : scans)
        splitScan(scan, LoadTime(entry));
      hoist(entry);
    }
  }

  void splitScan(ScanOp scan, const LoadTime &loadTime);
  void hoist(func::FuncOp entry);
};
} // namespace

/// A loop that runs at load and stacks `value`, which the body of `scan`
/// computes from its slices. One loop per value: the Runtime keeps a weight in
/// memory only for the step that reads it, so that preparing the weights takes
/// little more than the prepared copy.
static Value makeLoadScan(OpBuilder &builder, ScanOp scan, Value value) {
  Block *body = &scan.getBody().front();
  auto inBody = [&](Operation *op) { return op->getBlock() == body; };
  DenseSet<Value> read = collectReads(value, inBody);
  SmallVector<Value> inputs;
  SmallVector<BlockArgument> slices;
  for (auto [input, slice] :
       llvm::zip(scan.getInputs(),
                 body->getArguments().drop_front(scan.getNumCarried())))
    if (read.contains(slice)) {
      inputs.push_back(input);
      slices.push_back(slice);
    }
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<int64_t> shape = {
      cast<RankedTensorType>(inputs.front().getType()).getDimSize(0)};
  llvm::append_range(shape, type.getShape());
  auto load = builder.create<ScanOp>(
      scan.getLoc(), RankedTensorType::get(shape, type.getElementType()),
      /*inits=*/ValueRange(), inputs,
      /*trip_count=*/IntegerAttr(), /*reverse=*/UnitAttr());
  Block &loadBody = load.getBody().emplaceBlock();
  IRMapping mapping;
  for (BlockArgument slice : slices)
    mapping.map(slice, loadBody.addArgument(slice.getType(), slice.getLoc()));
  OpBuilder loadBuilder = OpBuilder::atBlockEnd(&loadBody);
  cloneSlice(loadBuilder, value, inBody, mapping);
  loadBuilder.create<YieldOp>(scan.getLoc(), mapping.lookup(value));
  return load.getResult(0);
}

/// Moves work on slices of known tensors out of the loop, into scans that make
/// the stacked results. Those are known at load as a whole.
void HoistLoad::splitScan(ScanOp scan, const LoadTime &loadTime) {
  SmallVector<Operation *> candidates;
  for (Operation &op : scan.getBody().front().without_terminator())
    if (op.getNumRegions() == 0 && op.getNumResults() != 0 &&
        llvm::all_of(op.getResults(), [&](Value result) {
          return loadTime.getSlicingScan(result) == scan;
        }))
      candidates.push_back(&op);
  llvm::SmallSetVector<Value, 16> chosen;
  chooseKept(candidates, loadTime, chosen);
  if (chosen.empty())
    return;
  SmallVector<Value> kept = llvm::to_vector(llvm::reverse(chosen));

  OpBuilder builder(scan);
  Block *body = &scan.getBody().front();
  SmallVector<Value> stackedValues;
  for (Value value : kept)
    stackedValues.push_back(makeLoadScan(builder, scan, value));

  // The old loop reads slices of the stacked results instead.
  for (auto [value, stacked] : llvm::zip(kept, stackedValues)) {
    scan.getInputsMutable().append(stacked);
    value.replaceAllUsesWith(
        body->addArgument(value.getType(), value.getLoc()));
  }
  for (Operation *op : llvm::reverse(candidates))
    if (op->use_empty())
      op->erase();
  unsigned carried = scan.getNumCarried();
  for (unsigned index = scan.getInputs().size(); index-- > 0;)
    if (body->getArgument(carried + index).use_empty()) {
      body->eraseArgument(carried + index);
      scan.getInputsMutable().erase(index);
    }
  numSplit += kept.size();
}

void HoistLoad::hoist(func::FuncOp entry) {
  LoadTime loadTime(entry);
  SmallVector<Operation *> candidates;
  entry->walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (op == entry)
      return WalkResult::advance();
    bool isKnown = op->getNumResults() != 0 &&
                   llvm::all_of(op->getResults(), [&](Value result) {
                     return loadTime.isKnown(result);
                   });
    if (isKnown)
      candidates.push_back(op);
    // What stands inside an op that moves, moves with it.
    return isKnown ? WalkResult::skip() : WalkResult::advance();
  });
  llvm::SmallSetVector<Value, 16> kept;
  chooseKept(candidates, loadTime, kept);
  if (kept.empty())
    return;

  // In program order, so that the text reads like the model.
  DenseMap<Operation *, unsigned> place;
  for (auto [index, op] : llvm::enumerate(candidates))
    place[op] = index;
  SmallVector<Value> values = kept.takeVector();
  llvm::sort(values, [&](Value a, Value b) {
    auto key = [&](Value value) {
      return std::pair(place.lookup(value.getDefiningOp()),
                       cast<OpResult>(value).getResultNumber());
    };
    return key(a) < key(b);
  });

  OpBuilder builder(entry);
  std::string name = (entry.getSymName() + "_load").str();
  SymbolTable symbols(getOperation());
  auto load = func::FuncOp::create(
      entry.getLoc(), name,
      builder.getFunctionType({}, ValueRange(values).getTypes()));
  load.setPrivate();
  load->setAttr("lathe.load_for", FlatSymbolRefAttr::get(entry));
  symbols.insert(load, entry->getIterator());
  OpBuilder loadBuilder = OpBuilder::atBlockEnd(load.addEntryBlock());
  IRMapping mapping;
  cloneSlice(
      loadBuilder, values, [](Operation *op) { return !isa<func::FuncOp>(op); },
      mapping);
  loadBuilder.create<func::ReturnOp>(
      entry.getLoc(), llvm::map_to_vector(values, [&](Value value) {
        return mapping.lookup(value);
      }));

  for (auto [index, value] : llvm::enumerate(values)) {
    unsigned argument = entry.getNumArguments();
    entry.insertArgument(
        argument, value.getType(),
        builder.getDictionaryAttr(builder.getNamedAttr(
            "lathe.persistent", builder.getI64IntegerAttr(index))),
        value.getLoc());
    value.replaceAllUsesWith(entry.getArgument(argument));
  }
  for (Operation *op : llvm::reverse(candidates))
    if (op->use_empty())
      op->erase();
  numHoisted += values.size();
}
