//===- Contraction.cpp - Matrix products to linalg ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"
#include "dialects/Lathe/Inference.h"

namespace lathe {
namespace {

/// Whether bytes are signed is known of the op's operands alone.
std::pair<Type, Type> elementsOf(Value a, Value b) {
  return {Lowering::element(a), Lowering::element(b)};
}

Value zeros(Lowering &l, Shape shape, Type element) {
  return l.filled(shape, getAccumulatorType(getStorageType(element)), 0.0);
}

LogicalResult lowerMatmul(Lowering &l, MatmulOp op) {
  Shape a = Lowering::shape(op.getLhs()), b = Lowering::shape(op.getRhs());
  Shape result = Lowering::shape(op.getResult());
  if (a.size() < 2 || b.size() < 2)
    return op.emitOpError("expected operands of rank 2 or more");
  unsigned batch = result.size() - 2, m = batch, n = batch + 1, k = batch + 2;
  auto operandMap = [&](Shape shape, unsigned row, unsigned column, bool swap) {
    SmallVector<AffineExpr> exprs;
    unsigned own = shape.size() - 2, shift = batch - own;
    for (unsigned i = 0; i < own; ++i)
      exprs.push_back(shape[i] == 1 && result[i + shift] != 1
                          ? getAffineConstantExpr(0, l.context())
                          : l.dim(i + shift));
    exprs.push_back(l.dim(swap ? column : row));
    exprs.push_back(l.dim(swap ? row : column));
    return l.map(batch + 3, exprs);
  };
  SmallVector<AffineExpr> out;
  for (unsigned i = 0; i < batch + 2; ++i)
    out.push_back(l.dim(i));
  Type element = Lowering::element(op.getResult());
  Value product = l.contract(l.get(op.getLhs()), l.get(op.getRhs()),
                             zeros(l, result, element),
                             elementsOf(op.getLhs(), op.getRhs()),
                             operandMap(a, m, k, op.getTransposeLhs()),
                             operandMap(b, k, n, op.getTransposeRhs()),
                             l.map(batch + 3, out), batch + 2);
  l.set(op.getResult(), l.narrow(product, element));
  return success();
}

LogicalResult lowerLinear(Lowering &l, LinearOp op) {
  Shape result = Lowering::shape(op.getResult());
  Type element = Lowering::element(op.getResult());
  unsigned rank = result.size(), n = rank - 1, k = rank;
  SmallVector<AffineExpr> input, out;
  for (unsigned i = 0; i < rank; ++i) {
    input.push_back(l.dim(i == n ? k : i));
    out.push_back(l.dim(i));
  }
  Value product = l.contract(
      l.get(op.getInput()), l.get(op.getWeight()), zeros(l, result, element),
      elementsOf(op.getInput(), op.getWeight()), l.map(rank + 1, input),
      l.map(rank + 1, {l.dim(n), l.dim(k)}), l.map(rank + 1, out), rank);
  l.set(op.getResult(), op.getBias()
                            ? l.addBias(product, l.get(op.getBias()),
                                        l.map(rank, {l.dim(n)}), element)
                            : l.narrow(product, element));
  return success();
}

LogicalResult lowerPack(Lowering &l, PackOp op) {
  Value input = l.get(op.getInput());
  RankedTensorType type = Lowering::storageType(op.getResult());
  Shape shape = Lowering::shape(input);
  unsigned rank = shape.size();
  int64_t n = shape[op.getTransposed() ? rank - 2 : rank - 1];
  int64_t k = shape[op.getTransposed() ? rank - 1 : rank - 2];
  int64_t panel = op.getPanel(), interleave = op.getInterleave();
  bool halves = op.getBits() == 4;
  l.set(op.getResult(), l.compute(type, [&](ElementBuilder &b, ValueRange i) {
    Type index = b.getIndexType();
    Value column = b.add(b.mul(i[rank - 2], b.integer(panel, index)), i[rank]);
    // The element of row `row * times + plus`, or 0 beyond the matrix.
    auto read = [&](int64_t times, Value plus) -> Value {
      Value row = b.add(b.mul(i[rank - 1], b.integer(times, index)), plus);
      Value inside = b.logicalAnd(b.compare("lt", column, b.integer(n, index)),
                                  b.compare("lt", row, b.integer(k, index)));
      auto clamp = [&](Value value, int64_t size) -> Value {
        return b.create<arith::MinSIOp>(value, b.integer(size - 1, index));
      };
      SmallVector<Value> at(i.take_front(rank - 2));
      at.push_back(op.getTransposed() ? clamp(column, n) : clamp(row, k));
      at.push_back(op.getTransposed() ? clamp(row, k) : clamp(column, n));
      Value x = b.create<tensor::ExtractOp>(input, at);
      return b.select(inside, x, b.zero(x.getType()));
    };
    if (!halves)
      return read(interleave,
                  interleave > 1 ? i[rank + 1] : b.integer(0, index));
    auto half = [&](int64_t which) {
      Value x = read(2, b.integer(which, index));
      x = b.add(x, b.integer(8, x.getType()));
      return b.logicalAnd(x, b.integer(15, x.getType()));
    };
    Value high = half(1);
    high = b.create<arith::ShLIOp>(high, b.integer(4, high.getType()));
    return b.logicalOr(half(0), high);
  }));
  return success();
}

/// A packed matrix of depth `k` as pack without interleaving gives it, [panels,
/// k, panel]; with `scale`, the numbers that are meant.
Value unpack(Lowering &l, Value packed, int64_t k, Value scale = {},
             int64_t group = 0) {
  Shape shape = Lowering::shape(packed);
  Value input = l.get(packed);
  Type element = Lowering::element(packed);
  if (shape.size() == 3 && !scale)
    return input;
  bool halves = scale && element.isUnsignedInteger();
  int64_t interleave = shape.size() == 4 ? shape[3] : halves ? 2 : 1;
  Type result = scale ? Type(l.builder.getF32Type()) : getStorageType(element);
  return l.compute(
      RankedTensorType::get({shape[0], k, shape[2]}, result),
      [&](ElementBuilder &b, ValueRange i) -> Value {
        Type index = b.getIndexType();
        auto split = [&](int64_t by) {
          Value size = b.integer(by, index);
          return std::pair<Value, Value>(b.create<arith::DivUIOp>(i[1], size),
                                         b.create<arith::RemUIOp>(i[1], size));
        };
        auto [row, place] = split(interleave);
        SmallVector<Value> at{i[0], row, i[2]};
        if (shape.size() == 4)
          at.push_back(place);
        Value x = b.create<tensor::ExtractOp>(input, at);
        if (!scale)
          return x;
        Type i32 = b.getI32Type();
        x = b.cast(x, element, i32);
        if (halves) {
          Value by = b.create<arith::IndexCastOp>(
              i32, b.mul(place, b.integer(4, index)));
          x = b.logicalAnd(b.create<arith::ShRUIOp>(x, by), b.integer(15, i32));
          x = b.sub(x, b.integer(8, i32));
        }
        Value part = group ? split(group).first : b.integer(0, index);
        Value factor = b.create<tensor::ExtractOp>(
            l.get(scale), ValueRange{i[0], part, i[2]});
        return b.mul(b.cast(x, i32, result),
                     b.cast(factor, Lowering::element(scale), result));
      });
}

/// [..., panels, panel] to [..., n], dropping the padding columns.
Value joinPanels(Lowering &l, Value product, Shape result) {
  SmallVector<int64_t> joined(Lowering::shape(product));
  int64_t panel = joined.pop_back_val();
  joined.back() *= panel;
  SmallVector<int64_t> zero(result.size(), 0);
  return l.slice(l.reshape(product, joined), zero, result);
}

LogicalResult lowerPackedMatmul(Lowering &l, PackedMatmulOp op) {
  Shape result = Lowering::shape(op.getResult());
  Shape packed = Lowering::shape(op.getPacked());
  Type element = Lowering::element(op.getResult());
  unsigned rows = result.size() - 1, p = rows, j = rows + 1, k = rows + 2;
  SmallVector<AffineExpr> lhs, out;
  for (unsigned i = 0; i < rows; ++i)
    lhs.push_back(l.dim(i));
  out = lhs;
  lhs.push_back(l.dim(k));
  out.append({l.dim(p), l.dim(j)});
  SmallVector<int64_t> shape(result.drop_back());
  shape.append({packed[0], packed[2]});
  auto elements = elementsOf(op.getLhs(), op.getPacked());
  if (op.getScale())
    elements.second = l.builder.getF32Type();
  Value matrix = unpack(l, op.getPacked(), Lowering::shape(op.getLhs()).back(),
                        op.getScale(), op.getGroup());
  Value product = l.contract(
      l.get(op.getLhs()), matrix, zeros(l, shape, element), elements,
      l.map(rows + 3, lhs), l.map(rows + 3, {l.dim(p), l.dim(k), l.dim(j)}),
      l.map(rows + 3, out), rows + 2);
  l.set(op.getResult(), l.narrow(joinPanels(l, product, result), element));
  return success();
}

LogicalResult lowerPackedConv(Lowering &l, PackedConvOp op) {
  Shape input = Lowering::shape(op.getInput());
  Shape result = Lowering::shape(op.getResult());
  Shape packed = Lowering::shape(op.getPacked());
  Type element = Lowering::element(op.getResult());
  Shape kernel = op.getKernel();
  auto strides = orElse(op.getStrides(), 2, 1);
  auto dilations = orElse(op.getDilations(), 2, 1);
  // n, oh, ow, panel, column | kh, kw, c
  auto d = [&](unsigned i) { return l.dim(i); };
  int64_t channels = input[3];
  AffineExpr row = d(5) * (kernel[1] * channels) + d(6) * channels + d(7);
  SmallVector<int64_t> shape{result[0], result[1], result[2], packed[0],
                             packed[2]};
  Value window = l.empty(kernel, l.builder.getI8Type());
  Value product = l.contract(
      l.get(op.getInput()),
      unpack(l, op.getPacked(), kernel[0] * kernel[1] * channels),
      zeros(l, shape, element), elementsOf(op.getInput(), op.getPacked()),
      l.map(8, {d(0), d(1) * strides[0] + d(5) * dilations[0],
                d(2) * strides[1] + d(6) * dilations[1], d(7)}),
      l.map(8, {d(3), row, d(4)}), l.map(8, {d(0), d(1), d(2), d(3), d(4)}), 5,
      window, l.map(8, {d(5), d(6)}));
  l.set(op.getResult(), l.narrow(joinPanels(l, product, result), element));
  return success();
}

} // namespace

void addContractionLowerings(LoweringTable &table) {
  addLowering<MatmulOp>(table, lowerMatmul);
  addLowering<LinearOp>(table, lowerLinear);
  addLowering<PackOp>(table, lowerPack);
  addLowering<PackedMatmulOp>(table, lowerPackedMatmul);
  addLowering<PackedConvOp>(table, lowerPackedConv);
}

} // namespace lathe
