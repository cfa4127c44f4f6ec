//===- Precision.cpp - Products on 16-bit floats --------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Products read and give rounded values; everything else computes in f32. What
// is left to decide is where values change their type. Rounding commutes with
// ops that choose or move elements, so two sets of values can be stored in 16
// bits and stay what they are: those made of rounded values by such ops, and
// those that only products read, if through such ops. One walk forwards finds
// the first, one backwards the second.
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/Cost.h"
#include "lathe/Analysis/LoadTime.h"
#include "lathe/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Matchers.h"

namespace lathe {
#define GEN_PASS_DEF_PRECISION
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

static bool isF32(Value value) {
  return getElementTypeOrSelf(value.getType()).isF32();
}

static bool isFloat(Value value) {
  return isa<FloatType>(getElementTypeOrSelf(value.getType()));
}

static int64_t getNumElements(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return type.hasStaticShape() ? type.getNumElements() : 0;
}

static FusionKind getKind(Operation *op) {
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  return fusible ? fusible.getFusionKind() : FusionKind::Opaque;
}

/// Whether the op gives the same rounded before and behind it.
static bool keepsElements(Operation *op) {
  return op->getNumResults() == 1 && op->getNumRegions() == 0 &&
         isF32(op->getResult(0)) &&
         (getKind(op) == FusionKind::View || op->hasTrait<KeepsElements>());
}

/// A number that the type holds, in all places.
static bool isExactConstant(Value value, FloatType type) {
  DenseFPElementsAttr elements;
  if (!matchPattern(value, m_Constant(&elements)) || !elements.isSplat())
    return false;
  APFloat number = elements.getSplatValue<APFloat>();
  bool losesInfo = false;
  number.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                 &losesInfo);
  return !losesInfo;
}

namespace {
class Precision : public lathe::impl::PrecisionBase<Precision> {
  using PrecisionBase::PrecisionBase;

  void runOnOperation() override;
  /// The reason why a product stays as it is; empty where it does not.
  std::string refuse(Operation *op, const LoadTime &load) const;
  void findRounded();
  void findRoundable();
  void chooseFollowing();
  int64_t getCastElements(Value value) const;
  Value getNarrow(Value value);
  void convert(Operation *op);
  void explainOp(Operation *op, StringRef whyNot) const;

  bool isLow(Operation *op) const { return low.contains(op); }

  FloatType narrow;
  /// All ops of the function, those in regions behind the op around them.
  SmallVector<Operation *> ops;
  /// Those that read and give 16 bits: products, and later what follows them.
  DenseSet<Operation *> low;
  /// Values that the type holds as they are; values that only `low` ops and
  /// those that keep elements read, so that they may be rounded.
  DenseSet<Value> rounded, roundable;
  /// The rounded form of values that are f32.
  DenseMap<Value, Value> twins;
};
} // namespace

std::string Precision::refuse(Operation *op, const LoadTime &load) const {
  auto isKnown = [&](Value value) { return load.isKnownOrSlice(value); };
  if (llvm::all_of(op->getResults(), isKnown))
    return "it is computed once, when weights are loaded";
  for (Value value : op->getOperands())
    if (isFloat(value) && !isF32(value)) {
      std::string text;
      llvm::raw_string_ostream(text)
          << "expected products of f32, this one reads " << value.getType();
      return text;
    }
  if (llvm::any_of(op->getOperands(), [](Value value) {
        return value.getDefiningOp<DequantizeOp>() != nullptr;
      }))
    return "its operands are quantized";
  if (op->getNumResults() != 1)
    return "it has several results";
  return "";
}

/// Forwards: what ops that keep elements make of rounded values.
void Precision::findRounded() {
  for (Operation *op : ops) {
    if (!isLow(op) && !keepsElements(op))
      continue;
    bool all = true;
    for (Value operand : op->getOperands())
      if (isF32(operand))
        all &= rounded.contains(operand) || isExactConstant(operand, narrow);
    if (isLow(op) || all)
      rounded.insert(op->getResult(0));
  }
}

/// Backwards: what nobody reads as f32.
void Precision::findRoundable() {
  auto readsRounded = [&](Operation *user) {
    return isLow(user) ||
           (keepsElements(user) && roundable.contains(user->getResult(0)));
  };
  auto check = [&](Value value) {
    if (!value.use_empty() && llvm::all_of(value.getUsers(), readsRounded))
      roundable.insert(value);
  };
  for (Operation *op : llvm::reverse(ops))
    for (Value result : op->getResults())
      check(result);
}

/// Elements that a cast of `value` writes besides what is written anyway: none
/// where it is part of the op that makes the value, or others need it, too.
int64_t Precision::getCastElements(Value value) const {
  if (!isF32(value) || rounded.contains(value) ||
      isExactConstant(value, narrow))
    return 0;
  Operation *op = value.getDefiningOp();
  if (op && roundable.contains(value) &&
      !op->hasTrait<OpTrait::ConstantLike>() && !isa<GetParameterOp>(op))
    return 0;
  return llvm::any_of(value.getUsers(),
                      [&](Operation *user) { return isLow(user); })
             ? 0
             : getNumElements(value);
}

void Precision::chooseFollowing() {
  for (Operation *op : ops) {
    if (isLow(op) || !keepsElements(op))
      continue;
    Value result = op->getResult(0);
    int64_t before = 0;
    for (Value operand : op->getOperands())
      before += getCastElements(operand);
    // Behind the op, a cast writes the result.
    if (rounded.contains(result) ||
        (roundable.contains(result) && before <= getNumElements(result))) {
      low.insert(op);
      rounded.insert(result);
      ++numFollowing;
    }
  }
}

Value Precision::getNarrow(Value value) {
  if (!isF32(value))
    return value;
  Value &twin = twins[value];
  if (!twin) {
    OpBuilder builder(&getContext());
    builder.setInsertionPointAfterValue(value);
    twin = builder.create<CastOp>(value.getLoc(), value, narrow);
    ++numCasts;
  }
  return twin;
}

void Precision::convert(Operation *op) {
  for (OpOperand &operand : op->getOpOperands())
    if (isF32(operand.get()))
      operand.set(getNarrow(operand.get()));
  Value result = op->getResult(0);
  result.setType(cast<RankedTensorType>(result.getType()).clone(narrow));
  auto isWide = [&](OpOperand &use) { return !isLow(use.getOwner()); };
  if (llvm::none_of(result.getUses(), isWide))
    return;
  OpBuilder builder(op);
  builder.setInsertionPointAfter(op);
  auto wide =
      builder.create<CastOp>(op->getLoc(), result, builder.getF32Type());
  ++numCasts;
  result.replaceUsesWithIf(wide, [&](OpOperand &use) {
    return use.getOwner() != wide && isWide(use);
  });
}

void Precision::explainOp(Operation *op, StringRef whyNot) const {
  if (!whyNot.empty()) {
    op->emitRemark("keeps its type: ") << whyNot;
  } else if (isLow(op)) {
    int64_t bytes = 0;
    bool someAreOpen = false;
    auto count = [&](Value value) {
      bytes += 4 * getNumElements(value);
      someAreOpen |= !cast<RankedTensorType>(value.getType()).hasStaticShape();
    };
    count(op->getResult(0));
    for (Value value : op->getOperands())
      if (isF32(value))
        count(value);
    InFlightDiagnostic remark =
        op->emitRemark(getKind(op) == FusionKind::Contraction ? "computes on "
                                                              : "hands on ")
        << narrow;
    if (bytes == 0 && someAreOpen)
      remark << ": the sizes of its operands and result are open";
    else
      remark << ": its operands and result are " << bytes / 2
             << " bytes instead of " << bytes
             << (someAreOpen ? ", without those of open sizes" : "");
  } else if (keepsElements(op)) {
    if (roundable.contains(op->getResult(0)))
      op->emitRemark("keeps f32: fewer elements are rounded behind it");
    else if (llvm::any_of(op->getOperands(), [&](Value operand) {
               return rounded.contains(operand);
             }))
      op->emitRemark("keeps f32: some of what it reads is not rounded, and "
                     "some of its readers compute in f32");
  } else if (getKind(op) != FusionKind::Elementwise &&
             llvm::any_of(op->getOperands(), [&](Value operand) {
               return rounded.contains(operand);
             })) {
    op->emitRemark("keeps f32: only products, convolutions and attention "
                   "compute on ")
        << narrow;
  }
}

void Precision::runOnOperation() {
  if (type != "bf16" && type != "f16") {
    getOperation()->emitError("expected 'type' of bf16 or f16, got '")
        << type << "'";
    return signalPassFailure();
  }
  narrow = type == "bf16" ? FloatType::getBF16(&getContext())
                          : FloatType::getF16(&getContext());
  for (auto *set : {&rounded, &roundable})
    set->clear();
  ops.clear();
  low.clear();
  twins.clear();
  LoadTime load(getOperation());
  DenseMap<Operation *, std::string> reasons;
  getOperation()->walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (!isa_and_nonnull<LatheDialect>(op->getDialect()) ||
        op->hasTrait<OpTrait::IsTerminator>())
      return;
    ops.push_back(op);
    if (getKind(op) != FusionKind::Contraction ||
        llvm::none_of(op->getResults(), isFloat))
      return;
    if (std::string whyNot = refuse(op, load); !whyNot.empty())
      reasons[op] = whyNot;
    else
      low.insert(op);
  });
  numConverted += low.size();
  findRounded();
  findRoundable();
  chooseFollowing();
  if (explain)
    for (Operation *op : ops)
      explainOp(op, reasons.lookup(op));
  for (Operation *op : ops)
    if (isLow(op))
      convert(op);
}
