//===- KernelViews.cpp - Kernel bodies as one anchor op and index maps ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/KernelViews.h"
#include "lathe/Conversion/ScalarBody.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace lathe;

//===----------------------------------------------------------------------===//
// Strided views
//===----------------------------------------------------------------------===//

StridedView StridedView::contiguous(ArrayRef<int64_t> sizes) {
  StridedView view;
  view.sizes.assign(sizes.begin(), sizes.end());
  view.factors.push_back({view.getNumElements(), 1});
  return view;
}

int64_t StridedView::getNumElements() const {
  int64_t count = 1;
  for (int64_t size : sizes)
    count *= size;
  return count;
}

std::optional<StridedView>
StridedView::broadcastTo(ArrayRef<int64_t> newSizes) const {
  auto digits = split(sizes);
  if (!digits)
    return std::nullopt;
  StridedView result;
  result.offset = offset;
  result.sizes.assign(newSizes.begin(), newSizes.end());
  size_t lead = newSizes.size() - sizes.size();
  for (size_t i = 0; i < newSizes.size(); ++i) {
    if (i < lead || sizes[i - lead] != newSizes[i])
      result.factors.push_back({newSizes[i], 0});
    else
      llvm::append_range(result.factors, (*digits)[i - lead]);
  }
  return result;
}

std::optional<StridedView>
StridedView::permuted(ArrayRef<int64_t> permutation) const {
  auto digits = split(sizes);
  if (!digits)
    return std::nullopt;
  StridedView result;
  result.offset = offset;
  for (int64_t dim : permutation) {
    if (dim < 0)
      dim += sizes.size();
    result.sizes.push_back(sizes[dim]);
    llvm::append_range(result.factors, (*digits)[dim]);
  }
  return result;
}

static std::optional<StridedView> sliced(const StridedView &view, SliceOp op) {
  auto digits = view.split(view.sizes);
  if (!digits)
    return std::nullopt;
  StridedView result;
  result.offset = view.offset;
  result.sizes =
      SmallVector<int64_t>(cast<RankedTensorType>(op.getType()).getShape());
  ArrayRef<int64_t> starts = op.getStarts(), axes = op.getAxes(),
                    steps = op.getSteps();
  for (size_t i = 0; i < starts.size(); ++i) {
    int64_t axis = axes.empty() ? i : axes[i];
    if (axis < 0)
      axis += view.sizes.size();
    int64_t step = steps.empty() ? 1 : steps[i], size = view.sizes[axis];
    SmallVector<Factor> &dim = (*digits)[axis];
    if (step == 1 && result.sizes[axis] == size)
      continue;
    if (step < 1 || dim.size() > 1)
      return std::nullopt;
    int64_t start = starts[i] < 0 ? starts[i] + size : starts[i];
    start = std::clamp<int64_t>(start, 0, size);
    if (!dim.empty()) {
      result.offset += start * dim[0].stride;
      dim[0] = {result.sizes[axis], dim[0].stride * step};
    }
  }
  if (result.getNumElements() == 0)
    return StridedView::contiguous(result.sizes);
  for (SmallVector<Factor> &dim : *digits)
    llvm::append_range(result.factors, dim);
  return result;
}

std::optional<StridedView> StridedView::through(Operation *op) const {
  if (op->getNumResults() != 1)
    return std::nullopt;
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !type.hasStaticShape())
    return std::nullopt;
  return llvm::TypeSwitch<Operation *, std::optional<StridedView>>(op)
      .Case<ReshapeOp, SqueezeOp, UnsqueezeOp>([&](auto) {
        StridedView result = *this;
        result.sizes = SmallVector<int64_t>(type.getShape());
        return result;
      })
      .Case([&](TransposeOp transpose) {
        return permuted(transpose.getPermutation());
      })
      .Case([&](BroadcastOp) { return broadcastTo(type.getShape()); })
      .Case([&](SliceOp slice) { return sliced(*this, slice); })
      .Default([](Operation *) { return std::nullopt; });
}

std::optional<SmallVector<SmallVector<Factor>>>
StridedView::split(ArrayRef<int64_t> groups) const {
  SmallVector<SmallVector<Factor>> result(groups.size());
  if (getNumElements() == 0)
    return result;
  size_t next = factors.size();
  Factor current{1, 0};
  for (size_t g = groups.size(); g-- > 0;) {
    SmallVector<Factor> &group = result[g]; // innermost first for now
    int64_t remaining = groups[g];
    while (remaining > 1) {
      while (current.size == 1) {
        if (next == 0)
          return std::nullopt;
        current = factors[--next];
      }
      Factor taken = current;
      if (current.size <= remaining) {
        if (remaining % current.size)
          return std::nullopt;
        remaining /= current.size;
        current.size = 1;
      } else {
        if (current.size % remaining)
          return std::nullopt;
        taken.size = remaining;
        current = {current.size / remaining, current.stride * remaining};
        remaining = 1;
      }
      if (!group.empty() &&
          taken.stride == group.back().stride * group.back().size)
        group.back().size *= taken.size;
      else
        group.push_back(taken);
    }
    std::reverse(group.begin(), group.end());
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Kernel bodies
//===----------------------------------------------------------------------===//

void lathe::forEachLeaf(Expr &expr, function_ref<void(Expr &)> fn) {
  if (expr.operands.empty())
    return fn(expr);
  for (ExprPtr &operand : expr.operands)
    forEachLeaf(*operand, fn);
}

/// A copy of `expr` with every leaf's view replaced; null where `fn` refuses.
static ExprPtr
mapLeaves(const ExprPtr &expr,
          function_ref<std::optional<StridedView>(const StridedView &)> fn) {
  auto copy = std::make_shared<Expr>(*expr);
  if (expr->operands.empty()) {
    std::optional<StridedView> view = fn(expr->view);
    if (!view)
      return nullptr;
    copy->view = *view;
    return copy;
  }
  for (ExprPtr &operand : copy->operands)
    if (!(operand = mapLeaves(operand, fn)))
      return nullptr;
  return copy;
}

static std::string opName(Operation *op) {
  return op->getName().getStringRef().str();
}

static ExprPtr makeLeaf(Expr::Kind kind, unsigned index,
                        RankedTensorType type) {
  auto leaf = std::make_shared<Expr>();
  leaf->kind = kind;
  leaf->index = index;
  leaf->elementType = type.getElementType();
  leaf->view = StridedView::contiguous(type.getShape());
  return leaf;
}

/// A splat becomes a number in the code, other constants one more buffer; null
/// where they are held in a form that is neither.
static ExprPtr makeConstant(ConstantOp op, unsigned numArguments,
                            SmallVectorImpl<DenseElementsAttr> &constants) {
  auto type = cast<RankedTensorType>(op.getType());
  auto elements = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!elements)
    return nullptr;
  if (elements.isSplat()) {
    ExprPtr leaf = makeLeaf(Expr::Kind::Splat, 0, type);
    leaf->splat = cast<TypedAttr>(elements.getSplatValue<Attribute>());
    leaf->view.factors = {{type.getNumElements(), 0}};
    return leaf;
  }
  if (getStorageType(type.getElementType()) != type.getElementType())
    return nullptr;
  constants.push_back(elements.reshape(
      RankedTensorType::get({type.getNumElements()}, type.getElementType())));
  return makeLeaf(Expr::Kind::Argument, numArguments + constants.size() - 1,
                  type);
}

static bool sameFactors(ArrayRef<Factor> a, ArrayRef<Factor> b) {
  return a.size() == b.size() && llvm::all_of(llvm::zip(a, b), [](auto pair) {
           auto [x, y] = pair;
           return x.size == y.size && x.stride == y.stride;
         });
}

/// Re-expresses an output in the order of the elements of the anchor's result
/// that it reads: digits are sorted by where they stand in it.
static bool toAnchorSpace(ExprPtr value, RankedTensorType type,
                          Operation *anchorOp, KernelOutput &output,
                          std::string &whyNot) {
  const StridedView *anchor = nullptr;
  bool sameView = true, sameResult = true;
  forEachLeaf(*value, [&](Expr &leaf) {
    if (leaf.kind != Expr::Kind::Anchor)
      return;
    if (anchor && !sameFactors(anchor->factors, leaf.view.factors))
      sameView = false;
    if (anchor && output.result != leaf.index)
      sameResult = false;
    anchor = &leaf.view;
    output.result = leaf.index;
  });
  if (!anchor) {
    whyNot = "an output does not depend on the product";
    return false;
  }
  if (!sameResult) {
    whyNot = "an output reads two results of " + opName(anchorOp);
    return false;
  }
  int64_t anchorElements =
      cast<RankedTensorType>(anchorOp->getResult(output.result).getType())
          .getNumElements();
  if (!sameView) {
    whyNot = "an output reads the product in two orders";
    return false;
  }
  SmallVector<int64_t> digits, order;
  for (Factor factor : anchor->factors)
    digits.push_back(factor.size);
  for (size_t i = 0; i < digits.size(); ++i)
    order.push_back(i);
  llvm::stable_sort(order, [&](int64_t a, int64_t b) {
    return anchor->factors[a].stride > anchor->factors[b].stride;
  });
  int64_t expected = 1;
  for (int64_t i : llvm::reverse(order)) {
    if (digits[i] == 1)
      continue;
    if (anchor->factors[i].stride != expected) {
      whyNot = "an output reads only a part of the product, or repeats it";
      return false;
    }
    expected *= digits[i];
  }
  if (expected != anchorElements || anchor->offset != 0) {
    whyNot = "an output reads only a part of the product";
    return false;
  }
  auto reorder = [&](const StridedView &view) -> std::optional<StridedView> {
    StridedView byDigit = view;
    byDigit.sizes = digits;
    return byDigit.permuted(order);
  };
  output.value = mapLeaves(value, reorder);
  std::optional<StridedView> destination =
      reorder(StridedView::contiguous(type.getShape()));
  if (!output.value || !destination) {
    whyNot = "an operand of the epilogue has no strides over the product";
    return false;
  }
  output.destination = *destination;
  output.elementType = type.getElementType();
  return true;
}

/// The order of dims that puts heads second, where operand (or result) `index`
/// of `op` is an attention's with heads third; else empty.
static ArrayRef<int64_t> getTurn(Operation *op, bool isResult, unsigned index) {
  static constexpr int64_t order[] = {0, 2, 1, 3};
  auto turn = [&](auto attention, unsigned heads) -> ArrayRef<int64_t> {
    if (attention.getLayout() == HeadLayout::heads_second)
      return {};
    return index < heads ? ArrayRef(order) : ArrayRef<int64_t>();
  };
  return llvm::TypeSwitch<Operation *, ArrayRef<int64_t>>(op)
      .Case([&](AttentionOp attention) { return turn(attention, 3); })
      .Case([&](AttentionTrainingOp attention) {
        return turn(attention, isResult ? 1 : 3);
      })
      .Case([&](AttentionBackwardOp attention) {
        // delta has no places in the head.
        if (!isResult && index == 5 && !turn(attention, 6).empty())
          return ArrayRef(order).drop_back();
        return turn(attention, 4);
      })
      .Default([](Operation *) { return ArrayRef<int64_t>(); });
}

/// The scale or zero point of `op` as it goes with the elements of the input.
static std::optional<StridedView> spreadParameter(const StridedView &view,
                                                  DequantizeOp op) {
  ArrayRef<int64_t> shape =
      cast<RankedTensorType>(op.getInput().getType()).getShape();
  size_t rank = shape.size(), own = view.sizes.size();
  auto groupAttr = op->getAttrOfType<IntegerAttr>("group");
  int64_t group = groupAttr ? groupAttr.getInt() : 0;
  int64_t axis = op.getAxis() < 0 ? op.getAxis() + rank : op.getAxis();
  StridedView spread = view;
  if (group > 0) {
    // Each of a group reads the same; the last group must be whole.
    if (shape[axis] % group)
      return std::nullopt;
    spread.sizes.insert(spread.sizes.begin() + axis + 1, 1);
    SmallVector<int64_t> sizes(shape);
    sizes[axis] /= group;
    sizes.insert(sizes.begin() + axis + 1, group);
    auto wide = spread.broadcastTo(sizes);
    if (wide)
      wide->sizes.assign(shape.begin(), shape.end());
    return wide;
  }
  if (own == 1 && rank > 0) {
    spread.sizes.assign(rank, 1);
    spread.sizes[axis] = view.sizes[0];
  }
  return spread.broadcastTo(shape);
}

/// Bytes, scale and zero point over the elements of the result; null where one
/// of them has no strides.
static ExprPtr readDequantize(DequantizeOp op,
                              function_ref<ExprPtr(Value)> lookup) {
  auto node = std::make_shared<Expr>();
  node->kind = Expr::Kind::Op;
  node->op = op;
  node->elementType = getElementTypeOrSelf(op.getType());
  for (Value operand : op->getOperands()) {
    ExprPtr expr = lookup(operand);
    if (!expr || !expr->operands.empty() || expr->kind == Expr::Kind::Anchor)
      return nullptr;
    if (operand != op.getInput())
      expr = mapLeaves(expr, [&](const StridedView &view) {
        return spreadParameter(view, op);
      });
    if (!expr)
      return nullptr;
    node->operands.push_back(expr);
  }
  return node->operands[0]->kind == Expr::Kind::Argument ? node : nullptr;
}

/// A dequantized f32 that is rounded to 16 bits: the same node with another
/// type; null for all else.
static ExprPtr roundDequantize(CastOp op, const ExprPtr &input) {
  Type to = getElementTypeOrSelf(op.getType());
  if (!input || input->kind != Expr::Kind::Op ||
      !isa<DequantizeOp>(input->op) || !input->elementType.isF32() ||
      !(to.isF16() || to.isBF16()))
    return nullptr;
  auto node = std::make_shared<Expr>(*input);
  node->elementType = to;
  return node;
}

FailureOr<KernelViews>
KernelViews::get(KernelOp kernel, function_ref<bool(Operation *)> isAnchor,
                 std::string &whyNot, bool takesDequantize) {
  KernelViews result;
  Block &body = kernel.getBody().front();
  llvm::DenseMap<Value, ExprPtr> exprs;
  for (BlockArgument argument : body.getArguments()) {
    auto type = cast<RankedTensorType>(argument.getType());
    if (!type.hasStaticShape()) {
      whyNot = "an input has an open size";
      return failure();
    }
    exprs[argument] =
        makeLeaf(Expr::Kind::Argument, argument.getArgNumber(), type);
  }
  for (Operation &op : body.without_terminator()) {
    for (Type resultType : op.getResultTypes())
      if (!cast<RankedTensorType>(resultType).hasStaticShape()) {
        whyNot = opName(&op) + " has an open size";
        return failure();
      }
    if (isAnchor(&op)) {
      if (result.anchor) {
        whyNot = "the kernel has both " + opName(result.anchor) + " and " +
                 opName(&op);
        return failure();
      }
      result.anchor = &op;
      for (auto [index, operand] : llvm::enumerate(op.getOperands())) {
        ExprPtr expr = exprs.lookup(operand);
        if (ArrayRef<int64_t> turn = getTurn(&op, false, index); !turn.empty())
          expr = mapLeaves(expr, [&](const StridedView &view) {
            return view.permuted(turn);
          });
        if (!expr) {
          whyNot = "an operand of " + opName(&op) + " has no strides";
          return failure();
        }
        if (expr->kind == Expr::Kind::Splat && expr->elementType.isF32()) {
          // All elements are read from one.
          expr = std::make_shared<Expr>(*expr);
          expr->kind = Expr::Kind::Argument;
          expr->index = body.getNumArguments() + result.constants.size();
          result.constants.push_back(DenseElementsAttr::get(
              RankedTensorType::get({1}, expr->elementType),
              ArrayRef<Attribute>(cast<Attribute>(expr->splat))));
        }
        if (takesDequantize && index == 1 && expr->kind == Expr::Kind::Op &&
            isa<DequantizeOp>(expr->op)) {
          const Expr &bytes = *expr->operands[0];
          result.operands.push_back(
              {bytes.index, bytes.view, expr->elementType, expr});
          continue;
        }
        if (expr->kind != Expr::Kind::Argument) {
          whyNot =
              "an operand of " + opName(&op) + " is computed in the kernel";
          return failure();
        }
        result.operands.push_back({expr->index, expr->view, expr->elementType});
      }
      for (OpResult opResult : op.getResults()) {
        unsigned index = opResult.getResultNumber();
        ArrayRef<int64_t> turn = getTurn(&op, true, index);
        auto type = cast<RankedTensorType>(opResult.getType());
        ExprPtr &leaf = exprs[opResult];
        if (turn.empty()) {
          leaf = makeLeaf(Expr::Kind::Anchor, index, type);
          continue;
        }
        // Schedules compute it with heads second, which is its own inverse.
        leaf = makeLeaf(Expr::Kind::Anchor, index,
                        type.clone(applyPermutation(type.getShape(), turn)));
        leaf->view = *leaf->view.permuted(turn);
      }
      continue;
    }
    if (auto constant = dyn_cast<ConstantOp>(&op)) {
      ExprPtr leaf =
          makeConstant(constant, body.getNumArguments(), result.constants);
      if (!leaf) {
        whyNot = "a constant has no plain elements";
        return failure();
      }
      exprs[op.getResult(0)] = leaf;
      continue;
    }
    if (auto cast = dyn_cast<CastOp>(&op))
      if (ExprPtr rounded =
              roundDequantize(cast, exprs.lookup(cast.getOperand()))) {
        exprs[op.getResult(0)] = rounded;
        continue;
      }
    auto fusible = dyn_cast<FusibleOpInterface>(&op);
    auto type = op.getNumResults() == 1
                    ? dyn_cast<RankedTensorType>(op.getResult(0).getType())
                    : RankedTensorType();
    if (fusible && type && fusible.getFusionKind() == FusionKind::Elementwise) {
      auto node = std::make_shared<Expr>();
      node->kind = Expr::Kind::Op;
      node->op = &op;
      node->elementType = type.getElementType();
      for (Value operand : op.getOperands()) {
        ExprPtr expr =
            mapLeaves(exprs.lookup(operand), [&](const StridedView &view) {
              return view.broadcastTo(type.getShape());
            });
        if (!expr) {
          whyNot = "an operand of " + opName(&op) + " has no strides";
          return failure();
        }
        node->operands.push_back(expr);
      }
      exprs[op.getResult(0)] = node;
      continue;
    }
    ExprPtr viewed;
    if (auto dequantize = dyn_cast<DequantizeOp>(&op))
      viewed = readDequantize(dequantize,
                              [&](Value value) { return exprs.lookup(value); });
    else if (op.getNumOperands() == 1)
      viewed =
          mapLeaves(exprs.lookup(op.getOperand(0)),
                    [&](const StridedView &view) { return view.through(&op); });
    if (!viewed) {
      whyNot =
          opName(&op) + " has no form as strides or as an elementwise body";
      return failure();
    }
    exprs[op.getResult(0)] = viewed;
  }
  if (!result.anchor) {
    whyNot = "the kernel has no op of this schedule";
    return failure();
  }
  for (Value value : body.getTerminator()->getOperands()) {
    KernelOutput output;
    if (!toAnchorSpace(exprs.lookup(value),
                       cast<RankedTensorType>(value.getType()), result.anchor,
                       output, whyNot))
      return failure();
    result.outputs.push_back(std::move(output));
  }
  return result;
}

void KernelViews::foldBias(unsigned operand) {
  AnchorOperand bias = operands[operand];
  operands.erase(operands.begin() + operand);
  ArrayRef<int64_t> shape =
      cast<RankedTensorType>(anchor->getResult(0).getType()).getShape();
  for (KernelOutput &output : outputs) {
    auto replace = [&](ExprPtr &expr, auto &&recurse) -> void {
      for (ExprPtr &child : expr->operands)
        recurse(child, recurse);
      if (expr->kind != Expr::Kind::Anchor)
        return;
      auto leaf = std::make_shared<Expr>();
      leaf->kind = Expr::Kind::Argument;
      leaf->index = bias.argument;
      leaf->elementType = bias.elementType;
      leaf->view = *bias.view.broadcastTo(shape);
      auto sum = std::make_shared<Expr>();
      sum->kind = Expr::Kind::Sum;
      sum->elementType = expr->elementType;
      sum->operands = {expr, leaf};
      expr = sum;
    };
    replace(output.value, replace);
  }
}
