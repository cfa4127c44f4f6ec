//===- Convolution.cpp - ONNX convolutions --------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Spatial.h"

namespace lathe::onnx_import {

bool readWindow(Node &n, Val x, ArrayRef<int64_t> kernel, Window &w) {
  if (!n.expectRank(x, 3, 5, "an input [n, c, spatial...]"))
    return false;
  size_t spatial = Node::rank(x) - 2;
  w.kernel =
      kernel.empty() ? n.ints("kernel_shape") : SmallVector<int64_t>(kernel);
  auto list = [&](StringRef name) {
    SmallVector<int64_t> values = n.ints(name);
    if (values.empty())
      values.assign(spatial, 1);
    return values;
  };
  w.strides = list("strides");
  w.dilations = list("dilations");
  SmallVector<int64_t> pads = n.ints("pads");
  if (pads.empty())
    pads.assign(2 * spatial, 0);
  auto fits = [&](ArrayRef<int64_t> values, size_t size, int64_t low) {
    return values.size() == size && llvm::all_of(values, [&](int64_t v) {
             return v >= low && v < (int64_t(1) << 31);
           });
  };
  if (!fits(w.kernel, spatial, 1) || !fits(w.strides, spatial, 1) ||
      !fits(w.dilations, spatial, 1) || !fits(pads, 2 * spatial, 0)) {
    (void)n.fail("kernel, strides, dilations or pads do not fit " +
                 Twine(spatial) + " spatial dims");
    return false;
  }
  w.low.assign(pads.begin(), pads.begin() + spatial);
  w.high.assign(pads.begin() + spatial, pads.end());
  std::string mode = n.s("auto_pad", "NOTSET");
  if (mode == "VALID") {
    w.low.assign(spatial, 0);
    w.high.assign(spatial, 0);
  } else if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
    w.sameLower = mode == "SAME_LOWER";
    for (size_t i = 0; i < spatial; ++i) {
      int64_t in = Node::size(x, i + 2), total;
      if (w.strides[i] == 1) {
        total = w.extent(i) - 1;
      } else if (ShapedType::isDynamic(in)) {
        w.same = true;
        total = 0;
      } else {
        int64_t out = (in + w.strides[i] - 1) / w.strides[i];
        total =
            std::max<int64_t>(0, (out - 1) * w.strides[i] + w.extent(i) - in);
      }
      w.low[i] = w.sameLower ? (total + 1) / 2 : total / 2;
      w.high[i] = total - w.low[i];
    }
    if (w.same) {
      w.low.assign(spatial, 0);
      w.high.assign(spatial, 0);
    }
  } else if (mode != "NOTSET" && mode != "") {
    (void)n.fail("expected auto_pad to be NOTSET, VALID, SAME_UPPER or "
                 "SAME_LOWER, got '" +
                 mode + "'");
    return false;
  }
  return true;
}

Val padSame(Node &n, Val x, const Window &w, double value) {
  SmallVector<Value> low(2, n.ints({0})), high(2, n.ints({0}));
  for (size_t i = 0; i < w.kernel.size(); ++i) {
    Val in = n.wrap(n.toValue(n.dim(x, i + 2)));
    double stride = w.strides[i];
    Val out = (in + (stride - 1)) / stride;
    Val total = max((out - 1) * stride + double(w.extent(i)) - in, 0);
    Val first = (w.sameLower ? total + 1 : total) / 2;
    low.push_back(first);
    high.push_back(total - first);
  }
  low.append(high);
  return n.make<DynamicPadOp>(x, n.concat(low, 0), n.scalar(n.elem(x), value));
}

namespace {

LogicalResult conv(Node &n) {
  Val x = n.in(0), w = n.in(1);
  if (!n.expectRank(x, 3, 5, "an input [n, c, spatial...]") ||
      !n.expectRank(w, Node::rank(x), Node::rank(x), "a filter"))
    return failure();
  Window window;
  ArrayRef<int64_t> kernel = n.type(w).getShape().drop_front(2);
  if (llvm::any_of(kernel, ShapedType::isDynamic))
    return n.fail("the filter's size has to be known");
  if (!readWindow(n, x, kernel, window))
    return failure();
  if (window.same)
    x = padSame(n, x, window, 0);
  return n.result(n.make<ConvOp>(
      x, w, n.has(2) ? n.in(2) : Value(), window.strides, window.dilations,
      window.low, window.high, n.i("group", 1), ImageLayout::channels_first));
}

LogicalResult convTranspose(Node &n) {
  Val x = n.in(0), w = n.in(1);
  if (!n.expectRank(x, 3, 5, "an input [n, c, spatial...]") ||
      !n.expectRank(w, Node::rank(x), Node::rank(x), "a filter"))
    return failure();
  ArrayRef<int64_t> kernel = n.type(w).getShape().drop_front(2);
  if (llvm::any_of(kernel, ShapedType::isDynamic))
    return n.fail("the filter's size has to be known");
  Window window;
  // SAME is another rule here: the output is input times stride.
  std::string mode = n.s("auto_pad", "NOTSET");
  size_t spatial = Node::rank(x) - 2;
  SmallVector<int64_t> extra = n.ints("output_padding"),
                       wanted = n.ints("output_shape");
  bool sameMode = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  if (!readWindow(n, x, kernel, window))
    return failure();
  if (extra.empty())
    extra.assign(spatial, 0);
  if (wanted.size() > spatial) // some exporters list all dims
    wanted.erase(wanted.begin(), wanted.end() - spatial);
  if (extra.size() != spatial || (!wanted.empty() && wanted.size() != spatial))
    return n.fail("output_padding or output_shape does not fit " +
                  Twine(spatial) + " spatial dims");
  for (size_t i = 0; i < spatial && (!wanted.empty() || sameMode); ++i) {
    int64_t in = Node::size(x, i + 2), stride = window.strides[i], total;
    if (wanted.empty()) {
      total = extra[i] + window.extent(i) - stride; // output = in * stride
    } else {
      if (ShapedType::isDynamic(in))
        return n.fail("output_shape needs the input's size to be known");
      total = stride * (in - 1) + extra[i] + window.extent(i) - wanted[i];
    }
    // An output larger than what is computed grows at its end.
    if (total < 0) {
      extra[i] -= total;
      total = 0;
    }
    window.low[i] = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
    window.high[i] = total - window.low[i];
  }
  return n.result(n.make<ConvTransposeOp>(
      x, w, n.has(2) ? n.in(2) : Value(), window.strides, window.dilations,
      window.low, window.high, extra, n.i("group", 1)));
}

constexpr OpRow rows[] = {
    {"Conv", 1, 0, conv},
    {"ConvTranspose", 1, 0, convTranspose},
};

} // namespace

ArrayRef<OpRow> convolutionOps() { return rows; }

} // namespace lathe::onnx_import
