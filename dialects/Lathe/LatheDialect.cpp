//===- LatheDialect.cpp - The lathe dialect -------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Gradient.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Quant/QuantOps.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

#include "dialects/Lathe/LatheDialect.cpp.inc"
#include "dialects/Lathe/LatheEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Lathe/LatheAttrs.cpp.inc"

namespace lathe {

void LatheDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Lathe/LatheAttrs.cpp.inc"
      >();
  addElementwiseOps();
  addReductionOps();
  addContractionOps();
  addAttentionOps();
  addConvolutionOps();
  addShapeOps();
  addIndexingOps();
  addNormalizationOps();
  addLossOps();
  addRandomOps();
  addQuantizationOps();
  addParameterOps();
  addControlOps();
  addGradientOps();
}

Operation *LatheDialect::materializeConstant(OpBuilder &builder,
                                             Attribute value, Type type,
                                             Location location) {
  auto elements = dyn_cast<ElementsAttr>(value);
  if (!elements || elements.getType() != type)
    return nullptr;
  return builder.create<ConstantOp>(location, elements);
}

} // namespace lathe
