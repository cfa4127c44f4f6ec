//===- Convolution.cpp - Convolutions, pooling, resize --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/LayoutRules.h"

#include <cmath>

#define GET_OP_CLASSES
#include "dialects/Lathe/Convolution.cpp.inc"

void lathe::LatheDialect::addConvolutionOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Convolution.cpp.inc"
      >();
}

namespace lathe {

using Types = SmallVectorImpl<Type>;
using Sizes = ArrayRef<int64_t>;
static constexpr int64_t kDynamic = ShapedType::kDynamic;

static bool differ(int64_t a, int64_t b) {
  return !ShapedType::isDynamic(a) && !ShapedType::isDynamic(b) && a != b;
}

//===----------------------------------------------------------------------===//
// Windows
//===----------------------------------------------------------------------===//

namespace {
/// The window attributes of convolutions and pools, with defaults filled in.
struct Window {
  SmallVector<int64_t> kernel, strides, dilations, low, high;
  bool ceil = false;
};
} // namespace

/// No window, stride or padding of a real model comes near; products of two of
/// them, and of the input's sizes with what pads them, cannot wrap.
static constexpr int64_t kMaxExtent = int64_t(1) << 31;
static constexpr int64_t kMaxElements = int64_t(1) << 47;

/// `list`, or `count` times `fallback` where it is empty; an error where its
/// length is another or an entry is below `least` or above kMaxExtent.
static FailureOr<SmallVector<int64_t>> perDim(const Site &site, Sizes list,
                                              size_t count, int64_t fallback,
                                              int64_t least, StringRef what) {
  if (list.empty())
    return SmallVector<int64_t>(count, fallback);
  if (list.size() != count)
    return inferenceError(site, "expected " + Twine(count) + " entries in '" +
                                    what + "', got " + Twine(list.size()));
  for (int64_t entry : list)
    if (entry < least)
      return inferenceError(site, "expected entries of " + Twine(least) +
                                      " or more in '" + what + "', got " +
                                      Twine(entry));
    else if (entry > kMaxExtent)
      return inferenceError(site, "expected entries of at most " +
                                      Twine(kMaxExtent) + " in '" + what +
                                      "', got " + Twine(entry));
  return SmallVector<int64_t>(list);
}

template <typename Adaptor>
static FailureOr<Window> readWindow(const Site &site, Adaptor adaptor,
                                    size_t count, int64_t leastPad = 0) {
  auto strides = perDim(site, adaptor.getStrides(), count, 1, 1, "strides");
  auto dilations =
      perDim(site, adaptor.getDilations(), count, 1, 1, "dilations");
  if (failed(strides) || failed(dilations))
    return failure();
  auto low = perDim(site, adaptor.getPadLow(), count, 0, leastPad, "pad_low");
  auto high =
      perDim(site, adaptor.getPadHigh(), count, 0, leastPad, "pad_high");
  if (failed(low) || failed(high))
    return failure();
  Window window;
  window.strides = *strides;
  window.dilations = *dilations;
  window.low = *low;
  window.high = *high;
  return window;
}

/// Places the window can take in dim `i` of an input of size `in`. 128 bits
/// hold every intermediate value, whatever sizes a model declares.
static FailureOr<int64_t> countPlaces(const Site &site, const Window &w,
                                      size_t i, int64_t in) {
  if (ShapedType::isDynamic(in) || ShapedType::isDynamic(w.kernel[i]))
    return kDynamic;
  __int128 extent = __int128(w.kernel[i] - 1) * w.dilations[i] + 1;
  __int128 padded = __int128(in) + w.low[i] + w.high[i];
  if (w.kernel[i] < 1 || padded < extent)
    return inferenceError(
        site, "expected a window that fits the padded input in spatial dim " +
                  Twine(i) + ", got kernel " + Twine(w.kernel[i]) +
                  ", dilation " + Twine(w.dilations[i]) + ", size " +
                  Twine(in) + " and padding " + Twine(w.low[i]) + " and " +
                  Twine(w.high[i]));
  __int128 room = padded - extent, stride = w.strides[i];
  __int128 places = (w.ceil ? (room + stride - 1) / stride : room / stride) + 1;
  // A window that would start in the padding at the end does not count.
  if (w.ceil && (places - 1) * stride >= __int128(in) + w.low[i])
    --places;
  if (places > INT64_MAX)
    return sizeTooLarge(site, i);
  return int64_t(places);
}

/// The number of spatial dims of an image batch: 1 to 3.
static FailureOr<size_t> spatialDims(const Site &site, Value input) {
  int64_t rank = getTensorType(input).getRank();
  if (rank < 3 || rank > 5)
    return inferenceError(site, "expected an input with 1 to 3 spatial dims, "
                                "got rank " +
                                    Twine(rank));
  return size_t(rank - 2);
}

/// Places of the batch, channel and spatial dims.
static int64_t channelDim(ImageLayout layout, size_t spatial) {
  return layout == ImageLayout::channels_last ? spatial + 1 : 1;
}
static int64_t spatialDim(ImageLayout layout, size_t i) {
  return layout == ImageLayout::channels_last ? i + 1 : i + 2;
}

/// Schedules may lay the padded input out in memory: its elements must be
/// countable.
static LogicalResult checkPadded(const Site &site, const Window &w, Sizes input,
                                 ImageLayout layout) {
  SmallVector<int64_t> shape(input);
  for (size_t i = 0; i < w.low.size(); ++i)
    if (int64_t &size = shape[spatialDim(layout, i)];
        !ShapedType::isDynamic(size))
      size = llvm::SaturatingAdd<uint64_t>(size, w.low[i] + w.high[i]) >
                     uint64_t(kMaxElements)
                 ? kMaxElements + 1
                 : size + w.low[i] + w.high[i];
  __int128 elements = 1;
  for (int64_t size : shape)
    if (!ShapedType::isDynamic(size) && size && elements <= kMaxElements)
      elements *= size;
  if (elements > kMaxElements)
    return inferenceError(site, "expected at most 2^47 elements in the padded "
                                "input, got " +
                                    shapeText(shape));
  return success();
}

static LogicalResult checkBias(const Site &site, Value bias, int64_t out) {
  if (!bias)
    return success();
  Sizes shape = getTensorType(bias).getShape();
  if (shape.size() != 1 || differ(shape[0], out))
    return inferenceError(site, "expected a bias of shape " + shapeText(out) +
                                    ", got " + shapeText(shape));
  return success();
}

static LogicalResult checkElementTypes(const Site &site, ValueRange operands) {
  for (Value operand : operands)
    if (operand && getTensorType(operand).getElementType() !=
                       getTensorType(operands[0]).getElementType())
      return inferenceError(site, "expected operands of one element type");
  return success();
}

//===----------------------------------------------------------------------===//
// Convolutions
//===----------------------------------------------------------------------===//

LogicalResult ConvOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                       Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  FailureOr<size_t> spatial = spatialDims(site, adaptor.getInput());
  if (failed(spatial))
    return failure();
  FailureOr<Type> element =
      productElementType(site, adaptor.getInput(), adaptor.getFilter());
  if (failed(element) ||
      failed(checkBiasElementType(site, adaptor.getBias(), *element)))
    return failure();
  Sizes input = getTensorType(adaptor.getInput()).getShape();
  Sizes filter = getTensorType(adaptor.getFilter()).getShape();
  if (filter.size() != input.size())
    return inferenceError(site, "expected a filter of rank " +
                                    Twine(input.size()) + ", got " +
                                    shapeText(filter));
  FailureOr<Window> window = readWindow(site, adaptor, *spatial);
  if (failed(window))
    return failure();
  window->kernel.assign(filter.begin() + 2, filter.end());
  ImageLayout layout = adaptor.getLayout();
  if (failed(checkPadded(site, *window, input, layout)))
    return failure();
  int64_t channels = input[channelDim(layout, *spatial)];
  int64_t groups = adaptor.getGroups();
  if (groups < 1)
    return inferenceError(site, "expected 'groups' of 1 or more, got " +
                                    Twine(groups));
  FailureOr<int64_t> expected = multiplySizes(filter[1], groups);
  if (failed(expected) || differ(*expected, channels))
    return inferenceError(site, "expected a filter whose dim 1 times " +
                                    Twine(groups) + " groups is the input's " +
                                    shapeText(channels) + " channels, got " +
                                    shapeText(filter));
  int64_t out = filter[0];
  if (!ShapedType::isDynamic(out) && out % groups)
    return inferenceError(site, "expected a multiple of " + Twine(groups) +
                                    " groups as output channels, got " +
                                    Twine(out));
  if (failed(checkBias(site, adaptor.getBias(), out)))
    return failure();
  SmallVector<int64_t> shape(input);
  shape[channelDim(layout, *spatial)] = out;
  for (size_t i = 0; i < *spatial; ++i) {
    int64_t dim = spatialDim(layout, i);
    FailureOr<int64_t> places = countPlaces(site, *window, i, input[dim]);
    if (failed(places))
      return failure();
    shape[dim] = *places;
  }
  types.push_back(RankedTensorType::get(shape, *element));
  return success();
}

LogicalResult PackedConvOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                             Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  Sizes input = getTensorType(adaptor.getInput()).getShape();
  Sizes packed = getTensorType(adaptor.getPacked()).getShape();
  FailureOr<Type> element =
      productElementType(site, adaptor.getInput(), adaptor.getPacked());
  if (failed(element))
    return failure();
  if (input.size() != 4 || packed.size() < 3 || packed.size() > 4)
    return inferenceError(site,
                          "expected an input of rank 4 and a packed filter "
                          "of rank 3 or 4, got " +
                              shapeText(input) + " and " + shapeText(packed));
  Window window;
  auto kernel = adaptor.getKernel();
  auto strides = perDim(site, adaptor.getStrides(), 2, 1, 1, "strides");
  auto dilations = perDim(site, adaptor.getDilations(), 2, 1, 1, "dilations");
  if (failed(strides) || failed(dilations))
    return failure();
  if (kernel.size() != 2 || kernel[0] < 1 || kernel[1] < 1)
    return inferenceError(site,
                          "expected 2 sizes of 1 or more in 'kernel', got " +
                              shapeText(kernel));
  int64_t out = adaptor.getOutChannels();
  if (out < 1)
    return inferenceError(site, "expected 'out_channels' of 1 or more, got " +
                                    Twine(out));
  FailureOr<int64_t> depth = multiplySizes(kernel[0], kernel[1]);
  if (succeeded(depth))
    depth = multiplySizes(*depth, input[3]);
  bool panels = !ShapedType::isDynamic(packed[0]) &&
                !ShapedType::isDynamic(packed[2]) &&
                (packed[2] < 1 || (out - 1) / packed[2] + 1 != packed[0]);
  // Of a filter of rank 4, several rows lie side by side in the last dim.
  if (succeeded(depth) && packed.size() == 4 && packed[3] > 0 &&
      !ShapedType::isDynamic(*depth))
    depth = int64_t(llvm::divideCeil(*depth, packed[3]));
  if (failed(depth) || differ(*depth, packed[1]) || panels)
    return inferenceError(
        site, "expected a filter packed from kernel " + shapeText(kernel) +
                  ", " + shapeText(input[3]) + " channels and " + Twine(out) +
                  " outputs, got " + shapeText(packed));
  window.kernel.assign(kernel.begin(), kernel.end());
  window.strides = *strides;
  window.dilations = *dilations;
  window.low = window.high = {0, 0};
  SmallVector<int64_t> shape(input);
  shape[3] = out;
  for (size_t i = 0; i < 2; ++i) {
    FailureOr<int64_t> places = countPlaces(site, window, i, input[i + 1]);
    if (failed(places))
      return failure();
    shape[i + 1] = *places;
  }
  types.push_back(RankedTensorType::get(shape, *element));
  return success();
}

LogicalResult ConvTransposeOp::inferReturnTypes(MLIRContext *,
                                                MaybeLoc location,
                                                Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  FailureOr<size_t> spatial = spatialDims(site, adaptor.getInput());
  if (failed(spatial) || failed(checkElementTypes(site, adaptor.getOperands())))
    return failure();
  Sizes input = getTensorType(adaptor.getInput()).getShape();
  Sizes filter = getTensorType(adaptor.getFilter()).getShape();
  if (filter.size() != input.size() || differ(filter[0], input[1]))
    return inferenceError(
        site, "expected a filter of rank " + Twine(input.size()) + " with " +
                  shapeText(input[1]) + " input channels in dim 0, got " +
                  shapeText(filter));
  // Padding crops here, so below 0 it grows the result.
  FailureOr<Window> w = readWindow(site, adaptor, *spatial, -kMaxExtent);
  auto extra = perDim(site, adaptor.getOutputPadding(), *spatial, 0, 0,
                      "output_padding");
  if (failed(w) || failed(extra))
    return failure();
  int64_t groups = adaptor.getGroups();
  if (groups < 1 || (!ShapedType::isDynamic(filter[0]) && filter[0] % groups))
    return inferenceError(site, "expected 'groups' that divide " +
                                    shapeText(filter[0]) +
                                    " input channels, got " + Twine(groups));
  FailureOr<int64_t> out = multiplySizes(filter[1], groups);
  if (failed(out))
    return sizeTooLarge(site, 1);
  if (failed(checkBias(site, adaptor.getBias(), *out)))
    return failure();
  SmallVector<int64_t> shape{input[0], *out};
  for (size_t i = 0; i < *spatial; ++i) {
    int64_t in = input[i + 2], kernel = filter[i + 2];
    if (in == 0 || kernel == 0)
      return inferenceError(site,
                            "expected sizes of 1 or more in spatial dim " +
                                Twine(i) + ", got input " + Twine(in) +
                                " and kernel " + Twine(kernel));
    if (ShapedType::isDynamic(in) || ShapedType::isDynamic(kernel)) {
      shape.push_back(kDynamic);
      continue;
    }
    __int128 size = __int128(w->strides[i]) * (in - 1) + (*extra)[i] +
                    __int128(kernel - 1) * w->dilations[i] + 1 - w->low[i] -
                    w->high[i];
    if (size < 0 || size > INT64_MAX)
      return inferenceError(site,
                            "expected padding that leaves a size from 0 to "
                            "2^63 in spatial dim " +
                                Twine(i));
    shape.push_back(int64_t(size));
  }
  return inferLike(adaptor.getInput(), shape, types);
}

//===----------------------------------------------------------------------===//
// Pooling
//===----------------------------------------------------------------------===//

template <typename Adaptor>
static LogicalResult inferPool(const Site &site, Adaptor adaptor,
                               Types &types) {
  FailureOr<size_t> spatial = spatialDims(site, adaptor.getInput());
  if (failed(spatial))
    return failure();
  FailureOr<Window> window = readWindow(site, adaptor, *spatial);
  if (failed(window))
    return failure();
  Sizes kernel = adaptor.getKernel();
  if (kernel.size() != *spatial || llvm::any_of(kernel, [](int64_t size) {
        return size < 1 || size > kMaxExtent;
      }))
    return inferenceError(site, "expected " + Twine(*spatial) +
                                    " sizes from 1 to " + Twine(kMaxExtent) +
                                    " in 'kernel', got " + shapeText(kernel));
  window->kernel.assign(kernel.begin(), kernel.end());
  window->ceil = adaptor.getCeilMode();
  Sizes input = getTensorType(adaptor.getInput()).getShape();
  if (failed(checkPadded(site, *window, input, adaptor.getLayout())))
    return failure();
  SmallVector<int64_t> shape(input);
  for (size_t i = 0; i < *spatial; ++i) {
    int64_t dim = spatialDim(adaptor.getLayout(), i);
    FailureOr<int64_t> places = countPlaces(site, *window, i, input[dim]);
    if (failed(places))
      return failure();
    shape[dim] = *places;
  }
  return inferLike(adaptor.getInput(), shape, types);
}

LogicalResult MaxPoolOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                          Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  return inferPool(site, adaptor, types);
}
LogicalResult AvgPoolOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                          Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  return inferPool(site, adaptor, types);
}
LogicalResult MaxPoolWithIndexOp::inferReturnTypes(MLIRContext *context,
                                                   MaybeLoc location,
                                                   Adaptor adaptor,
                                                   Types &types) {
  Site site{location, getOperationName()};
  if (adaptor.getLayout() != ImageLayout::channels_first)
    return inferenceError(site, "expected layout 'channels_first', which the "
                                "flat indices count in");
  if (failed(inferPool(site, adaptor, types)))
    return failure();
  types.push_back(cast<RankedTensorType>(types[0]).clone(
      Type(IntegerType::get(context, 64))));
  return success();
}

//===----------------------------------------------------------------------===//
// Resize
//===----------------------------------------------------------------------===//

LogicalResult ResizeOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                         Adaptor adaptor, Types &types) {
  Site site{location, getOperationName()};
  Sizes input = getTensorType(adaptor.getInput()).getShape();
  Sizes sizes = adaptor.getSizes();
  ArrayRef<double> scales = adaptor.getScales(), roi = adaptor.getRoi();
  bool crops = adaptor.getCoordinates() == CoordinateMode::tf_crop_and_resize;
  if (sizes.empty() && scales.empty() && !input.empty())
    return inferenceError(site, "expected 'sizes' or 'scales'");
  if ((!sizes.empty() && sizes.size() != input.size()) ||
      (!scales.empty() && scales.size() != input.size()))
    return inferenceError(site, "expected " + Twine(input.size()) +
                                    " entries in 'sizes' or 'scales', got " +
                                    Twine(sizes.size()) + " and " +
                                    Twine(scales.size()));
  if (crops ? roi.size() != 2 * input.size() : !roi.empty())
    return inferenceError(site, "expected 'roi' with " +
                                    Twine(2 * input.size()) +
                                    " entries exactly where 'coordinates' is "
                                    "tf_crop_and_resize, got " +
                                    Twine(roi.size()));
  for (double number : roi)
    if (!std::isfinite(number))
      return inferenceError(site, "expected finite numbers in 'roi'");
  SmallVector<int64_t> shape;
  for (auto [i, in] : llvm::enumerate(input)) {
    if (!scales.empty() && !(std::isfinite(scales[i]) && scales[i] > 0))
      return inferenceError(site, "expected scales above 0 in dim " + Twine(i));
    if (!sizes.empty()) {
      if (sizes[i] < 0)
        return inferenceError(site, "expected sizes of 0 or more, got " +
                                        Twine(sizes[i]));
      shape.push_back(sizes[i]);
    } else if (ShapedType::isDynamic(in)) {
      shape.push_back(scales[i] == 1 && !crops ? in : kDynamic);
    } else {
      double part = crops ? roi[i + input.size()] - roi[i] : 1.0;
      double size = std::floor(double(in) * part * scales[i]);
      if (!(size >= 0 && size < 0x1p62))
        return sizeTooLarge(site, i);
      shape.push_back(int64_t(size));
    }
    if (in == 0 && shape.back() > 0)
      return inferenceError(site, "cannot interpolate dim " + Twine(i) +
                                      " of size 0");
  }
  return inferLike(adaptor.getInput(), shape, types);
}

//===----------------------------------------------------------------------===//
// Layout and fusion
//===----------------------------------------------------------------------===//

/// N C spatial... -> N spatial... C.
static AffineMap getChannelsLast(int64_t rank, MLIRContext *context) {
  SmallVector<unsigned> dims{0};
  for (int64_t i = 2; i < rank; ++i)
    dims.push_back(i);
  dims.push_back(1);
  return AffineMap::getPermutationMap(dims, context);
}

static SmallVector<LayoutPreference> preferChannelsLast(Operation *op,
                                                        ImageLayout layout,
                                                        LayoutTarget target,
                                                        int64_t steps) {
  auto type = getTensorType(op->getOperand(0));
  if (target != LayoutTarget::Cpu || layout != ImageLayout::channels_first ||
      type.getRank() != 4)
    return {};
  return {{getChannelsLast(4, op->getContext()), steps}};
}

/// Elements of `result` times the numbers in `perElement`.
static int64_t countSteps(Value result, ArrayRef<int64_t> perElement) {
  auto type = getTensorType(result);
  if (!type.hasStaticShape() || ShapedType::isDynamicShape(perElement))
    return 0;
  int64_t steps = type.getNumElements();
  for (int64_t size : perElement)
    if (llvm::MulOverflow(steps, size, steps))
      return INT64_MAX >> 8;
  return steps;
}

/// The first `count` operands and the result with channels last.
template <typename Op>
static FailureOr<ValueLayouts> imageLayouts(Op op, unsigned count, Value value,
                                            AffineMap layout) {
  bool isImage = value == op->getResult(0) ||
                 llvm::is_contained(op->getOperands().take_front(count), value);
  if (op.getLayout() != ImageLayout::channels_first || !isImage ||
      layout != getChannelsLast(getTensorType(op->getResult(0)).getRank(),
                                op->getContext()))
    return failure();
  return sameLayouts(op, count, layout);
}

#define LATHE_IMAGE_LAYOUT(OP, IMAGES, STEPS)                                  \
  SmallVector<LayoutPreference> OP::getPreferredLayouts(LayoutTarget target) { \
    return preferChannelsLast(*this, getLayout(), target, STEPS);              \
  }                                                                            \
  FailureOr<ValueLayouts> OP::getLayouts(Value value, AffineMap layout) {      \
    return imageLayouts(*this, IMAGES, value, layout);                         \
  }                                                                            \
  void OP::applyLayouts(const ValueLayouts &) {                                \
    setLayout(ImageLayout::channels_last);                                     \
  }
// Over channels-last images a vector takes a step for each of its lanes. A step
// of a single element is taken to cost as much time as moving a byte.
LATHE_IMAGE_LAYOUT(
    ConvOp, 1,
    countSteps(getResult(), getTensorType(getFilter()).getShape().drop_front()))
LATHE_IMAGE_LAYOUT(MaxPoolOp, 1, countSteps(getResult(), getKernel()))
LATHE_IMAGE_LAYOUT(AvgPoolOp, 1, countSteps(getResult(), getKernel()))
LATHE_IMAGE_LAYOUT(MaxPoolGradientOp, 2, countSteps(getResult(), {}))
#undef LATHE_IMAGE_LAYOUT

// Its indices count in the logical layout.
SmallVector<LayoutPreference>
MaxPoolWithIndexOp::getPreferredLayouts(LayoutTarget) {
  return {};
}
FailureOr<ValueLayouts> MaxPoolWithIndexOp::getLayouts(Value, AffineMap) {
  return failure();
}
void MaxPoolWithIndexOp::applyLayouts(const ValueLayouts &) {}

// Every dim is interpolated by itself, so its entries move with it.
FailureOr<ValueLayouts> ResizeOp::getLayouts(Value, AffineMap layout) {
  return sameLayouts(*this, 1, layout);
}
void ResizeOp::applyLayouts(const ValueLayouts &layouts) {
  AffineMap layout = layouts.results[0];
  auto permute = [&](auto list) {
    using Element = std::decay_t<decltype(list.front())>;
    SmallVector<Element> result;
    size_t rank = layout.getNumDims();
    for (size_t part = 0; part + rank <= list.size(); part += rank)
      llvm::append_range(result,
                         applyPermutationMap(layout, list.slice(part, rank)));
    return result;
  };
  setSizes(permute(getSizes()));
  setScales(permute(getScales()));
  setRoi(permute(getRoi()));
}

FusionKind ConvOp::getFusionKind() { return FusionKind::Contraction; }
FusionKind PackedConvOp::getFusionKind() { return FusionKind::Contraction; }
FusionKind ConvTransposeOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind MaxPoolOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind AvgPoolOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind MaxPoolWithIndexOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind ResizeOp::getFusionKind() { return FusionKind::Opaque; }

} // namespace lathe
