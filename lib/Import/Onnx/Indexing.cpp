//===- Indexing.cpp - ONNX gathers, scatters, grids -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

namespace lathe::onnx_import {
namespace {

/// Indices of another integer type as i64.
Val indices(Node &n, Val v) {
  return n.elem(v).isInteger(32) && !n.elem(v).isUnsignedInteger()
             ? v
             : n.convert(v, n.b.getI64Type());
}

LogicalResult gather(Node &n) {
  Val x = n.in(0), at = indices(n, n.in(1));
  return n.result(n.make<GatherOp>(x, at, n.axis(n.i("axis"), Node::rank(x))));
}
LogicalResult gatherElements(Node &n) {
  Val x = n.in(0), at = indices(n, n.in(1));
  return n.result(
      n.make<GatherElementsOp>(x, at, n.axis(n.i("axis"), Node::rank(x))));
}
LogicalResult gatherNd(Node &n) {
  Val x = n.in(0), at = indices(n, n.in(1));
  return n.result(n.make<GatherNdOp>(x, at, n.i("batch_dims")));
}

std::optional<ScatterMode> scatterMode(Node &n) {
  std::string name = n.s("reduction", "none");
  if (name == "none")
    return ScatterMode::assign;
  if (auto mode = symbolizeScatterMode(name))
    return mode;
  (void)n.fail("the reduction '" + name + "' is not supported");
  return std::nullopt;
}
LogicalResult scatterElements(Node &n) {
  Val x = n.in(0), at = indices(n, n.in(1));
  auto mode = scatterMode(n);
  if (!mode)
    return failure();
  return n.result(n.make<ScatterElementsOp>(
      x, at, n.in(2), n.axis(n.i("axis"), Node::rank(x)), *mode));
}
LogicalResult scatterNd(Node &n) {
  Val x = n.in(0), at = indices(n, n.in(1));
  auto mode = scatterMode(n);
  if (!mode)
    return failure();
  return n.result(n.make<ScatterNdOp>(x, at, n.in(2), *mode));
}

/// Keeps the slices whose condition is true; which ones has to be known.
LogicalResult compress(Node &n) {
  Val x = n.in(0);
  SmallVector<int64_t> condition = n.requireInts(1, "its condition"), keep;
  bool flat = !n.attr("axis");
  int64_t axis = flat ? 0 : n.axis(n.i("axis"), Node::rank(x));
  for (auto [i, c] : llvm::enumerate(condition))
    if (c)
      keep.push_back(i);
  if (flat)
    x = n.reshape(x, {n.product(n.dims(x))});
  return n.result(n.make<GatherOp>(x, n.ints(keep), axis));
}

LogicalResult oneHot(Node &n) {
  Val x = n.convert(n.in(0), n.b.getI64Type()), values = n.in(2);
  Val depthInput = n.in(1);
  auto depth = n.knownFloats(depthInput); // any number type
  if (!n.ok())
    return failure();
  if (!depth) {
    n.needsValue(depthInput);
    return n.fail("needs its depth to be known before the run");
  }
  if (depth->size() != 1 || !(depth->front() >= 0 && depth->front() < 1e15))
    return n.fail("expected one depth");
  int64_t rank = Node::rank(x) + 1, axis = n.axis(n.i("axis", -1), rank);
  // A negative index counts from the end; one outside gives a row of "off".
  x = n.select(less(x, 0), x + depth->front(), x);
  Val hit = n.compare(ComparePredicate::eq, n.unsqueeze(x, {axis}),
                      n.range(Dim(int64_t(depth->front())), axis, rank));
  Val off = n.squeeze(n.slice(values, 0, 0, 1), {0}),
      on = n.squeeze(n.slice(values, 0, 1, 2), {0});
  return n.result(n.select(hit, on, off));
}

/// Reverses the first lengths[b] steps of each sequence: a gather along time.
LogicalResult reverseSequence(Node &n) {
  Val x = n.in(0), lengths = n.convert(n.in(1), n.b.getI64Type());
  int64_t rank = Node::rank(x);
  int64_t batch = n.axis(n.i("batch_axis", 1), rank),
          time = n.axis(n.i("time_axis", 0), rank);
  if (!n.expectRank(x, 2, 16, "an input") ||
      !n.expectRank(lengths, 1, 1, "lengths"))
    return failure();
  SmallVector<int64_t> others;
  for (int64_t i = 0; i < rank; ++i)
    if (i != batch)
      others.push_back(i);
  Val length = n.unsqueeze(lengths, others),
      t = n.range(n.dim(x, time), time, rank);
  Val at =
      n.select(n.compare(ComparePredicate::lt, t, length), length - 1 - t, t);
  return n.result(
      n.make<GatherElementsOp>(x, n.broadcast(at, n.dims(x)), time));
}

//===----------------------------------------------------------------------===//
// GridSample
//===----------------------------------------------------------------------===//

struct Sampler {
  Node &n;
  Val x, flat; // [n, c, h, w] and [n, c, h * w]
  Dim height, width, batch, channels, outHeight, outWidth;
  bool align;
  std::string padding;

  /// A size as a rank-0 float.
  Val number(const Dim &d) {
    if (d.isStatic())
      return n.scalar(n.elem(x), d.size);
    return n.convert(n.squeeze(n.toValue(d), {0}), n.elem(x));
  }
  /// [-1, 1] to pixels.
  Val toPixels(Val g, const Dim &size) {
    Val s = number(size);
    return align ? (g + 1) * ((s - 1) / 2) : ((g + 1) * s - 1) / 2;
  }
  /// Reflects at the image's borders.
  Val reflect(Val v, const Dim &size) {
    Val s = number(size);
    Val low = n.scalar(n.elem(x), align ? 0 : -0.5);
    Val high = align ? s - 1 : s - 0.5;
    Val range = high - low;
    Val distance = abs(v - low);
    Val flips = n.make<FloorOp>(distance / range);
    Val rest = distance - flips * range;
    Val even = n.compare(ComparePredicate::eq,
                         n.make<ModOp>(flips, n.scalar(n.elem(x), 2)),
                         n.scalar(n.elem(x), 0));
    return n.select(even, rest + low, high - rest);
  }
  /// The pixels at whole (possibly outside) coordinates [n, ho, wo], as
  /// [n, c, ho, wo].
  Val pixel(Val px, Val py) {
    if (padding == "reflection") {
      px = reflect(px, width);
      py = reflect(py, height);
    }
    auto inside = [&](Val v, Val size) {
      return n.make<AndOp>(
          n.compare(ComparePredicate::ge, v, n.scalar(n.elem(v), 0)),
          n.compare(ComparePredicate::lt, v, size));
    };
    Val w = number(width), h = number(height);
    Val mask = n.make<AndOp>(inside(px, w), inside(py, h));
    auto whole = [&](Val v, Val size) {
      return n.convert(n.make<MinOp>(max(v, 0), size - 1), n.b.getI64Type());
    };
    Val column = whole(px, w), row = whole(py, h);
    Val at = row * n.convert(w, n.b.getI64Type()) + column;
    Dim count = n.product({outHeight, outWidth});
    at = n.reshape(at, {batch, Dim(1), count});
    at = n.broadcast(at, {batch, channels, count});
    Val y = n.make<GatherElementsOp>(flat, at, 2);
    y = n.reshape(y, {batch, channels, outHeight, outWidth});
    if (padding == "zeros")
      y = n.select(n.unsqueeze(mask, {1}), y, n.scalar(n.elem(x), 0));
    return y;
  }
};

/// Weights of the four pixels around a fraction t, cubic with a = -0.75.
SmallVector<Val> cubicWeights(Val t) {
  const double a = -0.75;
  auto outer = [&](Val d) { return ((d * a - 5 * a) * d + 8 * a) * d - 4 * a; };
  auto inner = [&](Val d) { return (d * (a + 2) - (a + 3)) * d * d + 1; };
  return {outer(t + 1), inner(t), inner(1 - t), outer(2 - t)};
}

LogicalResult gridSample(Node &n) {
  Val x = n.in(0), grid = n.in(1);
  if (!n.expectRank(x, 4, 4, "an image [n, c, h, w]") ||
      !n.expectRank(grid, 4, 4, "a grid [n, h, w, 2]"))
    return failure();
  std::string mode = n.s("mode", "bilinear");
  Sampler s{n,
            x,
            n.reshape(x, {n.dim(x, 0), n.dim(x, 1),
                          n.product({n.dim(x, 2), n.dim(x, 3)})}),
            n.dim(x, 2),
            n.dim(x, 3),
            n.dim(x, 0),
            n.dim(x, 1),
            n.dim(grid, 1),
            n.dim(grid, 2),
            n.i("align_corners") != 0,
            n.s("padding_mode", "zeros")};
  Val px = s.toPixels(n.squeeze(n.slice(grid, 3, 0, 1), {3}), s.width),
      py = s.toPixels(n.squeeze(n.slice(grid, 3, 1, 2), {3}), s.height);
  // Borders and reflections move the exact point, not its neighbours alone.
  if (mode != "cubic" && mode != "bicubic" && s.padding == "border") {
    px = n.make<MinOp>(max(px, 0), s.number(s.width) - 1);
    py = n.make<MinOp>(max(py, 0), s.number(s.height) - 1);
  } else if (mode != "cubic" && mode != "bicubic" &&
             s.padding == "reflection") {
    px = s.reflect(px, s.width);
    py = s.reflect(py, s.height);
  }
  if (mode == "nearest")
    return n.result(s.pixel(n.make<RoundOp>(px), n.make<RoundOp>(py)));
  Val x0 = n.make<FloorOp>(px), y0 = n.make<FloorOp>(py);
  Val fx = n.unsqueeze(px - x0, {1}), fy = n.unsqueeze(py - y0, {1});
  if (mode == "bilinear" || mode == "linear") {
    Val top = s.pixel(x0, y0) * (1 - fx) + s.pixel(x0 + 1, y0) * fx;
    Val bottom = s.pixel(x0, y0 + 1) * (1 - fx) + s.pixel(x0 + 1, y0 + 1) * fx;
    return n.result(top * (1 - fy) + bottom * fy);
  }
  if (mode == "bicubic" || mode == "cubic") {
    SmallVector<Val> wx = cubicWeights(fx), wy = cubicWeights(fy);
    Val total;
    for (int j = 0; j < 4; ++j) {
      Val row;
      for (int i = 0; i < 4; ++i) {
        Val term = s.pixel(x0 + (i - 1.0), y0 + (j - 1.0)) * wx[i];
        row = i ? row + term : term;
      }
      total = j ? total + row * wy[j] : row * wy[j];
    }
    return n.result(total);
  }
  return n.fail("the mode '" + mode + "' is not supported");
}

constexpr OpRow rows[] = {
    {"Gather", 1, 0, gather},
    {"GatherElements", 11, 0, gatherElements},
    {"GatherND", 11, 0, gatherNd},
    {"ScatterElements", 11, 0, scatterElements},
    {"Scatter", 9, 0, scatterElements},
    {"ScatterND", 11, 0, scatterNd},
    {"Compress", 9, 0, compress},
    {"OneHot", 9, 0, oneHot},
    {"ReverseSequence", 10, 0, reverseSequence},
    {"GridSample", 16, 0, gridSample},
};

} // namespace

ArrayRef<OpRow> indexingOps() { return rows; }

} // namespace lathe::onnx_import
