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

/// Between these a scale and its reciprocal are normal numbers, and so is what
/// they are multiplied with, usually.
static constexpr double kLeastScale = 0x1p-60, kMostScale = 0x1p60;

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
  Factor(QuantizeOp quantize, const LoadTime &loadTime)
      : block(quantize->getBlock()), loadTime(loadTime), builder(quantize) {}

  /// Finds what has to be multiplied for `value` to be. Of several ways the
  /// first is taken.
  LogicalResult plan(Value value, std::string &whyNot, unsigned depth = 0);
  /// `value` times `factor`, of rank 0, as planned.
  Value emit(Value value, Value factor);
  /// Erases what nobody reads any more.
  void eraseUnused();

private:
  Block *block;
  const LoadTime &loadTime;
  OpBuilder builder;
  /// Of the ops on the way, each behind those it reads: the operands to
  /// multiply.
  llvm::MapVector<Operation *, SmallVector<unsigned, 2>> ways;
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
  if (loadTime.isKnownOrSlice(value))
    return success();
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
  // Bytes are read twice as well as once; what is computed is not to be
  // computed twice.
  if (!value.hasOneUse() && !isa<DequantizeOp>(op)) {
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

Value Factor::emit(Value value, Value factor) {
  if (loadTime.isKnownOrSlice(value))
    return builder.createOrFold<MulOp>(value.getLoc(), value.getType(), value,
                                       factor);
  Operation *op = value.getDefiningOp();
  SmallVector<Value> operands(op->getOperands());
  for (unsigned index : ways.lookup(op))
    operands[index] = emit(operands[index], factor);
  Operation *scaled = builder.clone(*op);
  scaled->setOperands(operands);
  return scaled->getResult(0);
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
  Factor factor(op, loadTime);
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
