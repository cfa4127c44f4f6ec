//===- LayoutGraph.cpp - What storing values otherwise costs --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LayoutGraph.h"
#include "MinCut.h"

#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/MapVector.h"

namespace lathe {

DimOrder getDimOrder(AffineMap layout) {
  return llvm::map_to_vector(layout.getResults(), [](AffineExpr expr) {
    return int64_t(cast<AffineDimExpr>(expr).getPosition());
  });
}

DimOrder invert(ArrayRef<int64_t> order) {
  DimOrder inverse(order.size());
  for (auto [i, dim] : llvm::enumerate(order))
    inverse[dim] = i;
  return inverse;
}

DimOrder chain(ArrayRef<int64_t> first, ArrayRef<int64_t> second) {
  return llvm::map_to_vector(second, [&](int64_t dim) { return first[dim]; });
}

bool movesData(ArrayRef<int64_t> shape, ArrayRef<int64_t> order) {
  SmallVector<int64_t> moving;
  for (int64_t dim : order)
    if (shape[dim] != 1)
      moving.push_back(dim);
  return !llvm::is_sorted(moving);
}

ScanSlot ScanSlot::ofValue(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return {dyn_cast<ScanOp>(argument.getOwner()->getParentOp()),
            int(argument.getArgNumber())};
  ScanSlot slot{value.getDefiningOp<ScanOp>(),
                int(cast<OpResult>(value).getResultNumber())};
  if (slot && !slot.isCarried())
    slot.slot += slot.numArguments() - slot.scan.getNumCarried();
  return slot;
}

ScanSlot ScanSlot::ofOperand(OpOperand &operand) {
  int number = operand.getOperandNumber();
  if (auto scan = dyn_cast<ScanOp>(operand.getOwner()))
    return {scan, number};
  if (!isa<YieldOp>(operand.getOwner()))
    return {};
  ScanSlot slot{dyn_cast<ScanOp>(operand.getOwner()->getParentOp()), number};
  if (slot && !slot.isCarried())
    slot.slot += slot.numArguments() - slot.scan.getNumCarried();
  return slot;
}

OpOperand &ScanSlot::getYielded() {
  Operation *yield = scan.getBody().front().getTerminator();
  return yield->getOpOperand(getResult().getResultNumber());
}

OpResult ScanSlot::getResult() {
  return scan->getResult(
      isCarried() ? slot : slot - numArguments() + scan.getNumCarried());
}

/// The layout of a stack of tensors in `layout`, and of the tensors in a stack;
/// null where the stack has its leading dim elsewhere.
static AffineMap stack(AffineMap layout) {
  SmallVector<unsigned> order{0};
  for (int64_t dim : getDimOrder(layout))
    order.push_back(dim + 1);
  return AffineMap::getPermutationMap(order, layout.getContext());
}
static AffineMap unstack(AffineMap layout) {
  DimOrder order = getDimOrder(layout);
  if (order.size() < 2 || order[0] != 0)
    return {};
  SmallVector<unsigned> rest;
  for (int64_t dim : ArrayRef(order).drop_front())
    rest.push_back(dim - 1);
  return AffineMap::getPermutationMap(rest, layout.getContext());
}

/// Calls `fn` for every value that converting the node would store otherwise.
static void forEachValue(const LayoutNode &node,
                         function_ref<void(Value, AffineMap)> fn) {
  if (node.slot != LayoutNode::kNoSlot) {
    ScanSlot slot{cast<ScanOp>(node.op), node.slot};
    AffineMap enters = node.layouts.operands[0],
              leaves = node.layouts.results[0];
    if (slot.slot < slot.numArguments()) {
      fn(node.op->getOperand(node.slot), enters);
      fn(slot.scan.getBody().getArgument(node.slot), leaves);
    }
    if (!slot.isInput()) {
      fn(slot.getYielded().get(), enters);
      fn(slot.getResult(), leaves);
    }
    return;
  }
  auto call = [&](Value value, AffineMap map) {
    if (map)
      fn(value, map);
  };
  for (auto [operand, map] :
       llvm::zip_equal(node.op->getOperands(), node.layouts.operands))
    call(operand, map);
  for (auto [result, map] :
       llvm::zip_equal(node.op->getResults(), node.layouts.results))
    call(result, map);
}

LayoutGraph::LayoutGraph(func::FuncOp function, const LoadTime &load,
                         AffineMap layout, LayoutTarget target)
    : load(load) {
  collect(function, layout, target);
  llvm::SetVector<Value> values;
  for (const LayoutNode &node : nodes)
    forEachValue(node, [&](Value value, AffineMap) { values.insert(value); });
  for (Value value : values)
    addTerms(value);
  findRegions();
}

std::pair<int, AffineMap> LayoutGraph::getProducer(Value value) const {
  auto it = nodeOf.end();
  unsigned result = 0;
  if (ScanSlot slot = ScanSlot::ofValue(value)) {
    it = nodeOf.find({slot.scan, slot.slot});
  } else if (auto opResult = dyn_cast<OpResult>(value)) {
    it = nodeOf.find({opResult.getOwner(), LayoutNode::kNoSlot});
    result = opResult.getResultNumber();
  }
  if (it == nodeOf.end())
    return {kKeeps, AffineMap()};
  return {it->second, nodes[it->second].layouts.results[result]};
}

std::pair<int, AffineMap> LayoutGraph::getReader(OpOperand &use) const {
  ScanSlot slot = ScanSlot::ofOperand(use);
  auto it = slot ? nodeOf.find({slot.scan, slot.slot})
                 : nodeOf.find({use.getOwner(), LayoutNode::kNoSlot});
  if (it == nodeOf.end())
    return {kKeeps, AffineMap()};
  const ValueLayouts &layouts = nodes[it->second].layouts;
  return {it->second, layouts.operands[slot ? 0 : use.getOperandNumber()]};
}

//===----------------------------------------------------------------------===//
// Which ops
//===----------------------------------------------------------------------===//

static bool isStatic(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && tensor.hasStaticShape() &&
         !llvm::is_contained(tensor.getShape(), 0);
}

static bool isStatic(Operation *op) {
  auto check = [](Type type) { return isStatic(type); };
  return llvm::all_of(op->getOperandTypes(), check) &&
         llvm::all_of(op->getResultTypes(), check);
}

/// How often what is in `region` runs, as far as one can tell.
static double countRuns(Region *region) {
  double runs = 1;
  for (Operation *op = region->getParentOp(); op; op = op->getParentOp())
    if (auto scan = dyn_cast<ScanOp>(op))
      runs *= std::max<int64_t>(scan.computeTripCount(), 1);
  return runs;
}

/// Bytes beyond which numbers do not matter; sums of them stay in 64 bits.
static constexpr double kMost = 1e15;

void LayoutGraph::collect(func::FuncOp function, AffineMap layout,
                          LayoutTarget target) {
  DenseMap<Operation *, int64_t> gains;
  function.walk([&](LayoutOpInterface op) {
    if (!isStatic(op))
      return;
    for (const LayoutPreference &preference : op.getPreferredLayouts(target))
      if (preference.layout == layout) {
        gains[op] =
            std::min(preference.gain * countRuns(op->getParentRegion()), kMost);
        visit(op, op->getOperand(0), layout);
      }
  });
  // Along the values from one op to the next. Not through what is known at
  // load: that is stored either way once.
  for (size_t next = 0; next < nodes.size(); ++next) {
    LayoutNode node = nodes[next];
    forEachValue(node, [&](Value value, AffineMap map) { follow(value, map); });
  }
  llvm::DenseMap<Operation *, unsigned> place;
  function.walk<WalkOrder::PreOrder>(
      [&](Operation *op) { place[op] = place.size(); });
  llvm::sort(nodes, [&](const LayoutNode &a, const LayoutNode &b) {
    return std::pair(place.lookup(a.op), a.slot) <
           std::pair(place.lookup(b.op), b.slot);
  });
  for (auto [index, node] : llvm::enumerate(nodes)) {
    nodeOf[{node.op, node.slot}] = index;
    auto gain = gains.find(node.op);
    if (gain == gains.end() || node.slot != LayoutNode::kNoSlot)
      continue;
    node.prefers = true;
    node.gain = gain->second;
    addTerm(kTakes, true, int(index), gain->second, /*isGain=*/true);
  }
}

/// Asks those that compute and read `value` whether they could follow.
void LayoutGraph::follow(Value value, AffineMap layout) {
  if (load.isKnownOrSlice(value) ||
      getTensorType(value).getRank() != int64_t(layout.getNumDims()))
    return;
  if (ScanSlot slot = ScanSlot::ofValue(value))
    visitSlot(slot, layout, /*enters=*/false);
  else if (Operation *producer = value.getDefiningOp())
    visit(producer, value, layout);
  for (OpOperand &use : value.getUses())
    if (ScanSlot slot = ScanSlot::ofOperand(use))
      visitSlot(slot, layout, /*enters=*/true);
    else
      visit(use.getOwner(), value, layout);
}

void LayoutGraph::visit(Operation *op, Value value, AffineMap layout) {
  auto follower = dyn_cast<LayoutOpInterface>(op);
  if (!follower || nodeOf.contains({op, LayoutNode::kNoSlot}) || !isStatic(op))
    return;
  FailureOr<ValueLayouts> layouts = follower.getLayouts(value, layout);
  if (failed(layouts))
    return;
  nodeOf[{op, LayoutNode::kNoSlot}] = nodes.size();
  nodes.push_back({op, LayoutNode::kNoSlot, std::move(*layouts)});
}

void LayoutGraph::visitSlot(ScanSlot slot, AffineMap layout, bool enters) {
  if (nodeOf.contains({slot.scan, slot.slot}) ||
      !llvm::all_of(slot.scan->getResultTypes(),
                    [](Type type) { return isStatic(type); }))
    return;
  ValueLayouts layouts{{layout}, {layout}};
  if (!slot.isCarried()) {
    // Inputs are stacked where they enter, outputs where they leave.
    AffineMap other =
        enters == slot.isInput() ? unstack(layout) : stack(layout);
    if (!other)
      return;
    (enters ? layouts.results : layouts.operands)[0] = other;
  }
  nodeOf[{slot.scan, slot.slot}] = nodes.size();
  nodes.push_back({slot.scan, slot.slot, std::move(layouts)});
}

//===----------------------------------------------------------------------===//
// What it costs
//===----------------------------------------------------------------------===//

/// Bytes that a transpose of `value` reads and writes, over all iterations of
/// the loops it is in.
int64_t LayoutGraph::getCost(Value value, ArrayRef<int64_t> order) const {
  RankedTensorType type = getTensorType(value);
  if (load.isKnownOrSlice(value))
    return 0;
  SmallVector<int64_t> shape(order.size() - type.getRank(), 1);
  llvm::append_range(shape, type.getShape());
  if (!movesData(shape, order))
    return 0;
  int64_t bits =
      type.getElementType().isIntOrFloat() ? type.getElementTypeBitWidth() : 64;
  double bytes = 2.0 * type.getNumElements() * ((bits + 7) / 8);
  return std::min(bytes * countRuns(value.getParentRegion()), kMost);
}

void LayoutGraph::addTerm(int lead, bool leadTakes, ArrayRef<int> others,
                          int64_t cost, bool isGain) {
  if (cost > 0 && !others.empty())
    terms.push_back({lead, leadTakes, SmallVector<int>(others), cost, isGain});
}

/// A copy in each layout is made once for all readers.
void LayoutGraph::addTerms(Value value) {
  auto [producer, produced] = getProducer(value);
  // Readers by the layout they could take.
  llvm::MapVector<AffineMap, SmallVector<int>> takers;
  SmallVector<int> all;
  SmallVector<TransposeOp> transposes;
  bool isReadAsItIs = false;
  for (OpOperand &use : value.getUses()) {
    auto [reader, map] = getReader(use);
    if (map) {
      takers[map].push_back(reader);
      all.push_back(reader);
    } else if (auto transpose = dyn_cast<TransposeOp>(use.getOwner())) {
      transposes.push_back(transpose);
    } else {
      isReadAsItIs = true;
    }
  }

  if (produced) {
    DimOrder stored = getDimOrder(produced), back = invert(stored);
    int64_t cost = getCost(value, stored);
    addTerm(producer, true, takers[produced], cost);
    addTerm(producer, false, takers[produced], cost);
    for (auto &[map, readers] : takers)
      if (map != produced) {
        isReadAsItIs = true;
        addTerm(kKeeps, false, readers, getCost(value, getDimOrder(map)));
      }
    if (isReadAsItIs)
      addTerm(kKeeps, false, producer, cost);
    for (TransposeOp transpose : transposes) {
      addTerm(kTakes, true, producer,
              getCost(value, transpose.getPermutation()));
      // In terms of the logical dims that is what moves from `stored`.
      DimOrder rest = chain(back, transpose.getPermutation());
      SmallVector<int64_t> shape;
      for (int64_t dim : stored)
        shape.push_back(getTensorType(value).getDimSize(dim));
      if (movesData(shape, rest))
        addTerm(kKeeps, false, producer, getCost(value, stored));
    }
    return;
  }
  auto before = value.getDefiningOp<TransposeOp>();
  for (auto &[map, readers] : takers) {
    DimOrder order = getDimOrder(map);
    if (!before)
      addTerm(kKeeps, false, readers, getCost(value, order));
    else
      addTerm(
          kKeeps, false, readers,
          getCost(before.getInput(), chain(before.getPermutation(), order)));
  }
  // The transpose that is there goes when all readers take what is before it.
  if (before && !isReadAsItIs && transposes.empty())
    addTerm(kTakes, true, all,
            getCost(before.getInput(), before.getPermutation()));
}

void LayoutGraph::findRegions() {
  llvm::EquivalenceClasses<int> classes;
  for (size_t i = 0; i < nodes.size(); ++i)
    classes.insert(i);
  for (const Term &term : terms)
    for (int other : term.others)
      classes.unionSets(term.lead >= 0 ? term.lead : term.others[0], other);
  // Values that move nothing have no term, but belong together all the same.
  for (auto [index, node] : llvm::enumerate(nodes))
    forEachValue(node, [&, index = index](Value value, AffineMap map) {
      if (auto [producer, produced] = getProducer(value); produced == map)
        classes.unionSets(index, producer);
    });
  for (auto [index, node] : llvm::enumerate(nodes)) {
    node.region = classes.getLeaderValue(index);
    ++regions[node.region].size;
  }
}

bool LayoutGraph::isPaid(const Term &term,
                         function_ref<bool(int)> takes) const {
  bool lead = term.lead == kTakes || (term.lead >= 0 && takes(term.lead));
  return lead == term.leadTakes && llvm::any_of(term.others, [&](int other) {
           return takes(other) != lead;
         });
}

void LayoutGraph::solve() {
  // The sink's side takes the layout: of equal cuts MinCut gives the one next
  // to the sink, which changes least.
  MinCut cut;
  SmallVector<unsigned> ids;
  for (size_t i = 0; i < nodes.size(); ++i)
    ids.push_back(cut.addNode());
  auto idOf = [&](int node) {
    return node == kKeeps   ? MinCut::kSource
           : node == kTakes ? MinCut::kSink
                            : ids[node];
  };
  for (const Term &term : terms) {
    // One node between stands for "some of the others does otherwise".
    unsigned between = cut.addNode(), lead = idOf(term.lead);
    if (term.leadTakes)
      cut.addEdge(between, lead, term.cost);
    else
      cut.addEdge(lead, between, term.cost);
    for (int other : term.others) {
      if (term.leadTakes)
        cut.addEdge(idOf(other), between, MinCut::kInfinite);
      else
        cut.addEdge(between, idOf(other), MinCut::kInfinite);
    }
  }
  llvm::BitVector takes = cut.solve();
  for (auto [index, node] : llvm::enumerate(nodes)) {
    node.converted = takes.test(ids[index]);
    regions[node.region].converted += node.converted;
  }
  for (const Term &term : terms) {
    LayoutRegion &region = regions[nodes[term.others[0]].region];
    bool now = isPaid(term, [&](int node) { return nodes[node].converted; });
    if (term.isGain) {
      region.gain += term.cost;
      region.gainNow += now ? 0 : term.cost;
      continue;
    }
    region.movedNow += now ? term.cost : 0;
    if (isPaid(term, [](int) { return true; }))
      region.moved += term.cost;
    if (isPaid(term, [](int) { return false; }))
      region.movedBefore += term.cost;
  }
}

} // namespace lathe
