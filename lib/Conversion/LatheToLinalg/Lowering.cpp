//===- Lowering.cpp - What the op families lower with ---------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"

#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"

namespace lathe {

SmallVector<int64_t> orElse(Shape values, size_t count, int64_t value) {
  if (values.empty())
    return SmallVector<int64_t>(count, value);
  return SmallVector<int64_t>(values);
}

static SmallVector<OpFoldResult> attributes(OpBuilder &builder, Shape values) {
  return getAsIndexOpFoldResult(builder.getContext(), values);
}

Value Lowering::empty(Shape shape, Type element) {
  return builder.create<tensor::EmptyOp>(loc, shape, element);
}

Value Lowering::filled(Shape shape, Value scalar) {
  Value init = empty(shape, scalar.getType());
  return builder.create<linalg::FillOp>(loc, scalar, init).getResult(0);
}

Value Lowering::filled(Shape shape, Type element, double value) {
  return filled(shape, elements().number(value, element));
}

Value Lowering::index(int64_t value) {
  return builder.create<arith::ConstantIndexOp>(loc, value);
}

Value Lowering::mapElements(ValueRange inputs, ArrayRef<AffineMap> maps,
                            RankedTensorType result, OneBodyFn body) {
  SmallVector<AffineMap> allMaps(maps);
  allMaps.push_back(identity(result.getRank()));
  SmallVector<IteratorType> parallel(result.getRank(), IteratorType::parallel);
  Value init = empty(result.getShape(), result.getElementType());
  return reduce(inputs, init, allMaps, parallel, body);
}

Value Lowering::compute(RankedTensorType result, OneBodyFn body) {
  return mapElements({}, {}, result, [&](ElementBuilder &b, ValueRange) {
    SmallVector<Value> indices;
    for (int64_t i = 0; i < result.getRank(); ++i)
      indices.push_back(b.create<linalg::IndexOp>(i));
    return body(b, indices);
  });
}

SmallVector<Value> Lowering::reduce(ValueRange inputs, ValueRange inits,
                                    ArrayRef<AffineMap> maps,
                                    ArrayRef<IteratorType> iterators,
                                    BodyFn body) {
  auto op = builder.create<linalg::GenericOp>(
      loc, inits.getTypes(), inputs, inits, maps, iterators,
      [&](OpBuilder &inner, Location bodyLoc, ValueRange args) {
        ElementBuilder b(inner, bodyLoc);
        b.create<linalg::YieldOp>(body(b, args));
      });
  return SmallVector<Value>(op.getResults());
}

Value Lowering::reduce(ValueRange inputs, Value init, ArrayRef<AffineMap> maps,
                       ArrayRef<IteratorType> iterators, OneBodyFn body) {
  return reduce(inputs, ValueRange{init}, maps, iterators,
                [&](ElementBuilder &b, ValueRange args) {
                  return SmallVector<Value>{body(b, args)};
                })
      .front();
}

Value Lowering::contract(Value a, Value b, Value init,
                         std::pair<Type, Type> elements, AffineMap mapA,
                         AffineMap mapB, AffineMap mapInit,
                         unsigned parallelDims, ValueRange shapes,
                         ArrayRef<AffineMap> shapeMaps) {
  SmallVector<Value> inputs{a, b};
  llvm::append_range(inputs, shapes);
  SmallVector<AffineMap> maps{mapA, mapB};
  llvm::append_range(maps, shapeMaps);
  maps.push_back(mapInit);
  SmallVector<IteratorType> iterators(mapA.getNumDims(),
                                      IteratorType::reduction);
  std::fill_n(iterators.begin(), parallelDims, IteratorType::parallel);
  return reduce(inputs, init, maps, iterators,
                [&](ElementBuilder &b, ValueRange args) {
                  Type sum = args.back().getType();
                  Value product = b.mul(b.cast(args[0], elements.first, sum),
                                        b.cast(args[1], elements.second, sum));
                  return b.add(args.back(), product);
                });
}

Value Lowering::reshape(Value tensor, Shape shape) {
  auto from = cast<RankedTensorType>(tensor.getType());
  auto to = RankedTensorType::get(shape, from.getElementType());
  if (from == to)
    return tensor;
  if (from.getNumElements() == 0)
    return empty(shape, from.getElementType());
  auto emit = [&](Value value, RankedTensorType type,
                  ArrayRef<ReassociationIndices> groups) -> Value {
    auto source = cast<RankedTensorType>(value.getType());
    if (source.getRank() > type.getRank())
      return builder.create<tensor::CollapseShapeOp>(loc, type, value, groups);
    return builder.create<tensor::ExpandShapeOp>(loc, type, value, groups);
  };
  if (from.getRank() != to.getRank())
    if (auto groups = getReassociationIndicesForReshape(from, to))
      return emit(tensor, to, *groups);
  // No grouping of dims: through one dim.
  auto flat =
      RankedTensorType::get({from.getNumElements()}, from.getElementType());
  auto allDims = [](int64_t rank) {
    SmallVector<ReassociationIndices> groups;
    if (rank > 0)
      groups.push_back(llvm::to_vector<2>(llvm::seq<int64_t>(0, rank)));
    return groups;
  };
  if (from.getRank() != 1)
    tensor = emit(tensor, flat, allDims(from.getRank()));
  if (to.getRank() != 1)
    tensor = emit(tensor, to, allDims(to.getRank()));
  return tensor;
}

Value Lowering::slice(Value tensor, Shape offsets, Shape sizes) {
  auto type = RankedTensorType::get(sizes, element(tensor));
  if (type == tensor.getType())
    return tensor;
  SmallVector<int64_t> strides(sizes.size(), 1);
  return builder.create<tensor::ExtractSliceOp>(
      loc, type, tensor, attributes(builder, offsets),
      attributes(builder, sizes), attributes(builder, strides));
}

Value Lowering::insert(Value part, Value tensor, Shape offsets) {
  SmallVector<int64_t> strides(offsets.size(), 1);
  return builder.create<tensor::InsertSliceOp>(
      loc, part, tensor, attributes(builder, offsets),
      attributes(builder, shape(part)), attributes(builder, strides));
}

Value Lowering::pad(Value tensor, Shape low, Shape high, Value value) {
  SmallVector<int64_t> cropAt, cropSize, at, result;
  bool grows = false;
  for (auto [l, h, size] : llvm::zip_equal(low, high, shape(tensor))) {
    cropAt.push_back(std::max<int64_t>(0, -l));
    cropSize.push_back(std::max<int64_t>(0, size + std::min<int64_t>(0, l) +
                                                std::min<int64_t>(0, h)));
    at.push_back(std::max<int64_t>(0, l));
    result.push_back(std::max<int64_t>(0, size + l + h));
    grows |= l > 0 || h > 0;
  }
  if (llvm::is_contained(cropSize, 0))
    return filled(result, value);
  Value part = slice(tensor, cropAt, cropSize);
  if (!grows)
    return part;
  return insert(part, filled(result, value), at);
}

Value Lowering::narrow(Value tensor, Type elementType) {
  auto from = cast<RankedTensorType>(tensor.getType());
  Type to = getStorageType(elementType);
  if (from.getElementType() == to)
    return tensor;
  return mapElements(tensor, identity(from.getRank()),
                     RankedTensorType::get(from.getShape(), to),
                     [&](ElementBuilder &b, ValueRange args) {
                       return b.narrow(args[0], to);
                     });
}

Value Lowering::addBias(Value tensor, Value bias, AffineMap map,
                        Type elementType) {
  Type to = getStorageType(elementType);
  return mapElements({tensor, bias}, {identity(shape(tensor).size()), map},
                     RankedTensorType::get(shape(tensor), to),
                     [&](ElementBuilder &b, ValueRange args) {
                       return b.narrow(b.add(args[0], b.widen(args[1])), to);
                     });
}

SmallVector<Value>
Lowering::loops(Shape bounds, ValueRange inits,
                function_ref<SmallVector<Value>(ValueRange, ValueRange)> body) {
  SmallVector<Value> indices;
  std::function<SmallVector<Value>(size_t, ValueRange)> nest =
      [&](size_t level, ValueRange carried) -> SmallVector<Value> {
    if (level == bounds.size())
      return body(indices, carried);
    auto loop = builder.create<scf::ForOp>(loc, index(0), index(bounds[level]),
                                           index(1), carried);
    OpBuilder::InsertionGuard guard(builder);
    // A loop without carried values comes with its terminator.
    if (!loop.getBody()->empty())
      loop.getBody()->back().erase();
    builder.setInsertionPointToEnd(loop.getBody());
    indices.push_back(loop.getInductionVar());
    SmallVector<Value> next = nest(level + 1, loop.getRegionIterArgs());
    indices.pop_back();
    builder.create<scf::YieldOp>(loc, next);
    return SmallVector<Value>(loop.getResults());
  };
  return nest(0, inits);
}

Value Lowering::wrapIndex(ElementBuilder &b, Value raw, int64_t size) {
  Value index = raw.getType().isIndex()
                    ? raw
                    : b.create<arith::IndexCastOp>(b.getIndexType(), raw);
  Type type = index.getType();
  Value nought = b.integer(0, type);
  Value wrapped = b.select(b.compare("lt", index, nought),
                           b.add(index, b.integer(size, type)), index);
  Value last = b.integer(std::max<int64_t>(size - 1, 0), type);
  return b.create<arith::MaxSIOp>(b.create<arith::MinSIOp>(wrapped, last),
                                  nought);
}

} // namespace lathe
