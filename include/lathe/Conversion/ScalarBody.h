//===- ScalarBody.h - What an elementwise op does to one element ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CONVERSION_SCALARBODY_H
#define LATHE_CONVERSION_SCALARBODY_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace lathe {
using namespace mlir;

/// How an element is kept in memory: i1 as i8 (0 or 1), ui8 as i8, floats and
/// signless integers as themselves.
Type getStorageType(Type elementType);

/// `type` with its elements in storage form.
RankedTensorType getStorageType(RankedTensorType type);

/// Converts a loaded scalar or vector from storage form to the form bodies
/// compute on (i8 -> i1 for Booleans; unsigned types are signless there), and
/// back. `elementType` is the lathe element type.
Value fromStorage(OpBuilder &builder, Location loc, Value value,
                  Type elementType);
Value toStorage(OpBuilder &builder, Location loc, Value value,
                Type elementType);

/// Emits what the elementwise lathe op `op` does to one element. `operands` are
/// scalars, or vectors of one shape, in computing form (one per op operand, of
/// the op's element types). 16-bit floats are computed in f32 inside. Returns
/// null where `op` is not elementwise.
Value buildScalarBody(OpBuilder &builder, Location loc, Operation *op,
                      ValueRange operands);

} // namespace lathe

#endif // LATHE_CONVERSION_SCALARBODY_H
