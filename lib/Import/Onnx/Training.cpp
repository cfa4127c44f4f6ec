//===- Training.cpp - ONNX's training operator set ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Importer.h"

#include "dialects/Lathe/Gradient.h"
#include "lathe/Support/Error.h"
#include "mlir/IR/IRMapping.h"

namespace lathe::onnx_import {
namespace {

/// Inputs: rate, step, then all tensors X, all gradients G, and `states` groups
/// of states; outputs: X and the states, in the same order.
LogicalResult
forEachTensor(Node &n, unsigned states,
              function_ref<SmallVector<Val>(Val, Val, ArrayRef<Val>)> update) {
  unsigned groups = 2 + states, count = (n.numInputs() - 2) / groups;
  if (n.numInputs() < 2 + groups || (n.numInputs() - 2) % groups)
    return n.fail("expected " + Twine(groups) + " inputs per tensor");
  for (unsigned i = 0; i < count; ++i) {
    Val x = n.in(2 + i), gradient = n.in(2 + count + i);
    SmallVector<Val> state;
    for (unsigned s = 0; s < states; ++s)
      state.push_back(n.in(2 + (2 + s) * count + i));
    if (n.f("norm_coefficient") != 0)
      gradient = gradient + x * n.f("norm_coefficient");
    SmallVector<Val> next = update(x, gradient, state);
    for (unsigned s = 0; s < 1 + states; ++s)
      n.out(s * count + i, next[s]);
  }
  return n.status();
}

LogicalResult adagrad(Node &n) {
  Val rate = n.in(0), step = n.convert(n.in(1), n.elem(rate));
  rate = rate / (step * n.f("decay_factor") + 1);
  return forEachTensor(n, 1, [&](Val x, Val g, ArrayRef<Val> s) {
    Val h = s[0] + g * g;
    return SmallVector<Val>{x - rate * g / (sqrt(h) + n.f("epsilon", 1e-6)), h};
  });
}

LogicalResult adam(Node &n) {
  Val rate = n.in(0), step = n.convert(n.in(1), n.elem(rate));
  double alpha = n.f("alpha", 0.9), beta = n.f("beta", 0.999);
  // The bias correction applies from the first step on, not at step 0.
  Type type = n.elem(rate);
  Val corrected = rate * sqrt(1 - n.make<PowOp>(n.scalar(type, beta), step)) /
                  (1 - n.make<PowOp>(n.scalar(type, alpha), step));
  rate = n.select(greater(step, 0), corrected, rate);
  return forEachTensor(n, 2, [&](Val x, Val g, ArrayRef<Val> s) {
    Val v = s[0] * alpha + g * (1 - alpha);
    Val h = s[1] * beta + g * g * (1 - beta);
    Val next = x - rate * v / (sqrt(h) + n.f("epsilon", 1e-6));
    if (n.f("norm_coefficient_post") != 0)
      next = next * (1 - n.f("norm_coefficient_post"));
    return SmallVector<Val>{next, v, h};
  });
}

LogicalResult momentum(Node &n) {
  Val rate = n.in(0), step = n.in(1);
  double alpha = n.f("alpha"), beta = n.f("beta");
  bool nesterov = n.s("mode") == "nesterov";
  // The first step takes the gradient whole.
  Type type = n.elem(rate);
  Val share =
      n.select(greater(step, 0), n.scalar(type, beta), n.scalar(type, 1));
  return forEachTensor(n, 1, [&](Val x, Val g, ArrayRef<Val> s) {
    Val v = s[0] * alpha + share * g;
    Val change = nesterov ? g + v * alpha : v;
    return SmallVector<Val>{x - rate * change, v};
  });
}

/// The value `y` for other values of what it is computed from: its ops once
/// more.
Value recompute(Node &n, Value y, IRMapping &given) {
  SmallVector<Operation *> ops;
  for (Operation &op : *n.b.getInsertionBlock())
    ops.push_back(&op);
  for (Operation *op : ops) {
    bool depends = false;
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        depends |= given.contains(operand);
    });
    if (depends && llvm::none_of(op->getResults(), [&](Value result) {
          return given.contains(result);
        }))
      n.b.clone(*op, given);
  }
  return given.lookupOrDefault(y);
}

/// The derivative of the tensor "y" by those of "xs", where these and those of
/// "zs" have the values of the inputs.
LogicalResult gradient(Node &n) {
  SmallVector<std::string> names = n.strings("xs");
  size_t count = names.size();
  llvm::append_range(names, n.strings("zs"));
  if (count == 0 || names.size() != n.numInputs())
    return n.fail("expected an input for each name in xs and zs, got " +
                  Twine(n.numInputs()) + " for " + Twine(names.size()));
  auto find = [&](StringRef name) {
    Value value = n.importer.lookup(name, n.scope);
    if (!value)
      (void)n.fail("nothing in front of the node computes " + quote(name));
    return value;
  };
  Value y = find(n.s("y"));
  IRMapping given;
  SmallVector<Value> by;
  bool isMoved = false;
  for (auto [i, name] : llvm::enumerate(names)) {
    Value named = find(name), value = n.in(i);
    if (!n.ok())
      return failure();
    if (value.getType() != named.getType())
      return n.fail("expected an input of the type of " + quote(name));
    bool differs = value != named;
    // What is computed from constants is folded: it depends on nothing.
    if ((differs || i < count) && (named.getDefiningOp<ConstantOp>() ||
                                   value.getDefiningOp<ConstantOp>()))
      return n.fail(quote(name) + " is a constant, which is not supported");
    isMoved |= differs;
    given.map(named, value);
    if (i < count)
      by.push_back(value);
  }
  if (!n.ok())
    return failure();
  if (isMoved)
    y = recompute(n, y, given);
  auto results = n.makeAll<GradientOp>(count, y, ValueRange(by));
  for (auto [i, result] : llvm::enumerate(results))
    n.out(i, result);
  return n.status();
}

constexpr const char *kTraining = "ai.onnx.preview.training";
constexpr OpRow rows[] = {
    {"Adagrad", 1, 0, adagrad, kTraining},
    {"Adam", 1, 0, adam, kTraining},
    {"Gradient", 1, 0, gradient, kTraining},
    {"Momentum", 1, 0, momentum, kTraining},
};

} // namespace

ArrayRef<OpRow> trainingOps() { return rows; }

} // namespace lathe::onnx_import
