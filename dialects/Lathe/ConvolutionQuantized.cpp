//===- ConvolutionQuantized.cpp - Convolutions of quantized numbers -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/QuantizedProduct.h"

namespace lathe {

static SmallVector<int64_t> allButFirst(Value value) {
  return llvm::to_vector(llvm::seq<int64_t>(1, getTensorType(value).getRank()));
}

// Windows overlap, so one scale holds for a whole image.
SmallVector<QuantizableOperand>
ConvOp::getQuantizableOperands(std::string &whyNot) {
  Type element = getTensorType(getResult()).getElementType();
  if (!isa<FloatType>(element)) {
    llvm::raw_string_ostream(whyNot)
        << "computes in '" << element << "', not in floats";
    return {};
  }
  return {{0, false, allButFirst(getInput())},
          {1, true, allButFirst(getFilter())}};
}

namespace {
/// Where the convolution's dims stand.
struct ImageDims {
  explicit ImageDims(ConvOp op)
      : rank(getTensorType(op.getInput()).getRank()),
        channel(op.getLayout() == ImageLayout::channels_last ? rank - 1 : 1),
        spatial(op.getLayout() == ImageLayout::channels_last ? 1 : 2) {}
  int64_t rank, channel, spatial;

  /// One entry per dim, 0 but for the spatial ones.
  SmallVector<int64_t> atSpatial(ArrayRef<int64_t> values) const {
    SmallVector<int64_t> result(rank, 0);
    llvm::copy(values, result.begin() + spatial);
    return result;
  }
  /// Values of the output channels, `[out, 1...]`, along the result's.
  Value alongChannels(Composer &c, Value value) const {
    auto type = getTensorType(value);
    if (type.getRank() == 0)
      return value;
    SmallVector<int64_t> shape(rank, 1);
    shape[channel] = type.getDimSize(0);
    return c.make<ReshapeOp>(value, shape);
  }
};
} // namespace

/// `input` with what stands for 0, `zeroPoint`, around it.
static Value padWithZeroPoint(Composer &c, Value input, Value zeroPoint,
                              ArrayRef<int64_t> low, ArrayRef<int64_t> high) {
  if (getTensorType(zeroPoint).getRank() == 0)
    return c.make<PadOp>(input, zeroPoint, low, high);
  // One zero point per image: a mask says where the image is.
  auto type = getTensorType(input);
  SmallVector<int64_t> one(type.getShape());
  one[0] = 1;
  Type i1 = IntegerType::get(input.getContext(), 1);
  auto ones = RankedTensorType::get(one, i1);
  Value inside =
      c.make<PadOp>(c.make<ConstantOp>(DenseElementsAttr::get(ones, true)),
                    Value(), low, high);
  return c.make<SelectOp>(inside, c.make<PadOp>(input, Value(), low, high),
                          zeroPoint);
}

FailureOr<SmallVector<Value>>
ConvOp::buildQuantized(OpBuilder &builder, ArrayRef<QuantizedOperand> operands,
                       std::string &whyNot) {
  SmallVector<QuantizableOperand> places = getQuantizableOperands(whyNot);
  if (places.empty() || failed(checkBytes(operands, whyNot)))
    return failure();
  Composer c(builder, *this);
  ImageDims dims(*this);
  Value scales[2], zeroPoints[2];
  if (failed(alignParameters(c, operands, places, scales, zeroPoints, whyNot)))
    return failure();
  Value input = operands[0].quantized, filter = operands[1].quantized;
  ArrayRef<int64_t> low = getPadLow(), high = getPadHigh();
  auto isZero = [](int64_t pad) { return pad == 0; };
  if (!isZeroConstant(zeroPoints[0]) &&
      !(llvm::all_of(low, isZero) && llvm::all_of(high, isZero))) {
    input = padWithZeroPoint(c, input, zeroPoints[0], dims.atSpatial(low),
                             dims.atSpatial(high));
    low = high = {};
  }
  auto convolve = [&](Value by, uint64_t groups) {
    return c.make<ConvOp>(input, by, Value(), getStrides(), getDilations(), low,
                          high, groups, getLayout());
  };
  ArrayRef<int64_t> window = getTensorType(filter).getShape().drop_front();
  Type i32 = builder.getI32Type();
  auto sumFilter = [&] {
    return dims.alongChannels(
        c, c.make<ReduceSumOp>(c.cast(filter, i32),
                               ArrayRef<int64_t>(places[1].reducedAxes),
                               /*keepdims=*/true));
  };
  // Of each window of each group; one group has a single sum for all outputs.
  auto sumInput = [&] {
    SmallVector<int64_t> shape(getTensorType(filter).getShape());
    if (getGroups() == 1)
      shape[0] = 1;
    auto type = RankedTensorType::get(shape, builder.getI8Type());
    Value ones = c.make<ConstantOp>(DenseElementsAttr::get(type, APInt(8, 1)));
    return convolve(ones, getGroups());
  };
  int64_t depth = ShapedType::getNumElements(window);
  Value result = finishProduct(
      c, convolve(filter, getGroups()), {scales[0], zeroPoints[0], sumInput},
      {dims.alongChannels(c, scales[1]), dims.alongChannels(c, zeroPoints[1]),
       sumFilter},
      depth, getTensorType(getResult()).getElementType());
  if (Value bias = getBias())
    result = c.make<AddOp>(result, dims.alongChannels(c, bias));
  return SmallVector<Value>{result};
}

} // namespace lathe
