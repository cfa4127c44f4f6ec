//===- ConvolutionSchedule.cpp - Convolutions as implicit products --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel of one channels-first `conv`, views before it and elementwise ops
// behind it, as a matrix product: per image and group, A is the filter (a row
// per output channel), B has a row per output pixel with the elements under
// the window, which are found when they are read and never copied. Padding is
// read as zero.
//
//===----------------------------------------------------------------------===//

#include "Printer.h"
#include "ProductText.h"

namespace lathe::cuda {

namespace {
struct Convolution {
  ConvOp op;
  int64_t images, groups, inChannels, outChannels; // channels of a group
  SmallVector<int64_t> in, out, kernel;            // spatial sizes
  SmallVector<int64_t> strides, dilations, padLow;
  /// The window is one element, and moves by one: a plain product.
  bool isPointwise = true;
  /// Over {image, group, channel, spatial...}.
  Access input;
};
} // namespace

static int64_t count(ArrayRef<int64_t> sizes) {
  int64_t result = 1;
  for (int64_t size : sizes)
    result *= size;
  return result;
}

static SmallVector<int64_t> orElse(ArrayRef<int64_t> values, size_t rank,
                                   int64_t value) {
  return values.empty() ? SmallVector<int64_t>(rank, value)
                        : SmallVector<int64_t>(values);
}

static bool readConvolution(const KernelViews &views, Convolution &c,
                            std::string &whyNot) {
  c.op = cast<ConvOp>(views.anchor);
  if (c.op.getLayout() != ImageLayout::channels_first) {
    whyNot = "the convolution is not channels-first";
    return false;
  }
  ArrayRef<int64_t> in = views.operands[0].view.sizes,
                    filter = views.operands[1].view.sizes,
                    out = cast<RankedTensorType>(c.op.getType()).getShape();
  size_t rank = in.size() - 2;
  c.images = in[0];
  c.groups = c.op.getGroups();
  c.inChannels = filter[1];
  c.outChannels = filter[0] / c.groups;
  c.in = SmallVector<int64_t>(in.drop_front(2));
  c.out = SmallVector<int64_t>(out.drop_front(2));
  c.kernel = SmallVector<int64_t>(filter.drop_front(2));
  c.strides = orElse(c.op.getStrides(), rank, 1);
  c.dilations = orElse(c.op.getDilations(), rank, 1);
  c.padLow = orElse(c.op.getPadLow(), rank, 0);
  for (size_t d = 0; d < rank; ++d)
    c.isPointwise &= c.kernel[d] == 1 && c.strides[d] == 1 &&
                     c.padLow[d] == 0 && c.out[d] == c.in[d];
  if (c.outChannels < 8) {
    whyNot = "a group has too few output channels for a product";
    return false;
  }
  SmallVector<int64_t> coordinates = {c.images, c.groups, c.inChannels};
  llvm::append_range(coordinates, c.in);
  auto input = views.operands[0].view.split(coordinates);
  if (!input) {
    whyNot = "the image has no strides";
    return false;
  }
  c.input = *input;
  return true;
}

/// B of a window: where the element of pixel n under place k stands.
static void addWindow(const Convolution &c, OperandText &text) {
  static const char *const names[] = {"z", "y", "x"};
  size_t rank = c.in.size();
  std::vector<std::string> &body = text.body;
  SmallVector<std::string> at;
  at.push_back(c.groups == 1 ? "batch" : "batch / " + std::to_string(c.groups));
  at.push_back(c.groups == 1 ? "0" : "batch % " + std::to_string(c.groups));
  at.push_back(c.inChannels == 1 ? "0"
                                 : "k / " + std::to_string(count(c.kernel)));
  if (count(c.kernel) == 1 && c.inChannels != 1)
    at.back() = "k";
  std::string outside;
  int64_t place = 1, pixel = 1;
  SmallVector<std::string> spatial(rank);
  for (size_t d = rank; d-- > 0;) {
    auto digit = [](StringRef of, int64_t inner, int64_t size, bool isFirst) {
      if (size == 1)
        return std::string("0");
      std::string text = of.str();
      if (inner != 1)
        text += " / " + std::to_string(inner);
      return isFirst ? text : asOperand(text) + " % " + std::to_string(size);
    };
    std::string window = digit("k", place, c.kernel[d],
                               /*isFirst=*/c.inChannels == 1 && d == 0);
    std::string position =
        sum(product(digit("n", pixel, c.out[d], d == 0), c.strides[d]),
            product(window, c.dilations[d]));
    place *= c.kernel[d];
    pixel *= c.out[d];
    if (c.padLow[d] != 0)
      position += (c.padLow[d] > 0 ? " - " : " + ") +
                  std::to_string(std::abs(c.padLow[d]));
    spatial[d] = names[3 - rank + d];
    body.insert(body.begin(),
                "const int " + spatial[d] + " = " + position + ";");
    // The last place of the last window, too, must be inside.
    int64_t last = (c.out[d] - 1) * c.strides[d] +
                   (c.kernel[d] - 1) * c.dilations[d] - c.padLow[d];
    if (c.padLow[d] <= 0 && last < c.in[d])
      continue;
    outside = "(u32)" + spatial[d] + " >= " + std::to_string(c.in[d]) +
              (outside.empty() ? "" : " || ") + outside;
  }
  if (!outside.empty()) {
    body.push_back("if (" + outside + ")");
    body.push_back("  return nullptr;");
  }
  llvm::append_range(at, spatial);
  for (std::string &coordinate : at)
    coordinate = asOperand(coordinate);
  body.push_back("return base + " + offsetText(c.input, at, text.offset) + ";");
}

FailureOr<KernelText> scheduleConvolution(KernelOp kernel, StringRef symbol,
                                          const GpuFeatures &features,
                                          std::string &whyNot) {
  FailureOr<KernelViews> views = KernelViews::get(
      kernel, [](Operation *op) { return isa<ConvOp>(op); }, whyNot);
  if (failed(views))
    return failure();
  Convolution c;
  if (!readConvolution(*views, c, whyNot))
    return failure();
  if (c.op.getBias()) {
    // Channels stand before the spatial dims.
    SmallVector<int64_t> &sizes = views->operands[2].view.sizes;
    sizes.append(c.in.size(), 1);
    views->foldBias(2);
  }
  ProductSizes sizes{c.images * c.groups, c.outChannels, count(c.out),
                     c.inChannels * count(c.kernel)};
  const AnchorOperand &image = views->operands[0], &filter = views->operands[1];
  auto filterDigits = filter.view.split({c.groups, c.outChannels, sizes.k});
  if (!filterDigits) {
    whyNot = "the filter has no strides";
    return failure();
  }
  if (c.groups != 1) {
    // Images share the filters of a group: the batch counts both.
    SmallVector<Factor> &batch = (*filterDigits)[0];
    batch.insert(batch.begin(), {c.images, 0});
  } else {
    (*filterDigits)[0] = {{c.images, 0}};
  }
  FailureOr<EpilogueText> epilogue = EpilogueText::get(
      kernel, *views, {sizes.batch, sizes.m, sizes.n}, {"batch", "m", "n"},
      getSumType(image.elementType), whyNot);
  if (failed(epilogue))
    return failure();

  OperandText b;
  auto plain = c.isPointwise ? image.view.split({sizes.batch, sizes.k, sizes.n})
                             : std::nullopt;
  if (plain) {
    std::swap((*plain)[1], (*plain)[2]);
    b = OperandText::fromAccess(kernel, "B", "n", image, *plain);
  } else {
    b.name = "B";
    b.rowName = "n";
    b.argument = image.argument;
    b.elementType = image.elementType;
    b.offset = image.view.offset;
    addWindow(c, b);
  }
  return writeProduct(
      kernel, symbol, features, sizes,
      OperandText::fromAccess(kernel, "A", "m", filter, *filterDigits), b,
      *epilogue, whyNot);
}

} // namespace lathe::cuda
