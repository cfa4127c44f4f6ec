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

/// The axis that scales differ along, and the elements that share one.
std::pair<int64_t, int64_t> placeOfScale(Node &n, Val x, Val scale) {
  if (Node::rank(scale) == 0)
    return {0, 0};
  return {n.axis(n.i("axis", 1), Node::rank(x)), n.i("block_size")};
}

LogicalResult quantize(Node &n) {
  Val x = n.in(0), scale = asScalar(n, n.in(1));
  Type type = n.b.getIntegerType(8, false);
  if (n.has(2))
    type = n.elem(n.in(2));
  else if (n.i("output_dtype"))
    type = n.elementType(n.i("output_dtype"));
  if (!n.ok())
    return failure();
  if (isa<FloatType>(type) && n.i("saturate", 1) == 0)
    return n.fail("8-bit floats that do not saturate are not supported");
  Val zero = asScalar(n, zeroPoint(n, 2, scale, type));
  x = n.convert(x, n.elem(scale));
  auto [axis, group] = placeOfScale(n, x, scale);
  return n.result(n.make<QuantizeOp>(x, scale, zero, axis, group, TypeAttr()));
}

LogicalResult dequantize(Node &n) {
  Val x = n.in(0), scale = asScalar(n, n.in(1));
  Val zero = asScalar(n, zeroPoint(n, 2, scale, n.elem(x)));
  auto [axis, group] = placeOfScale(n, x, scale);
  return n.result(
      n.make<DequantizeOp>(x, scale, zero, axis, group, TypeAttr()));
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
  n.out(0, n.make<QuantizeOp>(x, scale, zero, 0, 0, TypeAttr()));
  n.out(1, scale);
  n.out(2, zero);
  return n.status();
}

/// Input i as i32; one per row or column is put along `axis`, counted from the
/// end. Null where the input is absent or known to be 0.
Val zeroOf(Node &n, unsigned i, int64_t fromEnd) {
  if (!n.has(i))
    return {};
  Val z = n.in(i);
  if (auto known = n.known(z);
      known && llvm::all_of(known->getValues<APInt>(),
                            [](const APInt &value) { return value.isZero(); }))
    return {};
  z = asScalar(n, n.convert(z, n.b.getI32Type()));
  if (Node::rank(z) == 1 && fromEnd > 1) {
    SmallVector<int64_t> behind;
    for (int64_t i = 1; i < fromEnd; ++i)
      behind.push_back(i);
    z = n.unsqueeze(z, behind);
  }
  return z;
}

/// `x - zero` in 32 bits.
Val centered(Node &n, Val x, Val zero) {
  x = n.convert(x, n.b.getI32Type());
  return zero ? x - zero : x;
}

bool isByte(Node &n, Val x) {
  return bool(x) && ::mlir::isa<IntegerType>(n.elem(x)) &&
         n.elem(x).getIntOrFloatBitWidth() == 8;
}

/// round(total * factor) + zero, saturated: an i32 sum in a narrow type.
Val requantize(Node &n, Val total, Val factor, Val zero) {
  Type type = n.elem(zero), f32 = n.b.getF32Type();
  Range r = range(type);
  Val y =
      n.make<RoundOp>(n.convert(total, f32) * factor) + n.convert(zero, f32);
  return n.convert(n.clamp(y, r.low, r.high), type);
}

/// (a - za) (b - zb) in i32: the product of the bytes, minus what the zero
/// points add to it, za sum(b - zb) + zb sum(a).
Val integerMatmul(Node &n, unsigned a, unsigned za, unsigned b, unsigned zb) {
  Val x = n.in(a), y = n.in(b), zx = zeroOf(n, za, 2), zy = zeroOf(n, zb, 1);
  if (!isByte(n, x) || !isByte(n, y) || Node::rank(x) < 2 || Node::rank(y) < 2)
    return matmul(n, centered(n, x, zx), centered(n, y, zy));
  Val total = matmul(n, x, y);
  if (zx)
    total = total - zx * n.sum(centered(n, y, zy), {-2});
  if (zy)
    total = total - zy * n.sum(centered(n, x, {}), {-1});
  return total;
}

LogicalResult matmulInteger(Node &n) {
  return n.result(integerMatmul(n, 0, 2, 1, 3));
}

LogicalResult qlinearMatmul(Node &n) {
  Val as = asScalar(n, n.in(1)), bs = asScalar(n, n.in(4)),
      ys = asScalar(n, n.in(6)), zero = asScalar(n, n.in(7));
  Type f32 = n.b.getF32Type();
  if (Node::rank(as) == 1)
    as = n.unsqueeze(as, {1});
  Val factor = n.convert(as, f32) * n.convert(bs, f32) / n.convert(ys, f32);
  return n.result(requantize(n, integerMatmul(n, 0, 2, 3, 5), factor, zero));
}

/// The same for a convolution. The input is padded with its zero point.
Val integerConv(Node &n, unsigned input, unsigned zx, unsigned filter,
                unsigned zw) {
  Val x = n.in(input), w = n.in(filter);
  Window window;
  if (!n.expectRank(x, 3, 5, "an input [n, c, spatial...]") ||
      !n.expectRank(w, Node::rank(x), Node::rank(x), "a filter") ||
      !readWindow(n, x, n.type(w).getShape().drop_front(2), window))
    return n.wrap(Value());
  int64_t rank = Node::rank(x), groups = n.i("group", 1);
  Val zeroX = zeroOf(n, zx, 1), zeroW = zeroOf(n, zw, rank);
  bool isPlain = isByte(n, x) && isByte(n, w) && !window.same &&
                 (!zeroX || Node::rank(zeroX) == 0) &&
                 (!zeroW || n.type(w).hasStaticShape());
  auto convolve = [&](Val image, Val by) {
    return n.make<ConvOp>(image, by, Value(), window.strides, window.dilations,
                          window.low, window.high, groups,
                          ImageLayout::channels_first);
  };
  if (!isPlain) {
    x = centered(n, x, zeroX);
    if (window.same)
      x = padSame(n, x, window, 0);
    return convolve(x, centered(n, w, zeroW));
  }
  if (zeroX) {
    SmallVector<int64_t> low(2, 0), high(2, 0);
    llvm::append_range(low, window.low);
    llvm::append_range(high, window.high);
    x = n.make<PadOp>(x, asScalar(n, n.in(zx)), low, high, PadMode::constant);
    window.low.assign(window.low.size(), 0);
    window.high = window.low;
  }
  Val total = convolve(x, w);
  if (zeroX) {
    SmallVector<int64_t> behind;
    for (int64_t i = 1; i < rank; ++i)
      behind.push_back(i);
    Val sums = n.sum(centered(n, w, zeroW), behind, /*keep=*/false);
    total = total - n.perChannel(zeroX * sums, rank - 2);
  }
  if (zeroW) {
    // What a filter of ones makes of the input; of one group, a single channel.
    SmallVector<int64_t> shape(n.type(w).getShape());
    if (groups == 1)
      shape[0] = 1;
    auto type = RankedTensorType::get(shape, n.b.getI8Type());
    Val sums =
        convolve(x, n.constant(DenseElementsAttr::get(type, APInt(8, 1))));
    if (Node::rank(zeroW) == rank) // [out, 1...] along the result's channels
      zeroW = n.perChannel(n.reshape(zeroW, {n.dim(w, 0)}), rank - 2);
    total = total - zeroW * sums;
  }
  return total;
}

LogicalResult convInteger(Node &n) {
  return n.result(integerConv(n, 0, 2, 1, 3));
}

LogicalResult qlinearConv(Node &n) {
  int64_t spatial = Node::rank(n.in(3)) - 2;
  Val total = integerConv(n, 0, 2, 3, 5);
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
