//===- Quantization.cpp - ONNX quantized ops ------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Spatial.h"

namespace lathe::onnx_import {
Val matmul(Node &n, Val a, Val b); // Contraction.cpp

namespace {

struct Range {
  double low, high;
};
Range range(Type type) {
  unsigned width = type.getIntOrFloatBitWidth();
  if (type.isUnsignedInteger())
    return {0, double((uint64_t(1) << width) - 1)};
  return {-double(uint64_t(1) << (width - 1)),
          double((uint64_t(1) << (width - 1)) - 1)};
}

/// A zero point of input i, or 0 of `type`, of the scale's shape.
Val zeroPoint(Node &n, unsigned i, Val scale, Type type) {
  if (n.has(i))
    return n.in(i);
  return n.broadcast(n.scalar(type, 0), n.dims(scale));
}

/// Scalars are often written with shape [1].
Val asScalar(Node &n, Val v) {
  return Node::rank(v) == 1 && Node::size(v, 0) == 1
             ? n.reshape(v, ArrayRef<Dim>())
             : v;
}

LogicalResult quantize(Node &n) {
  Val x = n.in(0), scale = asScalar(n, n.in(1));
  if (n.i("block_size"))
    return n.fail("blocks of scales are not supported");
  Type type = n.b.getIntegerType(8, false);
  if (n.has(2))
    type = n.elem(n.in(2));
  else if (n.i("output_dtype"))
    type = n.elementType(n.i("output_dtype"));
  if (!n.ok())
    return failure();
  Val zero = asScalar(n, zeroPoint(n, 2, scale, type));
  x = n.convert(x, n.elem(scale));
  int64_t axis = Node::rank(scale) ? n.axis(n.i("axis", 1), Node::rank(x)) : 0;
  return n.result(n.make<QuantizeOp>(x, scale, zero, axis));
}

LogicalResult dequantize(Node &n) {
  Val x = n.in(0), scale = asScalar(n, n.in(1));
  if (n.i("block_size"))
    return n.fail("blocks of scales are not supported");
  Val zero = asScalar(n, zeroPoint(n, 2, scale, n.elem(x)));
  int64_t axis = Node::rank(scale) ? n.axis(n.i("axis", 1), Node::rank(x)) : 0;
  return n.result(n.make<DequantizeOp>(x, scale, zero, axis));
}

LogicalResult dynamicQuantize(Node &n) {
  Val x = n.in(0);
  Type u8 = n.b.getIntegerType(8, false);
  Val low = min(n.make<ReduceMinOp>(x, ArrayRef<int64_t>(), false), 0),
      high = max(n.make<ReduceMaxOp>(x, ArrayRef<int64_t>(), false), 0);
  Val scale = (high - low) / 255;
  Val zero = n.clamp(n.make<RoundOp>(-low / scale), 0, 255);
  // All zero: any scale does, ONNX's reference gives 0 for the zero point.
  zero = n.select(greater(scale, 0), zero, n.scalar(n.elem(x), 0));
  zero = n.convert(zero, u8);
  n.out(0, n.make<QuantizeOp>(x, scale, zero, 0));
  n.out(1, scale);
  n.out(2, zero);
  return n.status();
}

/// `x - zero` in 32 bits; a zero point per row or column is put along `axis`,
/// counted from the end.
Val centered(Node &n, Val x, unsigned zero, int64_t fromEnd) {
  Type i32 = n.b.getI32Type();
  x = n.convert(x, i32);
  if (!n.has(zero))
    return x;
  Val z = asScalar(n, n.convert(n.in(zero), i32));
  if (Node::rank(z) == 1 && fromEnd > 1) {
    SmallVector<int64_t> behind;
    for (int64_t i = 1; i < fromEnd; ++i)
      behind.push_back(i);
    z = n.unsqueeze(z, behind);
  }
  return x - z;
}

/// round(total * factor) + zero, saturated: an i32 sum in a narrow type.
Val requantize(Node &n, Val total, Val factor, Val zero) {
  Type type = n.elem(zero), f32 = n.b.getF32Type();
  Range r = range(type);
  Val y =
      n.make<RoundOp>(n.convert(total, f32) * factor) + n.convert(zero, f32);
  return n.convert(n.clamp(y, r.low, r.high), type);
}

LogicalResult matmulInteger(Node &n) {
  Val a = centered(n, n.in(0), 2, 2), b = centered(n, n.in(1), 3, 1);
  return n.result(matmul(n, a, b));
}

LogicalResult qlinearMatmul(Node &n) {
  Val a = centered(n, n.in(0), 2, 2), b = centered(n, n.in(3), 5, 1);
  Val as = asScalar(n, n.in(1)), bs = asScalar(n, n.in(4)),
      ys = asScalar(n, n.in(6)), zero = asScalar(n, n.in(7));
  Type f32 = n.b.getF32Type();
  if (Node::rank(as) == 1)
    as = n.unsqueeze(as, {1});
  Val factor = n.convert(as, f32) * n.convert(bs, f32) / n.convert(ys, f32);
  return n.result(requantize(n, matmul(n, a, b), factor, zero));
}

/// The convolution of two i32 tensors.
Val integerConv(Node &n, Val x, Val w) {
  Window window;
  if (!n.expectRank(x, 3, 5, "an input [n, c, spatial...]") ||
      !n.expectRank(w, Node::rank(x), Node::rank(x), "a filter") ||
      !readWindow(n, x, n.type(w).getShape().drop_front(2), window))
    return n.wrap(Value());
  if (window.same)
    x = padSame(n, x, window, 0);
  return n.make<ConvOp>(x, w, Value(), window.strides, window.dilations,
                        window.low, window.high, n.i("group", 1),
                        ImageLayout::channels_first);
}

LogicalResult convInteger(Node &n) {
  Val x = n.in(0), w = n.in(1);
  int64_t rank = Node::rank(w);
  return n.result(
      integerConv(n, centered(n, x, 2, 1), centered(n, w, 3, rank)));
}

LogicalResult qlinearConv(Node &n) {
  Val x = n.in(0), w = n.in(3);
  int64_t spatial = Node::rank(w) - 2;
  Val total =
      integerConv(n, centered(n, x, 2, 1), centered(n, w, 5, spatial + 2));
  if (n.has(8))
    total = total + n.perChannel(n.in(8), spatial);
  Val xs = asScalar(n, n.in(1)), ws = asScalar(n, n.in(4)),
      ys = asScalar(n, n.in(6)), zero = asScalar(n, n.in(7));
  if (Node::rank(ws) == 1)
    ws = n.perChannel(ws, spatial);
  return n.result(requantize(n, total, xs * ws / ys, zero));
}

constexpr OpRow rows[] = {
    {"QuantizeLinear", 10, 0, quantize},
    {"DequantizeLinear", 10, 0, dequantize},
    {"DynamicQuantizeLinear", 11, 0, dynamicQuantize},
    {"MatMulInteger", 10, 0, matmulInteger},
    {"QLinearMatMul", 10, 0, qlinearMatmul},
    {"ConvInteger", 10, 0, convInteger},
    {"QLinearConv", 10, 0, qlinearConv},
};

} // namespace

ArrayRef<OpRow> quantizationOps() { return rows; }

} // namespace lathe::onnx_import
