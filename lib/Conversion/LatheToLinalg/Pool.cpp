//===- Pool.cpp - Pooling to linalg -------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"

#include <limits>
#include <numeric>

namespace lathe {
namespace {

/// The window of a pooling op over an image of `rank` dims: dims of the
/// iteration space are the result's, then the kernel's.
struct Window {
  unsigned rank, first, spatial;
  SmallVector<int64_t> kernel, strides, dilations, low, high;

  template <typename OpTy> static Window of(OpTy op) {
    Window w;
    w.rank = Lowering::shape(op.getInput()).size();
    w.spatial = w.rank - 2;
    w.first = op.getLayout() == ImageLayout::channels_last ? 1 : 2;
    w.kernel = SmallVector<int64_t>(op.getKernel());
    w.strides = orElse(op.getStrides(), w.spatial, 1);
    w.dilations = orElse(op.getDilations(), w.spatial, 1);
    w.low = orElse(op.getPadLow(), w.spatial, 0);
    w.high = orElse(op.getPadHigh(), w.spatial, 0);
    return w;
  }
  unsigned dims() const { return rank + spatial; }
  /// The input's map where padding was added in front.
  AffineMap inputMap(Lowering &l) const {
    SmallVector<AffineExpr> exprs;
    for (unsigned i = 0; i < rank; ++i)
      exprs.push_back(l.dim(i));
    for (unsigned i = 0; i < spatial; ++i)
      exprs[first + i] =
          l.dim(first + i) * strides[i] + l.dim(rank + i) * dilations[i];
    return l.map(dims(), exprs);
  }
  AffineMap outMap(Lowering &l) const {
    return l.identity(dims()).getMajorSubMap(rank);
  }
  AffineMap kernelMap(Lowering &l) const {
    return l.identity(dims()).getMinorSubMap(spatial);
  }
  SmallVector<IteratorType> iterators() const {
    SmallVector<IteratorType> types(dims(), IteratorType::reduction);
    std::fill_n(types.begin(), rank, IteratorType::parallel);
    return types;
  }
  /// The input padded so that every window of the result lies inside, which
  /// with ceil_mode takes more than `high`.
  Value padded(Lowering &l, Value input, Shape result, Value value) const {
    SmallVector<int64_t> padLow(rank, 0), padHigh(rank, 0);
    bool any = false;
    for (unsigned i = 0; i < spatial; ++i) {
      int64_t size = Lowering::shape(input)[first + i];
      int64_t reach = (result[first + i] - 1) * strides[i] +
                      (kernel[i] - 1) * dilations[i] + 1;
      padLow[first + i] = low[i];
      padHigh[first + i] = std::max<int64_t>(0, reach - size - low[i]);
      any |= padLow[first + i] || padHigh[first + i];
    }
    return any ? l.pad(input, padLow, padHigh, value) : input;
  }
};

Value lowest(ElementBuilder b, Type type, bool isUnsigned) {
  if (isa<FloatType>(type))
    return b.number(-std::numeric_limits<double>::infinity(), type);
  unsigned bits = type.getIntOrFloatBitWidth();
  APInt value = isUnsigned ? APInt(bits, 0) : APInt::getSignedMinValue(bits);
  return b.create<arith::ConstantOp>(IntegerAttr::get(type, value));
}

LogicalResult lowerMaxPool(Lowering &l, MaxPoolOp op) {
  Window w = Window::of(op);
  Value input = l.get(op.getInput());
  Shape result = Lowering::shape(op.getResult());
  bool isUnsigned = isUnsignedElement(Lowering::element(op.getInput()));
  Value least = lowest(l.elements(), Lowering::element(input), isUnsigned);
  Value padded = w.padded(l, input, result, least);
  AffineMap maps[] = {w.inputMap(l), w.kernelMap(l), w.outMap(l)};
  Value window = l.empty(w.kernel, l.builder.getI8Type());
  l.set(op.getResult(),
        l.reduce({padded, window}, l.filled(result, least), maps, w.iterators(),
                 [&](ElementBuilder &b, ValueRange args) {
                   Value x =
                       b.max(b.widen(args[2]), b.widen(args[0]), isUnsigned);
                   return b.narrow(x, args[2].getType());
                 }));
  return success();
}

LogicalResult lowerAvgPool(Lowering &l, AvgPoolOp op) {
  Window w = Window::of(op);
  Value input = l.get(op.getInput());
  Shape inShape = Lowering::shape(input);
  Shape result = Lowering::shape(op.getResult());
  Type element = Lowering::element(input);
  Value padded = w.padded(l, input, result, l.elements().zero(element));
  AffineMap maps[] = {w.inputMap(l), w.kernelMap(l), w.outMap(l)};
  Value window = l.empty(w.kernel, l.builder.getI8Type());
  Type accumulator = getAccumulatorType(element);
  Value sum =
      l.reduce({padded, window}, l.filled(result, accumulator, 0.0), maps,
               w.iterators(), [](ElementBuilder &b, ValueRange args) {
                 return b.add(args[2], b.widen(args[0]));
               });
  // The divisor: how many kernel positions fall on what counts. Positions past
  // the padding, which ceil_mode may reach, never do.
  bool withPad = op.getCountIncludePad();
  Value mean = l.mapElements(
      sum, l.identity(w.rank), RankedTensorType::get(result, accumulator),
      [&](ElementBuilder &b, ValueRange args) {
        Type index = b.getIndexType();
        Value count = b.integer(1, index);
        for (unsigned i = 0; i < w.spatial; ++i) {
          int64_t size = inShape[w.first + i];
          int64_t from = withPad ? -w.low[i] : 0;
          int64_t to = withPad ? size + w.high[i] : size;
          Value o = b.create<linalg::IndexOp>(w.first + i);
          Value start = b.add(b.mul(o, b.integer(w.strides[i], index)),
                              b.integer(-w.low[i], index));
          // k with from <= start + k * dilation < to
          Value dilation = b.integer(w.dilations[i], index);
          auto steps = [&](int64_t bound) -> Value {
            Value gap = b.sub(b.integer(bound, index), start);
            Value k = gap;
            if (w.dilations[i] != 1)
              k = b.create<arith::CeilDivSIOp>(gap, dilation);
            k = b.create<arith::MaxSIOp>(k, b.integer(0, index));
            return b.create<arith::MinSIOp>(k, b.integer(w.kernel[i], index));
          };
          Value inside = b.sub(steps(to), steps(from));
          count = b.mul(count, inside);
        }
        Value asInt = b.create<arith::IndexCastOp>(b.getI64Type(), count);
        Value divisor = b.create<arith::SIToFPOp>(accumulator, asInt);
        return b.create<arith::DivFOp>(args[0], divisor).getResult();
      });
  l.set(op.getResult(), l.narrow(mean, element));
  return success();
}

// Nothing is padded here: the body tests whether the position is inside. Index
// -1 means that no element was seen yet.
LogicalResult lowerMaxPoolWithIndex(Lowering &l, MaxPoolWithIndexOp op) {
  Window w = Window::of(op);
  Value input = l.get(op.getInput());
  Shape in = Lowering::shape(input), result = Lowering::shape(op.getResult());
  Type element = Lowering::element(input);
  bool isUnsigned = isUnsignedElement(Lowering::element(op.getInput()));
  Value least = lowest(l.elements(), element, isUnsigned);
  ElementBuilder outer = l.elements();
  SmallVector<Value> inits{
      l.filled(result, least),
      l.filled(result, outer.integer(-1, outer.getI64Type()))};
  AffineMap maps[] = {w.kernelMap(l), w.outMap(l), w.outMap(l)};
  Value window = l.empty(w.kernel, l.builder.getI8Type());

  SmallVector<int64_t> order(w.rank);
  std::iota(order.begin(), order.end(), 0);
  if (op.getColumnMajor())
    std::reverse(order.begin() + w.first, order.begin() + w.first + w.spatial);

  SmallVector<Value> results = l.reduce(
      window, inits, maps, w.iterators(),
      [&](ElementBuilder &b, ValueRange args) -> SmallVector<Value> {
        Type index = b.getIndexType();
        SmallVector<Value> at(w.rank);
        Value inside = b.create<arith::ConstantIntOp>(1, 1);
        for (unsigned i = 0; i < w.rank; ++i)
          at[i] = b.create<linalg::IndexOp>(i);
        for (unsigned i = 0; i < w.spatial; ++i) {
          Value k = b.create<linalg::IndexOp>(w.rank + i);
          Value &place = at[w.first + i];
          place = b.add(b.mul(place, b.integer(w.strides[i], index)),
                        b.mul(k, b.integer(w.dilations[i], index)));
          place = b.add(place, b.integer(-w.low[i], index));
          Value last = b.integer(in[w.first + i] - 1, index);
          Value nought = b.integer(0, index);
          inside = b.logicalAnd(inside, b.compare("ge", place, nought));
          inside = b.logicalAnd(inside, b.compare("le", place, last));
          place = b.create<arith::MaxSIOp>(
              b.create<arith::MinSIOp>(place, last), nought);
        }
        Value x = b.create<tensor::ExtractOp>(input, at);
        Value flat = b.integer(0, index);
        for (int64_t i : order)
          flat = b.add(b.mul(flat, b.integer(in[i], index)), at[i]);
        Value where = b.create<arith::IndexCastOp>(b.getI64Type(), flat);
        Value acc = args[1], wide = b.widen(x), wideAcc = b.widen(acc);
        Value better = b.compare("gt", wide, wideAcc, isUnsigned);
        if (isa<FloatType>(element))
          better =
              b.logicalOr(better, b.logicalAnd(b.isNan(wide),
                                               b.logicalNot(b.isNan(wideAcc))));
        Value none = b.compare("lt", args[2], b.zero(args[2].getType()));
        Value take = b.logicalAnd(inside, b.logicalOr(better, none));
        return {b.select(take, x, acc), b.select(take, where, args[2])};
      });
  l.set(op.getResult(), results[0]);
  l.set(op.getIndices(), results[1]);
  return success();
}

} // namespace

void addPoolLowerings(LoweringTable &table) {
  addLowering<MaxPoolOp>(table, lowerMaxPool);
  addLowering<AvgPoolOp>(table, lowerAvgPool);
  addLowering<MaxPoolWithIndexOp>(table, lowerMaxPoolWithIndex);
}

} // namespace lathe
