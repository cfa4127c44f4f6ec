//===- Lathe.h - The lathe dialect ------------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_LATHE_H
#define LATHE_DIALECT_LATHE_H

#include "lathe/Interfaces/Interfaces.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace lathe {
using namespace mlir;

/// Every value of the dialect is a ranked tensor.
inline RankedTensorType getTensorType(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Whether `written` result types agree with the `inferred` ones: equal element
/// types, ranks and static sizes ('?' agrees with every size).
bool areCompatibleTypes(TypeRange inferred, TypeRange written);

/// One dim of a slice in normal form: elements start, start + step, ...,
/// `size` of them, all inside the dim; `step` may be negative.
struct SliceRange {
  int64_t start, step, size;
};

/// NumPy's start:end:step on a dim of static `size`; `step` must not be 0.
SliceRange normalizeSlice(int64_t start, int64_t end, int64_t step,
                          int64_t size);

} // namespace lathe

// Canonicalizers are declared with the ops, and not every reader has patterns.
namespace mlir {
class PatternRewriter;
} // namespace mlir

#include "dialects/Lathe/LatheDialect.h.inc"
#include "dialects/Lathe/LatheEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Lathe/LatheAttrs.h.inc"

#define GET_OP_CLASSES
#include "dialects/Lathe/Elementwise.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Reduction.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Contraction.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Attention.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Convolution.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Shape.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Indexing.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Normalization.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Loss.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Random.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Quantization.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Parameter.h.inc"
#define GET_OP_CLASSES
#include "dialects/Lathe/Control.h.inc"

#endif // LATHE_DIALECT_LATHE_H
