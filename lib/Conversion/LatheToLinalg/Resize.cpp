//===- Resize.cpp - Interpolation to linalg -----------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sizes are static, so coordinates and weights are computed here, in double
// precision, and become constant tables; the kernel applies one dim after the
// other (interpolation is separable). Rules: ONNX's Resize, versions 11 to 19.
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"

#include <cmath>

namespace lathe {
namespace {

/// For one dim: `taps` source positions and weights per output position, and
/// whether the coordinate lies outside (tf_crop_and_resize).
struct Table {
  int64_t taps = 1;
  SmallVector<int64_t> positions;
  SmallVector<double> weights;
  SmallVector<bool> outside;
};

double coordinate(ResizeOp op, unsigned d, int64_t o, int64_t in, int64_t out,
                  double scale) {
  auto scales = op.getScales();
  // Where scales are given, ONNX counts with the unrounded output size.
  double outSize = scales.empty() ? double(out) : scales[d] * in;
  switch (op.getCoordinates()) {
  case CoordinateMode::half_pixel:
    return (o + 0.5) / scale - 0.5;
  case CoordinateMode::pytorch_half_pixel:
    return out > 1 ? (o + 0.5) / scale - 0.5 : 0.0;
  case CoordinateMode::align_corners:
    return outSize == 1.0 ? 0.0 : o * (in - 1) / (outSize - 1);
  case CoordinateMode::asymmetric:
    return o / scale;
  case CoordinateMode::tf_crop_and_resize: {
    unsigned rank = Lowering::shape(op.getInput()).size();
    double start = op.getRoi()[d], end = op.getRoi()[d + rank];
    if (outSize == 1.0)
      return 0.5 * (start + end) * (in - 1);
    return start * (in - 1) + o * (end - start) * (in - 1) / (outSize - 1);
  }
  }
  return 0.0;
}

int64_t nearestPosition(NearestMode mode, double x) {
  switch (mode) {
  case NearestMode::round_prefer_floor:
    return int64_t(std::ceil(x - 0.5));
  case NearestMode::round_prefer_ceil:
    return int64_t(std::floor(x + 0.5));
  case NearestMode::floor:
    return int64_t(std::floor(x));
  case NearestMode::ceil:
    return int64_t(std::ceil(x));
  }
  return 0;
}

Table makeTable(ResizeOp op, unsigned d, int64_t in, int64_t out) {
  auto scales = op.getScales();
  double scale = scales.empty() ? double(out) / in : scales[d];
  ResizeMode mode = op.getMode();
  Table table;
  table.taps = mode == ResizeMode::nearest  ? 1
               : mode == ResizeMode::linear ? 2
                                            : 4;
  for (int64_t o = 0; o < out; ++o) {
    double x = coordinate(op, d, o, in, out, scale);
    table.outside.push_back(x < 0 || x > in - 1);
    int64_t floorX = int64_t(std::floor(x)), first = floorX;
    double t = x - floorX, a = op.getCubicCoefficient().convertToDouble();
    SmallVector<double, 4> weights;
    if (mode == ResizeMode::nearest) {
      first = nearestPosition(op.getNearest(), x);
      weights = {1.0};
    } else if (mode == ResizeMode::linear) {
      weights = {1 - t, t};
    } else {
      // Keys, "Cubic convolution interpolation for digital image processing".
      first = floorX - 1;
      auto outer = [&](double s) {
        return ((a * s - 5 * a) * s + 8 * a) * s - 4 * a;
      };
      auto inner = [&](double s) {
        return ((a + 2) * s - (a + 3)) * s * s + 1;
      };
      weights = {outer(t + 1), inner(t), inner(1 - t), outer(2 - t)};
    }
    double sum = 0;
    for (int64_t k = 0; k < table.taps; ++k) {
      int64_t position = first + k;
      if (op.getExcludeOutside() && mode != ResizeMode::nearest &&
          (position < 0 || position >= in))
        weights[k] = 0;
      sum += weights[k];
      table.positions.push_back(std::clamp<int64_t>(position, 0, in - 1));
    }
    for (double weight : weights)
      table.weights.push_back(op.getExcludeOutside() && sum != 0 ? weight / sum
                                                                 : weight);
  }
  return table;
}

bool isIdentity(const Table &table, int64_t in) {
  int64_t out = table.outside.size();
  if (in != out)
    return false;
  for (int64_t o = 0; o < out; ++o) {
    double weightOfSelf = 0;
    for (int64_t k = 0; k < table.taps; ++k)
      if (table.positions[o * table.taps + k] == o)
        weightOfSelf += table.weights[o * table.taps + k];
    if (table.outside[o] || weightOfSelf != 1.0)
      return false;
  }
  return true;
}

Value constant(Lowering &l, DenseElementsAttr attr) {
  return l.builder.create<arith::ConstantOp>(l.loc, attr);
}

Value applyTable(Lowering &l, Value input, unsigned d, const Table &table,
                 bool isNearest) {
  Type element = Lowering::element(input);
  SmallVector<int64_t> shape(Lowering::shape(input));
  int64_t out = table.outside.size(), taps = table.taps;
  shape[d] = out;
  auto positionType =
      RankedTensorType::get({out, taps}, l.builder.getI64Type());
  Value positions =
      constant(l, DenseElementsAttr::get(positionType,
                                         ArrayRef<int64_t>(table.positions)));
  SmallVector<Attribute> weightAttrs;
  for (double weight : table.weights)
    weightAttrs.push_back(isNearest ? Attribute()
                                    : FloatAttr::get(element, weight));
  Value weights;
  if (!isNearest)
    weights = constant(
        l, DenseElementsAttr::get(RankedTensorType::get({out, taps}, element),
                                  weightAttrs));
  return l.compute(
      RankedTensorType::get(shape, element),
      [&](ElementBuilder &b, ValueRange indices) {
        Value sum;
        for (int64_t k = 0; k < taps; ++k) {
          Value tap = b.integer(k, b.getIndexType());
          Value p = b.create<tensor::ExtractOp>(positions,
                                                ValueRange{indices[d], tap});
          SmallVector<Value> at(indices);
          at[d] = b.create<arith::IndexCastOp>(b.getIndexType(), p);
          Value x = b.create<tensor::ExtractOp>(input, at);
          if (isNearest)
            return x;
          Value weight =
              b.create<tensor::ExtractOp>(weights, ValueRange{indices[d], tap});
          Value term = b.mul(x, weight);
          sum = sum ? b.add(sum, term) : term;
        }
        return sum;
      });
}

LogicalResult lowerResize(Lowering &l, ResizeOp op) {
  Value value = l.get(op.getInput());
  Type element = Lowering::element(op.getInput());
  Shape in = Lowering::shape(op.getInput());
  Shape out = Lowering::shape(op.getResult());
  bool isNearest = op.getMode() == ResizeMode::nearest;
  if (llvm::is_contained(in, 0) || llvm::is_contained(out, 0)) {
    l.set(op.getResult(), l.empty(out, getStorageType(element)));
    return success();
  }
  bool crops = op.getCoordinates() == CoordinateMode::tf_crop_and_resize;
  if (crops && op.getRoi().size() != 2 * in.size())
    return op.emitOpError("expected a roi of ")
           << 2 * in.size() << " numbers, found " << op.getRoi().size();
  Type working = getStorageType(element);
  if (!isNearest) {
    // Integers interpolate in f32, as 16-bit floats do.
    working = element.isF64() ? element : Type(l.builder.getF32Type());
    value = l.mapElements(value, l.identity(in.size()),
                          RankedTensorType::get(in, working),
                          [&](ElementBuilder &b, ValueRange args) {
                            return b.cast(args[0], element, working);
                          });
  }
  SmallVector<std::pair<unsigned, Value>> outside;
  for (unsigned d = 0; d < in.size(); ++d) {
    Table table = makeTable(op, d, in[d], out[d]);
    if (!isIdentity(table, in[d]))
      value = applyTable(l, value, d, table, isNearest);
    if (crops && llvm::is_contained(table.outside, true)) {
      SmallVector<int8_t> flags(table.outside.begin(), table.outside.end());
      auto type = RankedTensorType::get({out[d]}, l.builder.getI8Type());
      outside.push_back({d, constant(l, DenseElementsAttr::get(
                                            type, ArrayRef<int8_t>(flags)))});
    }
  }
  if (!outside.empty()) {
    SmallVector<Value> inputs{value};
    SmallVector<AffineMap> maps{l.identity(out.size())};
    for (auto [d, flags] : outside) {
      inputs.push_back(flags);
      maps.push_back(l.map(out.size(), {l.dim(d)}));
    }
    double fill = op.getExtrapolationValue().convertToDouble();
    value = l.mapElements(inputs, maps, RankedTensorType::get(out, working),
                          [&](ElementBuilder &b, ValueRange args) {
                            Value any = args[1];
                            for (size_t i = 1; i < outside.size(); ++i)
                              any = b.logicalOr(any, args[i + 1]);
                            return b.select(
                                b.compare("ne", any, b.zero(any.getType())),
                                b.number(fill, working), args[0]);
                          });
  }
  if (!isNearest && working != element)
    value = l.mapElements(value, l.identity(out.size()),
                          Lowering::storageType(op.getResult()),
                          [&](ElementBuilder &b, ValueRange args) {
                            return b.cast(args[0], working, element);
                          });
  l.set(op.getResult(), value);
  return success();
}

} // namespace

void addResizeLowerings(LoweringTable &table) {
  addLowering<ResizeOp>(table, lowerResize);
}

} // namespace lathe
