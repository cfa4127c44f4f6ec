//===- SumAfterScan.cpp - Sums over a scan as one product behind it -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The gradient of a weight that every iteration uses is a sum that the backward
// scan carries: sum += g^T x, over the few rows of one iteration. Reading and
// writing the sum then takes longer than the product. With g and x of all
// iterations stacked, the whole sum is one product over all rows.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/ConstantNumbers.h"
#include "lathe/Transforms/Passes.h"

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace lathe {
#define GEN_PASS_DEF_SUMAFTERSCAN
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// With more rows an iteration's product is worth its sum.
static constexpr int64_t kFewRows = 256;

static ArrayRef<int64_t> getShape(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

static int64_t getNumElements(Value value) {
  return cast<RankedTensorType>(value.getType()).getNumElements();
}

namespace {
/// A carried value that only sums up what `term` gives.
struct Sum {
  unsigned index = 0; ///< of the carried value
  AddOp add;
  /// A matmul with transpose_lhs alone, or a reduce_sum.
  Operation *term = nullptr;
};

class ScanRewrite {
public:
  explicit ScanRewrite(ScanOp op)
      : op(op), body(op.getBody().front()), yield(body.getTerminator()),
        trips(op.computeTripCount()), carried(op.getNumCarried()), builder(op) {
  }

  /// The number of sums that moved.
  unsigned run();

private:
  std::optional<Sum> findSum(unsigned index);
  bool isWorthIt(Sum sum);
  Value getSource(Value value);
  bool isStacked(Value value);
  Value getStacked(Value value);
  Value emitSum(Sum sum, Value init);
  void rebuild(ArrayRef<Sum> sums);

  ScanOp op;
  Block &body;
  Operation *yield;
  int64_t trips;
  unsigned carried;
  /// Values that the new scan stacks, and its results that are they.
  SmallVector<Value> stacked;
  SmallVector<Value> stackedResults;
  OpBuilder builder;
};
} // namespace

std::optional<Sum> ScanRewrite::findSum(unsigned index) {
  Value argument = body.getArgument(index);
  if (!argument.hasOneUse())
    return std::nullopt;
  auto add = dyn_cast<AddOp>(*argument.user_begin());
  if (!add || add->getBlock() != &body || !add->hasOneUse() ||
      yield->getOperand(index) != add.getResult())
    return std::nullopt;
  Value value = add.getLhs() == argument ? add.getRhs() : add.getLhs();
  Operation *term = value.getDefiningOp();
  if (!term || term->getBlock() != &body || !value.hasOneUse() ||
      value.getType() != argument.getType())
    return std::nullopt;
  if (auto matmul = dyn_cast<MatmulOp>(term)) {
    if (!matmul.getTransposeLhs() || matmul.getTransposeRhs() ||
        getShape(matmul.getLhs()).size() != 2 ||
        getShape(matmul.getRhs()).size() != 2)
      return std::nullopt;
  } else if (!isa<ReduceSumOp>(term)) {
    return std::nullopt;
  }
  // An operand from outside of the loop is the same in all iterations.
  for (Value operand : term->getOperands())
    if (operand.getParentBlock() != &body)
      return std::nullopt;
  return Sum{index, add, term};
}

/// What `value` is a reshape of, in the body.
Value ScanRewrite::getSource(Value value) {
  while (auto reshape = value.getDefiningOp<ReshapeOp>()) {
    if (reshape->getBlock() != &body)
      break;
    value = reshape.getInput();
  }
  return value;
}

/// Whether all iterations' values stand in memory anyway.
bool ScanRewrite::isStacked(Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  return (argument && argument.getOwner() == &body &&
          argument.getArgNumber() >= carried) ||
         llvm::is_contained(yield->getOperands().drop_front(carried), value);
}

bool ScanRewrite::isWorthIt(Sum sum) {
  if (isa<MatmulOp>(sum.term) &&
      getShape(sum.term->getOperand(0))[0] > kFewRows)
    return false;
  int64_t more = 0, inputs = 0;
  for (Value operand : sum.term->getOperands())
    if (Value source = getSource(operand); !isStacked(source))
      more += trips * getNumElements(source);
  for (Value input : op.getInputs())
    inputs += getNumElements(input);
  // Gradients that accumulate over the parts of a batch are to save memory.
  return more <= std::max(getNumElements(sum.add), inputs);
}

/// `value` of all iterations, behind the new scan.
Value ScanRewrite::getStacked(Value value) {
  Value source = getSource(value), result;
  auto argument = dyn_cast<BlockArgument>(source);
  if (argument && argument.getOwner() == &body &&
      argument.getArgNumber() >= carried)
    result = op.getInputs()[argument.getArgNumber() - carried];
  else
    result = stackedResults[std::distance(stacked.begin(),
                                          llvm::find(stacked, source))];
  if (source == value)
    return result;
  SmallVector<int64_t> shape{trips};
  llvm::append_range(shape, getShape(value));
  return builder.create<ReshapeOp>(op.getLoc(), result,
                                   builder.getDenseI64ArrayAttr(shape),
                                   builder.getUnitAttr());
}

Value ScanRewrite::emitSum(Sum sum, Value init) {
  Location loc = sum.add.getLoc();
  Value result;
  if (auto matmul = dyn_cast<MatmulOp>(sum.term)) {
    auto rows = [&](Value value) {
      ArrayRef<int64_t> shape = getShape(value);
      return builder.create<ReshapeOp>(
          loc, getStacked(value),
          builder.getDenseI64ArrayAttr({trips * shape[0], shape[1]}),
          builder.getUnitAttr());
    };
    Value lhs = rows(matmul.getLhs()), rhs = rows(matmul.getRhs());
    result = builder.create<MatmulOp>(loc, sum.add.getType(), lhs, rhs,
                                      builder.getUnitAttr(), UnitAttr());
  } else {
    // The iterations are one more dim to sum over.
    auto reduce = cast<ReduceSumOp>(sum.term);
    int64_t rank = getShape(reduce.getInput()).size();
    SmallVector<int64_t> axes{0};
    if (reduce.getAxes().empty())
      llvm::append_range(axes, llvm::seq<int64_t>(1, rank + 1));
    for (int64_t axis : reduce.getAxes())
      axes.push_back((axis < 0 ? axis + rank : axis) + 1);
    result = builder.create<ReduceSumOp>(loc, getStacked(reduce.getInput()),
                                         builder.getDenseI64ArrayAttr(axes),
                                         builder.getBoolAttr(false));
    if (result.getType() != sum.add.getType())
      result = builder.create<ReshapeOp>(
          loc, result, builder.getDenseI64ArrayAttr(getShape(sum.add)),
          builder.getUnitAttr());
  }
  return isZeroConstant(init) ? result
                              : builder.create<AddOp>(loc, init, result);
}

unsigned ScanRewrite::run() {
  if (ShapedType::isDynamic(trips) || trips < 2)
    return 0;
  SmallVector<Sum> sums;
  for (unsigned i = 0; i < carried; ++i)
    if (std::optional<Sum> sum = findSum(i); sum && isWorthIt(*sum))
      sums.push_back(*sum);
  if (!sums.empty())
    rebuild(sums);
  return sums.size();
}

/// The same scan without the sums, and with what they are made of stacked.
void ScanRewrite::rebuild(ArrayRef<Sum> sums) {
  llvm::append_range(stacked, yield->getOperands().drop_front(carried));
  for (Sum sum : sums)
    for (Value operand : sum.term->getOperands())
      if (Value source = getSource(operand);
          !isStacked(source) && !llvm::is_contained(stacked, source))
        stacked.push_back(source);

  SmallVector<Value> inits, yielded, replacements(op.getNumResults());
  SmallVector<Type> types;
  SmallVector<unsigned> kept;
  for (unsigned i = 0; i < carried; ++i) {
    if (llvm::any_of(sums, [&](Sum sum) { return sum.index == i; }))
      continue;
    kept.push_back(i);
    inits.push_back(op.getInits()[i]);
    yielded.push_back(yield->getOperand(i));
    types.push_back(op.getResult(i).getType());
  }
  for (Value value : stacked) {
    SmallVector<int64_t> shape{trips};
    llvm::append_range(shape, getShape(value));
    types.push_back(
        RankedTensorType::get(shape, getElementTypeOrSelf(value.getType())));
  }
  auto scan = builder.create<ScanOp>(op.getLoc(), types, inits, op.getInputs(),
                                     builder.getI64IntegerAttr(trips),
                                     op.getReverseAttr());
  llvm::append_range(stackedResults,
                     scan->getResults().drop_front(kept.size()));
  for (auto [result, i] : llvm::zip(scan.getResults(), kept))
    replacements[i] = result;
  for (unsigned i = carried; i < op.getNumResults(); ++i)
    replacements[i] = stackedResults[i - carried];
  for (Sum sum : sums)
    replacements[sum.index] = emitSum(sum, op.getInits()[sum.index]);
  op->replaceAllUsesWith(replacements);

  scan.getBody().takeBody(op.getBody());
  op->erase();
  llvm::append_range(yielded, stacked);
  yield->setOperands(yielded);
  for (Operation &dead : llvm::make_early_inc_range(llvm::reverse(body)))
    if (isOpTriviallyDead(&dead))
      dead.erase();
  for (Sum sum : llvm::reverse(sums))
    body.eraseArgument(sum.index);
  // Inputs that only the sums read.
  for (unsigned i = scan.getInputs().size(); i-- > 0;) {
    unsigned argument = kept.size() + i;
    if (!body.getArgument(argument).use_empty())
      continue;
    body.eraseArgument(argument);
    scan.getInputsMutable().erase(i);
  }
}

namespace {
class SumAfterScan : public lathe::impl::SumAfterScanBase<SumAfterScan> {
  using SumAfterScanBase::SumAfterScanBase;

  void runOnOperation() override {
    SmallVector<ScanOp> scans;
    getOperation()->walk([&](ScanOp scan) { scans.push_back(scan); });
    for (ScanOp scan : scans)
      numMoved += ScanRewrite(scan).run();
  }
};
} // namespace
