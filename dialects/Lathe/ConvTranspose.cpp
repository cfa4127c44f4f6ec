//===- ConvTranspose.cpp - Transposed convolution as a convolution --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two forms. Where the kernel is as large as the stride (upsampling layers), no
// two windows overlap: a 1x1 convolution gives every output block its values,
// and a transpose puts them in place. Otherwise the input, with zeros between
// its elements, is convolved with the flipped filter.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

namespace lathe {

using Sizes = ArrayRef<int64_t>;

/// `list` behind the batch and channel dims, which get `other`.
static SmallVector<int64_t> behindChannels(int64_t other, Sizes list) {
  SmallVector<int64_t> result{other, other};
  llvm::append_range(result, list);
  return result;
}

static Value reshapeTo(OpBuilder &builder, Location loc, Value value,
                       Sizes shape) {
  return builder.create<ReshapeOp>(loc, value, shape, /*allow_zero=*/true);
}

/// Puts stride - 1 zeros behind every element of the spatial dims, so that a
/// dim of size s has size s * stride.
static Value insertZeros(OpBuilder &builder, Location loc, Value value,
                         Sizes strides) {
  if (llvm::all_of(strides, [](int64_t stride) { return stride == 1; }))
    return value;
  Sizes shape = getTensorType(value).getShape();
  SmallVector<int64_t> apart{shape[0], shape[1]}, grow{0, 0},
      together{shape[0], shape[1]};
  for (auto [size, stride] : llvm::zip(shape.drop_front(2), strides)) {
    apart.append({size, 1});
    grow.append({0, stride - 1});
    together.push_back(size * stride);
  }
  value = reshapeTo(builder, loc, value, apart);
  value = builder.create<PadOp>(loc, value, Value(),
                                SmallVector<int64_t>(grow.size(), 0), grow);
  return reshapeTo(builder, loc, value, together);
}

/// `[groups * c, out, kernel...] -> [groups * out, c, kernel...]`, the kernel
/// back to front.
static Value flipFilter(OpBuilder &builder, Location loc, Value filter,
                        int64_t groups) {
  Sizes shape = getTensorType(filter).getShape();
  int64_t spatial = shape.size() - 2;
  filter = builder.create<ReverseOp>(
      loc, filter, llvm::to_vector(llvm::seq<int64_t>(2, spatial + 2)));
  SmallVector<int64_t> apart{groups, shape[0] / groups}, permutation{0, 2, 1},
      together{groups * shape[1], shape[0] / groups};
  llvm::append_range(apart, shape.drop_front());
  llvm::append_range(together, shape.drop_front(2));
  llvm::append_range(permutation, llvm::seq<int64_t>(3, spatial + 3));
  filter = reshapeTo(builder, loc, filter, apart);
  filter = builder.create<TransposeOp>(loc, filter, permutation);
  return reshapeTo(builder, loc, filter, together);
}

namespace {
/// The attributes with defaults filled in.
struct Geometry {
  SmallVector<int64_t> strides, dilations, low, high, extra;
};
} // namespace

static Geometry readGeometry(ConvTransposeOp op, size_t spatial) {
  auto fill = [&](Sizes list, int64_t fallback) {
    return list.empty() ? SmallVector<int64_t>(spatial, fallback)
                        : SmallVector<int64_t>(list);
  };
  return {fill(op.getStrides(), 1), fill(op.getDilations(), 1),
          fill(op.getPadLow(), 0), fill(op.getPadHigh(), 0),
          fill(op.getOutputPadding(), 0)};
}

/// The form for windows that do not overlap.
static Value decomposeBlocks(ConvTransposeOp op, OpBuilder &builder) {
  Location loc = op.getLoc();
  Sizes input = getTensorType(op.getInput()).getShape();
  Sizes filter = getTensorType(op.getFilter()).getShape();
  int64_t spatial = input.size() - 2, groups = op.getGroups();
  Sizes kernel = filter.drop_front(2);
  int64_t block = 1;
  for (int64_t size : kernel)
    block *= size;
  int64_t out = filter[1] * groups;

  // [groups * c, out / groups, kernel...] -> [out * block, c, 1...]
  Value weights = reshapeTo(builder, loc, op.getFilter(),
                            {groups, filter[0] / groups, filter[1] * block});
  weights = builder.create<TransposeOp>(loc, weights, Sizes{0, 2, 1});
  SmallVector<int64_t> pointwise{out * block, filter[0] / groups};
  pointwise.append(spatial, 1);
  weights = reshapeTo(builder, loc, weights, pointwise);
  Value bias = op.getBias();
  if (bias) {
    bias = reshapeTo(builder, loc, bias, {out, 1});
    bias = builder.create<BroadcastOp>(loc, bias, Sizes{out, block});
    bias = reshapeTo(builder, loc, bias, {out * block});
  }
  Value result = builder.create<ConvOp>(
      loc, op.getInput(), weights, bias, Sizes(), Sizes(), Sizes(), Sizes(),
      uint64_t(groups), ImageLayout::channels_first);

  // [n, out, kernel..., spatial...] -> [n, out, spatial and kernel in turns]
  SmallVector<int64_t> apart{input[0], out}, turns{0, 1};
  llvm::append_range(apart, kernel);
  llvm::append_range(apart, input.drop_front(2));
  for (int64_t i = 0; i < spatial; ++i)
    turns.append({2 + spatial + i, 2 + i});
  result = reshapeTo(builder, loc, result, apart);
  result = builder.create<TransposeOp>(loc, result, turns);
  return reshapeTo(builder, loc, result, op.getType().getShape());
}

// The gradient of a convolution is a convolution: the input with zeros between
// its elements, under the flipped filter with its channels exchanged.
static Value decomposeDilated(ConvTransposeOp op, OpBuilder &builder,
                              const Geometry &geometry) {
  RankedTensorType input = getTensorType(op.getInput());
  RankedTensorType filter = getTensorType(op.getFilter());
  SmallVector<int64_t> low, high;
  for (auto [i, stride] : llvm::enumerate(geometry.strides)) {
    int64_t reach = (filter.getDimSize(i + 2) - 1) * geometry.dilations[i];
    int64_t spread = input.getDimSize(i + 2) * stride;
    low.push_back(reach - geometry.low[i]);
    // The zeros behind the last element count as padding.
    high.push_back(reach - geometry.high[i] + geometry.extra[i] - (stride - 1));
    if (-low.back() > spread || -high.back() > spread)
      return {};
  }
  Location loc = op.getLoc();
  Value data = insertZeros(builder, loc, op.getInput(), geometry.strides);
  data = builder.create<PadOp>(loc, data, Value(), behindChannels(0, low),
                               behindChannels(0, high));
  Value filterFlipped =
      flipFilter(builder, loc, op.getFilter(), int64_t(op.getGroups()));
  return builder.create<ConvOp>(loc, op.getType(), data, filterFlipped,
                                op.getBias(), Sizes(), geometry.dilations,
                                Sizes(), Sizes(), op.getGroups(),
                                ImageLayout::channels_first);
}

FailureOr<SmallVector<Value>> ConvTransposeOp::decompose(OpBuilder &builder) {
  RankedTensorType input = getTensorType(getInput());
  RankedTensorType filter = getTensorType(getFilter());
  FailureOr<int64_t> elements = elementCount(getType().getShape());
  if (!input.hasStaticShape() || !filter.hasStaticShape() || failed(elements) ||
      *elements <= 0)
    return failure();
  size_t spatial = input.getRank() - 2;
  Geometry geometry = readGeometry(*this, spatial);
  // Far beyond any memory, and short of what sums of products overflow at.
  constexpr int64_t kMost = int64_t(1) << 24;
  auto huge = [](int64_t size) { return size > kMost || size < -kMost; };
  if (llvm::any_of(input.getShape(), huge) ||
      llvm::any_of(filter.getShape(), huge))
    return failure();
  for (Sizes list :
       {Sizes(geometry.strides), Sizes(geometry.dilations), Sizes(geometry.low),
        Sizes(geometry.high), Sizes(geometry.extra)})
    if (llvm::any_of(list, huge))
      return failure();
  auto zero = [](int64_t amount) { return amount == 0; };
  bool blocks = filter.getShape().drop_front(2) == Sizes(geometry.strides) &&
                llvm::all_of(geometry.low, zero) &&
                llvm::all_of(geometry.high, zero) &&
                llvm::all_of(geometry.extra, zero) &&
                llvm::all_of(geometry.dilations,
                             [](int64_t dilation) { return dilation == 1; });
  Value result = blocks ? decomposeBlocks(*this, builder)
                        : decomposeDilated(*this, builder, geometry);
  if (!result)
    return failure();
  return SmallVector<Value>{result};
}

} // namespace lathe
