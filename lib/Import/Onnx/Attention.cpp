//===- Attention.cpp - ONNX Attention and RotaryEmbedding -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

#include <cmath>
#include <limits>

namespace lathe::onnx_import {
namespace {

/// [b, s, h * d] as [b, h, s, d].
Val splitHeads(Node &n, Val x, int64_t heads) {
  if (Node::rank(x) != 3)
    return x;
  int64_t width = Node::size(x, 2);
  if (heads <= 0 || ShapedType::isDynamic(width) || width % heads)
    return n.failVal("the number of heads does not fit a width of " +
                     Twine(width));
  Val y =
      n.reshape(x, {n.dim(x, 0), n.dim(x, 1), Dim(heads), Dim(width / heads)});
  return n.transpose(y, {0, 2, 1, 3});
}

/// Each head `times` times, one after the other: [b, g, t, d] to [b, h, t, d].
Val repeatHeads(Node &n, Val x, int64_t times) {
  if (times == 1)
    return x;
  Dim b = n.dim(x, 0), g = n.dim(x, 1), t = n.dim(x, 2), d = n.dim(x, 3);
  Val y = n.broadcast(n.unsqueeze(x, {2}), {b, g, Dim(times), t, d});
  return n.reshape(y, {b, n.product({g, Dim(times)}), t, d});
}

/// 0 where `keep`, minus infinity elsewhere.
Val penalty(Node &n, Val keep, Type type) {
  return n.select(keep, n.scalar(type, 0),
                  n.scalar(type, -std::numeric_limits<double>::infinity()));
}

/// The forms with a cache, a soft cap, lengths or scores as output, step by
/// step: cap(q k^T) + mask, softmax, times v.
Val attentionBySteps(Node &n, Val q, Val k, Val v, double scale) {
  int64_t heads = Node::size(q, 1), groups = Node::size(k, 1);
  Type type = n.elem(q);
  if (ShapedType::isDynamic(heads) || ShapedType::isDynamic(groups) ||
      groups <= 0 || heads % groups)
    return n.failVal(
        "expected a known number of heads, a multiple of the keys'");
  k = repeatHeads(n, k, heads / groups);
  v = repeatHeads(n, v, heads / groups);
  double root = std::sqrt(scale), cap = n.f("softcap");
  int64_t mode = n.i("qk_matmul_output_mode");
  Val scores = n.make<MatmulOp>(q * root, k * root, false, true);
  if (cap > 0) {
    if (n.wants(3) && mode == 0)
      return n.failVal("scores in front of a soft cap are not supported");
    scores = tanh(scores / cap) * cap;
  }
  if (n.wants(3) && mode < 2)
    n.out(3, scores);
  if (n.has(3)) {
    Val mask = n.in(3);
    int64_t rank = Node::rank(mask), have = Node::size(mask, rank - 1),
            want = Node::size(k, 2);
    if (rank < 1 || ShapedType::isDynamic(have) != ShapedType::isDynamic(want))
      return n.failVal("the mask's size has to be known as the keys' is");
    if (n.isBool(mask))
      mask = penalty(n, mask, type);
    // A short mask hides the keys behind it.
    if (have < want && !ShapedType::isDynamic(have)) {
      SmallVector<int64_t> low(rank, 0), high(rank, 0);
      high.back() = want - have;
      mask = n.make<PadOp>(
          mask, n.scalar(type, -std::numeric_limits<double>::infinity()), low,
          high, PadMode::constant);
    }
    scores = scores + mask;
  }
  if (n.i("is_causal")) {
    Val row = n.range(n.dim(q, 2), 0, 2), column = n.range(n.dim(k, 2), 1, 2);
    if (n.has(4))
      row = row + n.squeeze(n.toValue(n.dim(n.in(4), 2)), {0});
    scores =
        scores + penalty(n, n.compare(ComparePredicate::le, column, row), type);
  }
  if (n.has(6)) {
    Val length = n.unsqueeze(n.convert(n.in(6), n.b.getI64Type()), {1, 2, 3});
    scores = scores + penalty(n,
                              n.compare(ComparePredicate::lt,
                                        n.range(n.dim(k, 2), 3, 4), length),
                              type);
  }
  if (n.wants(3) && mode == 2)
    n.out(3, scores);
  Type precision = n.attr("softmax_precision")
                       ? n.elementType(n.i("softmax_precision"))
                       : type;
  Val weights =
      n.convert(n.make<SoftmaxOp>(n.convert(scores, precision), -1), type);
  if (n.wants(3) && mode == 3)
    n.out(3, weights);
  return n.make<MatmulOp>(weights, v, false, false);
}

LogicalResult attention(Node &n) {
  Val q = n.in(0), k = n.in(1), v = n.in(2);
  if (!n.expectRank(q, 3, 4, "a query") || !n.expectRank(k, 3, 4, "a key") ||
      !n.expectRank(v, 3, 4, "a value"))
    return failure();
  bool packed = Node::rank(q) == 3;
  q = splitHeads(n, q, n.i("q_num_heads"));
  k = splitHeads(n, k, n.i("kv_num_heads"));
  v = splitHeads(n, v, n.i("kv_num_heads"));
  if (n.has(4))
    k = n.concat({n.in(4), k}, 2);
  if (n.has(5))
    v = n.concat({n.in(5), v}, 2);
  if (n.wants(1))
    n.out(1, k);
  if (n.wants(2))
    n.out(2, v);
  int64_t width = Node::size(q, 3);
  if (!n.ok() || ShapedType::isDynamic(width) || width <= 0)
    return n.fail("expected a known head size");
  double scale = n.attr("scale") ? n.f("scale") : 1 / std::sqrt(width);
  bool causal = n.i("is_causal");
  int64_t keys = Node::size(k, 2);
  bool shortMask =
      n.has(3) && (ShapedType::isDynamic(keys) ||
                   Node::size(n.in(3), Node::rank(n.in(3)) - 1) != keys);
  // ONNX aligns the causal mask at the first key, the dialect's op at the last.
  bool plain = !n.has(6) && !n.wants(3) && n.f("softcap") == 0 && !shortMask &&
               (!causal || (!n.has(4) && !ShapedType::isDynamic(keys) &&
                            Node::size(q, 2) == keys));
  Val y;
  if (plain)
    y = n.make<AttentionOp>(q, k, v, n.has(3) ? n.in(3) : Value(),
                            n.b.getF64FloatAttr(scale), causal);
  else
    y = attentionBySteps(n, q, k, v, scale);
  if (packed) {
    y = n.transpose(y, {0, 2, 1, 3});
    y = n.reshape(
        y, {n.dim(y, 0), n.dim(y, 1), n.product({n.dim(y, 2), n.dim(y, 3)})});
  }
  return n.result(y);
}

/// Pairs of features turned by an angle per position.
LogicalResult rotaryEmbedding(Node &n) {
  Val x = n.in(0), cosine = n.in(1), sine = n.in(2);
  if (!n.expectRank(x, 3, 4, "an input"))
    return failure();
  bool packed = Node::rank(x) == 3;
  x = splitHeads(n, x, n.i("num_heads"));
  int64_t size = Node::size(x, 3), turned = n.i("rotary_embedding_dim");
  if (turned == 0)
    turned = size;
  if (!n.ok() || ShapedType::isDynamic(size) || turned < 2 || turned > size ||
      turned % 2)
    return n.fail("expected an even number of features to turn, at most the "
                  "head size");
  if (n.has(3)) {
    cosine = n.make<GatherOp>(cosine, n.in(3), 0);
    sine = n.make<GatherOp>(sine, n.in(3), 0);
  }
  // [b, s, turned / 2] for all heads.
  cosine = n.unsqueeze(cosine, {1});
  sine = n.unsqueeze(sine, {1});
  Val part = n.slice(x, 3, 0, turned), a, b;
  bool interleaved = n.i("interleaved");
  SmallVector<Dim> dims = n.dims(part);
  if (interleaved) {
    SmallVector<Dim> pairs(dims);
    pairs[3] = Dim(turned / 2);
    pairs.push_back(Dim(2));
    Val split = n.reshape(part, pairs);
    a = n.squeeze(n.slice(split, 4, 0, 1), {4});
    b = n.squeeze(n.slice(split, 4, 1, 2), {4});
  } else {
    a = n.slice(part, 3, 0, turned / 2);
    b = n.slice(part, 3, turned / 2, turned);
  }
  Val real = cosine * a - sine * b, imaginary = sine * a + cosine * b;
  Val y = interleaved ? n.reshape(n.concat({n.unsqueeze(real, {4}),
                                            n.unsqueeze(imaginary, {4})},
                                           4),
                                  dims)
                      : n.concat({real, imaginary}, 3);
  if (turned < size)
    y = n.concat({y, n.slice(x, 3, turned, size)}, 3);
  if (packed) {
    y = n.transpose(y, {0, 2, 1, 3});
    y = n.reshape(
        y, {n.dim(y, 0), n.dim(y, 1), n.product({n.dim(y, 2), n.dim(y, 3)})});
  }
  return n.result(y);
}

constexpr OpRow rows[] = {
    {"Attention", 23, 0, attention},
    {"RotaryEmbedding", 23, 0, rotaryEmbedding},
};

} // namespace

ArrayRef<OpRow> attentionOps() { return rows; }

} // namespace lathe::onnx_import
