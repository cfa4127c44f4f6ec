//===- Shape.cpp - ONNX views, data movement, shape arithmetic ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Importer.h"

#include "lathe/Support/Error.h"

#include <limits>

namespace lathe::onnx_import {
namespace {

LogicalResult constantOp(Node &n) {
  Type i64 = n.b.getI64Type(), f32 = n.b.getF32Type();
  auto line = [&](size_t count, Type element) {
    return RankedTensorType::get({int64_t(count)}, element);
  };
  if (const auto *a = n.attr("value")) {
    std::string error;
    FailureOr<Value> v = n.importer.tensorValue(
        a->t(), n.wants(0) ? n.proto.output(0) : "", n.b, n.loc, error);
    if (failed(v))
      return n.fail(error);
    return n.result(*v);
  }
  if (n.attr("value_int"))
    return n.result(n.constant(DenseElementsAttr::get(
        RankedTensorType::get({}, i64), n.i("value_int"))));
  if (n.attr("value_float"))
    return n.result(n.scalar(f32, n.f("value_float")));
  if (n.attr("value_ints"))
    return n.result(n.ints(n.ints("value_ints")));
  if (n.attr("value_floats")) {
    SmallVector<float> values(llvm::map_range(
        n.floats("value_floats"), [](double x) { return float(x); }));
    return n.result(n.constant(
        DenseElementsAttr::get(line(values.size(), f32), ArrayRef(values))));
  }
  return n.fail("a constant of text or of a sparse tensor is not supported");
}

LogicalResult constantOfShape(Node &n) {
  Val zero = n.scalar(n.b.getF32Type(), 0);
  if (const auto *a = n.attr("value")) {
    std::string error;
    FailureOr<Value> v = n.importer.tensorValue(a->t(), "", n.b, n.loc, error);
    if (failed(v))
      return n.fail(error);
    zero = n.reshape(*v, ArrayRef<Dim>());
  }
  Val shape = n.in(0);
  if (auto sizes = n.knownInts(shape)) {
    if (llvm::any_of(*sizes, [](int64_t s) { return s < 0; }))
      return n.fail("a size is negative");
    return n.result(n.make<BroadcastOp>(zero, *sizes));
  }
  return n.result(
      n.make<DynamicBroadcastOp>(zero, n.convert(shape, n.b.getI64Type())));
}

LogicalResult reshape(Node &n) {
  Val x = n.in(0);
  if (n.opset < 5)
    return n.result(n.make<ReshapeOp>(x, n.ints("shape"), false));
  Val shape = n.in(1);
  bool allowZero = n.i("allowzero");
  if (auto sizes = n.knownInts(shape))
    return n.result(n.make<ReshapeOp>(x, *sizes, allowZero));
  return n.result(n.make<DynamicReshapeOp>(x, shape, allowZero));
}

LogicalResult flatten(Node &n) {
  Val x = n.in(0);
  int64_t rank = Node::rank(x), given = n.i("axis", 1);
  int64_t axis = given == rank ? rank : n.axis(given, rank);
  SmallVector<Dim> dims = n.dims(x);
  if (!n.ok())
    return failure();
  return n.result(n.reshape(x, {n.product(ArrayRef(dims).take_front(axis)),
                                n.product(ArrayRef(dims).drop_front(axis))}));
}

SmallVector<int64_t> axesOf(Node &n) {
  return n.opset < 13 ? n.ints("axes")
         : n.has(1)   ? n.requireInts(1, "its axes")
                      : SmallVector<int64_t>();
}
LogicalResult squeeze(Node &n) {
  Val x = n.in(0);
  return n.result(n.make<SqueezeOp>(x, axesOf(n)));
}
LogicalResult unsqueeze(Node &n) {
  Val x = n.in(0);
  return n.result(n.unsqueeze(x, axesOf(n)));
}

LogicalResult transpose(Node &n) {
  Val x = n.in(0);
  SmallVector<int64_t> permutation = n.ints("perm");
  if (permutation.empty())
    for (int64_t i = Node::rank(x); i-- > 0;)
      permutation.push_back(i);
  return n.result(n.transpose(x, permutation));
}

LogicalResult concat(Node &n) {
  SmallVector<Value> values = n.ins();
  if (!n.ok() || failed(n.expect(!values.empty(), "expected an input")))
    return failure();
  int64_t axis = n.axis(n.i("axis", 1), Node::rank(values[0]));
  return n.result(n.concat(values, axis));
}

LogicalResult split(Node &n) {
  Val x = n.in(0);
  int64_t axis = n.axis(n.i("axis"), Node::rank(x));
  SmallVector<int64_t> sizes;
  if (n.opset < 13)
    sizes = n.ints("split");
  else if (n.has(1))
    sizes = n.requireInts(1, "its sizes");
  if (!n.ok())
    return failure();
  if (sizes.empty()) {
    int64_t whole = Node::size(x, axis), parts = n.numOutputs();
    if (ShapedType::isDynamic(whole))
      return n.fail("splitting an open dim into equal parts needs its size to "
                    "be known");
    int64_t part = (whole + parts - 1) / parts;
    for (int64_t left = whole, i = 0; i < parts; ++i) {
      sizes.push_back(std::min(part, left));
      left -= sizes.back();
    }
  }
  if (sizes.size() != n.numOutputs())
    return n.fail("expected one size per output");
  int64_t left = Node::size(x, axis);
  for (int64_t size : sizes) {
    if (size < 0 || (!ShapedType::isDynamic(left) && size > left))
      return n.fail("expected sizes from 0 to what is left of the dim, got " +
                    Twine(size));
    left -= ShapedType::isDynamic(left) ? 0 : size;
  }
  if (!ShapedType::isDynamic(left) && left)
    return n.fail("expected sizes that add up to " +
                  Twine(Node::size(x, axis)) + ", got " +
                  Twine(Node::size(x, axis) - left));
  int64_t at = 0;
  for (auto [i, size] : llvm::enumerate(sizes)) {
    // Of an open dim the sizes are not known to fit.
    int64_t end = at > INT64_MAX - size ? INT64_MAX : at + size;
    if (n.wants(i))
      n.out(i, n.slice(x, axis, at, end));
    at = end;
  }
  return n.status();
}

LogicalResult sliceAttributes(Node &n) {
  Val x = n.in(0);
  SmallVector<int64_t> axes = n.ints("axes"), starts = n.ints("starts");
  SmallVector<int64_t> steps(starts.size(), 1);
  return n.result(n.make<SliceOp>(x, starts, n.ints("ends"), axes, steps));
}
LogicalResult slice(Node &n) {
  Val x = n.in(0), starts = n.in(1), ends = n.in(2);
  Val axes = n.has(3) ? n.in(3) : n.wrap(Value());
  Val steps = n.has(4) ? n.in(4) : n.wrap(Value());
  auto s = n.knownInts(starts), e = n.knownInts(ends);
  auto a = axes ? n.knownInts(axes) : SmallVector<int64_t>();
  auto t = steps ? n.knownInts(steps) : SmallVector<int64_t>();
  if (!s || !e || !a || !t)
    return n.result(n.make<DynamicSliceOp>(x, starts, ends, axes, steps));
  return n.result(n.make<SliceOp>(x, *s, *e, *a, *t));
}

LogicalResult shape(Node &n) {
  Val x = n.in(0);
  Val sizes = n.shapeOf(x);
  int64_t rank = Node::rank(x);
  int64_t start = n.i("start"), end = n.i("end", rank);
  auto clamp = [&](int64_t v) {
    return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank);
  };
  start = clamp(start);
  end = std::max(start, clamp(end));
  if (start == 0 && end == rank)
    return n.result(sizes);
  return n.result(n.slice(sizes, 0, start, end));
}
LogicalResult size(Node &n) {
  Val x = n.in(0);
  Dim total = n.product(n.dims(x));
  if (total.isStatic())
    return n.result(n.constant(DenseElementsAttr::get(
        RankedTensorType::get({}, n.b.getI64Type()), total.size)));
  return n.result(n.squeeze(n.toValue(total), {0}));
}

LogicalResult expand(Node &n) {
  Val x = n.in(0), shape = n.in(1);
  if (auto sizes = n.knownInts(shape))
    return n.result(n.make<BroadcastOp>(x, *sizes));
  return n.result(n.make<DynamicBroadcastOp>(x, shape));
}

LogicalResult tile(Node &n) {
  Val x = n.in(0), repeats = n.in(1);
  if (n.opset < 6) {
    SmallVector<int64_t> count = n.requireInts(1, "its tiles"),
                         axis = n.requireInts(2, "its axis"),
                         all(Node::rank(x), 1);
    if (count.size() != 1 || axis.size() != 1)
      return n.fail("expected one count and one axis");
    all[n.axis(axis[0], Node::rank(x))] = count[0];
    return n.result(n.make<TileOp>(x, all));
  }
  if (auto known = n.knownInts(repeats))
    return n.result(n.make<TileOp>(x, *known));
  return n.result(n.make<DynamicTileOp>(x, repeats));
}

LogicalResult pad(Node &n) {
  Val x = n.in(0);
  std::string mode = n.s("mode", "constant");
  auto named = symbolizePadMode(mode);
  if (!named)
    return n.fail("the pad mode '" + mode + "' is not supported");
  Val value = n.wrap(Value());
  if (n.opset < 11 && n.f("value") != 0)
    value = n.scalar(n.elem(x), n.f("value"));
  if (n.opset >= 11 && n.has(2))
    value = n.reshape(n.convert(n.in(2), n.elem(x)), ArrayRef<Dim>());
  int64_t rank = Node::rank(x);
  SmallVector<int64_t> pads;
  if (n.opset < 11) {
    pads = n.attr("pads") ? n.ints("pads") : n.ints("paddings");
  } else if (auto known = n.knownInts(n.in(1))) {
    pads = *known;
  } else if (!n.has(3)) {
    return n.result(n.make<DynamicPadOp>(x, n.in(1), value, *named));
  } else {
    pads = n.requireInts(1, "its pads");
  }
  SmallVector<int64_t> low(rank, 0), high(rank, 0), axes;
  if (n.has(3))
    axes = n.axes(n.requireInts(3, "its axes"), rank);
  else
    for (int64_t i = 0; i < rank; ++i)
      axes.push_back(i);
  if (!n.ok())
    return failure();
  if (pads.size() != 2 * axes.size())
    return n.fail("expected two pads per dim, got " + Twine(pads.size()) +
                  " for " + Twine(axes.size()) + " dims");
  for (auto [i, axis] : llvm::enumerate(axes)) {
    low[axis] = pads[i];
    high[axis] = pads[axes.size() + i];
  }
  return n.result(n.make<PadOp>(x, value, low, high, *named));
}

LogicalResult centerCropPad(Node &n) {
  Val x = n.in(0);
  SmallVector<int64_t> target = n.requireInts(1, "its shape");
  SmallVector<int64_t> axes = n.axes(n.ints("axes"), Node::rank(x));
  if (axes.empty())
    for (int64_t i = 0; i < Node::rank(x); ++i)
      axes.push_back(i);
  if (!n.ok() || failed(n.expect(target.size() == axes.size(),
                                 "expected one size per axis")))
    return failure();
  SmallVector<int64_t> low(Node::rank(x), 0), high(low);
  for (auto [i, axis] : llvm::enumerate(axes)) {
    int64_t have = Node::size(x, axis);
    if (ShapedType::isDynamic(have))
      return n.fail("needs the input's size to be known");
    int64_t more = target[i] - have;
    low[axis] = more >= 0 ? more / 2 : -((-more) / 2);
    high[axis] = more - low[axis];
  }
  return n.result(n.make<PadOp>(x, Value(), low, high, PadMode::constant));
}

/// Its square times any number of channels that fits in memory fits in 63 bits.
constexpr int64_t kMaxBlock = 1 << 12;

LogicalResult depthToSpace(Node &n) {
  Val x = n.in(0);
  int64_t block = n.i("blocksize");
  if (!n.expectRank(x, 4, 4, "an image"))
    return failure();
  int64_t c = Node::size(x, 1);
  if (block <= 0 || block > kMaxBlock || ShapedType::isDynamic(c) ||
      c % (block * block))
    return n.fail("expected channels that are a multiple of the block's size");
  SmallVector<Dim> d = n.dims(x);
  Dim deep(c / (block * block));
  bool columnsFirst = n.s("mode", "DCR") == "CRD";
  Val y = columnsFirst
              ? n.reshape(x, {d[0], deep, Dim(block), Dim(block), d[2], d[3]})
              : n.reshape(x, {d[0], Dim(block), Dim(block), deep, d[2], d[3]});
  y = n.transpose(y, columnsFirst ? ArrayRef<int64_t>{0, 1, 4, 2, 5, 3}
                                  : ArrayRef<int64_t>{0, 3, 4, 1, 5, 2});
  return n.result(n.reshape(y, {d[0], deep, n.product({d[2], Dim(block)}),
                                n.product({d[3], Dim(block)})}));
}
LogicalResult spaceToDepth(Node &n) {
  Val x = n.in(0);
  int64_t block = n.i("blocksize");
  if (!n.expectRank(x, 4, 4, "an image"))
    return failure();
  int64_t h = Node::size(x, 2), w = Node::size(x, 3), c = Node::size(x, 1);
  if (block <= 0 || block > kMaxBlock || ShapedType::isDynamic(h) ||
      ShapedType::isDynamic(w) || ShapedType::isDynamic(c) || h % block ||
      w % block)
    return n.fail("expected a known height and width that are multiples of the "
                  "block's size");
  Dim batch = n.dim(x, 0);
  Val y = n.reshape(x, {batch, Dim(c), Dim(h / block), Dim(block),
                        Dim(w / block), Dim(block)});
  y = n.transpose(y, {0, 3, 5, 1, 2, 4});
  return n.result(n.reshape(
      y, {batch, Dim(c * block * block), Dim(h / block), Dim(w / block)}));
}

LogicalResult rangeOp(Node &n) {
  Val start = n.in(0), limit = n.in(1), delta = n.in(2);
  auto scalarOf = [&](Val v) { return n.reshape(v, ArrayRef<Dim>()); };
  return n.result(n.make<DynamicRangeOp>(scalarOf(start), scalarOf(limit),
                                         scalarOf(delta)));
}

/// A matrix of the sizes of `x`'s last two dims: whether column - row >= k (or
/// the other predicate).
Val diagonalMask(Node &n, Val x, Val k, ComparePredicate p) {
  int64_t rank = Node::rank(x);
  Val rows = n.range(n.dim(x, rank - 2), 0, 2),
      columns = n.range(n.dim(x, rank - 1), 1, 2);
  return n.compare(p, columns - rows, k);
}
LogicalResult trilu(Node &n) {
  Val x = n.in(0);
  if (!n.expectRank(x, 2, 16, "matrices"))
    return failure();
  Val k = n.has(1) ? n.reshape(n.in(1), ArrayRef<Dim>())
                   : n.scalar(n.b.getI64Type(), 0);
  Val keep = diagonalMask(
      n, x, k, n.i("upper", 1) ? ComparePredicate::ge : ComparePredicate::le);
  return n.result(n.select(keep, x, n.scalar(n.elem(x), 0)));
}
LogicalResult eyeLike(Node &n) {
  Val x = n.in(0);
  if (!n.expectRank(x, 2, 2, "a matrix"))
    return failure();
  Type type = n.attr("dtype") ? n.elementType(n.i("dtype")) : n.elem(x);
  Val k = n.scalar(n.b.getI64Type(), n.i("k"));
  return n.result(n.convert(diagonalMask(n, x, k, ComparePredicate::eq), type));
}

constexpr OpRow rows[] = {
    {"Constant", 1, 0, constantOp},
    {"ConstantOfShape", 9, 0, constantOfShape},
    {"Reshape", 1, 0, reshape},
    {"Flatten", 1, 0, flatten},
    {"Squeeze", 1, 0, squeeze},
    {"Unsqueeze", 1, 0, unsqueeze},
    {"Transpose", 1, 0, transpose},
    {"Concat", 1, 0, concat},
    {"Split", 2, 0, split},
    {"Slice", 10, 0, slice},
    {"Slice", 1, 9, sliceAttributes},
    {"Shape", 1, 0, shape},
    {"Size", 1, 0, size},
    {"Expand", 8, 0, expand},
    {"Tile", 1, 0, tile},
    {"Pad", 1, 0, pad},
    {"CenterCropPad", 18, 0, centerCropPad},
    {"DepthToSpace", 1, 0, depthToSpace},
    {"SpaceToDepth", 1, 0, spaceToDepth},
    {"Range", 11, 0, rangeOp},
    {"Trilu", 14, 0, trilu},
    {"EyeLike", 9, 0, eyeLike},
};

} // namespace

ArrayRef<OpRow> shapeOps() { return rows; }

} // namespace lathe::onnx_import
