//===- Signal.cpp - ONNX windows, Fourier transforms, Det -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

#include <cmath>

namespace lathe::onnx_import {
namespace {

/// a - b cos(2 pi i / N) + c cos(4 pi i / N).
LogicalResult window(Node &n, double a, double b, double c) {
  Val size = n.in(0);
  Type type = n.elementType(n.i("output_datatype", 1));
  if (!n.ok())
    return failure();
  Val count = n.reshape(n.convert(size, n.b.getI64Type()), ArrayRef<Dim>());
  Dim length;
  if (auto known = n.knownInts(count); known && known->front() >= 0)
    length = Dim(known->front());
  else
    length.value = n.unsqueeze(count, {0});
  Type f64 = n.b.getF64Type();
  Val i = n.convert(n.range(length), f64), total = n.convert(count, f64);
  if (!n.i("periodic", 1))
    total = total - 1;
  auto cosine = [&](double turns) {
    return n.make<CosOp>(i * (2 * M_PI * turns) / total);
  };
  Val y = a - cosine(1) * b;
  if (c != 0)
    y = y + cosine(2) * c;
  return n.result(n.convert(y, type));
}
LogicalResult hann(Node &n) { return window(n, 0.5, 0.5, 0); }
LogicalResult hamming(Node &n) { return window(n, 25.0 / 46, 21.0 / 46, 0); }
LogicalResult blackman(Node &n) { return window(n, 0.42, 0.5, 0.08); }

/// cos and sin of 2 pi j k / length, [rows, columns], computed here.
std::pair<Val, Val> fourierMatrices(Node &n, Type type, int64_t rows,
                                    int64_t columns, int64_t length) {
  SmallVector<double> c, s;
  for (int64_t j = 0; j < rows; ++j)
    for (int64_t k = 0; k < columns; ++k) {
      double angle = 2 * M_PI * double(j * k % length) / length;
      c.push_back(std::cos(angle));
      s.push_back(std::sin(angle));
    }
  Type f64 = n.b.getF64Type();
  auto shape = RankedTensorType::get({rows, columns}, f64);
  auto matrix = [&](ArrayRef<double> values) {
    return n.convert(n.constant(DenseElementsAttr::get(shape, values)), type);
  };
  return {matrix(c), matrix(s)};
}

/// A transform along an axis as two matrix products with constants.
LogicalResult dft(Node &n) {
  Val x = n.in(0);
  int64_t rank = Node::rank(x);
  if (!n.expectRank(x, 2, 16, "a signal [batch, ..., 1 or 2]"))
    return failure();
  int64_t axis = n.i("axis", 1);
  if (n.opset >= 20 && n.has(2)) {
    SmallVector<int64_t> list = n.requireInts(2, "its axis");
    axis = list.empty() ? 1 : list[0];
  } else if (n.opset >= 20) {
    axis = -2;
  }
  axis = n.axis(axis, rank);
  int64_t parts = Node::size(x, rank - 1), length = Node::size(x, axis);
  bool inverse = n.i("inverse"), half = n.i("onesided");
  if (n.has(1)) {
    SmallVector<int64_t> list = n.requireInts(1, "its length");
    if (list.empty())
      return failure();
    int64_t wanted = list[0], have = length;
    if (wanted < 1 || wanted > 4096 || ShapedType::isDynamic(have))
      return n.fail("expected a known length");
    SmallVector<int64_t> low(rank, 0), high(rank, 0);
    high[axis] = wanted - have; // cut or filled with zeros
    x = n.make<PadOp>(x, Value(), low, high, PadMode::constant);
    length = wanted;
  }
  if (!n.ok())
    return failure();
  if (ShapedType::isDynamic(length) || length < 1 || length > 4096 ||
      axis == rank - 1 || (parts != 1 && parts != 2))
    return n.fail("expected 1 or 2 parts and a known length up to 4096");
  if (half && inverse)
    return n.fail("a one-sided inverse transform is not supported");
  int64_t outputs = half ? length / 2 + 1 : length;
  auto [c, s] = fourierMatrices(n, n.elem(x), length, outputs, length);
  // The axis last: [..., length] x [length, outputs].
  SmallVector<int64_t> order;
  for (int64_t i = 0; i + 1 < rank; ++i)
    if (i != axis)
      order.push_back(i);
  order.push_back(axis);
  auto take = [&](int64_t i) {
    Val v = n.squeeze(n.slice(x, rank - 1, i, i + 1), {rank - 1});
    return n.transpose(v, order);
  };
  auto times = [&](Val v, Val matrix) {
    return n.make<MatmulOp>(v, matrix, false, false);
  };
  Val re = take(0);
  // (re + i im)(c -+ i s)
  Val outRe = times(re, c), outIm = times(re, s);
  if (!inverse)
    outIm = -outIm;
  if (parts == 2) {
    Val im = take(1);
    Val cross = times(im, s);
    outRe = inverse ? outRe - cross : outRe + cross;
    outIm = outIm + times(im, c);
  }
  if (inverse) {
    outRe = outRe / double(length);
    outIm = outIm / double(length);
  }
  Val y = n.concat({n.unsqueeze(outRe, {-1}), n.unsqueeze(outIm, {-1})}, -1);
  // Back: the transformed axis from the place before the last.
  SmallVector<int64_t> back(rank);
  for (auto [i, axis] : llvm::enumerate(order))
    back[axis] = i;
  back[rank - 1] = rank - 1;
  return n.result(n.transpose(y, back));
}

/// The determinant by expansion, for matrices up to 4 x 4.
Val determinant(Node &n, ArrayRef<SmallVector<Val>> m) {
  if (m.size() == 1)
    return m[0][0];
  Val total;
  for (size_t j = 0; j < m.size(); ++j) {
    SmallVector<SmallVector<Val>> minor;
    for (size_t r = 1; r < m.size(); ++r) {
      SmallVector<Val> row;
      for (size_t c = 0; c < m.size(); ++c)
        if (c != j)
          row.push_back(m[r][c]);
      minor.push_back(row);
    }
    Val term = m[0][j] * determinant(n, minor);
    total = j == 0 ? term : j % 2 ? total - term : total + term;
  }
  return total;
}
LogicalResult det(Node &n) {
  Val x = n.in(0);
  if (!n.expectRank(x, 2, 16, "square matrices"))
    return failure();
  int64_t rank = Node::rank(x), size = Node::size(x, rank - 1);
  if (size < 1 || size > 4 || Node::size(x, rank - 2) != size)
    return n.fail("expected square matrices up to 4 x 4");
  SmallVector<SmallVector<Val>> m(size);
  for (int64_t r = 0; r < size; ++r)
    for (int64_t c = 0; c < size; ++c)
      m[r].push_back(
          n.squeeze(n.slice(n.slice(x, rank - 2, r, r + 1), rank - 1, c, c + 1),
                    {rank - 2, rank - 1}));
  return n.result(determinant(n, m));
}

constexpr OpRow rows[] = {
    {"HannWindow", 17, 0, hann},
    {"HammingWindow", 17, 0, hamming},
    {"BlackmanWindow", 17, 0, blackman},
    {"DFT", 17, 0, dft},
    {"Det", 11, 0, det},
};

} // namespace

ArrayRef<OpRow> signalOps() { return rows; }

} // namespace lathe::onnx_import
