//===- ShapeFold.cpp - Folding of shapes and small constants --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Imported models compute shapes with tensor ops; folding those on constants,
// and only up to kFoldLimit elements, is what makes their sizes known.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

namespace lathe {

static constexpr int64_t kFoldLimit = 4096;

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

/// The constant behind an operand's folded attribute, or null.
static DenseElementsAttr constantOf(Attribute attr) {
  return dyn_cast_or_null<DenseElementsAttr>(attr);
}

static bool isSmall(RankedTensorType type) {
  FailureOr<int64_t> count = elementCount(type.getShape());
  return succeeded(count) && *count != ShapedType::kDynamic &&
         *count <= kFoldLimit;
}

/// Row-major strides of a static shape. Where there are no elements, sizes may
/// be such that products wrap around; nothing is read then.
static SmallVector<int64_t> stridesOf(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t i = int64_t(shape.size()) - 2; i >= 0; --i)
    strides[i] = int64_t(uint64_t(strides[i + 1]) * uint64_t(shape[i + 1]));
  return strides;
}

/// The position in `shape` of linear element `index`.
static SmallVector<int64_t> positionOf(int64_t index, ArrayRef<int64_t> shape) {
  SmallVector<int64_t> position(shape.size());
  for (int64_t i = int64_t(shape.size()) - 1; i >= 0; --i) {
    position[i] = index % shape[i];
    index /= shape[i];
  }
  return position;
}

/// A constant whose element i is element `source(i).second` of input
/// `source(i).first`; null where the result is open or too large to fold.
static DenseElementsAttr
gatherConstant(RankedTensorType type, ArrayRef<DenseElementsAttr> inputs,
               function_ref<std::pair<int64_t, int64_t>(int64_t)> source) {
  if (!isSmall(type))
    return {};
  int64_t count = type.getNumElements();
  unsigned bits = type.getElementTypeBitWidth();
  if (count == 0 || bits % 8) {
    // i1 is stored as single bits.
    SmallVector<Attribute> values;
    for (int64_t i = 0; i < count; ++i) {
      auto [input, index] = source(i);
      values.push_back(inputs[input].getValues<Attribute>()[index]);
    }
    return DenseElementsAttr::get(type, values);
  }
  size_t width = bits / 8;
  std::vector<char> data(count * width);
  for (int64_t i = 0; i < count; ++i) {
    auto [input, index] = source(i);
    ArrayRef<char> raw = inputs[input].getRawData();
    size_t offset = inputs[input].isSplat() ? 0 : index * width;
    std::memcpy(data.data() + i * width, raw.data() + offset, width);
  }
  return DenseElementsAttr::getFromRawBuffer(type, data);
}

static DenseElementsAttr gatherConstant(RankedTensorType type,
                                        DenseElementsAttr input,
                                        function_ref<int64_t(int64_t)> source) {
  return gatherConstant(type, ArrayRef(input), [&](int64_t i) {
    return std::pair<int64_t, int64_t>(0, source(i));
  });
}

/// The constant in another shape of as many elements.
static DenseElementsAttr reshapeConstant(Attribute attr,
                                         RankedTensorType type) {
  DenseElementsAttr constant = constantOf(attr);
  if (!constant || !type.hasStaticShape() ||
      constant.getType().getElementType() != type.getElementType() ||
      !(constant.isSplat() || isSmall(type)))
    return {};
  FailureOr<int64_t> from = elementCount(constant.getType().getShape());
  FailureOr<int64_t> to = elementCount(type.getShape());
  if (failed(from) || failed(to) || *from != *to)
    return {};
  return constant.reshape(type);
}

/// Whether two values of this one type have the same sizes, given that they
/// have as many elements: at most one size is open and none is 0.
static bool sizesFollow(RankedTensorType type) {
  return type.getNumDynamicDims() == 0 ||
         (type.getNumDynamicDims() == 1 &&
          !llvm::is_contained(type.getShape(), 0));
}

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

OpFoldResult ReshapeOp::fold(FoldAdaptor adaptor) {
  RankedTensorType type = getType();
  bool copies = !getAllowZero() &&
                llvm::all_of(getShape(), [](int64_t s) { return s == 0; }) &&
                getTensorType(getInput()).getRank() == type.getRank();
  if (getInput().getType() == type && (copies || sizesFollow(type)))
    return getInput();
  if (DenseElementsAttr result = reshapeConstant(adaptor.getInput(), type))
    return result;
  // reshape(reshape(x)): where the sizes are known, the middle does not matter.
  if (!type.hasStaticShape())
    return {};
  if (auto inner = getInput().getDefiningOp<ReshapeOp>()) {
    getInputMutable().assign(inner.getInput());
    setShape(type.getShape());
    setAllowZero(llvm::is_contained(type.getShape(), 0));
    return getResult();
  }
  return {};
}

OpFoldResult SqueezeOp::fold(FoldAdaptor adaptor) {
  if (getInput().getType() == getType())
    return getInput();
  return reshapeConstant(adaptor.getInput(), getType());
}

OpFoldResult UnsqueezeOp::fold(FoldAdaptor adaptor) {
  if (getInput().getType() == getType() && getAxes().empty())
    return getInput();
  return reshapeConstant(adaptor.getInput(), getType());
}

OpFoldResult TransposeOp::fold(FoldAdaptor adaptor) {
  RankedTensorType type = getType();
  int64_t rank = type.getRank();
  SmallVector<int64_t> permutation;
  for (int64_t axis : getPermutation()) {
    FailureOr<int64_t> normal = normalizeAxis(axis, rank);
    if (failed(normal))
      return {};
    permutation.push_back(*normal);
  }
  if (int64_t(permutation.size()) != rank)
    return {};
  if (llvm::equal(permutation, llvm::seq<int64_t>(0, rank)) &&
      getInput().getType() == type)
    return getInput();
  DenseElementsAttr input = constantOf(adaptor.getInput());
  if (input && input.isSplat() && type.hasStaticShape())
    return input.resizeSplat(type);
  if (input && isSmall(type)) {
    SmallVector<int64_t> strides = stridesOf(input.getType().getShape());
    return gatherConstant(type, input, [&](int64_t i) {
      int64_t from = 0;
      for (auto [p, axis] :
           llvm::zip(positionOf(i, type.getShape()), permutation))
        from += p * strides[axis];
      return from;
    });
  }
  if (auto inner = getInput().getDefiningOp<TransposeOp>()) {
    SmallVector<int64_t> composed;
    for (int64_t axis : permutation) {
      FailureOr<int64_t> normal =
          normalizeAxis(inner.getPermutation()[axis], rank);
      if (failed(normal))
        return {};
      composed.push_back(*normal);
    }
    getInputMutable().assign(inner.getInput());
    setPermutation(composed);
    return getResult();
  }
  return {};
}

OpFoldResult BroadcastOp::fold(FoldAdaptor adaptor) {
  RankedTensorType type = getType();
  if (getInput().getType() == type && type.hasStaticShape())
    return getInput();
  DenseElementsAttr input = constantOf(adaptor.getInput());
  if (!input || !isSmall(type))
    return {};
  ArrayRef<int64_t> from = input.getType().getShape();
  SmallVector<int64_t> strides = stridesOf(from);
  return gatherConstant(type, input, [&](int64_t i) {
    SmallVector<int64_t> position = positionOf(i, type.getShape());
    size_t shift = position.size() - from.size();
    int64_t index = 0;
    for (size_t d = 0; d < from.size(); ++d)
      index += from[d] == 1 ? 0 : position[d + shift] * strides[d];
    return index;
  });
}

//===----------------------------------------------------------------------===//
// Slice, concat, pad, tile, gather
//===----------------------------------------------------------------------===//

/// The normal form of every dim of a slice; failure where a sliced dim is open.
static FailureOr<SmallVector<SliceRange>> rangesOf(SliceOp op) {
  ArrayRef<int64_t> input = getTensorType(op.getInput()).getShape();
  SmallVector<SliceRange> ranges;
  for (int64_t size : input)
    ranges.push_back({0, 1, size});
  for (auto [i, start, end] : llvm::enumerate(op.getStarts(), op.getEnds())) {
    FailureOr<int64_t> axis = normalizeAxis(
        op.getAxes().empty() ? int64_t(i) : op.getAxes()[i], input.size());
    int64_t step = op.getSteps().empty() ? 1 : op.getSteps()[i];
    if (failed(axis) || step == 0)
      return failure();
    if (!ShapedType::isDynamic(input[*axis]))
      ranges[*axis] = normalizeSlice(start, end, step, input[*axis]);
    else if (start != 0 || end != INT64_MAX || step != 1)
      return failure();
  }
  return ranges;
}

OpFoldResult SliceOp::fold(FoldAdaptor adaptor) {
  RankedTensorType type = getType();
  FailureOr<SmallVector<SliceRange>> ranges = rangesOf(*this);
  if (failed(ranges))
    return {};
  ArrayRef<int64_t> shape = getTensorType(getInput()).getShape();
  bool whole = getInput().getType() == type;
  for (auto [range, size] : llvm::zip(*ranges, shape))
    whole &= range.start == 0 && range.step == 1 && range.size == size;
  if (whole)
    return getInput();
  DenseElementsAttr input = constantOf(adaptor.getInput());
  if (!input || !isSmall(type))
    return {};
  SmallVector<int64_t> strides = stridesOf(shape);
  return gatherConstant(type, input, [&](int64_t i) {
    int64_t index = 0;
    for (auto [p, range, stride] :
         llvm::zip(positionOf(i, type.getShape()), *ranges, strides))
      index += (range.start + p * range.step) * stride;
    return index;
  });
}

OpFoldResult ConcatOp::fold(FoldAdaptor adaptor) {
  RankedTensorType type = getType();
  FailureOr<int64_t> axis = normalizeAxis(getAxis(), type.getRank());
  if (failed(axis) || getInputs().empty())
    return {};
  if (getInputs().size() == 1 && getInputs().front().getType() == type)
    return getInputs().front();

  SmallVector<DenseElementsAttr> inputs;
  for (Attribute attr : adaptor.getInputs())
    if (DenseElementsAttr input = constantOf(attr))
      inputs.push_back(input);
  if (inputs.size() == getInputs().size() && isSmall(type))
    return gatherConstant(type, inputs, [&](int64_t i) {
      SmallVector<int64_t> position = positionOf(i, type.getShape());
      int64_t k = 0;
      while (position[*axis] >= inputs[k].getType().getDimSize(*axis))
        position[*axis] -= inputs[k++].getType().getDimSize(*axis);
      int64_t index = 0;
      for (auto [p, stride] :
           llvm::zip(position, stridesOf(inputs[k].getType().getShape())))
        index += p * stride;
      return std::pair<int64_t, int64_t>(k, index);
    });

  // Inputs without elements along the axis add nothing.
  if (!type.hasStaticShape())
    return {};
  SmallVector<Value> kept;
  for (Value input : getInputs())
    if (getTensorType(input).getDimSize(*axis) != 0)
      kept.push_back(input);
  if (kept.empty() || kept.size() == getInputs().size())
    return {};
  getInputsMutable().assign(kept);
  return getResult();
}

OpFoldResult PadOp::fold(FoldAdaptor) {
  auto isZero = [](int64_t amount) { return amount == 0; };
  if (getInput().getType() == getType() && llvm::all_of(getLow(), isZero) &&
      llvm::all_of(getHigh(), isZero))
    return getInput();
  return {};
}

OpFoldResult TileOp::fold(FoldAdaptor adaptor) {
  RankedTensorType type = getType();
  if (getInput().getType() == type &&
      llvm::all_of(getRepeats(), [](int64_t n) { return n == 1; }))
    return getInput();
  DenseElementsAttr input = constantOf(adaptor.getInput());
  if (!input || !isSmall(type))
    return {};
  ArrayRef<int64_t> from = input.getType().getShape();
  SmallVector<int64_t> strides = stridesOf(from);
  return gatherConstant(type, input, [&](int64_t i) {
    int64_t index = 0;
    for (auto [p, size, stride] :
         llvm::zip(positionOf(i, type.getShape()), from, strides))
      index += p % size * stride;
    return index;
  });
}

OpFoldResult GatherOp::fold(FoldAdaptor adaptor) {
  RankedTensorType type = getType();
  DenseElementsAttr input = constantOf(adaptor.getInput());
  std::optional<SmallVector<int64_t>> indices =
      getConstantIntegers(getIndices());
  FailureOr<int64_t> axis =
      normalizeAxis(getAxis(), getTensorType(getInput()).getRank());
  if (!input || !indices || failed(axis) || !isSmall(type))
    return {};
  ArrayRef<int64_t> from = input.getType().getShape();
  // An index out of range is left for the Runtime to refuse.
  for (int64_t &index : *indices) {
    FailureOr<int64_t> normal = normalizeAxis(index, from[*axis]);
    if (failed(normal))
      return {};
    index = *normal;
  }
  SmallVector<int64_t> strides = stridesOf(from);
  ArrayRef<int64_t> at = getTensorType(getIndices()).getShape();
  SmallVector<int64_t> atStrides = stridesOf(at);
  return gatherConstant(type, input, [&](int64_t i) {
    SmallVector<int64_t> position = positionOf(i, type.getShape());
    int64_t which = 0, index = 0;
    for (size_t d = 0; d < at.size(); ++d)
      which += position[*axis + d] * atStrides[d];
    for (int64_t d = 0, e = from.size(); d < e; ++d) {
      int64_t p = d < *axis   ? position[d]
                  : d > *axis ? position[d + at.size() - 1]
                              : (*indices)[which];
      index += p * strides[d];
    }
    return index;
  });
}

//===----------------------------------------------------------------------===//
// Shape_of, iota, dynamic_range
//===----------------------------------------------------------------------===//

OpFoldResult ShapeOfOp::fold(FoldAdaptor) {
  RankedTensorType input = getTensorType(getInput());
  if (!input.hasStaticShape() || getType().getDimSize(0) != input.getRank())
    return {};
  return DenseElementsAttr::get(getType(), input.getShape());
}

/// A constant whose element i is `value(i)`, in the type's own precision.
static DenseElementsAttr
numberConstant(RankedTensorType type, function_ref<double(int64_t)> real,
               function_ref<int64_t(int64_t)> integer) {
  if (!isSmall(type))
    return {};
  SmallVector<Attribute> values;
  Type element = type.getElementType();
  for (int64_t i = 0, e = type.getNumElements(); i < e; ++i) {
    if (isa<FloatType>(element))
      values.push_back(FloatAttr::get(element, real(i)));
    else
      values.push_back(IntegerAttr::get(
          element, APInt(64, uint64_t(integer(i)))
                       .sextOrTrunc(element.getIntOrFloatBitWidth())));
  }
  return DenseElementsAttr::get(type, values);
}

OpFoldResult IotaOp::fold(FoldAdaptor) {
  RankedTensorType type = getType();
  FailureOr<int64_t> axis = normalizeAxis(getAxis(), type.getRank());
  if (failed(axis) || !isSmall(type))
    return {};
  auto index = [&](int64_t i) { return positionOf(i, type.getShape())[*axis]; };
  return numberConstant(type, index, index);
}

OpFoldResult DynamicRangeOp::fold(FoldAdaptor adaptor) {
  RankedTensorType type = getType();
  DenseElementsAttr start = constantOf(adaptor.getStart());
  DenseElementsAttr delta = constantOf(adaptor.getDelta());
  if (!start || !delta || !constantOf(adaptor.getLimit()) || !isSmall(type))
    return {};
  if (isa<FloatType>(type.getElementType())) {
    auto number = [](DenseElementsAttr attr) {
      APFloat value = attr.getSplatValue<APFloat>();
      bool lost;
      value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
      return value.convertToDouble();
    };
    double first = number(start), by = number(delta);
    return numberConstant(
        type, [&](int64_t i) { return first + double(i) * by; },
        [](int64_t) { return 0; });
  }
  auto number = [](DenseElementsAttr attr) {
    return uint64_t(attr.getSplatValue<APInt>().getSExtValue());
  };
  uint64_t first = number(start), by = number(delta);
  return numberConstant(
      type, [](int64_t) { return 0.0; },
      [&](int64_t i) { return int64_t(first + uint64_t(i) * by); });
}

//===----------------------------------------------------------------------===//
// Canonicalization
//===----------------------------------------------------------------------===//

/// The sizes that a reshape or broadcast goes to: its static result type, or
/// its constant operand.
static std::optional<SmallVector<int64_t>> targetShape(RankedTensorType result,
                                                       Value shape) {
  if (result.hasStaticShape())
    return SmallVector<int64_t>(result.getShape());
  return getConstantIntegers(shape);
}

// The new op keeps the old result type, which may be less precise than what
// its attributes give: users of the value need not change.
static LogicalResult makeStatic(DynamicReshapeOp op,
                                PatternRewriter &rewriter) {
  auto shape = targetShape(op.getType(), op.getShape());
  if (!shape)
    return rewriter.notifyMatchFailure(op, "the shape is not constant");
  bool allowZero = op.getType().hasStaticShape() ? llvm::is_contained(*shape, 0)
                                                 : op.getAllowZero();
  rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), op.getInput(),
                                         *shape, allowZero);
  return success();
}

static LogicalResult makeStatic(DynamicBroadcastOp op,
                                PatternRewriter &rewriter) {
  auto shape = targetShape(op.getType(), op.getShape());
  if (!shape)
    return rewriter.notifyMatchFailure(op, "the shape is not constant");
  rewriter.replaceOpWithNewOp<BroadcastOp>(op, op.getType(), op.getInput(),
                                           *shape);
  return success();
}

static LogicalResult makeStatic(DynamicSliceOp op, PatternRewriter &rewriter) {
  auto starts = getConstantIntegers(op.getStarts());
  auto ends = getConstantIntegers(op.getEnds());
  std::optional<SmallVector<int64_t>> axes{SmallVector<int64_t>()},
      steps = axes;
  if (op.getAxes())
    axes = getConstantIntegers(op.getAxes());
  if (op.getSteps())
    steps = getConstantIntegers(op.getSteps());
  if (!starts || !ends || !axes || !steps)
    return rewriter.notifyMatchFailure(op, "the positions are not constant");
  rewriter.replaceOpWithNewOp<SliceOp>(op, op.getType(), op.getInput(), *starts,
                                       *ends, *axes, *steps);
  return success();
}

static LogicalResult makeStatic(DynamicPadOp op, PatternRewriter &rewriter) {
  auto pads = getConstantIntegers(op.getPads());
  size_t rank = op.getType().getRank();
  if (!pads || pads->size() != 2 * rank)
    return rewriter.notifyMatchFailure(op, "the amounts are not constant");
  ArrayRef<int64_t> all = *pads;
  rewriter.replaceOpWithNewOp<PadOp>(op, op.getType(), op.getInput(),
                                     op.getValue(), all.take_front(rank),
                                     all.drop_front(rank), op.getMode());
  return success();
}

static LogicalResult makeStatic(DynamicTileOp op, PatternRewriter &rewriter) {
  auto repeats = getConstantIntegers(op.getRepeats());
  if (!repeats)
    return rewriter.notifyMatchFailure(op, "the repeats are not constant");
  rewriter.replaceOpWithNewOp<TileOp>(op, op.getType(), op.getInput(),
                                      *repeats);
  return success();
}

/// squeeze and unsqueeze with known sizes are reshapes.
template <typename Op>
static LogicalResult makeReshape(Op op, PatternRewriter &rewriter) {
  RankedTensorType type = op.getType();
  if (!type.hasStaticShape() || failed(elementCount(type.getShape())))
    return rewriter.notifyMatchFailure(op, "the element count is not known");
  rewriter.replaceOpWithNewOp<ReshapeOp>(
      op, type, op.getInput(), type.getShape(),
      /*allow_zero=*/llvm::is_contained(type.getShape(), 0));
  return success();
}

// The lambda names the type, which an overloaded function's address cannot.
#define LATHE_CANONICALIZE(OP, PATTERN)                                        \
  void OP::getCanonicalizationPatterns(RewritePatternSet &results,             \
                                       MLIRContext *) {                        \
    results.add(+[](OP op, PatternRewriter &rewriter) {                        \
      return PATTERN(op, rewriter);                                            \
    });                                                                        \
  }
LATHE_CANONICALIZE(DynamicReshapeOp, makeStatic)
LATHE_CANONICALIZE(DynamicBroadcastOp, makeStatic)
LATHE_CANONICALIZE(DynamicSliceOp, makeStatic)
LATHE_CANONICALIZE(DynamicPadOp, makeStatic)
LATHE_CANONICALIZE(DynamicTileOp, makeStatic)
LATHE_CANONICALIZE(SqueezeOp, makeReshape)
LATHE_CANONICALIZE(UnsqueezeOp, makeReshape)
#undef LATHE_CANONICALIZE

} // namespace lathe
