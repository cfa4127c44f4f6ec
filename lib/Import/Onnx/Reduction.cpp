//===- Reduction.cpp - ONNX reductions, arg-reductions, scans -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

#include <limits>

namespace lathe::onnx_import {
namespace {

struct Axes {
  SmallVector<int64_t> axes; // none: all of them
  bool keep = true;
  bool nothing = false; // reduce over no axis
};

/// The axes attribute, or since `inputSince` the second input.
Axes readAxes(Node &n, Val x, int64_t inputSince) {
  Axes result;
  result.keep = n.i("keepdims", 1);
  SmallVector<int64_t> list;
  if (n.opset < inputSince)
    list = n.ints("axes");
  else if (n.has(1))
    list = n.requireInts(1, "its axes");
  result.axes = n.axes(list, Node::rank(x));
  result.nothing = (result.axes.empty() && n.opset >= inputSince &&
                    n.i("noop_with_empty_axes")) ||
                   Node::rank(x) == 0;
  return result;
}

/// A reduction as `before`, one of the dialect's, `after`.
template <typename OpTy, int64_t since = 18>
LogicalResult reduce(Node &n, function_ref<Val(Val)> before = {},
                     function_ref<Val(Val)> after = {}) {
  Val x = n.in(0);
  Axes a = readAxes(n, x, since);
  if (before)
    x = before(x);
  if (!a.nothing)
    x = n.make<OpTy>(x, a.axes, a.keep);
  if (after)
    x = after(x);
  return n.result(x);
}
template <typename OpTy, int64_t since = 18> LogicalResult plain(Node &n) {
  return reduce<OpTy, since>(n);
}

Val square(Val x) { return x * x; }

LogicalResult l1(Node &n) { return reduce<ReduceSumOp>(n, abs); }
LogicalResult l2(Node &n) {
  Type type;
  return reduce<ReduceSumOp>(
      n,
      [&](Val x) {
        type = n.elem(x);
        return square(n.isFloat(x) ? x : n.convert(x, n.b.getF32Type()));
      },
      [&](Val x) { return n.convert(sqrt(x), type); });
}
LogicalResult logSum(Node &n) { return reduce<ReduceSumOp>(n, {}, log); }
LogicalResult sumSquare(Node &n) { return reduce<ReduceSumOp>(n, square); }

/// log(sum(exp(x - m))) + m with the maximum m, so that exp does not overflow.
LogicalResult logSumExp(Node &n) {
  Val x = n.in(0);
  Axes a = readAxes(n, x, 18);
  if (a.nothing)
    return n.result(x);
  Val m = n.make<ReduceMaxOp>(x, a.axes, true);
  // Infinite only where all are -inf or one is +inf: then nothing is shifted.
  m = n.select(n.make<IsInfOp>(m), n.scalar(n.elem(x), 0), m);
  Val y = log(n.make<ReduceSumOp>(exp(x - m), a.axes, true)) + m;
  if (!a.keep) {
    SmallVector<int64_t> axes = a.axes;
    if (axes.empty())
      for (int64_t i = 0; i < Node::rank(x); ++i)
        axes.push_back(i);
    y = n.squeeze(y, axes);
  }
  return n.result(y);
}

/// Booleans reduce like numbers: any and all.
template <typename OpTy> LogicalResult argReduce(Node &n) {
  Val x = n.in(0);
  int64_t axis = n.axis(n.i("axis"), Node::rank(x));
  return n.result(n.make<OpTy>(x, axis, bool(n.i("keepdims", 1)),
                               bool(n.i("select_last_index"))));
}

LogicalResult cumSum(Node &n) {
  Val x = n.in(0);
  SmallVector<int64_t> axis = n.requireInts(1, "its axis");
  if (failed(n.expect(axis.size() == 1, "expected one axis")))
    return failure();
  return n.result(n.make<CumSumOp>(x, n.axis(axis[0], Node::rank(x)),
                                   bool(n.i("exclusive")),
                                   bool(n.i("reverse"))));
}

LogicalResult topK(Node &n) {
  Val x = n.in(0);
  int64_t k = n.i("k");
  if (n.opset >= 10) {
    SmallVector<int64_t> list = n.requireInts(1, "its k");
    if (failed(n.expect(list.size() == 1, "expected one k")))
      return failure();
    k = list[0];
  }
  int64_t axis = n.axis(n.i("axis", -1), Node::rank(x));
  SmallVector<Value> results =
      n.makeAll<TopKOp>(2, x, k, axis, !n.i("largest", 1));
  n.out(0, results[0]);
  n.out(1, results[1]);
  return n.status();
}

constexpr OpRow rows[] = {
    {"ReduceSum", 1, 0, plain<ReduceSumOp, 13>},
    {"ReduceMean", 1, 0, plain<ReduceMeanOp>},
    {"ReduceMax", 1, 0, plain<ReduceMaxOp>},
    {"ReduceMin", 1, 0, plain<ReduceMinOp>},
    {"ReduceProd", 1, 0, plain<ReduceProdOp>},
    {"ReduceL1", 1, 0, l1},
    {"ReduceL2", 1, 0, l2},
    {"ReduceLogSum", 1, 0, logSum},
    {"ReduceLogSumExp", 1, 0, logSumExp},
    {"ReduceSumSquare", 1, 0, sumSquare},
    {"ArgMax", 1, 0, argReduce<ArgMaxOp>},
    {"ArgMin", 1, 0, argReduce<ArgMinOp>},
    {"CumSum", 11, 0, cumSum},
    {"TopK", 1, 0, topK},
};

} // namespace

ArrayRef<OpRow> reductionOps() { return rows; }

} // namespace lathe::onnx_import
