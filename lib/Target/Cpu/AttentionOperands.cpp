//===- AttentionOperands.cpp - What both attention schedules read ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionOperands.h"

using namespace lathe;
using namespace lathe::cpu;

//===----------------------------------------------------------------------===//
// Reading the kernel
//===----------------------------------------------------------------------===//

bool HeadOperand::read(const AnchorOperand &from, ArrayRef<int64_t> sizes,
                       std::string &whyNot) {
  auto view = from.view.broadcastTo(sizes);
  auto digits = view ? view->split(sizes) : std::nullopt;
  if (!digits || (*digits)[2].size() > 1) {
    whyNot = "an operand of the attention has no strides";
    return false;
  }
  argument = from.argument;
  offset = from.view.offset;
  batch = (*digits)[0];
  head = (*digits)[1];
  row = (*digits)[2];
  column = (*digits)[3];
  return true;
}

bool AttentionOperands::read(const KernelViews &views, unsigned maskIndex,
                             std::string &whyNot) {
  ArrayRef<AnchorOperand> operands = views.operands;
  for (const AnchorOperand &operand : operands.take_front(maskIndex))
    if (!isFloatUpTo32(operand.elementType)) {
      whyNot = "only f32, bf16 and f16 attention have a tiled schedule";
      return false;
    }
  ArrayRef<int64_t> qSizes = operands[0].view.sizes,
                    vSizes = operands[2].view.sizes;
  static_cast<AttentionSizes &>(*this) = AttentionSizes::get(views);
  if (!q.read(operands[0], qSizes, whyNot) ||
      !k.read(operands[1], {batch, groups, keys, depth}, whyNot) ||
      !v.read(operands[2], vSizes, whyNot))
    return false;
  for (const HeadOperand *operand : {&q, &k, &v})
    if (operand->column.size() > 1) {
      whyNot = "an operand of the attention has no stride along the head";
      return false;
    }
  if (operands.size() <= maskIndex)
    return true;
  Type element = operands[maskIndex].elementType;
  floatMask = isFloatUpTo32(element);
  if (!floatMask && !element.isInteger(1)) {
    whyNot = "the mask is neither Boolean nor of floats of at most 32 bits";
    return false;
  }
  mask.emplace();
  return mask->read(operands[maskIndex], {batch, heads, queries, keys}, whyNot);
}

//===----------------------------------------------------------------------===//
// Emission
//===----------------------------------------------------------------------===//

Value HeadOperand::emitBase(ImplicitLocOpBuilder &b, Value atBatch,
                            Value atHead) const {
  Value index =
      addIndex(b, emitOffset(b, batch, atBatch), emitOffset(b, head, atHead));
  return addIndex(b, index, offset);
}

QueryLanes QueryBlocks::emitLanes(ImplicitLocOpBuilder &b, Value batch,
                                  Value head, Value block) const {
  QueryLanes result;
  result.batch = batch;
  result.head = head;
  result.firstQuery = tiling.emitStart(b, block);
  result.numQueries = indexConstant(b, tiling.big);
  if (!tiling.isUniform())
    result.numQueries = b.create<arith::SelectOp>(
        lessThan(b, block, indexConstant(b, tiling.numBig)), result.numQueries,
        indexConstant(b, tiling.big - 1));
  for (int64_t v = 0; v < vectors; ++v)
    result.valid.push_back(
        emitMask(b, addIndex(b, result.numQueries, -v * lanes), lanes));
  return result;
}

Value cpu::emitVisible(ImplicitLocOpBuilder &b, const KernelFrame &frame,
                       const AttentionOperands &a, const QueryLanes &queries,
                       Value score, Value key, int64_t v) {
  auto vector = cast<VectorType>(score.getType());
  int64_t lanes = vector.getNumElements();
  Value hidden;
  if (a.mask || a.causal)
    hidden = b.create<arith::ConstantOp>(
        vector, DenseElementsAttr::get(
                    vector, -std::numeric_limits<float>::infinity()));
  if (a.mask) {
    const HeadOperand &mask = *a.mask;
    Value buffer = frame.inputs[mask.argument];
    Type element = cast<MemRefType>(buffer.getType()).getElementType();
    auto type = VectorType::get(lanes, element);
    Value index = mask.emitBase(b, queries.batch, queries.head);
    index = addIndex(b, index, emitOffset(b, mask.column, key));
    Value query = addIndex(b, queries.firstQuery, v * lanes);
    index = addIndex(b, index, mulIndex(b, query, mask.rowStride()));
    Value value;
    if (mask.rowStride() == 0) {
      value = b.create<memref::LoadOp>(buffer, index);
      value = b.create<vector::BroadcastOp>(type, value);
    } else {
      SmallVector<int32_t> offsets;
      for (int64_t lane = 0; lane < lanes; ++lane)
        offsets.push_back(lane * mask.rowStride());
      auto offsetType = VectorType::get(lanes, b.getI32Type());
      Value lanesAt = b.create<arith::ConstantOp>(
          DenseElementsAttr::get(offsetType, ArrayRef<int32_t>(offsets)));
      Value padding = b.create<arith::ConstantOp>(b.getZeroAttr(type));
      value = b.create<vector::GatherOp>(type, buffer, ValueRange(index),
                                         lanesAt, queries.valid[v], padding);
    }
    if (a.floatMask) {
      score = b.create<arith::AddFOp>(score, widenFloat(b, value));
    } else {
      Value zero = b.create<arith::ConstantOp>(b.getZeroAttr(type));
      Value keep =
          b.create<arith::CmpIOp>(arith::CmpIPredicate::ne, value, zero);
      score = b.create<arith::SelectOp>(keep, score, hidden);
    }
  }
  if (!a.causal)
    return score;
  // Lane l is query firstQuery + v * lanes + l; it sees the key where
  // key - (keys - queries) - firstQuery - v * lanes <= l.
  Value distance = b.create<arith::SubIOp>(
      addIndex(b, key, a.queries - a.keys - v * lanes), queries.firstQuery);
  Value tooEarly = emitMask(b, distance, lanes);
  return b.create<arith::SelectOp>(tooEarly, hidden, score);
}
