//===- ConvolutionCases.cpp - Convolutions and pooling, checked and timed -===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
#include <cmath>

using namespace lathe;
using namespace lathe::bench;

namespace {
enum class Kind { Packed, Depthwise, Max, Mean, MeanWithPadding };

struct WindowCase {
  Kind kind;
  int64_t batch, height, width, channels, outChannels;
  int64_t kernelHeight, kernelWidth, stride = 1, dilation = 1, pad = 0;
  /// Bias, relu and a residual behind the product.
  bool epilogue = false;

  int64_t places(int64_t in, int64_t kernel) const {
    return (in + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1;
  }
  int64_t outHeight() const { return places(height, kernelHeight); }
  int64_t outWidth() const { return places(width, kernelWidth); }
  Shape outShape() const {
    return {batch, outHeight(), outWidth(), outChannels};
  }
  double flops() const {
    double perPixel = 2.0 * kernelHeight * kernelWidth * outChannels *
                      (kind == Kind::Packed ? channels : 1);
    return batch * outHeight() * outWidth() * perPixel;
  }
  std::string name() const {
    static const char *kinds[] = {"conv", "depthwise", "max", "mean",
                                  "mean with padding"};
    std::string text =
        std::string(kinds[int(kind)]) + " " + std::to_string(kernelHeight) +
        "x" + std::to_string(kernelWidth) + " on " + std::to_string(height) +
        "x" + std::to_string(width) + "x" + std::to_string(channels) + " to " +
        std::to_string(outChannels);
    if (stride > 1)
      text += " stride " + std::to_string(stride);
    if (dilation > 1)
      text += " dilation " + std::to_string(dilation);
    if (pad)
      text += " pad " + std::to_string(pad);
    return text;
  }
};
} // namespace

/// [out, c, kh, kw] -> pack([kh * kw * c, out]).
static Buffer packFilter(const WindowCase &c, const Buffer &filter) {
  int64_t depth = c.kernelHeight * c.kernelWidth * c.channels;
  Buffer packed = Buffer::zeros({(c.outChannels + 31) / 32, depth, 32});
  int64_t window = c.kernelHeight * c.kernelWidth;
  for (int64_t o = 0; o < c.outChannels; ++o)
    for (int64_t i = 0; i < c.channels; ++i)
      for (int64_t p = 0; p < window; ++p)
        packed.values[(o / 32 * depth + p * c.channels + i) * 32 + o % 32] =
            filter.values[(o * c.channels + i) * window + p];
  return packed;
}

static std::vector<Buffer> makeInputs(const WindowCase &c, const Buffer &filter,
                                      std::mt19937 &random) {
  std::vector<Buffer> inputs = {
      Buffer::random({c.batch, c.height, c.width, c.channels}, random)};
  if (c.kind == Kind::Packed)
    inputs.push_back(packFilter(c, filter));
  if (c.kind == Kind::Depthwise)
    inputs.push_back(filter);
  if (c.kind == Kind::Depthwise || c.epilogue)
    inputs.push_back(Buffer::random({c.outChannels}, random));
  if (c.epilogue)
    inputs.push_back(Buffer::random(c.outShape(), random));
  return inputs;
}

static Buffer makeFilter(const WindowCase &c, std::mt19937 &random) {
  return Buffer::random({c.outChannels, c.kind == Kind::Packed ? c.channels : 1,
                         c.kernelHeight, c.kernelWidth},
                        random);
}

static BodyFn makeBody(const WindowCase &c) {
  return [c](OpBuilder &b, Location loc, ValueRange args) {
    Type type = RankedTensorType::get(c.outShape(), b.getF32Type());
    Shape kernel{c.kernelHeight, c.kernelWidth}, strides{c.stride, c.stride},
        dilations{c.dilation, c.dilation}, pad{c.pad, c.pad};
    auto layout =
        ImageLayoutAttr::get(b.getContext(), ImageLayout::channels_last);
    Value value;
    switch (c.kind) {
    case Kind::Packed:
      value = b.create<PackedConvOp>(
          loc, type, args[0], args[1], b.getDenseI64ArrayAttr(kernel),
          b.getDenseI64ArrayAttr(strides), b.getDenseI64ArrayAttr(dilations),
          b.getI64IntegerAttr(c.outChannels));
      break;
    case Kind::Depthwise:
      value = b.create<ConvOp>(
          loc, type, args[0], args[1], args[2], b.getDenseI64ArrayAttr(strides),
          b.getDenseI64ArrayAttr(dilations), b.getDenseI64ArrayAttr(pad),
          b.getDenseI64ArrayAttr(pad), b.getI64IntegerAttr(c.channels), layout);
      break;
    case Kind::Max:
      value = b.create<MaxPoolOp>(
          loc, type, args[0], b.getDenseI64ArrayAttr(kernel),
          b.getDenseI64ArrayAttr(strides), b.getDenseI64ArrayAttr(dilations),
          b.getDenseI64ArrayAttr(pad), b.getDenseI64ArrayAttr(pad), UnitAttr(),
          layout);
      break;
    case Kind::Mean:
    case Kind::MeanWithPadding:
      value = b.create<AvgPoolOp>(
          loc, type, args[0], b.getDenseI64ArrayAttr(kernel),
          b.getDenseI64ArrayAttr(strides), b.getDenseI64ArrayAttr(dilations),
          b.getDenseI64ArrayAttr(pad), b.getDenseI64ArrayAttr(pad), UnitAttr(),
          layout,
          c.kind == Kind::MeanWithPadding ? b.getUnitAttr() : UnitAttr());
      break;
    }
    if (c.epilogue) {
      if (c.kind != Kind::Depthwise)
        value = b.create<AddOp>(loc, type, value, args[args.size() - 2]);
      value = b.create<AddOp>(loc, type, value, args.back());
      value = b.create<ReluOp>(loc, type, value);
    }
    return SmallVector<Value>{value};
  };
}

static void checkOne(Harness &harness, Checker &checker, const WindowCase &c,
                     std::mt19937 &random) {
  Buffer filter = makeFilter(c, random);
  std::vector<Buffer> inputs = makeInputs(c, filter, random);
  Buffer expected = Buffer::zeros(c.outShape());
  int64_t window = c.kernelHeight * c.kernelWidth, at = 0;
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t y = 0; y < c.outHeight(); ++y)
      for (int64_t x = 0; x < c.outWidth(); ++x)
        for (int64_t o = 0; o < c.outChannels; ++o, ++at) {
          double sum = 0, largest = -INFINITY;
          int64_t count = 0;
          for (int64_t p = 0; p < window; ++p) {
            int64_t iy = y * c.stride - c.pad + p / c.kernelWidth * c.dilation;
            int64_t ix = x * c.stride - c.pad + p % c.kernelWidth * c.dilation;
            if (iy < 0 || iy >= c.height || ix < 0 || ix >= c.width)
              continue;
            const float *pixel =
                &inputs[0]
                     .values[((n * c.height + iy) * c.width + ix) * c.channels];
            ++count;
            if (c.kind == Kind::Packed)
              for (int64_t i = 0; i < c.channels; ++i)
                sum += double(pixel[i]) *
                       filter.values[(o * c.channels + i) * window + p];
            else if (c.kind == Kind::Depthwise)
              sum += double(pixel[o]) * filter.values[o * window + p];
            else
              sum += pixel[o];
            largest = std::max(largest, double(pixel[o < c.channels ? o : 0]));
          }
          if (c.kind == Kind::Max)
            sum = largest;
          if (c.kind == Kind::Mean)
            sum /= count;
          if (c.kind == Kind::MeanWithPadding)
            sum /= window;
          if (c.kind == Kind::Depthwise)
            sum += inputs[2].values[o];
          else if (c.epilogue)
            sum += inputs[inputs.size() - 2].values[o];
          if (c.epilogue)
            sum = std::max(0.0, sum + inputs.back().values[at]);
          expected.values[at] = sum;
        }
  auto kernel = harness.compile(cpu::scheduleConvolution, inputs, makeBody(c));
  if (!kernel)
    return checker.fail(c.name(), llvm::toString(kernel.takeError()));
  auto results =
      runKernel(*kernel, inputs, {expected.shape}, checker, c.name());
  checker.compare(c.name(), results[0].values, expected.values, 2e-5);
}

void bench::checkConvolution(Harness &harness, Checker &checker) {
  std::mt19937 random(8);
  const WindowCase cases[] = {
      {Kind::Packed, 1, 7, 7, 5, 33, 1, 1, 1, 1, 0, true},
      {Kind::Packed, 2, 9, 9, 16, 64, 3, 3, 1, 1, 0, true},
      {Kind::Packed, 1, 30, 31, 3, 40, 7, 7, 2},
      {Kind::Packed, 1, 20, 40, 8, 32, 3, 3, 1, 2, 0, true},
      {Kind::Packed, 2, 13, 13, 12, 31, 3, 2, 2},
      {Kind::Packed, 1, 15, 15, 32, 96, 1, 1, 2, 1, 0, true},
      {Kind::Packed, 1, 5, 5, 1, 10, 5, 5},
      {Kind::Packed, 1, 60, 60, 64, 48, 3, 3},
      {Kind::Packed, 1, 1, 50, 20, 64, 1, 5},
      {Kind::Packed, 1, 50, 1, 20, 64, 5, 1},
      {Kind::Packed, 3, 1, 1, 20, 64, 1, 1},
      {Kind::Packed, 1, 120, 120, 32, 64, 1, 1, 1, 1, 0, true},
      {Kind::Depthwise, 1, 14, 14, 32, 32, 3, 3, 1, 1, 1},
      {Kind::Depthwise, 2, 15, 17, 20, 20, 3, 3, 2, 1, 1, true},
      {Kind::Depthwise, 1, 30, 30, 33, 33, 5, 5, 1, 2, 3},
      {Kind::Depthwise, 1, 3, 3, 7, 7, 3, 3, 1, 1, 2, true},
      {Kind::Depthwise, 1, 12, 12, 16, 16, 9, 9, 1, 1, 4},
      {Kind::Max, 1, 30, 30, 64, 64, 3, 3, 2, 1, 1},
      {Kind::Max, 2, 9, 9, 5, 5, 2, 2, 2},
      {Kind::Mean, 1, 13, 13, 20, 20, 3, 3, 2, 1, 1},
      {Kind::MeanWithPadding, 1, 13, 13, 32, 32, 3, 3, 2, 1, 1},
  };
  for (const WindowCase &c : cases)
    checkOne(harness, checker, c, random);
}

void bench::benchConvolution(Harness &harness) {
  std::mt19937 random(9);
  // ResNet-50's convolutions with their padded inputs, some of MobileNet's, and
  // a pooling.
  const WindowCase cases[] = {
      {Kind::Packed, 1, 230, 230, 3, 64, 7, 7, 2},
      {Kind::Packed, 1, 56, 56, 64, 64, 1, 1},
      {Kind::Packed, 1, 58, 58, 64, 64, 3, 3},
      {Kind::Packed, 1, 56, 56, 64, 256, 1, 1, 1, 1, 0, true},
      {Kind::Packed, 1, 56, 56, 256, 64, 1, 1},
      {Kind::Packed, 1, 30, 30, 128, 128, 3, 3},
      {Kind::Packed, 1, 28, 28, 128, 512, 1, 1, 1, 1, 0, true},
      {Kind::Packed, 1, 56, 56, 256, 512, 1, 1, 2},
      {Kind::Packed, 1, 16, 16, 256, 256, 3, 3},
      {Kind::Packed, 1, 14, 14, 1024, 256, 1, 1},
      {Kind::Packed, 1, 9, 9, 512, 512, 3, 3},
      {Kind::Packed, 1, 7, 7, 512, 2048, 1, 1, 1, 1, 0, true},
      {Kind::Packed, 1, 7, 7, 2048, 512, 1, 1},
      {Kind::Depthwise, 1, 112, 112, 64, 64, 3, 3, 2, 1, 1},
      {Kind::Depthwise, 1, 14, 14, 512, 512, 3, 3, 1, 1, 1},
      {Kind::Max, 1, 112, 112, 64, 64, 3, 3, 2, 1, 1},
  };
  for (const WindowCase &c : cases) {
    Buffer filter = makeFilter(c, random);
    std::vector<Buffer> inputs = makeInputs(c, filter, random);
    Buffer out = Buffer::zeros(c.outShape());
    auto kernel =
        harness.compile(cpu::scheduleConvolution, inputs, makeBody(c));
    if (!kernel) {
      llvm::outs() << c.name() << ": " << llvm::toString(kernel.takeError())
                   << "\n";
      continue;
    }
    std::vector<void *> arguments;
    for (Buffer &input : inputs)
      arguments.push_back(input.data());
    arguments.push_back(out.data());
    report(c.name(), c.flops(), measure(*kernel, {arguments}));
  }
}
