//===- MaxPoolGradient.cpp - The gradient of max_pool, gathered -----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Composer.h"

#include <numeric>

namespace lathe {

static int64_t firstSpatialDim(ImageLayout layout) {
  return layout == ImageLayout::channels_last ? 1 : 2;
}

LogicalResult
MaxPoolGradientOp::inferReturnTypes(MLIRContext *, std::optional<Location>,
                                    Adaptor adaptor,
                                    SmallVectorImpl<Type> &results) {
  results.push_back(adaptor.getInput().getType());
  return success();
}

LogicalResult MaxPoolGradientOp::verify() {
  auto input = getTensorType(getInput()),
       cotangent = getTensorType(getCotangent());
  ArrayRef<int64_t> kernel = getKernel();
  if (input.getRank() != int64_t(kernel.size()) + 2)
    return emitOpError("expected a size in 'kernel' for each of ")
           << input.getRank() - 2 << " spatial dims, got " << kernel.size();
  if (llvm::any_of(kernel, [](int64_t size) { return size < 1; }))
    return emitOpError("expected sizes of 1 or more in 'kernel'");
  SmallVector<int64_t> shape(input.getShape());
  int64_t first = firstSpatialDim(getLayout());
  for (auto [i, size] : llvm::enumerate(kernel))
    if (!ShapedType::isDynamic(shape[first + i]))
      shape[first + i] /= size;
  if (cotangent.getElementType() != input.getElementType() ||
      failed(verifyCompatibleShape(shape, cotangent.getShape())))
    return emitOpError("expected a cotangent of shape ")
           << shapeText(shape) << " and the input's elements, got "
           << cotangent;
  return success();
}

FusionKind MaxPoolGradientOp::getFusionKind() { return FusionKind::Opaque; }

// With every spatial dim cut into windows and places in them, the first maximum
// is a reduction over the places: all of it is one kernel over rows.
FailureOr<SmallVector<Value>> MaxPoolGradientOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  auto type = getTensorType(getInput());
  if (!type.hasStaticShape() || type.getNumElements() == 0)
    return failure();
  auto reshape = [&](Value x, ArrayRef<int64_t> shape) -> Value {
    return c.make<ReshapeOp>(getTensorType(x).clone(shape), x,
                             builder.getDenseI64ArrayAttr(shape),
                             builder.getUnitAttr());
  };
  int64_t first = firstSpatialDim(getLayout());
  ArrayRef<int64_t> kernel = getKernel();
  SmallVector<int64_t> covered(type.getShape()), rest(type.getRank(), 0);
  SmallVector<int64_t> split, outer, places, axes;
  int64_t numPlaces = 1;
  for (int64_t i = 0; i < type.getRank(); ++i) {
    int64_t size = type.getDimSize(i);
    if (i < first || i >= first + int64_t(kernel.size())) {
      split.push_back(size);
      outer.push_back(size);
      places.push_back(1);
      continue;
    }
    int64_t window = kernel[i - first];
    covered[i] = size / window * window;
    rest[i] = size - covered[i];
    numPlaces *= window;
    axes.push_back(split.size() + 1);
    split.append({size / window, window});
    outer.append({size / window, 1});
    places.append({1, window});
  }
  bool isWhole = covered == type.getShape();
  Value x = c.widen(getInput()), g = c.widen(getCotangent());
  SmallVector<int64_t> zeros(type.getRank(), 0), all(type.getRank());
  std::iota(all.begin(), all.end(), 0);
  if (!isWhole)
    x = c.make<SliceOp>(x, zeros, covered, all, ArrayRef<int64_t>());
  x = reshape(x, split);
  g = reshape(g, outer);
  Type i32 = builder.getI32Type();
  SmallVector<int32_t> numbers(numPlaces);
  std::iota(numbers.begin(), numbers.end(), 0);
  auto placeType = RankedTensorType::get(places, i32);
  Value place = c.make<ConstantOp>(
      placeType, DenseElementsAttr::get(placeType, ArrayRef(numbers)));
  Value none =
      c.make<ConstantOp>(RankedTensorType::get({}, i32),
                         DenseElementsAttr::get(RankedTensorType::get({}, i32),
                                                int32_t(numPlaces)));
  Value max = c.make<ReduceMaxOp>(x, axes, /*keepdims=*/true);
  Value isLess = c.make<CompareOp>(ComparePredicate::lt, x, max);
  Value at = c.make<SelectOp>(isLess, none, place);
  Value firstAt = c.make<ReduceMinOp>(at, axes, /*keepdims=*/true);
  Value isFirst = c.make<CompareOp>(ComparePredicate::eq, place, firstAt);
  Value result = c.make<SelectOp>(
      isFirst, g,
      isa<FloatType>(getTensorType(x).getElementType())
          ? c.constant(getTensorType(x).getElementType(), 0.0)
          : c.constant(getTensorType(x).getElementType(), int64_t(0)));
  result = c.cast(reshape(result, covered), type.getElementType());
  if (!isWhole)
    result = c.make<PadOp>(result, Value(), zeros, rest);
  return SmallVector<Value>{result};
}

} // namespace lathe
