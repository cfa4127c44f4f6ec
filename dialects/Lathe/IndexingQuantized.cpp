//===- IndexingQuantized.cpp - Lookups in quantized tables ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/QuantizedProduct.h"

namespace lathe {

static SmallVector<QuantizableOperand>
describeTable(Operation *op, int64_t axis, std::string &whyNot) {
  auto type = getTensorType(op->getOperand(0));
  if (!isa<FloatType>(type.getElementType())) {
    llvm::raw_string_ostream(whyNot)
        << "reads a table of '" << type.getElementType() << "', not of floats";
    return {};
  }
  QuantizableOperand table{0, /*isWeight=*/true, {}, /*leastBits=*/8};
  for (int64_t i = 0; i < type.getRank(); ++i)
    if (i != *normalizeAxis(axis, type.getRank()))
      table.reducedAxes.push_back(i);
  return {table};
}

/// Rows of integers and their scales, made numbers behind the lookup.
static FailureOr<SmallVector<Value>> lookUp(OpBuilder &builder, Operation *op,
                                            const QuantizedOperand &table,
                                            Value indices, int64_t axis,
                                            std::string &whyNot) {
  Composer c(builder, op);
  auto type = getTensorType(table.quantized);
  auto result = getTensorType(op->getResult(0));
  axis = *normalizeAxis(axis, type.getRank());
  auto scaleType = getTensorType(table.scale);
  Value scale = table.scale, zeroPoint = table.zeroPoint;
  int64_t scaleAxis = 0, group = 0;
  if (scaleType.getNumElements() != 1) {
    int64_t along = *normalizeAxis(table.axis, type.getRank());
    // One scale per row, or several where rows are cut into groups.
    bool isPerRow = scaleType.getRank() == 1 && along == axis;
    if (isPerRow) {
      SmallVector<int64_t> shape(type.getRank(), 1);
      shape[axis] = scaleType.getDimSize(0);
      scale = c.make<ReshapeOp>(scale, shape);
      zeroPoint = c.make<ReshapeOp>(zeroPoint, shape);
    } else if (scaleType.getRank() != type.getRank() ||
               scaleType.getDimSize(axis) != type.getDimSize(axis) ||
               (table.group > 0 && along == axis)) {
      whyNot = "has a table without a scale of its own for each row";
      return failure();
    }
    scale = c.make<GatherOp>(scale, indices, axis);
    zeroPoint = c.make<GatherOp>(zeroPoint, indices, axis);
    scaleAxis = along + (along > axis ? result.getRank() - type.getRank() : 0);
    group = table.group;
  } else {
    scale = c.make<ReshapeOp>(scale, ArrayRef<int64_t>());
    zeroPoint = c.make<ReshapeOp>(zeroPoint, ArrayRef<int64_t>());
  }
  Value rows = c.make<GatherOp>(table.quantized, indices, axis);
  return SmallVector<Value>{c.make<DequantizeOp>(
      rows, scale, zeroPoint, builder.getI64IntegerAttr(scaleAxis),
      builder.getI64IntegerAttr(group), TypeAttr())};
}

SmallVector<QuantizableOperand>
GatherOp::getQuantizableOperands(std::string &whyNot) {
  return describeTable(*this, getAxis(), whyNot);
}

FailureOr<SmallVector<Value>>
GatherOp::buildQuantized(OpBuilder &builder,
                         ArrayRef<QuantizedOperand> operands,
                         std::string &whyNot) {
  return lookUp(builder, *this, operands[0], getIndices(), getAxis(), whyNot);
}

SmallVector<QuantizableOperand>
EmbeddingOp::getQuantizableOperands(std::string &whyNot) {
  return describeTable(*this, /*axis=*/0, whyNot);
}

FailureOr<SmallVector<Value>>
EmbeddingOp::buildQuantized(OpBuilder &builder,
                            ArrayRef<QuantizedOperand> operands,
                            std::string &whyNot) {
  return lookUp(builder, *this, operands[0], getIds(), /*axis=*/0, whyNot);
}

} // namespace lathe
