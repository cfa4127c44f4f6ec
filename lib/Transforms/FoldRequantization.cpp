//===- FoldRequantization.cpp - Divisions by scales into factors ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With 1 / scale in the factors behind a sum, a byte costs a multiply-add, a
// clamp and a rounding: what B. Jacob et al. call requantization, "Quantization
// and Training of Neural Networks for Efficient Integer-Arithmetic-Only
// Inference", 2018, here with factors in f32. Which ops take a factor is for
// ScalableOpInterface to say.
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/LoadTime.h"
#include "lathe/Transforms/Passes.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/MapVector.h"

namespace lathe {
#define GEN_PASS_DEF_FOLDREQUANTIZATION
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// Between these 1 / scale leaves any factor of a use a normal number.
/// Constants are looked at; what weights hold is not known here.
static constexpr double kLeastScale = 0x1p-30, kMostScale = 0x1p30;

/// Links of a chain of ops that a factor goes up; longer ones are no epilogue.
static constexpr unsigned kMaxDepth = 32;

/// The one positive number that `scale` is, or none.
static std::optional<double> getNumber(Value scale) {
  DenseFPElementsAttr elements;
  if (!matchPattern(scale, m_Constant(&elements)) || !elements.isSplat() ||
      !elements.getElementType().isF32())
    return std::nullopt;
  double number = elements.getSplatValue<APFloat>().convertToDouble();
  if (!(number >= kLeastScale && number <= kMostScale))
    return std::nullopt;
  return number;
}

/// Whether elements that are normal f32, or 0, stay so by `factor`: an infinite
/// scale would make NaN of a 0.
static bool takesFactor(Value value, double factor) {
  DenseFPElementsAttr elements;
  if (!matchPattern(value, m_Constant(&elements)))
    return true;
  auto fits = [&](const APFloat &element) {
    double product = std::abs(element.convertToDouble()) * factor;
    return product == 0 || (product >= 0x1p-126 && product <= 0x1p127);
  };
  return elements.isSplat() ? fits(elements.getSplatValue<APFloat>())
                            : llvm::all_of(elements.getValues<APFloat>(), fits);
}

static Value makeNumber(OpBuilder &builder, Value like, double number) {
  auto type = cast<RankedTensorType>(like.getType());
  return builder.create<ConstantOp>(
      like.getLoc(),
      DenseElementsAttr::get(
          type, builder.getFloatAttr(builder.getF32Type(), number)));
}

namespace {
/// What `quantize` reads, with a factor.
class Factor {
public:
  Factor(QuantizeOp quantize, double factor, const LoadTime &loadTime)
      : block(quantize->getBlock()), factor(factor), loadTime(loadTime),
        builder(quantize) {}

  /// Finds what has to be multiplied for `value` to be. Of several ways the
  /// first is taken.
  LogicalResult plan(Value value, std::string &whyNot, unsigned depth = 0);
  /// `value` times `multiplier`, of rank 0, as planned.
  Value emit(Value value, Value multiplier);
  /// Erases what nobody reads any more.
  void eraseUnused();

private:
  Block *block;
  double factor;
  const LoadTime &loadTime;
  OpBuilder builder;
  /// Of the ops on the way, each behind those it reads: the operands to
  /// multiply.
  llvm::MapVector<Operation *, SmallVector<unsigned, 2>> ways;
  DenseMap<Value, Value> emitted;
};

class FoldRequantization
    : public lathe::impl::FoldRequantizationBase<FoldRequantization> {
  using FoldRequantizationBase::FoldRequantizationBase;

  void runOnOperation() override {
    LoadTime loadTime(getOperation());
    SmallVector<QuantizeOp> worklist;
    getOperation()->walk([&](QuantizeOp op) {
      // What is made of weights is divided once.
      if (!loadTime.isKnownOrSlice(op.getInput()))
        worklist.push_back(op);
    });
    for (QuantizeOp op : worklist) {
      std::string whyNot;
      if (succeeded(fold(op, loadTime, whyNot)))
        ++numFolded;
      else if (explain)
        op.emitRemark("divides by its scale: ") << whyNot;
    }
  }

  LogicalResult fold(QuantizeOp op, const LoadTime &loadTime,
                     std::string &whyNot);
};
} // namespace

LogicalResult Factor::plan(Value value, std::string &whyNot, unsigned depth) {
  if (loadTime.isKnownOrSlice(value)) {
    if (takesFactor(value, factor))
      return success();
    whyNot = "a constant before it would leave the numbers of f32";
    return failure();
  }
  Operation *op = value.getDefiningOp();
  if (!op) {
    whyNot = "nothing takes a factor before it";
    return failure();
  }
  auto scalable = dyn_cast<ScalableOpInterface>(op);
  if (!scalable || op->getBlock() != block) {
    whyNot = "'" + op->getName().getStringRef().str() +
             (scalable ? "' stands outside of the loop" : "' takes no factor");
    return failure();
  }
  if (!value.hasOneUse() && !scalable.isCheapToRepeat()) {
    whyNot = "others read the result of '" +
             op->getName().getStringRef().str() + "', too";
    return failure();
  }
  if (depth == kMaxDepth) {
    whyNot = "more than " + std::to_string(kMaxDepth) + " ops are before it";
    return failure();
  }
  for (const auto &operands : scalable.getScalableOperands())
    if (llvm::all_of(operands, [&](unsigned index) {
          return succeeded(plan(op->getOperand(index), whyNot, depth + 1));
        })) {
      ways[op] = operands;
      return success();
    }
  return failure();
}

Value Factor::emit(Value value, Value multiplier) {
  Value &result = emitted[value];
  if (result)
    return result;
  if (loadTime.isKnownOrSlice(value))
    return result = builder.createOrFold<MulOp>(value.getLoc(), value.getType(),
                                                value, multiplier);
  Operation *op = value.getDefiningOp();
  SmallVector<Value> operands(op->getOperands());
  for (unsigned index : ways.lookup(op))
    operands[index] = emit(operands[index], multiplier);
  Operation *scaled = builder.clone(*op);
  scaled->setOperands(operands);
  return emitted[value] = scaled->getResult(0);
}

void Factor::eraseUnused() {
  for (auto &[op, operands] : llvm::reverse(ways))
    if (op->use_empty())
      op->erase();
}

LogicalResult FoldRequantization::fold(QuantizeOp op, const LoadTime &loadTime,
                                       std::string &whyNot) {
  std::optional<double> scale = getNumber(op.getScale());
  if (!scale) {
    whyNot = "it is not one constant number";
    return failure();
  }
  Factor factor(op, 1.0 / *scale, loadTime);
  if (failed(factor.plan(op.getInput(), whyNot)))
    return failure();
  OpBuilder builder(op);
  Value reciprocal = builder.create<ConstantOp>(
      op.getLoc(),
      DenseElementsAttr::get(RankedTensorType::get({}, builder.getF32Type()),
                             builder.getF32FloatAttr(1.0 / *scale)));
  op.getInputMutable().assign(factor.emit(op.getInput(), reciprocal));
  op.getScaleMutable().assign(makeNumber(builder, op.getScale(), 1.0));
  factor.eraseUnused();
  return success();
}
