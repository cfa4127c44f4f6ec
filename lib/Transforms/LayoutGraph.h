//===- LayoutGraph.h - What storing values otherwise costs ------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The ops that could compute on another layout, and what that would move. Each
// op either keeps its layout or takes the other; every cost has the form "W
// bytes where A is so and one of B... is otherwise", so the cheapest choice for
// the whole graph is a minimum cut (Greig, Porteous, Seheult: "Exact maximum a
// posteriori estimation for binary images", 1989).
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_LAYOUTGRAPH_H
#define LATHE_TRANSFORMS_LAYOUTGRAPH_H

#include "lathe/Analysis/LoadTime.h"

namespace lathe {

/// The dims of a transpose's result, as dims of its input.
using DimOrder = SmallVector<int64_t>;

DimOrder getDimOrder(AffineMap layout);
DimOrder invert(ArrayRef<int64_t> order);
/// The order that `second` gives to what `first` gave.
DimOrder chain(ArrayRef<int64_t> first, ArrayRef<int64_t> second);
/// Whether a transpose of `shape` moves data: dims of size 1 may pass others.
bool movesData(ArrayRef<int64_t> shape, ArrayRef<int64_t> order);

/// What a scan hands on: a carried value, whose start, block argument, yielded
/// value and result are stored alike; the slices of an input; or an output,
/// which is stacked. Carried values and inputs are numbered as block arguments,
/// and outputs go on counting.
struct ScanSlot {
  ScanOp scan;
  int slot = -1;

  explicit operator bool() const { return bool(scan); }
  bool isCarried() { return slot < int(scan.getNumCarried()); }
  bool isInput() { return !isCarried() && slot < numArguments(); }
  int numArguments() { return scan.getBody().getNumArguments(); }
  OpOperand &getYielded();
  OpResult getResult();

  /// The slot that `value`, a block argument or result, leaves; none where it
  /// is no such value.
  static ScanSlot ofValue(Value value);
  /// The slot that an operand of a scan or its yield enters.
  static ScanSlot ofOperand(OpOperand &operand);
};

/// An op that could take the layout, or a slot of a scan.
struct LayoutNode {
  static constexpr int kNoSlot = -1;

  Operation *op;
  int slot;
  /// Of a slot: of what enters it (one operand) and leaves it (one result).
  ValueLayouts layouts;
  bool prefers = false, converted = false;
  /// Bytes it saves in the layout it prefers.
  int64_t gain = 0;
  /// Nodes that share a value, directly or by others, are of one region.
  unsigned region = 0;
};

/// What a region moves, in bytes.
struct LayoutRegion {
  unsigned size = 0, converted = 0;
  /// What its ops save, and what transposes read and write, with all of them
  /// converted and as they are.
  int64_t gain = 0, moved = 0, gainNow = 0, movedNow = 0;
  /// What transposes read and write with none converted.
  int64_t movedBefore = 0;
};

class LayoutGraph {
public:
  /// Of the ops in `function` that prefer `layout` on `target`, and those
  /// around that follow.
  LayoutGraph(func::FuncOp function, const LoadTime &load, AffineMap layout,
              LayoutTarget target);

  /// Decides which nodes to convert.
  void solve();

  /// In program order.
  ArrayRef<LayoutNode> getNodes() const { return nodes; }
  const LayoutRegion &getRegion(const LayoutNode &node) const {
    return regions.find(node.region)->second;
  }

private:
  static constexpr int kKeeps = -1, kTakes = -2;

  /// `cost` where `lead` takes the layout (or keeps its own: `leadTakes`) and
  /// one of `others` does otherwise. A lead may be one that is decided.
  struct Term {
    int lead;
    bool leadTakes;
    SmallVector<int> others;
    int64_t cost;
    bool isGain = false;
  };

  void collect(func::FuncOp function, AffineMap layout, LayoutTarget target);
  void visit(Operation *op, Value value, AffineMap layout);
  void visitSlot(ScanSlot slot, AffineMap layout, bool enters);
  void follow(Value value, AffineMap layout);
  /// The node that computes, or reads, a value, and the value's layout where it
  /// is converted (null: the logical one); kKeeps where there is none.
  std::pair<int, AffineMap> getProducer(Value value) const;
  std::pair<int, AffineMap> getReader(OpOperand &use) const;
  void addTerms(Value value);
  void addTerm(int lead, bool leadTakes, ArrayRef<int> others, int64_t cost,
               bool isGain = false);
  void findRegions();
  bool isPaid(const Term &term, function_ref<bool(int)> takes) const;
  int64_t getCost(Value value, ArrayRef<int64_t> order) const;

  const LoadTime &load;
  std::vector<LayoutNode> nodes;
  DenseMap<std::pair<Operation *, int>, int> nodeOf;
  std::vector<Term> terms;
  DenseMap<unsigned, LayoutRegion> regions;
};

} // namespace lathe

#endif // LATHE_TRANSFORMS_LAYOUTGRAPH_H
