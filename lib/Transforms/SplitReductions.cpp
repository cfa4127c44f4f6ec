//===- SplitReductions.cpp - Few long reductions as many short ones -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A reduction is a work item per element (or block of elements) that it keeps.
// Where those are few, most threads have nothing to do, and what goes into the
// reduction does not fit into a cache. So it is done in two stages. How it is
// cut follows from the shapes alone, never from the number of threads: the
// bits stay the same.
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/Passes.h"

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SmallBitVector.h"
#include "llvm/Support/MathExtras.h"

namespace lathe {
#define GEN_PASS_DEF_SPLITREDUCTIONS
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// Columns side by side are one work item up to this many.
static constexpr int64_t kColumns = 64;
/// Parts that one dim alone is cut into.
static constexpr int64_t kParts = 64;
/// Parts that are better than none where a dim cannot be cut.
static constexpr int64_t kFewParts = 4;

namespace {
struct Reduction {
  Operation *op;
  RankedTensorType type;
  SmallVector<int64_t> axes;
};

/// What can be reduced in stages: floats, by an op with axes.
std::optional<Reduction> getReduction(Operation *op) {
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  auto axes = op->getAttrOfType<DenseI64ArrayAttr>("axes");
  if (!fusible || fusible.getFusionKind() != FusionKind::Reduction || !axes ||
      op->getNumOperands() != 1)
    return std::nullopt;
  auto type = cast<RankedTensorType>(op->getOperand(0).getType());
  if (!type.hasStaticShape() || !isa<FloatType>(type.getElementType()))
    return std::nullopt;
  Reduction r{op, type, {}};
  for (int64_t axis : axes.asArrayRef())
    r.axes.push_back(axis < 0 ? axis + type.getRank() : axis);
  if (r.axes.empty())
    r.axes = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
  llvm::sort(r.axes);
  return r;
}

/// Work items of the reduction as it stands.
int64_t countItems(const Reduction &r) {
  llvm::SmallBitVector reduced(r.type.getRank());
  for (int64_t axis : r.axes)
    reduced.set(axis);
  int64_t items = 1, columns = 1;
  bool isColumn = true;
  for (int64_t i = r.type.getRank() - 1; i >= 0; --i) {
    int64_t size = r.type.getDimSize(i);
    isColumn &= !reduced.test(i) || size == 1;
    if (!reduced.test(i))
      (isColumn ? columns : items) *= size;
  }
  return items * int64_t(llvm::divideCeil(columns, kColumns));
}

/// The same reduction over other axes, with a result of the same rank.
Value reduceAgain(OpBuilder &b, Operation *op, Value x,
                  ArrayRef<int64_t> axes) {
  auto type = cast<RankedTensorType>(x.getType());
  SmallVector<int64_t> shape(type.getShape());
  for (int64_t axis : axes)
    shape[axis] = 1;
  IRMapping mapping;
  mapping.map(op->getOperand(0), x);
  Operation *clone = b.clone(*op, mapping);
  clone->setAttr("axes", b.getDenseI64ArrayAttr(axes));
  clone->setAttr("keepdims", b.getBoolAttr(true));
  clone->getResult(0).setType(type.clone(shape));
  return clone->getResult(0);
}

Value reshape(OpBuilder &b, Location loc, Value x, ArrayRef<int64_t> shape) {
  auto type = cast<RankedTensorType>(x.getType());
  return b.create<ReshapeOp>(loc, type.clone(shape), x,
                             b.getDenseI64ArrayAttr(shape), b.getUnitAttr());
}

Value convert(OpBuilder &b, Location loc, Value x, Type element) {
  auto type = cast<RankedTensorType>(x.getType());
  if (type.getElementType() == element)
    return x;
  return b.create<CastOp>(loc, type.clone(element), x, TypeAttr::get(element));
}

struct SplitReductions : lathe::impl::SplitReductionsBase<SplitReductions> {
  using SplitReductionsBase::SplitReductionsBase;

  /// Whether a kernel of elementwise ops makes the operand, which would no
  /// longer be this reduction's where the operand is reshaped.
  static bool isFused(Value x) {
    auto fusible = x.getDefiningOp<FusibleOpInterface>();
    if (!fusible)
      return false;
    FusionKind kind = fusible.getFusionKind();
    return kind == FusionKind::Elementwise || kind == FusionKind::Reduction;
  }

  void split(const Reduction &r) {
    // The first axis is the second stage, or a part of the longest.
    SmallVector<int64_t> shape(r.type.getShape()), inner, outer;
    for (int64_t axis : r.axes)
      if (shape[axis] != 1)
        inner.push_back(axis);
    if (inner.empty())
      return;
    bool fused = isFused(r.op->getOperand(0));
    int64_t cut = inner.front();
    bool isCut = inner.size() == 1 ||
                 shape[cut] < (fused ? kFewParts : int64_t(minItems));
    if (isCut) {
      if (fused)
        return;
      cut = *llvm::max_element(
          inner, [&](int64_t a, int64_t b) { return shape[a] < shape[b]; });
      int64_t parts = std::min(kParts, shape[cut]);
      while (shape[cut] % parts)
        --parts;
      if (parts < int64_t(minItems))
        return;
      shape.insert(shape.begin() + cut, parts);
      shape[cut + 1] /= parts;
      for (int64_t &axis : inner)
        axis += axis >= cut;
    } else {
      inner.erase(inner.begin());
    }
    outer = {cut};

    OpBuilder b(r.op);
    Location loc = r.op->getLoc();
    Type element = r.type.getElementType();
    Value x = r.op->getOperand(0);
    // The sums between the stages stay as precise as those within one.
    if (element.getIntOrFloatBitWidth() < 32)
      x = convert(b, loc, x, b.getF32Type());
    if (isCut)
      x = reshape(b, loc, x, shape);
    x = reduceAgain(b, r.op, reduceAgain(b, r.op, x, inner), outer);
    x = convert(b, loc, x, element);
    auto result = cast<RankedTensorType>(r.op->getResult(0).getType());
    if (x.getType() != result)
      x = reshape(b, loc, x, result.getShape());
    r.op->replaceAllUsesWith(ValueRange{x});
    r.op->erase();
    ++numSplit;
  }

  void runOnOperation() override {
    SmallVector<Reduction> reductions;
    getOperation()->walk([&](Operation *op) {
      std::optional<Reduction> r = getReduction(op);
      if (r && r->type.getNumElements() >= int64_t(minElements) &&
          countItems(*r) < int64_t(minItems))
        reductions.push_back(*r);
    });
    for (const Reduction &r : reductions)
      split(r);
  }
};
} // namespace
