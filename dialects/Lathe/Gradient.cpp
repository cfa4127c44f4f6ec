//===- Gradient.cpp - Derivatives inside of a model -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Gradient.h"
#include "dialects/Lathe/Inference.h"

#define GET_OP_CLASSES
#include "dialects/Lathe/Gradient.cpp.inc"

void lathe::LatheDialect::addGradientOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Gradient.cpp.inc"
      >();
}

namespace lathe {

LogicalResult GradientOp::inferReturnTypes(MLIRContext *,
                                           std::optional<Location>,
                                           Adaptor adaptor,
                                           SmallVectorImpl<Type> &results) {
  llvm::append_range(results, adaptor.getBy().getTypes());
  return success();
}

LogicalResult GradientOp::verify() {
  if (getBy().empty())
    return emitOpError("expected a tensor to differentiate by, got none");
  auto type = cast<RankedTensorType>(getValue().getType());
  for (int64_t size : type.getShape())
    if (size != 1 && !ShapedType::isDynamic(size))
      return emitOpError("expected a value of one element, got shape ")
             << shapeText(type.getShape());
  Operation *definition = getValue().getDefiningOp();
  if (definition && definition->getBlock() != (*this)->getBlock())
    return emitOpError("expected to stand in the block where its value is "
                       "computed");
  return success();
}

} // namespace lathe
