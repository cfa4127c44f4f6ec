//===- Loss.cpp - ONNX training losses ------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

namespace lathe::onnx_import {
namespace {

/// -weight[label] * logProbability[label] per label, combined. `logs` is
/// [n, classes, d...], labels [n, d...].
Val negativeLogLikelihood(Node &n, Val logs, Val labels, Value weight) {
  std::string reduction = n.s("reduction", "mean");
  if (reduction != "none" && reduction != "mean" && reduction != "sum")
    return n.failVal("the reduction '" + reduction + "' is not supported");
  bool ignores = n.attr("ignore_index");
  Val keep;
  if (ignores) {
    keep = n.compare(ComparePredicate::ne, labels,
                     n.scalar(n.elem(labels), n.i("ignore_index")));
    // The ignored label need not be a class: read class 0 instead.
    labels = n.select(keep, labels, n.scalar(n.elem(labels), 0));
  }
  Val picked = n.squeeze(
      n.make<GatherElementsOp>(logs, n.unsqueeze(labels, {1}), 1), {1});
  Val loss = -picked;
  Val weights;
  if (weight) {
    weights = n.make<GatherOp>(weight, labels, 0);
    if (ignores)
      weights = n.select(keep, weights, n.scalar(n.elem(weights), 0));
  } else if (ignores) {
    weights = n.convert(keep, n.elem(logs));
  }
  if (weights)
    loss = loss * weights;
  if (reduction == "none")
    return loss;
  if (reduction == "sum")
    return n.sum(loss, {}, false);
  if (!weights)
    return n.mean(loss, {}, false);
  return n.sum(loss, {}, false) / n.sum(weights, {}, false);
}

Val indexLabels(Node &n, Val labels) {
  return n.elem(labels).isInteger(32) ? labels
                                      : n.convert(labels, n.b.getI64Type());
}

LogicalResult nllLoss(Node &n) {
  Val logs = n.in(0), labels = indexLabels(n, n.in(1));
  if (!n.expectRank(logs, 2, 8, "an input [n, classes, ...]"))
    return failure();
  return n.result(
      negativeLogLikelihood(n, logs, labels, n.has(2) ? n.in(2) : Value()));
}

LogicalResult softmaxCrossEntropy(Node &n) {
  Val scores = n.in(0), labels = indexLabels(n, n.in(1));
  if (!n.expectRank(scores, 2, 8, "scores [n, classes, ...]"))
    return failure();
  std::string reduction = n.s("reduction", "mean");
  // The plain case has an op of its own, which training fuses and derives.
  if (Node::rank(scores) == 2 && !n.has(2) && !n.wants(1)) {
    if (auto mode = symbolizeLossReduction(reduction)) {
      auto attribute = LossReductionAttr::get(n.b.getContext(), *mode);
      IntegerAttr ignored;
      if (n.attr("ignore_index"))
        ignored = n.b.getI64IntegerAttr(n.i("ignore_index"));
      return n.result(n.make<CrossEntropyOp>(scores, labels, attribute, ignored,
                                             n.b.getF64FloatAttr(0)));
    }
  }
  Val logs = n.make<LogSoftmaxOp>(scores, 1);
  n.out(0,
        negativeLogLikelihood(n, logs, labels, n.has(2) ? n.in(2) : Value()));
  if (n.wants(1))
    n.out(1, logs);
  return n.status();
}

constexpr OpRow rows[] = {
    {"NegativeLogLikelihoodLoss", 12, 0, nllLoss},
    {"SoftmaxCrossEntropyLoss", 12, 0, softmaxCrossEntropy},
};

} // namespace

ArrayRef<OpRow> lossOps() { return rows; }

} // namespace lathe::onnx_import
