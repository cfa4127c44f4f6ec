//===- KernelRules.cpp - What an op is to a kernel ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelRules.h"

#include "lathe/Analysis/Cost.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace lathe;

bool lathe::isAttention(Operation *op) {
  return isa<AttentionOp, AttentionTrainingOp, AttentionBackwardOp>(op);
}

FusionKind lathe::getFusionKindOf(Operation *op) {
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  return fusible ? fusible.getFusionKind() : FusionKind::Opaque;
}

bool lathe::belongsInKernel(Operation *op) {
  // A reshape of row-major data is another name for the same bytes.
  return isa_and_nonnull<LatheDialect>(op->getDialect()) &&
         op->getNumRegions() == 0 && op->getNumResults() != 0 &&
         isMemoryEffectFree(op) && !op->hasTrait<OpTrait::ConstantLike>() &&
         !isa<GetParameterOp, ReshapeOp>(op);
}

bool lathe::isSmallConstant(Value value) {
  // Schedules read arrays of floats from memory like any other operand; a few
  // integers are positions or axes, which decide what a kernel does.
  DenseElementsAttr elements;
  return matchPattern(value, m_Constant(&elements)) &&
         (elements.isSplat() || (elements.getNumElements() <= 16 &&
                                 !isa<FloatType>(elements.getElementType())));
}

TransposeOp lathe::getTransposeFor(Value value, Operation *reader) {
  auto transpose = value.getDefiningOp<TransposeOp>();
  auto isReader = [&](Operation *user) { return user == reader; };
  bool isPrivate = transpose && llvm::all_of(value.getUsers(), isReader);
  return isPrivate ? transpose : TransposeOp();
}

StringRef lathe::getContractionSchedule(Operation *op) {
  return isa<ConvOp, PackedConvOp>(op) ? "convolution" : "contraction";
}

bool lathe::isWidenedByReaders(Operation *op) {
  auto cast = dyn_cast<CastOp>(op);
  auto from = cast ? dyn_cast<FloatType>(getElementTypeOrSelf(cast.getInput()))
                   : FloatType();
  return from && from.getWidth() == 16 &&
         getElementTypeOrSelf(cast.getType()).isF32() &&
         llvm::all_of(cast->getUsers(), [&](Operation *user) {
           return user->getBlock() == op->getBlock() && belongsInKernel(user) &&
                  getFusionKindOf(user) != FusionKind::Contraction &&
                  RowDomain::start(user).has_value();
         });
}

bool lathe::isExpansion(Operation *op, Operation *reader,
                        SmallVectorImpl<Operation *> &ops, unsigned &room) {
  if (getFusionKindOf(op) != FusionKind::Elementwise ||
      op->getNumResults() != 1 || op->getNumOperands() == 0 || room == 0 ||
      llvm::any_of(op->getUsers(),
                   [&](Operation *user) { return user != reader; }))
    return false;
  --room;
  int64_t elements = getNumElements(op->getResult(0).getType());
  for (Value operand : op->getOperands()) {
    Operation *producer = operand.getDefiningOp();
    if (!isSmallConstant(operand) &&
        getNumElements(operand.getType()) >= elements &&
        !getElementTypeOrSelf(operand).isInteger(8) &&
        (!producer || producer->getBlock() != op->getBlock() ||
         !isExpansion(producer, op, ops, room)))
      return false;
  }
  ops.push_back(op);
  return true;
}

bool lathe::isRounding(Operation *op) {
  return isa<CastOp>(op) &&
         isa<FloatType>(getElementTypeOrSelf(op->getOperand(0))) &&
         getElementTypeOrSelf(op->getResult(0)).isInteger(8);
}
