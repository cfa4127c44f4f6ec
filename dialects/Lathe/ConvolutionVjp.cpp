//===- ConvolutionVjp.cpp - Derivatives of convolutions and pooling -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Rules are written for channels first; other layouts are transposed to it.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {
namespace {

using Sizes = ArrayRef<int64_t>;

SmallVector<int64_t> orElse(Sizes list, size_t count, int64_t fallback) {
  return list.empty() ? SmallVector<int64_t>(count, fallback)
                      : SmallVector<int64_t>(list);
}

int64_t productOf(Sizes sizes) {
  int64_t product = 1;
  for (int64_t size : sizes)
    product *= size;
  return product;
}

/// The windows of an op over spatial dims. `high` is the padding that the
/// windows reach: less than given (down to below 0) where the last ones do not
/// fit, more with ceil_mode.
struct Windows {
  template <typename OpTy>
  Windows(OpTy op, Sizes input, Sizes kernel, Sizes result)
      : kernel(kernel), strides(orElse(op.getStrides(), kernel.size(), 1)),
        dilations(orElse(op.getDilations(), kernel.size(), 1)),
        low(orElse(op.getPadLow(), kernel.size(), 0)) {
    for (size_t i = 0; i < kernel.size(); ++i)
      high.push_back((result[i] - 1) * strides[i] +
                     (kernel[i] - 1) * dilations[i] + 1 - input[i] - low[i]);
  }
  /// The padding where only more of it can be said.
  SmallVector<int64_t> highOrZero() const {
    SmallVector<int64_t> result(high);
    for (int64_t &amount : result)
      amount = std::max<int64_t>(amount, 0);
    return result;
  }
  SmallVector<int64_t> kernel, strides, dilations, low, high;
};

Value channelsFirst(VjpBuilder &b, Value value, ImageLayout layout) {
  return layout == ImageLayout::channels_last
             ? b.moveAxis(value, getTensorType(value).getRank() - 1, 1)
             : value;
}
Value backToLayout(VjpBuilder &b, Value value, ImageLayout layout) {
  return layout == ImageLayout::channels_last
             ? b.moveAxis(value, 1, getTensorType(value).getRank() - 1)
             : value;
}

/// The transpose of a convolution by its input.
Value spread(VjpBuilder &b, Value g, Value filter, const Windows &w,
             int64_t groups) {
  return b.make<ConvTransposeOp>(g, filter, Value(), w.strides, w.dilations,
                                 w.low, w.high, Sizes(), uint64_t(groups));
}

/// `[a, groups * b, rest...]` -> `[b, groups * a, rest...]`: what a convolution
/// sums over and what it keeps change places.
Value exchange(VjpBuilder &b, Value value, int64_t groups) {
  Sizes shape = getTensorType(value).getShape();
  int64_t inner = shape[1] / groups, rank = shape.size();
  SmallVector<int64_t> apart{shape[0], groups, inner}, order{2, 1, 0},
      together{inner, groups * shape[0]};
  llvm::append_range(apart, shape.drop_front(2));
  llvm::append_range(together, shape.drop_front(2));
  llvm::append_range(order, llvm::seq<int64_t>(3, rank + 1));
  return b.reshape(b.transpose(b.reshape(value, apart), order), together);
}

/// `[a, groups * b, rest...]` -> `[groups * b, a, rest...]`
Value leadByChannels(VjpBuilder &b, Value value) {
  return b.moveAxis(value, 0, 1);
}

/// The gradient of the filter: the input convolved with the cotangents, which
/// stand as far apart as the windows did.
Value correlate(VjpBuilder &b, Value x, Value g, const Windows &w,
                int64_t groups) {
  Value sums =
      b.make<ConvOp>(exchange(b, x, groups), leadByChannels(b, g), Value(),
                     w.dilations, w.strides, w.low, w.highOrZero(),
                     uint64_t(groups), ImageLayout::channels_first);
  // Beyond the kernel lie products with what no window reached.
  Sizes shape = getTensorType(sums).getShape();
  SmallVector<int64_t> starts, axes;
  for (size_t i = 0; i < w.kernel.size(); ++i) {
    starts.push_back(0);
    axes.push_back(i + 2);
  }
  if (shape.drop_front(2) != Sizes(w.kernel))
    sums = b.make<SliceOp>(sums, starts, w.kernel, axes, Sizes());
  return b.moveAxis(sums, 0, 1);
}

} // namespace

Gradients ConvOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  int64_t groups = getGroups();
  Value x = channelsFirst(b, getInput(), getLayout());
  Value g = channelsFirst(b, cotangents[0], getLayout());
  Sizes in = getTensorType(x).getShape(), out = getTensorType(g).getShape();
  Sizes filter = getTensorType(getFilter()).getShape();
  SmallVector<Value> gradients;
  if (productOf(in) == 0 || productOf(out) == 0 || productOf(filter) == 0) {
    gradients = {b.zerosLike(getInput()), b.zerosLike(getFilter())};
  } else {
    Windows w(*this, in.drop_front(2), filter.drop_front(2), out.drop_front(2));
    gradients = {
        backToLayout(b, spread(b, g, getFilter(), w, groups), getLayout()),
        correlate(b, x, g, w, groups)};
  }
  if (getBias()) {
    SmallVector<int64_t> axes{0};
    llvm::append_range(axes, llvm::seq<int64_t>(2, out.size()));
    gradients.push_back(b.sum(g, axes, /*keepdims=*/false));
  }
  return gradients;
}

//===----------------------------------------------------------------------===//
// Pooling
//===----------------------------------------------------------------------===//

/// Images and channels alike: `[n, c, rest...]` -> `[n * c, 1, rest...]`.
static Value oneChannel(VjpBuilder &b, Value value) {
  Sizes shape = getTensorType(value).getShape();
  SmallVector<int64_t> merged{shape[0] * shape[1], 1};
  llvm::append_range(merged, shape.drop_front(2));
  return b.reshape(value, merged);
}

// Every element of a window gets the cotangent over the window's count.
Gradients AvgPoolOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Value x = channelsFirst(b, getInput(), getLayout());
  Value g = b.widen(channelsFirst(b, cotangents[0], getLayout()));
  Sizes in = getTensorType(x).getShape(), out = getTensorType(g).getShape();
  if (productOf(in) == 0 || productOf(out) == 0)
    return SmallVector<Value>{b.zerosLike(getInput())};
  Sizes spatial = in.drop_front(2);
  Windows w(*this, spatial, getKernel(), out.drop_front(2));
  Type element = getTensorType(g).getElementType();
  SmallVector<int64_t> one{1, 1}, pixels{1, 1};
  llvm::append_range(one, getKernel());
  llvm::append_range(pixels, spatial);
  Value ones = b.splat(element, one, 1.0);

  // How many elements each window counts: ones where they stand.
  Value counted = b.splat(element, pixels, 1.0);
  SmallVector<int64_t> low{0, 0}, high{0, 0}, given{0, 0};
  llvm::append_range(low, w.low);
  llvm::append_range(high, w.high);
  llvm::append_range(given, orElse(getPadHigh(), spatial.size(), 0));
  if (getCountIncludePad()) {
    counted = b.make<PadOp>(counted, b.number(1, counted), low, given);
    for (auto [reached, amount] : llvm::zip_equal(high, given))
      reached -= amount;
    low.assign(low.size(), 0);
  }
  counted = b.make<PadOp>(counted, Value(), low, high);
  Value count =
      b.make<ConvOp>(counted, ones, Value(), w.strides, w.dilations, Sizes(),
                     Sizes(), uint64_t(1), ImageLayout::channels_first);
  Value shares = oneChannel(b, b.div(g, count));
  Value result = b.reshape(spread(b, shares, ones, w, 1), in);
  return SmallVector<Value>{
      b.gradientOf(getInput(), backToLayout(b, result, getLayout()))};
}

/// Whether every element is in one window at most, and none in the padding.
template <typename OpTy> static bool hasTiles(OpTy op) {
  auto input = getTensorType(op.getInput());
  Sizes kernel = op.getKernel();
  Windows w(op, input.getShape(), kernel, kernel);
  auto isNot = [](int64_t wanted) {
    return [=](int64_t size) { return size != wanted; };
  };
  bool isPadded = llvm::any_of(op.getPadLow(), isNot(0)) ||
                  llvm::any_of(op.getPadHigh(), isNot(0));
  return !op.getCeilMode() && !isPadded && input.getNumElements() != 0 &&
         Sizes(w.strides) == kernel && llvm::none_of(w.dilations, isNot(1));
}

/// The cotangent goes to the maximum, of several to the first; its place is
/// found again. `op` is a max_pool, with or without index.
template <typename OpTy>
static Value differentiateMaxPool(OpTy op, OpBuilder &builder, Value g) {
  VjpBuilder b(builder, op);
  if (hasTiles(op) && getTensorType(g).getNumElements() != 0)
    return b.make<MaxPoolGradientOp>(op.getInput(), g, op.getKernel(),
                                     op.getLayout());
  Value x = channelsFirst(b, op.getInput(), op.getLayout());
  g = channelsFirst(b, g, op.getLayout());
  Sizes in = getTensorType(x).getShape();
  int64_t elements = productOf(in), places = getTensorType(g).getNumElements();
  if (elements == 0 || places == 0)
    return b.zerosLike(op.getInput());
  Type i64 = IntegerType::get(op.getContext(), 64);
  auto pool = builder.create<MaxPoolWithIndexOp>(
      op.getLoc(), getTensorType(g),
      RankedTensorType::get(getTensorType(g).getShape(), i64), x,
      op.getKernel(), op.getStrides(), op.getDilations(), op.getPadLow(),
      op.getPadHigh(), op.getCeilMode(), ImageLayout::channels_first,
      /*column_major=*/false);
  // Images have nothing to do with each other: the places count within one.
  int64_t images = in[0] * in[1], pixels = elements / images;
  int64_t windows = places / images;
  Value index = b.reshape(pool.getIndices(), {images, windows});
  // A window in the padding has no place.
  Value nowhere =
      b.compare(ComparePredicate::lt, index, b.constant(i64, int64_t(0)));
  Value updates =
      b.select(nowhere, b.number(0, g), b.reshape(g, {images, windows}));
  Value first = b.mul(
      b.reshape(b.make<IotaOp>(Sizes(images), /*axis=*/0, i64), {images, 1}),
      b.constant(i64, pixels));
  index = b.select(nowhere, b.constant(i64, int64_t(0)), b.sub(index, first));
  Value zeros =
      b.splat(getTensorType(g).getElementType(), Sizes{images, pixels}, 0.0);
  Value sums = b.make<ScatterElementsOp>(zeros, index, updates, /*axis=*/1,
                                         ScatterMode::add);
  return backToLayout(b, b.reshape(sums, in), op.getLayout());
}

Gradients MaxPoolOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  return SmallVector<Value>{
      differentiateMaxPool(*this, builder, cotangents[0])};
}

Gradients MaxPoolWithIndexOp::buildVjp(OpBuilder &builder,
                                       ValueRange cotangents) {
  if (!cotangents[0])
    return SmallVector<Value>{Value()};
  return SmallVector<Value>{
      differentiateMaxPool(*this, builder, cotangents[0])};
}

//===----------------------------------------------------------------------===//
// resize
//===----------------------------------------------------------------------===//

// Interpolation is a product with one matrix per dim. The op itself makes it
// from the unit matrix, so whatever its rules are, they hold here.
Gradients ResizeOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Sizes in = getTensorType(getInput()).getShape();
  Sizes out = getType().getShape();
  int64_t rank = in.size();
  if (productOf(in) == 0 || productOf(out) == 0)
    return SmallVector<Value>{b.zerosLike(getInput())};
  Value g = b.widen(cotangents[0]);
  Type element = getTensorType(g).getElementType();
  bool crops = getCoordinates() == CoordinateMode::tf_crop_and_resize;
  for (int64_t d = 0; d < rank; ++d) {
    double scale =
        getScales().empty() ? double(out[d]) / double(in[d]) : getScales()[d];
    if (in[d] == out[d] && scale == 1.0 && !crops)
      continue;
    Type i64 = IntegerType::get(getContext(), 64);
    Value row = b.make<IotaOp>(Sizes{in[d], in[d]}, /*axis=*/0, i64);
    Value column = b.make<IotaOp>(Sizes{in[d], in[d]}, /*axis=*/1, i64);
    Value unit = b.cast(b.compare(ComparePredicate::eq, row, column), element);
    SmallVector<int64_t> sizes;
    SmallVector<double> scales, roi;
    if (!getSizes().empty())
      sizes = {in[d], out[d]};
    if (!getScales().empty())
      scales = {1.0, getScales()[d]};
    if (crops)
      roi = {0.0, getRoi()[d], 1.0, getRoi()[d + rank]};
    Value matrix = b.make<ResizeOp>(
        unit, sizes, scales, getMode(), getCoordinates(), getNearest(),
        getCubicCoefficient(), getExcludeOutside(), roi, APFloat(0.0));
    // The dim last, as rows of a product with the matrix [in, out].
    Value rows = b.moveAxis(g, d, rank - 1);
    SmallVector<int64_t> shape(getTensorType(rows).getShape());
    rows = b.reshape(rows, {productOf(Sizes(shape).drop_back()), out[d]});
    rows = b.make<MatmulOp>(rows, matrix, /*transpose_lhs=*/false,
                            /*transpose_rhs=*/true);
    shape.back() = in[d];
    g = b.moveAxis(b.reshape(rows, shape), rank - 1, d);
  }
  return SmallVector<Value>{b.gradientOf(getInput(), g)};
}

} // namespace lathe
