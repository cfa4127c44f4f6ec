//===- Cost.cpp - Arithmetic and traffic of ops ---------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/Cost.h"

#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include <limits>

using namespace lathe;

static int64_t multiply(int64_t a, int64_t b) {
  int64_t result;
  return llvm::MulOverflow(a, b, result) ? std::numeric_limits<int64_t>::max()
                                         : result;
}

static int64_t add(int64_t a, int64_t b) {
  int64_t result;
  return llvm::AddOverflow(a, b, result) ? std::numeric_limits<int64_t>::max()
                                         : result;
}

static int64_t product(ArrayRef<int64_t> sizes) {
  int64_t result = 1;
  for (int64_t size : sizes)
    result = multiply(result, size);
  return result;
}

Cost &Cost::operator+=(const Cost &other) {
  flops = add(flops, other.flops);
  bytes = add(bytes, other.bytes);
  return *this;
}

int64_t lathe::getNumElements(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && tensor.hasStaticShape() ? product(tensor.getShape()) : 0;
}

int64_t lathe::getNumBytes(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.getElementType().isIntOrFloat())
    return 0;
  return multiply(getNumElements(type),
                  llvm::divideCeil(tensor.getElementTypeBitWidth(), 8));
}

static int64_t lastDim(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape().back();
}

/// Products whose accesses are not affine maps, which is why they are named.
static int64_t getContractionDepth(Operation *op) {
  return llvm::TypeSwitch<Operation *, int64_t>(op)
      .Case([](PackedMatmulOp matmul) { return lastDim(matmul.getLhs()); })
      .Case([](PackedConvOp conv) {
        return multiply(product(conv.getKernel()), lastDim(conv.getInput()));
      })
      .Case([](ConvOp conv) {
        auto filter = cast<RankedTensorType>(conv.getFilter().getType());
        return product(filter.getShape().drop_front());
      })
      .Case([](ConvTransposeOp conv) {
        // Every input element meets every tap; strides spread them out.
        auto input = cast<RankedTensorType>(conv.getInput().getType());
        auto result = cast<RankedTensorType>(conv.getResult().getType());
        auto filter = cast<RankedTensorType>(conv.getFilter().getType());
        int64_t total = multiply(product(input.getShape()),
                                 product(filter.getShape().drop_front()));
        return total / std::max<int64_t>(1, product(result.getShape()));
      })
      .Default([](Operation *) { return 0; });
}

static int64_t getFlops(Operation *op) {
  if (op->getNumResults() == 0)
    return 0;
  int64_t results = getNumElements(op->getResult(0).getType());
  if (int64_t depth = getContractionDepth(op))
    return multiply(2, multiply(results, depth));
  if (isa<AttentionOp, AttentionTrainingOp, AttentionBackwardOp>(op)) {
    auto query = cast<RankedTensorType>(op->getOperand(0).getType());
    auto key = cast<RankedTensorType>(op->getOperand(1).getType());
    auto layout = op->getAttrOfType<HeadLayoutAttr>("layout");
    bool headsThird = layout && layout.getValue() == HeadLayout::heads_third;
    int64_t scores = multiply(product(query.getShape().drop_back()),
                              key.getDimSize(headsThird ? 1 : 2));
    int64_t depth = query.getShape().back(), width = lastDim(op->getOperand(2));
    // Scores, the weights' gradient, and three products with those; the
    // exponential, two differences and two products of every score.
    if (isa<AttentionBackwardOp>(op))
      return multiply(scores, 2 * (3 * depth + 2 * width) + 5);
    // Scale, maximum, difference, exponential and sum of every score.
    return multiply(scores, 2 * (depth + width) + 5);
  }
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  if (!fusible)
    return 0;
  switch (fusible.getFusionKind()) {
  case FusionKind::View:
    return 0;
  case FusionKind::Elementwise:
    return results;
  case FusionKind::Reduction:
    return getNumElements(op->getOperand(0).getType());
  case FusionKind::Contraction: {
    int64_t space = 1;
    SmallVector<AffineMap> maps = fusible.getFusionMaps();
    if (maps.empty())
      return multiply(2, results);
    llvm::SmallDenseSet<unsigned> seen;
    for (auto [operand, map] : llvm::zip(op->getOperands(), maps)) {
      auto type = cast<RankedTensorType>(operand.getType());
      for (auto [expr, size] : llvm::zip(map.getResults(), type.getShape()))
        if (auto dim = dyn_cast<AffineDimExpr>(expr))
          if (seen.insert(dim.getPosition()).second)
            space = multiply(space, size);
    }
    return multiply(2, space);
  }
  case FusionKind::Opaque:
    // Pools do one operation per tap; the rest only moves or sorts.
    if (auto kernel = op->getAttrOfType<DenseI64ArrayAttr>("kernel"))
      return multiply(results, product(kernel.asArrayRef()));
    return 0;
  }
  return 0;
}

/// What `op` reads of an operand: of a table, the rows it looks up.
static int64_t getBytesRead(OpOperand &use) {
  int64_t whole = getNumBytes(use.get().getType());
  bool isTable =
      use.getOperandNumber() == 0 &&
      isa<EmbeddingOp, GatherOp, GatherElementsOp, GatherNdOp, SliceOp>(
          use.getOwner());
  return isTable ? std::min(whole,
                            getNumBytes(use.getOwner()->getResult(0).getType()))
                 : whole;
}

/// What a kernel reads of an input: the uses together, but nothing twice.
static int64_t getBytesRead(BlockArgument input) {
  int64_t bytes = 0;
  for (OpOperand &use : input.getUses())
    bytes = add(bytes, getBytesRead(use));
  return std::min(bytes, getNumBytes(input.getType()));
}

Cost lathe::getCost(Operation *op) {
  if (auto kernel = dyn_cast<KernelOp>(op))
    return getCost(kernel);
  Cost cost;
  if (op->getNumRegions() != 0) {
    for (Region &region : op->getRegions())
      for (Operation &inner : region.getOps())
        cost += getCost(&inner);
    return cost;
  }
  cost.flops = getFlops(op);
  for (OpOperand &operand : op->getOpOperands())
    cost.bytes = add(cost.bytes, getBytesRead(operand));
  for (Value result : op->getResults())
    cost.bytes = add(cost.bytes, getNumBytes(result.getType()));
  return cost;
}

double lathe::getTimePerFlop(Operation *op) {
  return isa<ErfOp, GeluOp>(op) ? 16 : 1;
}

Cost lathe::getCost(KernelOp kernel) {
  Cost cost;
  for (Operation &op : kernel.getBody().front().without_terminator())
    cost.flops = add(cost.flops, getFlops(&op));
  for (BlockArgument input : kernel.getBody().getArguments())
    cost.bytes = add(cost.bytes, getBytesRead(input));
  for (Value result : kernel.getResults())
    cost.bytes = add(cost.bytes, getNumBytes(result.getType()));
  return cost;
}
