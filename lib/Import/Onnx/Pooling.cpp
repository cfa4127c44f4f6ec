//===- Pooling.cpp - ONNX pools and LRN -----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Spatial.h"

#include <cmath>
#include <limits>

namespace lathe::onnx_import {
namespace {

/// What stands in the padding of a maximum: nothing is below it.
double lowest(Node &n, Val x) {
  if (n.isFloat(x))
    return -std::numeric_limits<double>::infinity();
  if (n.elem(x).isUnsignedInteger())
    return 0;
  return -std::ldexp(1.0, n.elem(x).getIntOrFloatBitWidth() - 1);
}

LogicalResult maxPool(Node &n) {
  Val x = n.in(0);
  Window w;
  if (!readWindow(n, x, {}, w))
    return failure();
  bool ceil = n.i("ceil_mode");
  if (n.wants(1)) {
    if (w.same)
      return n.fail("indices need the input's size to be known");
    SmallVector<Value> results = n.makeAll<MaxPoolWithIndexOp>(
        2, x, w.kernel, w.strides, w.dilations, w.low, w.high, ceil,
        ImageLayout::channels_first, bool(n.i("storage_order")));
    n.out(0, results[0]);
    n.out(1, results[1]);
    return n.status();
  }
  if (w.same)
    x = padSame(n, x, w, lowest(n, x));
  return n.result(n.make<MaxPoolOp>(x, w.kernel, w.strides, w.dilations, w.low,
                                    w.high, ceil, ImageLayout::channels_first));
}

LogicalResult averagePool(Node &n) {
  Val x = n.in(0);
  Window w;
  if (!readWindow(n, x, {}, w))
    return failure();
  if (w.same)
    return n.fail("SAME padding of a mean with a stride needs the input's size "
                  "to be known");
  return n.result(n.make<AvgPoolOp>(x, w.kernel, w.strides, w.dilations, w.low,
                                    w.high, bool(n.i("ceil_mode")),
                                    ImageLayout::channels_first,
                                    bool(n.i("count_include_pad"))));
}

/// (sum |x|^p)^(1/p) over windows, from the mean times the window's size.
LogicalResult lpPool(Node &n) {
  Val x = n.in(0);
  Window w;
  if (!readWindow(n, x, {}, w))
    return failure();
  if (w.same || n.i("ceil_mode"))
    return n.fail("LpPool with ceil_mode, or SAME padding of an open size, is "
                  "not supported");
  double p = n.i("p", 2), count = 1;
  for (int64_t k : w.kernel)
    count *= k;
  Val powers = p == 1 ? abs(x) : p == 2 ? x * x : pow(abs(x), p);
  Val mean = n.make<AvgPoolOp>(powers, w.kernel, w.strides, w.dilations, w.low,
                               w.high, false, ImageLayout::channels_first,
                               /*count_include_pad=*/true);
  Val total = mean * count;
  return n.result(p == 1 ? total : p == 2 ? sqrt(total) : pow(total, 1 / p));
}

SmallVector<int64_t> spatialAxes(Node &n, Val x) {
  SmallVector<int64_t> axes;
  for (int64_t i = 2; i < Node::rank(x); ++i)
    axes.push_back(i);
  return axes;
}

LogicalResult globalAverage(Node &n) {
  Val x = n.in(0);
  if (!n.expectRank(x, 3, 8, "an input [n, c, spatial...]"))
    return failure();
  return n.result(n.mean(x, spatialAxes(n, x)));
}
LogicalResult globalMax(Node &n) {
  Val x = n.in(0);
  if (!n.expectRank(x, 3, 8, "an input [n, c, spatial...]"))
    return failure();
  return n.result(n.make<ReduceMaxOp>(x, spatialAxes(n, x), true));
}
LogicalResult globalLp(Node &n) {
  Val x = n.in(0);
  if (!n.expectRank(x, 3, 8, "an input [n, c, spatial...]"))
    return failure();
  double p = n.i("p", 2);
  return n.result(pow(n.sum(pow(abs(x), p), spatialAxes(n, x)), 1 / p));
}

/// Values written at flat positions of a tensor of zeros.
LogicalResult maxUnpool(Node &n) {
  Val x = n.in(0), indices = n.in(1);
  Window w;
  if (!readWindow(n, x, {}, w))
    return failure();
  SmallVector<int64_t> shape;
  if (n.has(2)) {
    shape = n.requireInts(2, "its output shape");
  } else {
    shape = {Node::size(x, 0), Node::size(x, 1)};
    for (size_t i = 0; i < w.kernel.size(); ++i)
      shape.push_back(ShapedType::isDynamic(Node::size(x, i + 2))
                          ? ShapedType::kDynamic
                          : (Node::size(x, i + 2) - 1) * w.strides[i] -
                                w.low[i] - w.high[i] + w.kernel[i]);
  }
  if (llvm::any_of(shape, ShapedType::isDynamic))
    return n.fail("MaxUnpool needs the input's size to be known");
  if (!n.ok())
    return failure();
  Dim total = n.product(SmallVector<Dim>(shape.begin(), shape.end()));
  // Indices count in the tensor that was pooled: with another output shape the
  // rows are longer.
  if (n.has(2)) {
    SmallVector<int64_t> pooled = {Node::size(x, 0), Node::size(x, 1)};
    for (size_t i = 0; i < w.kernel.size(); ++i)
      pooled.push_back((Node::size(x, i + 2) - 1) * w.strides[i] - w.low[i] -
                       w.high[i] + w.kernel[i]);
    if (pooled.size() != shape.size() ||
        llvm::any_of(n.type(x).getShape(), ShapedType::isDynamic))
      return n.fail("the output shape does not fit the input");
    Val rest = indices, flat = n.scalar(n.b.getI64Type(), 0);
    double scale = 1;
    for (size_t i = shape.size(); i-- > 0;) {
      Val size = n.scalar(n.b.getI64Type(), pooled[i]);
      flat = flat + n.make<RemOp>(rest, size) * scale;
      rest = rest / size;
      scale *= shape[i];
    }
    indices = flat;
  }
  Val zeros = n.broadcast(n.scalar(n.elem(x), 0), {total});
  Dim count = n.product(n.dims(x));
  Val y =
      n.make<ScatterElementsOp>(zeros, n.reshape(indices, {count}),
                                n.reshape(x, {count}), 0, ScatterMode::assign);
  return n.result(n.reshape(y, SmallVector<Dim>(shape.begin(), shape.end())));
}

/// x / (bias + alpha * mean of squares over neighbouring channels)^beta.
LogicalResult lrn(Node &n) {
  Val x = n.in(0);
  if (!n.expectRank(x, 3, 5, "an input [n, c, spatial...]"))
    return failure();
  int64_t size = n.i("size");
  if (size <= 0)
    return n.fail("expected a positive size");
  SmallVector<Dim> dims = n.dims(x);
  // The channels as the one spatial dim of a pool over [n, 1, c, rest].
  Val image = n.reshape(x * x, {dims[0], Dim(1), dims[1],
                                n.product(ArrayRef(dims).drop_front(2))});
  SmallVector<int64_t> kernel{size, 1}, ones{1, 1}, low{(size - 1) / 2, 0},
      high{size / 2, 0};
  Val mean = n.make<AvgPoolOp>(image, kernel, ones, ones, low, high, false,
                               ImageLayout::channels_first,
                               /*count_include_pad=*/true);
  Val base = n.reshape(mean, dims) * n.f("alpha", 1e-4) + n.f("bias", 1);
  return n.result(x * pow(base, -n.f("beta", 0.75)));
}

constexpr OpRow rows[] = {
    {"MaxPool", 1, 0, maxPool},
    {"AveragePool", 1, 0, averagePool},
    {"LpPool", 2, 0, lpPool},
    {"GlobalAveragePool", 1, 0, globalAverage},
    {"GlobalMaxPool", 1, 0, globalMax},
    {"GlobalLpPool", 2, 0, globalLp},
    {"MaxUnpool", 9, 0, maxUnpool},
    {"LRN", 1, 0, lrn},
};

} // namespace

ArrayRef<OpRow> poolingOps() { return rows; }

} // namespace lathe::onnx_import
