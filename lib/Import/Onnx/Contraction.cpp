//===- Contraction.cpp - ONNX matrix products and Einsum --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

#include "llvm/ADT/StringExtras.h"

namespace lathe::onnx_import {

/// NumPy's matmul: vectors are a row on the left, a column on the right.
Val matmul(Node &n, Val a, Val b) {
  bool row = Node::rank(a) == 1, column = Node::rank(b) == 1;
  if (row)
    a = n.unsqueeze(a, {0});
  if (column)
    b = n.unsqueeze(b, {1});
  Val y = n.make<MatmulOp>(a, b, false, false);
  if (column)
    y = n.squeeze(y, {-1});
  if (row)
    y = n.squeeze(y, {column ? -1 : -2});
  return y;
}

namespace {

LogicalResult matmulOp(Node &n) {
  return n.result(matmul(n, n.in(0), n.in(1)));
}

LogicalResult gemm(Node &n) {
  Val a = n.in(0), b = n.in(1);
  double alpha = n.f("alpha", 1), beta = n.f("beta", 1);
  bool transA = n.i("transA"), transB = n.i("transB");
  if (!n.expectRank(a, 2, 2, "matrices") || !n.expectRank(b, 2, 2, "matrices"))
    return failure();
  Val c;
  bool hasC = n.has(2) && beta != 0;
  if (hasC)
    c = n.in(2);
  // A dense layer, as frameworks export it.
  if (!transA && transB && alpha == 1 && beta == 1 && n.isFloat(a) &&
      (!hasC || (Node::rank(c) == 1 && Node::size(c, 0) == Node::size(b, 0))))
    return n.result(n.make<LinearOp>(a, b, hasC ? c : Value()));
  Val y = n.make<MatmulOp>(a, b, transA, transB);
  if (alpha != 1)
    y = y * alpha;
  if (hasC)
    y = y + (beta == 1 ? c : c * beta);
  return n.result(y);
}

//===----------------------------------------------------------------------===//
// Einsum
//===----------------------------------------------------------------------===//

/// A tensor whose dims carry labels. Ellipsis dims are labelled '\1', '\2' ...
/// counted from the last one, so that they align as in NumPy.
struct Labelled {
  Val value;
  std::string labels;
};

/// Expands "..." in `term` for a tensor with `rank` dims.
bool expand(StringRef term, int64_t rank, std::string &labels,
            unsigned &ellipsis) {
  auto [before, after] = term.split("...");
  bool has = term.contains("...");
  int64_t open = rank - int64_t(before.size() + after.size());
  if (open < 0 || (!has && open != 0) || after.contains('.') || open > 8)
    return false;
  labels = before.str();
  for (int64_t i = open; i > 0; --i)
    labels.push_back(char(i));
  labels += after.str();
  ellipsis = std::max<unsigned>(ellipsis, open);
  return llvm::all_of(labels,
                      [](char c) { return llvm::isAlpha(c) || c <= 8; });
}

/// Keeps the diagonal of repeated labels.
Labelled diagonals(Node &n, Labelled x) {
  for (size_t i = 0; i < x.labels.size(); ++i) {
    size_t j = x.labels.find(x.labels[i], i + 1);
    if (j == std::string::npos || !n.ok())
      continue;
    int64_t rank = Node::rank(x.value);
    Val same =
        n.compare(ComparePredicate::eq, n.range(n.dim(x.value, i), i, rank),
                  n.range(n.dim(x.value, j), j, rank));
    x.value = n.sum(n.select(same, x.value, n.scalar(n.elem(x.value), 0)),
                    {int64_t(j)}, false);
    x.labels.erase(j, 1);
    --i;
  }
  return x;
}

/// Sums out the labels that `keep` does not have.
Labelled sumOut(Node &n, Labelled x, StringRef keep) {
  SmallVector<int64_t> axes;
  std::string left;
  for (auto [i, c] : llvm::enumerate(x.labels)) {
    if (keep.contains(c))
      left.push_back(c);
    else
      axes.push_back(i);
  }
  if (!axes.empty())
    x = {n.sum(x.value, axes, false), left};
  return x;
}

/// Transposes to the order of `labels`, inserting dims of size 1.
Val arrange(Node &n, const Labelled &x, StringRef labels) {
  SmallVector<int64_t> permutation, missing;
  for (auto [i, c] : llvm::enumerate(labels)) {
    size_t at = x.labels.find(c);
    if (at == std::string::npos)
      missing.push_back(i);
    else
      permutation.push_back(at);
  }
  return n.unsqueeze(n.transpose(x.value, permutation), missing);
}

/// The product of two tensors, summed over the labels that are not in `keep`:
/// one batched matrix product [batch, m, k] x [batch, k, n].
Labelled contract(Node &n, Labelled a, Labelled b, StringRef keep) {
  a = sumOut(n, a, (keep + b.labels).str());
  b = sumOut(n, b, (keep + a.labels).str());
  std::string batch, m, k, right;
  for (char c : a.labels)
    (b.labels.find(c) == std::string::npos ? m
     : keep.contains(c)                    ? batch
                                           : k)
        .push_back(c);
  for (char c : b.labels)
    if (a.labels.find(c) == std::string::npos)
      right.push_back(c);
  if (k.empty()) {
    std::string all = batch + m + right;
    return {n.wrap(arrange(n, a, all)) * n.wrap(arrange(n, b, all)), all};
  }
  Val x = arrange(n, a, batch + m + k), y = arrange(n, b, batch + k + right);
  SmallVector<Dim> xd = n.dims(x), yd = n.dims(y);
  size_t nb = batch.size();
  if (!n.ok())
    return {n.wrap(Value()), ""};
  auto part = [](ArrayRef<Dim> d, size_t at, size_t count) {
    return d.slice(at, count);
  };
  // A batch dim of size 1 (from an ellipsis) stretches: matmul broadcasts it.
  SmallVector<Dim> xs(part(xd, 0, nb)), ys(part(yd, 0, nb)), out;
  xs.push_back(n.product(part(xd, nb, m.size())));
  xs.push_back(n.product(part(xd, nb + m.size(), k.size())));
  ys.push_back(n.product(part(yd, nb, k.size())));
  ys.push_back(n.product(part(yd, nb + k.size(), right.size())));
  Val z = n.make<MatmulOp>(n.reshape(x, xs), n.reshape(y, ys), false, false);
  for (size_t i = 0; i < nb; ++i)
    out.push_back(n.dim(z, i));
  out.append(xd.begin() + nb, xd.begin() + nb + m.size());
  out.append(yd.begin() + nb + k.size(), yd.end());
  return {n.reshape(z, out), batch + m + right};
}

LogicalResult einsum(Node &n) {
  std::string equation = n.s("equation");
  llvm::erase(equation, ' ');
  auto [left, right] = StringRef(equation).split("->");
  bool explicitOutput = StringRef(equation).contains("->");
  SmallVector<StringRef> terms;
  left.split(terms, ',');
  if (failed(n.expect(terms.size() == n.numInputs() && !terms.empty(),
                      "expected one term of the equation per input")))
    return failure();
  SmallVector<Labelled> inputs;
  unsigned ellipsis = 0;
  for (auto [i, term] : llvm::enumerate(terms)) {
    Labelled x{n.in(i), ""};
    if (!n.ok())
      return failure();
    if (!expand(term, Node::rank(x.value), x.labels, ellipsis))
      return n.fail("the equation's term '" + term +
                    "' does not fit an input of rank " +
                    Twine(Node::rank(x.value)));
    inputs.push_back(diagonals(n, x));
  }
  std::string output;
  if (explicitOutput) {
    unsigned unused = 0;
    StringRef letters = right;
    size_t fixed = letters.size() - (letters.contains("...") ? 3 : 0);
    if (!expand(letters, fixed + (letters.contains("...") ? ellipsis : 0),
                output, unused))
      return n.fail("the equation's output '" + right + "' is not understood");
  } else {
    for (unsigned i = ellipsis; i > 0; --i)
      output.push_back(char(i));
    std::map<char, int> count;
    for (StringRef term : terms)
      for (char c : term)
        if (c != '.')
          ++count[c];
    for (auto [c, times] : count)
      if (times == 1)
        output.push_back(c);
  }
  Labelled result = inputs.front();
  for (size_t i = 1; i < inputs.size(); ++i) {
    std::string keep = output;
    for (size_t j = i + 1; j < inputs.size(); ++j)
      keep += inputs[j].labels;
    result = contract(n, result, inputs[i], keep);
  }
  result = sumOut(n, result, output);
  for (char c : output)
    if (result.labels.find(c) == std::string::npos)
      return n.fail("the equation's output has a label that no input has");
  return n.result(arrange(n, result, output));
}

constexpr OpRow rows[] = {
    {"MatMul", 1, 0, matmulOp},
    {"Gemm", 1, 0, gemm},
    {"Einsum", 12, 0, einsum},
};

} // namespace

ArrayRef<OpRow> contractionOps() { return rows; }

} // namespace lathe::onnx_import
