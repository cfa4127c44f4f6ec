//===- Resize.cpp - ONNX Resize and Upsample ------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

#include <cmath>

namespace lathe::onnx_import {
namespace {

struct Target {
  SmallVector<int64_t> sizes;
  SmallVector<double> scales;
};

Val resize(Node &n, Val x, const Target &t, StringRef mode,
           StringRef coordinates, StringRef nearest,
           ArrayRef<double> roi = {}) {
  ResizeMode m = ResizeMode::nearest;
  CoordinateMode c = CoordinateMode::half_pixel;
  NearestMode r = NearestMode::round_prefer_floor;
  if (mode == "linear" || mode == "bilinear")
    m = ResizeMode::linear;
  else if (mode == "cubic")
    m = ResizeMode::cubic;
  else if (mode != "nearest")
    return n.failVal("the resize mode '" + mode + "' is not supported");
  if (auto named = symbolizeCoordinateMode(coordinates))
    c = *named;
  else
    return n.failVal("the coordinate mode '" + coordinates +
                     "' is not supported");
  if (auto named = symbolizeNearestMode(nearest))
    r = *named;
  else
    return n.failVal("the nearest mode '" + nearest + "' is not supported");
  return n.make<ResizeOp>(x, t.sizes, t.scales, m, c, r,
                          llvm::APFloat(n.f("cubic_coeff_a", -0.75)),
                          bool(n.i("exclude_outside")), roi,
                          llvm::APFloat(n.f("extrapolation_value")));
}

/// Spreads the values of some axes over all dims.
template <typename T>
bool spread(Node &n, SmallVectorImpl<T> &values, ArrayRef<int64_t> axes,
            ArrayRef<T> otherwise) {
  if (values.size() != axes.size()) {
    (void)n.fail("expected one size or scale per resized axis");
    return false;
  }
  SmallVector<T> all(otherwise);
  for (auto [i, axis] : llvm::enumerate(axes))
    all[axis] = values[i];
  values = all;
  return true;
}

LogicalResult resizeOp(Node &n) {
  Val x = n.in(0);
  if (!n.ok())
    return failure();
  int64_t rank = Node::rank(x);
  std::string mode = n.s("mode", "nearest");
  Target t;
  if (n.opset < 11) { // Resize-10: scales alone
    t.scales = n.requireFloats(1, "its scales");
    if (int64_t(t.scales.size()) != rank)
      return n.fail("expected one scale per dim");
    return n.result(resize(n, x, t, mode, "asymmetric", "floor"));
  }
  if (n.i("antialias"))
    return n.fail("antialiasing is not supported");
  SmallVector<int64_t> axes = n.axes(n.ints("axes"), rank);
  if (axes.empty())
    for (int64_t i = 0; i < rank; ++i)
      axes.push_back(i);
  std::string coordinates = n.s("coordinate_transformation_mode", "half_pixel");
  ArrayRef<int64_t> shape = n.type(x).getShape();
  SmallVector<double> ones(rank, 1);
  bool bySize = n.has(3);
  if (bySize) {
    t.sizes = n.requireInts(3, "its sizes");
    if (!n.ok())
      return failure();
    std::string policy = n.s("keep_aspect_ratio_policy", "stretch");
    if (policy != "stretch") {
      // One scale for all axes: the smallest or the largest of them.
      double scale = 0;
      for (auto [i, axis] : llvm::enumerate(axes)) {
        if (ShapedType::isDynamic(shape[axis]) || i >= t.sizes.size())
          return n.fail("keep_aspect_ratio_policy needs the input's size to be "
                        "known");
        double s = double(t.sizes[i]) / shape[axis];
        scale = i == 0                   ? s
                : policy == "not_larger" ? std::min(scale, s)
                                         : std::max(scale, s);
      }
      for (auto [i, axis] : llvm::enumerate(axes))
        t.sizes[i] = int64_t(std::floor(scale * shape[axis] + 0.5));
    }
    if (!spread<int64_t>(n, t.sizes, axes, shape))
      return failure();
    // A dim that is left alone may be open: then it is a scale of 1.
    if (llvm::any_of(t.sizes, ShapedType::isDynamic)) {
      t.scales = ones;
      for (int64_t i = 0; i < rank; ++i) {
        if (ShapedType::isDynamic(t.sizes[i]))
          continue;
        if (ShapedType::isDynamic(shape[i]))
          return n.fail("resizing an open dim to a size needs the input's size "
                        "to be known");
        t.scales[i] = double(t.sizes[i]) / shape[i];
        if (std::floor(shape[i] * t.scales[i]) != t.sizes[i])
          t.scales[i] = std::nextafter(t.scales[i], 1e300);
      }
      t.sizes.clear();
    }
  } else {
    t.scales = n.requireFloats(2, "its scales");
    if (!n.ok() || !spread<double>(n, t.scales, axes, ones))
      return failure();
  }
  SmallVector<double> roi;
  if (coordinates == "tf_crop_and_resize") {
    SmallVector<double> given = n.requireFloats(1, "its region"), all(rank, 0);
    all.append(rank, 1);
    if (given.size() != 2 * axes.size())
      return n.fail("expected two numbers per axis in the region");
    for (auto [i, axis] : llvm::enumerate(axes)) {
      all[axis] = given[i];
      all[rank + axis] = given[axes.size() + i];
    }
    roi = all;
  }
  // With whole output sizes this mode is half_pixel.
  if (coordinates == "half_pixel_symmetric") {
    for (int64_t i = 0; i < rank && !bySize; ++i) {
      if (t.scales[i] == 1)
        continue;
      double out = shape[i] * t.scales[i];
      if (ShapedType::isDynamic(shape[i]) || out != std::floor(out))
        return n.fail("the coordinate mode 'half_pixel_symmetric' is not "
                      "supported where it differs from 'half_pixel'");
    }
    coordinates = "half_pixel";
  }
  return n.result(resize(n, x, t, mode, coordinates,
                         n.s("nearest_mode", "round_prefer_floor"), roi));
}

LogicalResult upsample(Node &n) {
  Val x = n.in(0);
  Target t;
  t.scales =
      n.opset < 9 ? n.floats("scales") : n.requireFloats(1, "its scales");
  if (n.ok() && int64_t(t.scales.size()) != Node::rank(x))
    return n.fail("expected one scale per dim");
  return n.result(
      resize(n, x, t, n.s("mode", "nearest"), "asymmetric", "floor"));
}

constexpr OpRow rows[] = {
    {"Resize", 10, 0, resizeOp},
    {"Upsample", 7, 9, upsample},
};

} // namespace

ArrayRef<OpRow> resizeOps() { return rows; }

} // namespace lathe::onnx_import
