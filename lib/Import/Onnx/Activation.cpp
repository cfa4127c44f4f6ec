//===- Activation.cpp - ONNX activation functions -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

#include <cmath>

namespace lathe::onnx_import {
namespace {

/// exp(min(x, 0)) - 1: the negative branch, without overflow on the other.
Val expm1Negative(Val x) { return exp(min(x, 0)) - 1; }

LogicalResult elu(Node &n) {
  Val x = n.in(0);
  return n.result(
      n.select(greater(x, 0), x, expm1Negative(x) * n.f("alpha", 1)));
}
LogicalResult selu(Node &n) {
  Val x = n.in(0);
  double alpha = n.f("alpha", 1.67326319217681884765625),
         gamma = n.f("gamma", 1.05070102214813232421875);
  return n.result(n.select(greater(x, 0), x, expm1Negative(x) * alpha) * gamma);
}
LogicalResult celu(Node &n) {
  Val x = n.in(0);
  double alpha = n.f("alpha", 1);
  return n.result(max(x, 0) + expm1Negative(x / alpha) * alpha);
}
LogicalResult leakyRelu(Node &n) {
  Val x = n.in(0);
  return n.result(n.select(less(x, 0), x * n.f("alpha", 0.01), x));
}
LogicalResult prelu(Node &n) {
  Val x = n.in(0), slope = n.in(1);
  // Before operator set 7 the slope was one number per channel.
  if (n.opset < 7 && Node::rank(slope) == 1 && Node::size(slope, 0) != 1 &&
      Node::rank(x) > 2)
    slope = n.perChannel(slope, Node::rank(x) - 2);
  return n.result(n.select(less(x, 0), x * slope, x));
}
LogicalResult thresholdedRelu(Node &n) {
  Val x = n.in(0);
  return n.result(
      n.select(greater(x, n.f("alpha", 1)), x, n.scalar(n.elem(x), 0)));
}
LogicalResult hardSigmoid(Node &n) {
  return n.result(
      n.clamp(n.in(0) * n.f("alpha", 0.2) + n.f("beta", 0.5), 0, 1));
}
LogicalResult hardSwish(Node &n) {
  Val x = n.in(0);
  return n.result(x * n.clamp(x / 6 + 0.5, 0, 1));
}
LogicalResult mish(Node &n) {
  Val x = n.in(0);
  return n.result(x * tanh(n.make<SoftplusOp>(x)));
}
LogicalResult softsign(Node &n) {
  Val x = n.in(0);
  return n.result(x / (abs(x) + 1));
}
LogicalResult shrink(Node &n) {
  Val x = n.in(0);
  double bias = n.f("bias"), lambd = n.f("lambd", 0.5);
  return n.result(
      n.select(less(x, -lambd), x + bias,
               n.select(greater(x, lambd), x - bias, n.scalar(n.elem(x), 0))));
}
LogicalResult gelu(Node &n) {
  return n.result(
      n.make<GeluOp>(n.in(0), n.s("approximate", "none") == "tanh"));
}
LogicalResult swish(Node &n) {
  Val x = n.in(0);
  double alpha = n.f("alpha", 1);
  if (alpha == 1)
    return n.result(n.make<SiluOp>(x));
  return n.result(x * sigmoid(x * alpha));
}

Val hardmaxOf(Node &n, Val x, int64_t axis) {
  Val best = n.make<ArgMaxOp>(x, axis, /*keepdims=*/true, false);
  Val index = n.range(n.dim(x, axis), axis, Node::rank(x));
  Val hit = n.compare(ComparePredicate::eq, index, best);
  return n.convert(hit, n.elem(x));
}

/// Applies `fn` along an axis. Before operator set 13 the dims from `axis` on
/// counted as one.
template <typename Fn> LogicalResult alongAxis(Node &n, Fn fn) {
  Val x = n.in(0);
  if (!n.ok())
    return failure();
  int64_t rank = Node::rank(x);
  if (n.opset >= 13) {
    int64_t axis = n.axis(n.i("axis", -1), rank);
    return n.result(fn(x, axis));
  }
  int64_t given = n.i("axis", 1);
  int64_t axis = given == rank ? rank : n.axis(given, rank);
  bool last = axis == rank - 1;
  for (int64_t i = axis + 1; i < rank; ++i)
    last &= Node::size(x, i) == 1;
  if (axis == rank - 1 || (last && axis < rank))
    return n.result(fn(x, axis));
  SmallVector<Dim> dims = n.dims(x);
  Val flat = n.reshape(x, {n.product(ArrayRef(dims).take_front(axis)),
                           n.product(ArrayRef(dims).drop_front(axis))});
  return n.result(n.reshape(fn(flat, 1), dims));
}

LogicalResult softmax(Node &n) {
  return alongAxis(
      n, [&](Val x, int64_t axis) { return n.make<SoftmaxOp>(x, axis); });
}
LogicalResult logSoftmax(Node &n) {
  return alongAxis(
      n, [&](Val x, int64_t axis) { return n.make<LogSoftmaxOp>(x, axis); });
}
LogicalResult hardmax(Node &n) {
  return alongAxis(n,
                   [&](Val x, int64_t axis) { return hardmaxOf(n, x, axis); });
}

constexpr OpRow rows[] = {
    {"Elu", 1, 0, elu},
    {"Selu", 1, 0, selu},
    {"Celu", 12, 0, celu},
    {"LeakyRelu", 1, 0, leakyRelu},
    {"PRelu", 1, 0, prelu},
    {"ThresholdedRelu", 1, 0, thresholdedRelu},
    {"HardSigmoid", 1, 0, hardSigmoid},
    {"HardSwish", 14, 0, hardSwish},
    {"Mish", 18, 0, mish},
    {"Softsign", 1, 0, softsign},
    {"Shrink", 9, 0, shrink},
    {"Gelu", 20, 0, gelu},
    {"Swish", 24, 0, swish},
    {"Softmax", 1, 0, softmax},
    {"LogSoftmax", 1, 0, logSoftmax},
    {"Hardmax", 1, 0, hardmax},
};

} // namespace

ArrayRef<OpRow> activationOps() { return rows; }

} // namespace lathe::onnx_import
