//===- Convolution.cpp - Convolutions to linalg -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"

namespace lathe {
namespace {

// The iteration space: n, group, out channel in the group, output position |
// in channel of the group, kernel position. Channels are split into [group,
// channel] first, so groups are a dim like any other.
LogicalResult lowerConv(Lowering &l, ConvOp op) {
  Shape in = Lowering::shape(op.getInput());
  Shape filter = Lowering::shape(op.getFilter());
  Shape result = Lowering::shape(op.getResult());
  Type element = Lowering::element(op.getResult());
  unsigned spatial = in.size() - 2;
  bool last = op.getLayout() == ImageLayout::channels_last;
  int64_t groups = op.getGroups();
  auto strides = orElse(op.getStrides(), spatial, 1);
  auto dilations = orElse(op.getDilations(), spatial, 1);
  auto low = orElse(op.getPadLow(), spatial, 0);
  auto high = orElse(op.getPadHigh(), spatial, 0);

  SmallVector<int64_t> padLow(in.size(), 0), padHigh(in.size(), 0);
  for (unsigned i = 0; i < spatial; ++i) {
    padLow[i + (last ? 1 : 2)] = low[i];
    padHigh[i + (last ? 1 : 2)] = high[i];
  }
  std::pair elements(Lowering::element(op.getInput()),
                     Lowering::element(op.getFilter()));
  Value zero = l.elements().zero(getStorageType(elements.first));
  Value input = l.get(op.getInput());
  if (llvm::any_of(padLow, [](int64_t p) { return p; }) ||
      llvm::any_of(padHigh, [](int64_t p) { return p; }))
    input = l.pad(input, padLow, padHigh, zero);

  auto splitChannels = [&](Shape shape, unsigned at) {
    SmallVector<int64_t> split(shape);
    split[at] /= groups;
    split.insert(split.begin() + at, groups);
    return split;
  };
  unsigned channel = last ? spatial + 1 : 1;
  input = l.reshape(input, splitChannels(Lowering::shape(input), channel));
  Value weights = l.reshape(l.get(op.getFilter()), splitChannels(filter, 0));
  SmallVector<int64_t> outShape = splitChannels(result, channel);

  unsigned dims = 4 + 2 * spatial, group = 1, outChannel = 2, position = 3,
           inChannel = 3 + spatial, window = 4 + spatial;
  SmallVector<AffineExpr> places, inExprs, outExprs, weightExprs, outPlaces;
  for (unsigned i = 0; i < spatial; ++i) {
    places.push_back(l.dim(position + i) * strides[i] +
                     l.dim(window + i) * dilations[i]);
    outPlaces.push_back(l.dim(position + i));
  }
  auto arrange = [&](ArrayRef<AffineExpr> where, unsigned channelDim) {
    SmallVector<AffineExpr> exprs{l.dim(0)};
    if (last)
      llvm::append_range(exprs, where);
    exprs.append({l.dim(group), l.dim(channelDim)});
    if (!last)
      llvm::append_range(exprs, where);
    return l.map(dims, exprs);
  };
  weightExprs = {l.dim(group), l.dim(outChannel), l.dim(inChannel)};
  for (unsigned i = 0; i < spatial; ++i)
    weightExprs.push_back(l.dim(window + i));

  Type accumulator = getAccumulatorType(getStorageType(element));
  Value out =
      l.contract(input, weights, l.filled(outShape, accumulator, 0.0), elements,
                 arrange(places, inChannel), l.map(dims, weightExprs),
                 arrange(outPlaces, outChannel), 3 + spatial);
  if (op.getBias()) {
    Value bias = l.reshape(l.get(op.getBias()), {groups, filter[0] / groups});
    unsigned at = last ? spatial + 1 : 1;
    AffineMap map = l.map(outShape.size(), {l.dim(at), l.dim(at + 1)});
    out = l.addBias(out, bias, map, element);
  } else {
    out = l.narrow(out, element);
  }
  l.set(op.getResult(), l.reshape(out, result));
  return success();
}

} // namespace

void addConvolutionLowerings(LoweringTable &table) {
  addLowering<ConvOp>(table, lowerConv);
}

} // namespace lathe
