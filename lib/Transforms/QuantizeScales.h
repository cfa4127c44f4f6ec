//===- QuantizeScales.h - How scales come about -----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Scales are ops of the graph, so that what depends on weights alone is
// computed once, at load. Sizes are static.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_QUANTIZESCALES_H
#define LATHE_TRANSFORMS_QUANTIZESCALES_H

#include "dialects/Lathe/Lathe.h"

namespace lathe {
using namespace mlir;

/// Operands and attributes of `quantize`.
struct QuantizationScale {
  Value scale, zeroPoint;
  int64_t axis = 0, group = 0;
  TypeAttr storage;
};

class QuantizationBuilder {
public:
  QuantizationBuilder(OpBuilder &builder, Location loc)
      : builder(builder), loc(loc) {}

  /// Around 0, of signed numbers of 4 or 8 bits: all elements along
  /// `reducedAxes` share a scale, or about `group` neighbours of them. Of 8
  /// bits the lowest number is not used, so that both signs reach as far; of 4
  /// bits every one is, and the scale with the least square error of some is
  /// taken, which may be negative. It is a number of bf16, by a cast to that
  /// and back: with f32, groups of 32 weights would take a fifth of their bytes
  /// for scales.
  QuantizationScale weightScale(Value weight, ArrayRef<int64_t> reducedAxes,
                                unsigned bits, int64_t group);

  /// Of 8-bit floats: the largest number becomes the largest of them. With
  /// `group`, neighbours along the first of `reducedAxes` share a scale.
  QuantizationScale floatScale(Value value, ArrayRef<int64_t> reducedAxes,
                               int64_t group);

  /// Of bytes, by the range of the elements along `reducedAxes`, with 0 in it.
  QuantizationScale dynamicScale(Value value, ArrayRef<int64_t> reducedAxes);

  /// Of bytes, of ranges [low, high] that are known, 0 taken in: one, or one
  /// per iteration of `scans`, row-major, the outermost first. The op at the
  /// builder's place must be in all of these.
  QuantizationScale staticScale(ArrayRef<double> low, ArrayRef<double> high,
                                ArrayRef<ScanOp> scans);
  /// The same of 8-bit floats, of numbers up to `magnitude`.
  QuantizationScale staticFloatScale(ArrayRef<double> magnitude,
                                     ArrayRef<ScanOp> scans);

  /// `numbers`, a list for all of `scans` or one for each iteration of them,
  /// that broadcasts along axis `axis` of a value with `rank` dims. The op at
  /// the builder's place must be in all of `scans`.
  Value perChannel(ArrayRef<std::vector<double>> numbers, int64_t axis,
                   int64_t rank, ArrayRef<ScanOp> scans);

  Value multiply(Value lhs, Value rhs) { return make<MulOp>(lhs, rhs); }

  /// dequantize(quantize(value)), as one op that gradients go through with
  /// `training`.
  Value roundTrip(Value value, const QuantizationScale &scale,
                  bool training = false);

private:
  template <typename OpTy, typename... Args> Value make(Args &&...args) {
    return builder.create<OpTy>(loc, std::forward<Args>(args)...);
  }
  Value number(double value);
  /// What shares a scale: the elements of `value` along `axes`.
  struct Groups {
    Value value;
    SmallVector<int64_t> axes;
  };
  /// All along `axes`, or `group` neighbours along the first of them.
  Groups inGroups(Value value, ArrayRef<int64_t> axes, int64_t group);
  /// `result` with its group and axis, and what shares a scale.
  Groups startGroups(QuantizationScale &result, Value value,
                     ArrayRef<int64_t> axes, int64_t group);
  /// Sets the scale, of `groups` of `value`, and zero points of 0.
  void finishGroups(QuantizationScale &result, Value scale, Value value,
                    ArrayRef<int64_t> axes, Type element);
  /// Constants of this shape, sliced where there is one per iteration.
  Value layerConstant(DenseElementsAttr numbers, ArrayRef<ScanOp> scans);
  SmallVector<int64_t> layerShape(size_t count, ArrayRef<ScanOp> scans);
  Value symmetricScale(const Groups &groups, int64_t limit);
  /// bf16.
  Value searchScale(const Groups &groups, int64_t low, int64_t high);
  /// `scale`, but never so small that a quotient by it is lost.
  Value awayFromZero(Value scale);

  OpBuilder &builder;
  Location loc;
};

} // namespace lathe

#endif // LATHE_TRANSFORMS_QUANTIZESCALES_H
