//===- Lowering.h - What the op families lower with -------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Used by the family files only. A family file registers one function per op in
// a table; the function reads its operands as tensors of storage types and sets
// one such tensor per result.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CONVERSION_LATHETOLINALG_LOWERING_H
#define LATHE_CONVERSION_LATHETOLINALG_LOWERING_H

#include "dialects/Lathe/Lathe.h"
#include "lathe/Conversion/ElementBuilder.h"
#include "lathe/Conversion/ScalarBody.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

namespace lathe {

using Shape = ArrayRef<int64_t>;
using utils::IteratorType;
/// Computes elements from elements (or from indices).
using BodyFn = function_ref<SmallVector<Value>(ElementBuilder &, ValueRange)>;
using OneBodyFn = function_ref<Value(ElementBuilder &, ValueRange)>;

class Lowering {
public:
  Lowering(OpBuilder &builder)
      : builder(builder), loc(builder.getUnknownLoc()) {}

  LogicalResult lower(Operation *op);

  /// The lowered form of a lathe value; its lathe and storage types.
  Value get(Value value) const { return values.lookup(value); }
  void set(Value result, Value lowered) { values.map(result, lowered); }
  static RankedTensorType latheType(Value value) {
    return cast<RankedTensorType>(value.getType());
  }
  static Type element(Value value) { return latheType(value).getElementType(); }
  static RankedTensorType storageType(Value value) {
    return getStorageType(latheType(value));
  }
  static Shape shape(Value value) {
    return cast<RankedTensorType>(value.getType()).getShape();
  }

  ElementBuilder elements() { return ElementBuilder(builder, loc); }
  MLIRContext *context() const { return builder.getContext(); }
  AffineExpr dim(unsigned i) const { return getAffineDimExpr(i, context()); }
  AffineMap identity(unsigned rank) const {
    return AffineMap::getMultiDimIdentityMap(rank, context());
  }
  AffineMap map(unsigned dims, ArrayRef<AffineExpr> exprs) const {
    return AffineMap::get(dims, 0, exprs, context());
  }

  Value empty(Shape shape, Type element);
  Value filled(Shape shape, Value scalar);
  Value filled(Shape shape, Type element, double value);
  Value index(int64_t value);

  /// A generic over a parallel space of the result's shape; `body` gets one
  /// element per input.
  Value mapElements(ValueRange inputs, ArrayRef<AffineMap> maps,
                    RankedTensorType result, OneBodyFn body);
  /// As mapElements, but `body` gets the indices (`index` values) and reads
  /// what it needs with tensor.extract.
  Value compute(RankedTensorType result, OneBodyFn body);
  /// A generic with reductions: the accumulators are `inits`, and `body` gets
  /// the inputs and then the accumulators.
  SmallVector<Value> reduce(ValueRange inputs, ValueRange inits,
                            ArrayRef<AffineMap> maps,
                            ArrayRef<IteratorType> iterators, BodyFn body);
  Value reduce(ValueRange inputs, Value init, ArrayRef<AffineMap> maps,
               ArrayRef<IteratorType> iterators, OneBodyFn body);
  /// sum of a * b, accumulated in the element type of `init`. `elements` are
  /// the lathe element types of `a` and `b`: they say whether bytes are signed.
  Value contract(Value a, Value b, Value init, std::pair<Type, Type> elements,
                 AffineMap mapA, AffineMap mapB, AffineMap mapInit,
                 unsigned parallelDims, ValueRange shapes = {},
                 ArrayRef<AffineMap> shapeMaps = {});

  Value reshape(Value tensor, Shape shape);
  Value slice(Value tensor, Shape offsets, Shape sizes);
  /// `tensor` (which it consumes) with `part` written at `offsets`.
  Value insert(Value part, Value tensor, Shape offsets);
  /// `tensor` grown by `low` and `high` elements of `value`, cropped where
  /// negative.
  Value pad(Value tensor, Shape low, Shape high, Value value);
  /// Elements of an accumulator type back to the storage form of `element`.
  Value narrow(Value tensor, Type element);
  /// The same after `bias`, read along `map`, was added to every element.
  Value addBias(Value tensor, Value bias, AffineMap map, Type element);
  /// scf loops over `bounds` with one carried tensor per init.
  SmallVector<Value>
  loops(Shape bounds, ValueRange inits,
        function_ref<SmallVector<Value>(ValueRange indices, ValueRange carried)>
            body);
  /// A loaded index made non-negative and clamped to [0, size).
  static Value wrapIndex(ElementBuilder &b, Value raw, int64_t size);

  OpBuilder &builder;
  Location loc;

private:
  IRMapping values;
};

using LowerFn = std::function<LogicalResult(Lowering &, Operation *)>;
using LoweringTable = llvm::DenseMap<TypeID, LowerFn>;

template <typename OpTy>
void addLowering(LoweringTable &table, LogicalResult (*fn)(Lowering &, OpTy)) {
  table[TypeID::get<OpTy>()] = [fn](Lowering &l, Operation *op) {
    return fn(l, cast<OpTy>(op));
  };
}

/// Attribute lists that may be left empty.
SmallVector<int64_t> orElse(Shape values, size_t count, int64_t value);
/// `axis` counted from the front.
inline int64_t frontAxis(int64_t axis, int64_t rank) {
  return axis < 0 ? axis + rank : axis;
}

void addReductionLowerings(LoweringTable &);
void addScanLowerings(LoweringTable &);
void addContractionLowerings(LoweringTable &);
void addConvolutionLowerings(LoweringTable &);
void addPoolLowerings(LoweringTable &);
void addResizeLowerings(LoweringTable &);
void addShapeLowerings(LoweringTable &);
void addPadLowerings(LoweringTable &);
void addIndexingLowerings(LoweringTable &);
void addRandomLowerings(LoweringTable &);

} // namespace lathe

#endif // LATHE_CONVERSION_LATHETOLINALG_LOWERING_H
