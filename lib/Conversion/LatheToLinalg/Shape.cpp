//===- Shape.cpp - Views and data movement to linalg --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"
#include "dialects/Lathe/Inference.h"

namespace lathe {
namespace {

/// Every element of the result is one of the input's, at `map`.
Value move(Lowering &l, Value input, AffineMap map, RankedTensorType type) {
  return l.mapElements(input, map, type, [](ElementBuilder &, ValueRange args) {
    return args[0];
  });
}

Value toIndex(ElementBuilder &b, Value x) {
  return b.create<arith::IndexCastOp>(b.getIndexType(), x);
}

LogicalResult lowerConstant(Lowering &l, ConstantOp op) {
  RankedTensorType type = Lowering::storageType(op.getResult());
  Type element = Lowering::element(op.getResult());
  ElementsAttr value = op.getValue();
  if (element.isInteger(1)) {
    // One byte stands for all where all are the same.
    SmallVector<int8_t> bytes;
    if (value.isSplat())
      bytes.push_back(value.getSplatValue<bool>());
    else
      for (bool bit : value.getValues<bool>())
        bytes.push_back(bit);
    value = DenseElementsAttr::get(type, ArrayRef<int8_t>(bytes));
  } else if (element.isUnsignedInteger()) {
    auto dense = dyn_cast<DenseElementsAttr>(value);
    if (!dense)
      return op.emitOpError("expected dense elements");
    value = dense.bitcast(type.getElementType());
  }
  l.set(op.getResult(),
        l.builder.create<arith::ConstantOp>(l.loc, cast<TypedAttr>(value)));
  return success();
}

/// reshape, squeeze, unsqueeze and dynamic_reshape: the result's shape says
/// all.
template <typename OpTy> LogicalResult lowerReshape(Lowering &l, OpTy op) {
  l.set(op.getResult(),
        l.reshape(l.get(op.getInput()), Lowering::shape(op.getResult())));
  return success();
}

LogicalResult lowerTranspose(Lowering &l, TransposeOp op) {
  SmallVector<AffineExpr> exprs(op.getPermutation().size());
  for (auto [i, from] : llvm::enumerate(op.getPermutation()))
    exprs[frontAxis(from, exprs.size())] = l.dim(i);
  l.set(op.getResult(),
        move(l, l.get(op.getInput()), l.map(exprs.size(), exprs),
             Lowering::storageType(op.getResult())));
  return success();
}

template <typename OpTy> LogicalResult lowerBroadcast(Lowering &l, OpTy op) {
  RankedTensorType type = Lowering::storageType(op.getResult());
  AffineMap map = broadcastMap(Lowering::shape(op.getInput()), type.getShape(),
                               l.context());
  l.set(op.getResult(), move(l, l.get(op.getInput()), map, type));
  return success();
}

LogicalResult lowerSlice(Lowering &l, SliceOp op) {
  Shape in = Lowering::shape(op.getInput());
  RankedTensorType type = Lowering::storageType(op.getResult());
  SmallVector<AffineExpr> exprs;
  for (unsigned i = 0; i < in.size(); ++i)
    exprs.push_back(l.dim(i));
  for (size_t i = 0; i < op.getStarts().size(); ++i) {
    int64_t axis =
        op.getAxes().empty() ? i : frontAxis(op.getAxes()[i], in.size());
    int64_t step = op.getSteps().empty() ? 1 : op.getSteps()[i];
    int64_t size = in[axis], start = op.getStarts()[i];
    if (start < 0)
      start += size;
    start = std::clamp<int64_t>(start, 0, step < 0 ? size - 1 : size);
    exprs[axis] = l.dim(axis) * step + start;
  }
  // Linalg takes the extent of a loop from a plain dim in an operand's map, so
  // an axis of which only the end goes is cut to size before.
  SmallVector<int64_t> cut(in.begin(), in.end());
  for (auto [axis, expr] : llvm::enumerate(exprs))
    if (expr == l.dim(axis))
      cut[axis] = type.getDimSize(axis);
  Value result;
  if (type.getNumElements() == 0)
    result = l.empty(type.getShape(), type.getElementType());
  else
    result = move(
        l,
        l.slice(l.get(op.getInput()), SmallVector<int64_t>(in.size(), 0), cut),
        l.map(in.size(), exprs), type);
  l.set(op.getResult(), result);
  return success();
}

LogicalResult lowerDynamicSlice(Lowering &l, DynamicSliceOp op) {
  Value input = l.get(op.getInput()), starts = l.get(op.getStarts());
  Shape in = Lowering::shape(input);
  std::optional<SmallVector<int64_t>> axes;
  int64_t count = Lowering::shape(starts)[0];
  if (op.getAxes()) {
    axes = getConstantIntegers(op.getAxes());
    if (!axes)
      return op.emitOpError("expected constant axes");
  }
  Value steps = op.getSteps() ? l.get(op.getSteps()) : Value();
  l.set(
      op.getResult(),
      l.compute(Lowering::storageType(op.getResult()), [&](ElementBuilder &b,
                                                           ValueRange indices) {
        SmallVector<Value> at(indices);
        for (int64_t i = 0; i < count; ++i) {
          int64_t axis = axes ? frontAxis((*axes)[i], in.size()) : i;
          Type type = b.getIndexType();
          Value which = b.integer(i, type), size = b.integer(in[axis], type);
          auto read = [&](Value tensor) {
            return toIndex(
                b, b.create<tensor::ExtractOp>(tensor, ValueRange{which}));
          };
          Value start = read(starts),
                step = steps ? read(steps) : b.integer(1, type);
          Value zero = b.integer(0, type), last = b.integer(in[axis] - 1, type);
          start =
              b.select(b.compare("lt", start, zero), b.add(start, size), start);
          Value back = b.compare("lt", step, zero);
          start = b.create<arith::MinSIOp>(start, b.select(back, last, size));
          start = b.create<arith::MaxSIOp>(start, zero);
          Value place = b.add(start, b.mul(at[axis], step));
          place = b.create<arith::MinSIOp>(place, last);
          at[axis] = b.create<arith::MaxSIOp>(place, zero);
        }
        return b.create<tensor::ExtractOp>(input, at).getResult();
      }));
  return success();
}

LogicalResult lowerConcat(Lowering &l, ConcatOp op) {
  RankedTensorType type = Lowering::storageType(op.getResult());
  int64_t axis = frontAxis(op.getAxis(), type.getRank());
  Value result = l.empty(type.getShape(), type.getElementType());
  SmallVector<int64_t> offsets(type.getRank(), 0);
  for (Value operand : op.getInputs()) {
    Value input = l.get(operand);
    if (cast<RankedTensorType>(input.getType()).getNumElements() > 0)
      result = l.insert(input, result, offsets);
    offsets[axis] += Lowering::shape(input)[axis];
  }
  l.set(op.getResult(), result);
  return success();
}

/// Every repeated dim becomes [repeat, size], which a reshape joins again.
template <typename OpTy> LogicalResult lowerTile(Lowering &l, OpTy op) {
  Value input = l.get(op.getInput());
  RankedTensorType type = Lowering::storageType(op.getResult());
  if (type.getNumElements() == 0) {
    l.set(op.getResult(), l.empty(type.getShape(), type.getElementType()));
    return success();
  }
  SmallVector<int64_t> shape;
  SmallVector<AffineExpr> exprs;
  for (auto [from, to] :
       llvm::zip_equal(Lowering::shape(input), type.getShape())) {
    if (to != from)
      shape.push_back(to / from);
    exprs.push_back(l.dim(shape.size()));
    shape.push_back(from);
  }
  Value tiled = move(l, input, l.map(shape.size(), exprs),
                     RankedTensorType::get(shape, type.getElementType()));
  l.set(op.getResult(), l.reshape(tiled, type.getShape()));
  return success();
}

LogicalResult lowerReverse(Lowering &l, ReverseOp op) {
  RankedTensorType type = Lowering::storageType(op.getResult());
  SmallVector<AffineExpr> exprs;
  for (int64_t i = 0; i < type.getRank(); ++i)
    exprs.push_back(l.dim(i));
  for (int64_t raw : op.getAxes()) {
    int64_t axis = frontAxis(raw, type.getRank());
    exprs[axis] = l.dim(axis) * -1 + (type.getDimSize(axis) - 1);
  }
  Value result =
      type.getNumElements() == 0
          ? l.empty(type.getShape(), type.getElementType())
          : move(l, l.get(op.getInput()), l.map(type.getRank(), exprs), type);
  l.set(op.getResult(), result);
  return success();
}

LogicalResult lowerShapeOf(Lowering &l, ShapeOfOp op) {
  auto attr = DenseElementsAttr::get(Lowering::storageType(op.getResult()),
                                     Lowering::shape(op.getInput()));
  l.set(op.getResult(), l.builder.create<arith::ConstantOp>(l.loc, attr));
  return success();
}

LogicalResult lowerIota(Lowering &l, IotaOp op) {
  RankedTensorType type = Lowering::storageType(op.getResult());
  Type element = Lowering::element(op.getResult());
  int64_t axis = frontAxis(op.getAxis(), type.getRank());
  l.set(op.getResult(), l.compute(type, [&](ElementBuilder &b, ValueRange i) {
    Value at = b.create<arith::IndexCastOp>(b.getI64Type(), i[axis]);
    return b.cast(at, b.getI64Type(), element);
  }));
  return success();
}

LogicalResult lowerDynamicRange(Lowering &l, DynamicRangeOp op) {
  RankedTensorType type = Lowering::storageType(op.getResult());
  Type element = Lowering::element(op.getResult());
  Value inputs[] = {l.get(op.getStart()), l.get(op.getDelta())};
  AffineMap scalar = l.map(1, {});
  l.set(op.getResult(),
        l.mapElements(inputs, {scalar, scalar}, type,
                      [&](ElementBuilder &b, ValueRange args) {
                        Value i = b.create<arith::IndexCastOp>(
                            b.getI64Type(), b.create<linalg::IndexOp>(0));
                        Type wide = getAccumulatorType(element);
                        Value steps = b.cast(i, b.getI64Type(), wide);
                        Value sum = b.add(b.widen(args[0]),
                                          b.mul(steps, b.widen(args[1])));
                        return b.narrow(sum, getStorageType(element));
                      }));
  return success();
}

} // namespace

void addShapeLowerings(LoweringTable &table) {
  addLowering<ConstantOp>(table, lowerConstant);
  addLowering<ReshapeOp>(table, lowerReshape<ReshapeOp>);
  addLowering<DynamicReshapeOp>(table, lowerReshape<DynamicReshapeOp>);
  addLowering<SqueezeOp>(table, lowerReshape<SqueezeOp>);
  addLowering<UnsqueezeOp>(table, lowerReshape<UnsqueezeOp>);
  addLowering<TransposeOp>(table, lowerTranspose);
  addLowering<BroadcastOp>(table, lowerBroadcast<BroadcastOp>);
  addLowering<DynamicBroadcastOp>(table, lowerBroadcast<DynamicBroadcastOp>);
  addLowering<SliceOp>(table, lowerSlice);
  addLowering<DynamicSliceOp>(table, lowerDynamicSlice);
  addLowering<ConcatOp>(table, lowerConcat);
  addLowering<TileOp>(table, lowerTile<TileOp>);
  addLowering<DynamicTileOp>(table, lowerTile<DynamicTileOp>);
  addLowering<ReverseOp>(table, lowerReverse);
  addLowering<ShapeOfOp>(table, lowerShapeOf);
  addLowering<IotaOp>(table, lowerIota);
  addLowering<DynamicRangeOp>(table, lowerDynamicRange);
}

} // namespace lathe
