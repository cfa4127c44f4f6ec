//===- Random.cpp - ONNX random numbers and dropout -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Importer.h"

#include <cmath>
#include <cstring>

namespace lathe::onnx_import {
namespace {

/// The key of the dialect's generator: ONNX's seed attribute, step 0. Without
/// a seed the stream is a fixed one: outputs stay reproducible.
Val key(Node &n) {
  float seed = n.f("seed");
  uint32_t bits;
  std::memcpy(&bits, &seed, sizeof(bits));
  return n.ints({int64_t(bits), 0});
}

/// Each op of the graph draws from a stream of its own.
uint64_t stream(Node &n) {
  n.importer.random = true;
  return llvm::hash_value(StringRef(n.proto.output(0))) & 0x7fffffff;
}

Val draw(Node &n, ArrayRef<int64_t> shape, Type type, bool normal, double a,
         double b) {
  if (llvm::any_of(shape, [](int64_t s) { return s < 0; }))
    return n.failVal("random numbers need the input's size to be known");
  using llvm::APFloat;
  if (normal)
    return n.make<RandomNormalOp>(key(n), shape, type, stream(n), APFloat(a),
                                  APFloat(b));
  return n.make<RandomUniformOp>(key(n), shape, type, stream(n), APFloat(a),
                                 APFloat(b));
}

template <bool normal, bool like> LogicalResult random(Node &n) {
  double a = normal ? n.f("mean", 0) : n.f("low", 0);
  double b = normal ? n.f("scale", 1) : n.f("high", 1);
  SmallVector<int64_t> shape = n.ints("shape");
  Type type = n.b.getF32Type();
  if (like) {
    Val x = n.in(0);
    if (!n.ok())
      return failure();
    shape = SmallVector<int64_t>(n.type(x).getShape());
    if (n.isFloat(x))
      type = n.elem(x);
  }
  if (n.attr("dtype"))
    type = n.elementType(n.i("dtype"));
  if (!n.ok())
    return failure();
  return n.result(draw(n, shape, type, normal, a, b));
}

LogicalResult bernoulli(Node &n) {
  Val p = n.in(0);
  if (!n.ok())
    return failure();
  Type type = n.attr("dtype") ? n.elementType(n.i("dtype")) : n.elem(p);
  Val u = draw(n, n.type(p).getShape(), n.elem(p), false, 0, 1);
  return n.result(n.convert(n.compare(ComparePredicate::lt, u, p), type));
}

LogicalResult dropout(Node &n) {
  Val x = n.in(0);
  double rate = n.f("ratio", 0.5);
  bool training = n.opset < 7 && !n.i("is_test", 1);
  if (n.opset >= 12) {
    if (n.has(2))
      training = llvm::is_contained(n.requireInts(2, "its training mode"), 1);
    if (training && n.has(1)) {
      SmallVector<double> given = n.requireFloats(1, "its ratio");
      rate = given.empty() ? 0.5 : given[0];
    }
  }
  if (!n.ok())
    return failure();
  if (training && rate != 0) {
    n.importer.random = true;
    if (n.wants(1))
      return n.fail("the mask of a dropout that drops is not supported");
    return n.result(
        n.make<DropoutOp>(x, key(n), llvm::APFloat(rate), stream(n)));
  }
  n.out(0, x);
  if (n.wants(1)) {
    Type type = n.opset < 10 ? n.elem(x) : n.b.getI1Type();
    n.out(1, n.broadcast(n.scalar(type, 1), n.dims(x)));
  }
  return n.status();
}

constexpr OpRow rows[] = {
    {"RandomUniform", 1, 0, random<false, false>},
    {"RandomUniformLike", 1, 0, random<false, true>},
    {"RandomNormal", 1, 0, random<true, false>},
    {"RandomNormalLike", 1, 0, random<true, true>},
    {"Bernoulli", 15, 0, bernoulli},
    {"Dropout", 1, 0, dropout},
};

} // namespace

ArrayRef<OpRow> randomOps() { return rows; }

} // namespace lathe::onnx_import
