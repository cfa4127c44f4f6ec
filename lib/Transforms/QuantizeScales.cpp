//===- QuantizeScales.cpp - How scales come about -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "QuantizeScales.h"

#include "lathe/Support/QuantizationScheme.h"
#include "mlir/Dialect/Quant/QuantTypes.h"

#include <cmath>

using namespace lathe;

/// The largest number of f8E4M3FN.
static constexpr int64_t kLargestFloat8 = 448;

Value QuantizationBuilder::number(double value) {
  auto type = RankedTensorType::get({}, builder.getF32Type());
  return make<ConstantOp>(DenseElementsAttr::get(type, float(value)));
}

QuantizationBuilder::Groups
QuantizationBuilder::inGroups(Value value, ArrayRef<int64_t> axes,
                              int64_t group) {
  if (group == 0)
    return {value, SmallVector<int64_t>(axes)};
  // Groups get a dim of their own; zeros fill up the last one.
  int64_t axis = axes.front();
  SmallVector<int64_t> shape(getTensorType(value).getShape());
  int64_t groups = llvm::divideCeil(shape[axis], group);
  if (int64_t missing = groups * group - shape[axis]) {
    SmallVector<int64_t> low(shape.size(), 0), high(shape.size(), 0);
    high[axis] = missing;
    value = make<PadOp>(value, Value(), low, high);
  }
  shape[axis] = groups;
  shape.insert(shape.begin() + axis + 1, group);
  Groups result{make<ReshapeOp>(value, shape), {axis + 1}};
  for (int64_t other : axes.drop_front())
    result.axes.push_back(other > axis ? other + 1 : other);
  return result;
}

Value QuantizationBuilder::awayFromZero(Value scale) {
  Value isSmall = make<CompareOp>(ComparePredicate::lt, make<AbsOp>(scale),
                                  number(kSmallestQuantizationScale));
  return make<SelectOp>(isSmall, number(kSmallestQuantizationScale), scale);
}

Value QuantizationBuilder::symmetricScale(const Groups &groups, int64_t limit) {
  Value largest =
      make<ReduceMaxOp>(make<AbsOp>(groups.value), groups.axes, true);
  return awayFromZero(make<DivOp>(largest, number(double(limit))));
}

// Candidates are rounded before they are judged.
Value QuantizationBuilder::searchScale(const Groups &groups, int64_t low,
                                       int64_t high) {
  Value most = make<ReduceMaxOp>(groups.value, groups.axes, true),
        least = make<ReduceMinOp>(groups.value, groups.axes, true);
  Value isAbove =
      make<CompareOp>(ComparePredicate::ge, most, make<NegOp>(least));
  Value extreme = make<SelectOp>(isAbove, most, least);
  Value best, bestError;
  for (double part : kNearestParts) {
    Value narrow = make<CastOp>(
        awayFromZero(make<MulOp>(extreme, number(part / double(low)))),
        builder.getBF16Type());
    Value scale = make<CastOp>(narrow, builder.getF32Type());
    Value x = make<RoundOp>(make<DivOp>(groups.value, scale));
    x = make<MinOp>(make<MaxOp>(x, number(double(low))), number(double(high)));
    Value off = make<SubOp>(make<MulOp>(x, scale), groups.value);
    Value error = make<ReduceSumOp>(make<MulOp>(off, off), groups.axes, true);
    if (!best) {
      best = narrow;
      bestError = error;
      continue;
    }
    Value isBetter = make<CompareOp>(ComparePredicate::lt, error, bestError);
    best = make<SelectOp>(isBetter, narrow, best);
    bestError = make<SelectOp>(isBetter, error, bestError);
  }
  return best;
}

QuantizationBuilder::Groups
QuantizationBuilder::startGroups(QuantizationScale &result, Value value,
                                 ArrayRef<int64_t> axes, int64_t group) {
  if (group > 0) {
    // Of a filter a group takes whole windows of several channels.
    for (int64_t axis : axes.drop_front())
      group /= std::max<int64_t>(getTensorType(value).getDimSize(axis), 1);
    result.axis = axes.front();
    result.group = std::max<int64_t>(group, 1);
  }
  return inGroups(value, axes, result.group);
}

void QuantizationBuilder::finishGroups(QuantizationScale &result, Value scale,
                                       Value value, ArrayRef<int64_t> axes,
                                       Type element) {
  if (result.group > 0) {
    SmallVector<int64_t> shape(getTensorType(value).getShape());
    shape[result.axis] = llvm::divideCeil(shape[result.axis], result.group);
    for (int64_t axis : axes.drop_front())
      shape[axis] = 1;
    scale = make<ReshapeOp>(scale, shape);
  }
  // What packs the weight finds the narrow ones behind the cast.
  if (!getTensorType(scale).getElementType().isF32())
    scale = make<CastOp>(scale, builder.getF32Type());
  result.scale = scale;
  auto zeros = RankedTensorType::get(getTensorType(scale).getShape(), element);
  result.zeroPoint =
      make<ConstantOp>(cast<DenseElementsAttr>(builder.getZeroAttr(zeros)));
}

QuantizationScale
QuantizationBuilder::weightScale(Value weight, ArrayRef<int64_t> reducedAxes,
                                 unsigned bits, int64_t group) {
  QuantizationScale result;
  Groups groups = startGroups(result, weight, reducedAxes, group);
  int64_t high = llvm::maxIntN(bits), low = bits < 8 ? -high - 1 : -high;
  Value scale =
      bits < 8 ? searchScale(groups, low, high) : symmetricScale(groups, high);
  finishGroups(result, scale, weight, reducedAxes, builder.getI8Type());
  result.storage = TypeAttr::get(quant::AnyQuantizedType::get(
      quant::QuantizationFlags::Signed, builder.getIntegerType(bits),
      builder.getF32Type(), low, high));
  return result;
}

QuantizationScale QuantizationBuilder::floatScale(Value value,
                                                  ArrayRef<int64_t> reducedAxes,
                                                  int64_t group) {
  QuantizationScale result;
  Groups groups = startGroups(result, value, reducedAxes, group);
  finishGroups(result, symmetricScale(groups, kLargestFloat8), value,
               reducedAxes, builder.getFloat8E4M3FNType());
  return result;
}

QuantizationScale
QuantizationBuilder::dynamicScale(Value value, ArrayRef<int64_t> reducedAxes) {
  Type byte = builder.getIntegerType(8, /*isSigned=*/false);
  Value zero = number(0);
  Value low = make<MinOp>(
      make<ReduceMinOp>(value, reducedAxes, /*keepdims=*/true), zero);
  Value high = make<MaxOp>(
      make<ReduceMaxOp>(value, reducedAxes, /*keepdims=*/true), zero);
  QuantizationScale result;
  result.scale = make<MaxOp>(make<DivOp>(make<SubOp>(high, low), number(255)),
                             number(kSmallestQuantizationScale));
  // At most 255 but for rounding, which the cast saturates.
  result.zeroPoint = make<CastOp>(
      make<RoundOp>(make<DivOp>(make<NegOp>(low), result.scale)), byte);
  return result;
}

/// `stacked` as a further input of `scan`: its slice in the body.
static Value sliceBy(ScanOp scan, Value stacked) {
  scan.getInputsMutable().append(stacked);
  auto type = getTensorType(stacked);
  return scan.getBody().front().addArgument(
      type.clone(type.getShape().drop_front()), stacked.getLoc());
}

SmallVector<int64_t> QuantizationBuilder::layerShape(size_t count,
                                                     ArrayRef<ScanOp> scans) {
  SmallVector<int64_t> shape;
  if (count > 1)
    for (ScanOp scan : scans)
      shape.push_back(ScanOp(scan).computeTripCount());
  return shape;
}

Value QuantizationBuilder::layerConstant(DenseElementsAttr numbers,
                                         ArrayRef<ScanOp> scans) {
  OpBuilder::InsertionGuard guard(builder);
  bool isPerLayer = numbers.getType().getRank() != 0;
  if (isPerLayer)
    builder.setInsertionPoint(scans.front());
  Value value = make<ConstantOp>(numbers);
  if (isPerLayer)
    for (ScanOp scan : scans)
      value = sliceBy(scan, value);
  return value;
}

QuantizationScale QuantizationBuilder::staticScale(ArrayRef<double> low,
                                                   ArrayRef<double> high,
                                                   ArrayRef<ScanOp> scans) {
  SmallVector<float> scales;
  SmallVector<uint8_t> zeroPoints;
  for (auto [least, most] : llvm::zip_equal(low, high)) {
    double from = std::min(least, 0.0), to = std::max(most, 0.0);
    double scale = std::max((to - from) / 255, kSmallestQuantizationScale);
    scales.push_back(float(scale));
    zeroPoints.push_back(std::clamp(std::nearbyint(-from / scale), 0.0, 255.0));
  }
  SmallVector<int64_t> shape = layerShape(low.size(), scans);
  Type byte = builder.getIntegerType(8, /*isSigned=*/false);
  auto constant = [&](Type element, auto &&numbers) {
    return layerConstant(
        DenseElementsAttr::get(RankedTensorType::get(shape, element),
                               ArrayRef(numbers)),
        scans);
  };
  QuantizationScale result;
  result.scale = constant(builder.getF32Type(), scales);
  result.zeroPoint = constant(byte, zeroPoints);
  return result;
}

QuantizationScale
QuantizationBuilder::staticFloatScale(ArrayRef<double> magnitude,
                                      ArrayRef<ScanOp> scans) {
  SmallVector<float> scales;
  for (double most : magnitude)
    scales.push_back(
        float(std::max(most / kLargestFloat8, kSmallestQuantizationScale)));
  auto type = RankedTensorType::get(layerShape(scales.size(), scans),
                                    builder.getF32Type());
  QuantizationScale result;
  result.scale =
      layerConstant(DenseElementsAttr::get(type, ArrayRef(scales)), scans);
  result.zeroPoint = make<ConstantOp>(DenseElementsAttr::get(
      RankedTensorType::get({}, builder.getFloat8E4M3FNType()),
      APFloat(APFloat::Float8E4M3FN())));
  return result;
}

Value QuantizationBuilder::perChannel(ArrayRef<std::vector<double>> numbers,
                                      int64_t axis, int64_t rank,
                                      ArrayRef<ScanOp> scans) {
  SmallVector<float> values;
  for (const std::vector<double> &list : numbers)
    values.append(list.begin(), list.end());
  SmallVector<int64_t> shape;
  if (numbers.size() > 1)
    for (ScanOp scan : scans)
      shape.push_back(ScanOp(scan).computeTripCount());
  bool isSliced = !shape.empty();
  shape.push_back(numbers.front().size());
  shape.append(rank - 1 - axis, 1);
  OpBuilder::InsertionGuard guard(builder);
  if (isSliced)
    builder.setInsertionPoint(scans.front());
  Value result = make<ConstantOp>(DenseElementsAttr::get(
      RankedTensorType::get(shape, builder.getF32Type()), ArrayRef(values)));
  if (isSliced)
    for (ScanOp scan : scans)
      result = sliceBy(scan, result);
  return result;
}

Value QuantizationBuilder::roundTrip(Value value,
                                     const QuantizationScale &scale,
                                     bool training) {
  IntegerAttr axis = builder.getI64IntegerAttr(scale.axis),
              group = builder.getI64IntegerAttr(scale.group);
  if (training)
    return make<FakeQuantizeOp>(value, scale.scale, scale.zeroPoint, axis,
                                group, scale.storage);
  Value quantized = make<QuantizeOp>(value, scale.scale, scale.zeroPoint, axis,
                                     group, scale.storage);
  return make<DequantizeOp>(quantized, scale.scale, scale.zeroPoint, axis,
                            group, scale.storage);
}
