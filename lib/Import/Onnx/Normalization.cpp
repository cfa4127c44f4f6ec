//===- Normalization.cpp - ONNX normalizations ----------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

#include <numeric>

namespace lathe::onnx_import {
namespace {

LogicalResult batchNorm(Node &n) {
  Val x = n.in(0), scale = n.in(1), bias = n.in(2), mean = n.in(3),
      variance = n.in(4);
  if (!n.expectRank(x, 2, 8, "an input [n, c, ...]"))
    return failure();
  double epsilon = n.f("epsilon", 1e-5);
  Type type = n.elem(x);
  bool training = n.opset >= 14 ? n.i("training_mode")
                  : n.opset < 7 ? !n.i("is_test")
                                : n.wants(1);
  if (n.opset < 9 && n.i("spatial", 1) == 0)
    return n.fail("statistics per element (spatial = 0) are not supported");
  if (!training) {
    auto same = [&](Val v) { return n.convert(v, type); };
    return n.result(n.make<BatchNormOp>(x, same(scale), same(bias), same(mean),
                                        same(variance), llvm::APFloat(epsilon),
                                        1));
  }
  if (n.opset < 14)
    return n.fail("training form before operator set 14 is not supported");
  int64_t spatial = Node::rank(x) - 2;
  SmallVector<int64_t> axes{0};
  for (int64_t i = 0; i < spatial; ++i)
    axes.push_back(i + 2);
  Type statistics = n.elem(mean);
  double momentum = n.f("momentum", 0.9);
  if (n.elem(scale) == type && n.elem(bias) == type && statistics == type &&
      n.elem(variance) == type) {
    // ONNX's momentum is the share of what was there.
    SmallVector<Value> results = n.makeAll<BatchNormTrainingOp>(
        3, x, scale, bias, mean, variance, llvm::APFloat(1 - momentum),
        llvm::APFloat(epsilon), 1, /*biased=*/true);
    for (unsigned i = 0; i < 3; ++i)
      if (i == 0 || n.wants(i))
        n.out(i, results[i]);
    return n.status();
  }
  Val wide = n.convert(x, statistics);
  Val average = n.mean(wide, axes), centered = wide - average;
  Val spread = n.mean(centered * centered, axes);
  Val y = centered / sqrt(spread + epsilon) *
              n.perChannel(n.convert(scale, statistics), spatial) +
          n.perChannel(n.convert(bias, statistics), spatial);
  n.out(0, n.convert(y, type));
  if (n.wants(1))
    n.out(1, mean * momentum + n.squeeze(average, axes) * (1 - momentum));
  if (n.wants(2))
    n.out(2, variance * momentum + n.squeeze(spread, axes) * (1 - momentum));
  return n.status();
}

/// (x - mean) / sqrt(var + epsilon) over the dims from `axis` on.
Val normalize(Node &n, Val x, int64_t axis, double epsilon) {
  return n.make<LayerNormOp>(x, Value(), Value(), axis, llvm::APFloat(epsilon));
}

LogicalResult instanceNorm(Node &n) {
  Val x = n.in(0);
  if (!n.expectRank(x, 3, 8, "an input [n, c, spatial...]"))
    return failure();
  int64_t spatial = Node::rank(x) - 2;
  Val y = normalize(n, x, 2, n.f("epsilon", 1e-5));
  return n.result(y * n.perChannel(n.in(1), spatial) +
                  n.perChannel(n.in(2), spatial));
}

LogicalResult groupNorm(Node &n) {
  Val x = n.in(0), scale = n.in(1), bias = n.in(2);
  int64_t groups = n.i("num_groups"), c = Node::size(x, 1);
  if (!n.expectRank(x, 3, 8, "an input [n, c, spatial...]"))
    return failure();
  if (groups <= 0 || ShapedType::isDynamic(c) || c % groups)
    return n.fail("expected channels that are a multiple of num_groups");
  SmallVector<Dim> dims = n.dims(x);
  Dim rest = n.product(ArrayRef(dims).drop_front(2));
  Val y =
      n.reshape(x, {dims[0], Dim(groups), n.product({Dim(c / groups), rest})});
  y = normalize(n, y, 2, n.f("epsilon", 1e-5));
  if (n.opset < 21) { // one scale per group
    y = y * n.perChannel(scale, 1) + n.perChannel(bias, 1);
    return n.result(n.reshape(y, dims));
  }
  int64_t spatial = Node::rank(x) - 2;
  return n.result(n.reshape(y, dims) * n.perChannel(scale, spatial) +
                  n.perChannel(bias, spatial));
}

LogicalResult layerNorm(Node &n) {
  Val x = n.in(0);
  int64_t rank = Node::rank(x), axis = n.axis(n.i("axis", -1), rank);
  double epsilon = n.f("epsilon", 1e-5);
  n.out(0, n.make<LayerNormOp>(x, n.in(1), n.has(2) ? n.in(2) : Value(), axis,
                               llvm::APFloat(epsilon)));
  if (!n.wants(1) && !n.wants(2))
    return n.status();
  SmallVector<int64_t> axes(rank - axis);
  std::iota(axes.begin(), axes.end(), axis);
  Val wide = n.convert(x, n.b.getF32Type());
  Val mean = n.mean(wide, axes), centered = wide - mean;
  if (n.wants(1))
    n.out(1, mean);
  if (n.wants(2))
    n.out(2, n.make<RsqrtOp>(n.mean(centered * centered, axes) + epsilon));
  return n.status();
}

LogicalResult rmsNorm(Node &n) {
  Val x = n.in(0), scale = n.in(1);
  int64_t rank = Node::rank(x), axis = n.axis(n.i("axis", -1), rank);
  double epsilon = n.f("epsilon", 1e-5);
  if (axis == rank - 1 && n.elem(scale) == n.elem(x))
    return n.result(n.make<RmsNormOp>(x, scale, llvm::APFloat(epsilon)));
  SmallVector<int64_t> axes(rank - axis);
  std::iota(axes.begin(), axes.end(), axis);
  Val wide = n.convert(x, n.b.getF32Type());
  Val y = wide * n.make<RsqrtOp>(n.mean(wide * wide, axes) + epsilon);
  return n.result(n.convert(y, n.elem(scale)) * scale);
}

LogicalResult lpNorm(Node &n) {
  Val x = n.in(0);
  int64_t axis = n.axis(n.i("axis", -1), Node::rank(x));
  int64_t p = n.i("p", 2);
  if (p != 1 && p != 2)
    return n.fail("expected p to be 1 or 2");
  Val norm = p == 1 ? n.sum(abs(x), {axis}) : sqrt(n.sum(x * x, {axis}));
  Val zero = n.scalar(n.elem(x), 0);
  return n.result(
      n.select(n.compare(ComparePredicate::eq, norm, zero), zero, x / norm));
}

LogicalResult meanVarianceNorm(Node &n) {
  Val x = n.in(0);
  SmallVector<int64_t> axes = n.ints("axes");
  if (axes.empty())
    axes = {0, 2, 3};
  axes = n.axes(axes, Node::rank(x));
  Val centered = x - n.mean(x, axes);
  return n.result(centered / (sqrt(n.mean(centered * centered, axes)) + 1e-9));
}

constexpr OpRow rows[] = {
    {"BatchNormalization", 1, 0, batchNorm},
    {"InstanceNormalization", 1, 0, instanceNorm},
    {"GroupNormalization", 18, 0, groupNorm},
    {"LayerNormalization", 17, 0, layerNorm},
    {"RMSNormalization", 23, 0, rmsNorm},
    {"LpNormalization", 1, 0, lpNorm},
    {"MeanVarianceNormalization", 9, 0, meanVarianceNorm},
};

} // namespace

ArrayRef<OpRow> normalizationOps() { return rows; }

} // namespace lathe::onnx_import
