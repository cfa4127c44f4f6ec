//===- ChunkLosses.cpp - Losses of large vocabularies ---------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/Passes.h"

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {
#define GEN_PASS_DEF_CHUNKLOSSES
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// The most rows up to `limit`, and a divisor of `rows` where there is one not
/// much below it: then no chunk is filled up.
static int64_t chooseChunk(int64_t rows, int64_t limit) {
  limit = std::clamp<int64_t>(limit, 1, rows);
  for (int64_t chunk = limit; chunk > limit / 2; --chunk)
    if (rows % chunk == 0)
      return chunk;
  return limit;
}

namespace {
struct ChunkLosses : lathe::impl::ChunkLossesBase<ChunkLosses> {
  using ChunkLossesBase::ChunkLossesBase;

  void runOnOperation() override {
    SmallVector<CrossEntropyOp> losses;
    getOperation()->walk([&](CrossEntropyOp op) { losses.push_back(op); });
    for (CrossEntropyOp op : losses) {
      std::string whyNot;
      if (succeeded(convert(op, whyNot)))
        ++numChunked;
      else if (explain)
        op.emitRemark("keeps its logits: ") << whyNot;
    }
  }

  LogicalResult convert(CrossEntropyOp op, std::string &whyNot) {
    auto refuse = [&](const Twine &reason) {
      whyNot = reason.str();
      return failure();
    };
    if (op.getReduction() != LossReduction::mean)
      return refuse("it is no mean");
    // Mixed precision widens the logits before the loss.
    Value logits = op.getLogits();
    SmallVector<Operation *> between;
    if (auto cast = logits.getDefiningOp<CastOp>();
        cast &&
        isa<FloatType>(getTensorType(cast.getInput()).getElementType())) {
      between.push_back(cast);
      logits = cast.getInput();
    }
    auto linear = logits.getDefiningOp<LinearOp>();
    if (!linear)
      return refuse("the logits are not those of a linear");
    if (!op.getLogits().hasOneUse() || !logits.hasOneUse())
      return refuse("the logits are used elsewhere, too");
    auto type = getTensorType(logits);
    if (!type.hasStaticShape() ||
        !getTensorType(linear.getInput()).hasStaticShape())
      return refuse("the shape of the logits is not known");
    int64_t classes = type.getShape().back();
    if (type.getNumElements() == 0)
      return refuse("there are none");
    int64_t rows = type.getNumElements() / classes;
    int64_t bytes = 4 * type.getNumElements();
    if (bytes < minBytes)
      return refuse("they take " + Twine(bytes) +
                    " bytes, which is less than " + Twine(int64_t(minBytes)));
    OpBuilder builder(op);
    auto chunked = builder.create<LinearCrossEntropyOp>(
        op.getLoc(), linear.getInput(), linear.getWeight(), op.getLabels(),
        linear.getBias(),
        uint64_t(chooseChunk(rows, chunkBytes / (4 * classes))),
        op.getIgnoreIndexAttr(), op.getLabelSmoothing());
    Value loss = chunked.getLoss();
    if (loss.getType() != op.getType())
      loss = builder.create<CastOp>(
          op.getLoc(), op.getType(), loss,
          TypeAttr::get(getElementTypeOrSelf(op.getType())));
    op.getResult().replaceAllUsesWith(loss);
    op.erase();
    for (Operation *cast : between)
      cast->erase();
    linear.erase();
    return success();
  }
};
} // namespace
