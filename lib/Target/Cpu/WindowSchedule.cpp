//===- WindowSchedule.cpp - Depthwise convolution and pooling -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WindowSchedule.h"
#include "Epilogue.h"
#include "lathe/Conversion/ElementBuilder.h"

using namespace lathe;
using namespace lathe::cpu;

namespace {
/// One spatial dim. A window at output o covers inputs o * stride - low + k *
/// dilation for k < kernel; those outside of [0, in) do not count.
struct SpatialDim {
  int64_t in = 0, out = 0, kernel = 1, stride = 1, dilation = 1, low = 0,
          high = 0;
  /// In elements of the input.
  int64_t distance = 0;

  /// Outputs [first, last) whose windows lie inside the input.
  int64_t firstInside() const {
    return std::min(out, int64_t(llvm::divideCeil(low, stride)));
  }
  int64_t lastInside() const {
    int64_t room = in + low - (kernel - 1) * dilation - 1;
    return room < 0 ? firstInside()
                    : std::clamp(room / stride + 1, firstInside(), out);
  }
};

struct Window {
  int64_t batch, channels;
  SpatialDim rows, columns;
  unsigned input, filter = 0;
  int64_t inputOffset = 0, filterOffset = 0;
  SmallVector<Factor> image, filterChannel, filterPlace;
  enum class Kind { Multiply, Max, Mean } kind;
  /// f32 (16-bit floats are widened), or bytes, signed or not.
  Type element;
  bool isBytes() const { return element.isInteger(8); }
  bool countPadding = false;
};

/// The part of the window that counts.
struct PlaceRange {
  Value begin, end;
};

class WindowEmitter {
public:
  WindowEmitter(ImplicitLocOpBuilder &b, KernelFrame &frame, const Window &w,
                const Epilogue &epilogue, const CpuFeatures &features)
      : b(b), frame(frame), w(w), epilogue(epilogue),
        lanes(features.vectorWidth),
        vector(VectorType::get(lanes, w.isBytes() ? Type(b.getI8Type())
                                                  : Type(b.getF32Type()))) {}

  int64_t emit();

private:
  struct Item {
    Value image, row, channel, mask;
    PlaceRange rows;
  };

  void emitFilter(Value channel);
  void emitPixels(const Item &item, Value column, int64_t count, bool inside);
  PlaceRange emitRange(const SpatialDim &dim, Value out);
  Value emitCount(const SpatialDim &dim, Value out, PlaceRange range);
  Value loadInput(const Item &item, Value index);
  /// What every window's sum or maximum starts with.
  Value getStart() {
    if (w.isBytes())
      return b.create<arith::ConstantOp>(DenseElementsAttr::get(
          vector, isUnsignedElement(w.element) ? APInt::getMinValue(8)
                                               : APInt::getSignedMinValue(8)));
    float start = w.kind == Window::Kind::Max
                      ? -std::numeric_limits<float>::infinity()
                      : 0.0f;
    return b.create<arith::ConstantOp>(vector,
                                       DenseElementsAttr::get(vector, start));
  }
  Value emitMaximum(Value lhs, Value rhs) {
    if (!w.isBytes())
      return b.create<arith::MaximumFOp>(lhs, rhs);
    if (isUnsignedElement(w.element))
      return b.create<arith::MaxUIOp>(lhs, rhs);
    return b.create<arith::MaxSIOp>(lhs, rhs);
  }

  ImplicitLocOpBuilder &b;
  KernelFrame &frame;
  const Window &w;
  const Epilogue &epilogue;
  int64_t lanes;
  VectorType vector;
  /// [kernel rows * kernel columns][lanes] of the channels at hand.
  Value filter;
};
} // namespace

/// Pixels computed side by side, to hide the latency of a sum.
static constexpr int64_t pixelsAtOnce = 8;
/// Bytes of a pixel are read this many at a time, or twice, four times, ...
static constexpr int64_t kLeastBytes = 16;

int64_t WindowEmitter::emit() {
  int64_t blocks = llvm::divideCeil(w.channels, lanes);
  int64_t items = w.batch * blocks * w.rows.out;
  if (items == 0 || w.columns.out == 0)
    return 0;
  int64_t places = w.rows.kernel * w.columns.kernel;
  SmallVector<Value> init;
  if (w.kind == Window::Kind::Multiply) {
    filter = frame.allocate(b, places * lanes);
    init.push_back(indexConstant(b, -1));
  }
  emitFor(
      b, frame.begin, frame.end, 1, init,
      [&](Value index, ValueRange carried) -> SmallVector<Value> {
        Item item;
        Value block = remIndex(b, divIndex(b, index, w.rows.out), blocks);
        item.image = divIndex(b, index, w.rows.out * blocks);
        item.row = remIndex(b, index, w.rows.out);
        item.channel = mulIndex(b, block, lanes);
        if (w.channels % lanes)
          item.mask = emitMask(b,
                               b.createOrFold<arith::SubIOp>(
                                   indexConstant(b, w.channels), item.channel),
                               lanes);
        item.rows = emitRange(w.rows, item.row);
        SmallVector<Value> next;
        if (filter) {
          // The transposed filter is kept from row to row.
          Value changed = b.create<arith::CmpIOp>(arith::CmpIPredicate::ne,
                                                  block, carried[0]);
          emitIf(b, changed, [&] { emitFilter(item.channel); });
          next.push_back(block);
        }
        // Pixels whose windows reach over an edge, one by one; the others in
        // groups, and what is left of those one by one.
        int64_t first = w.columns.firstInside(), last = w.columns.lastInside();
        int64_t grouped = first + (last - first) / pixelsAtOnce * pixelsAtOnce;
        auto emitRun = [&](int64_t begin, int64_t end, int64_t count,
                           bool inside) {
          if (begin < end)
            emitFor(
                b, indexConstant(b, begin), indexConstant(b, end), count,
                [&](Value column) { emitPixels(item, column, count, inside); });
        };
        emitRun(0, first, 1, false);
        emitRun(first, grouped, pixelsAtOnce, true);
        emitRun(grouped, last, 1, true);
        emitRun(last, w.columns.out, 1, false);
        return next;
      });
  return items;
}

/// Gathers the filter of `lanes` channels into [place][lane].
void WindowEmitter::emitFilter(Value channel) {
  Value source = frame.inputs[w.filter];
  Value left =
      b.createOrFold<arith::SubIOp>(indexConstant(b, w.channels), channel);
  emitFor(b, indexConstant(b, 0), minIndex(b, left, indexConstant(b, lanes)), 1,
          [&](Value lane) {
            Value from = addIndex(
                b, emitOffset(b, w.filterChannel, addIndex(b, channel, lane)),
                w.filterOffset);
            emitFor(
                b, indexConstant(b, 0),
                indexConstant(b, w.rows.kernel * w.columns.kernel), 1,
                [&](Value place) {
                  Value element = b.create<memref::LoadOp>(
                      source,
                      addIndex(b, from, emitOffset(b, w.filterPlace, place)));
                  storeElement(b, widenFloat(b, element), filter,
                               addIndex(b, mulIndex(b, place, lanes), lane));
                });
          });
}

/// The window's places that fall into the input at output `out`.
PlaceRange WindowEmitter::emitRange(const SpatialDim &dim, Value out) {
  Value zero = indexConstant(b, 0), kernel = indexConstant(b, dim.kernel);
  if (dim.firstInside() == 0 && dim.lastInside() == dim.out)
    return {zero, kernel};
  Value start = addIndex(b, mulIndex(b, out, dim.stride), -dim.low);
  auto stepsTo = [&](int64_t bound) {
    Value gap = b.createOrFold<arith::SubIOp>(
        indexConstant(b, bound + dim.dilation - 1), start);
    gap = b.createOrFold<arith::MaxSIOp>(gap, zero);
    return minIndex(b, divIndex(b, gap, dim.dilation), kernel);
  };
  return {stepsTo(0), stepsTo(dim.in)};
}

/// How many places of the window a mean divides by, along `dim`.
Value WindowEmitter::emitCount(const SpatialDim &dim, Value out,
                               PlaceRange range) {
  if (!w.countPadding)
    return b.createOrFold<arith::SubIOp>(range.end, range.begin);
  // Padding counts, but not what lies beyond it.
  SpatialDim padded = dim;
  padded.in = dim.in + dim.low + dim.high;
  padded.low = padded.high = 0;
  return emitRange(padded, out).end;
}

Value WindowEmitter::loadInput(const Item &item, Value index) {
  Value buffer = frame.inputs[w.input];
  if (w.isBytes())
    return b.create<vector::LoadOp>(vector, buffer, index);
  return loadVector(b, buffer, index, lanes, item.mask);
}

void WindowEmitter::emitPixels(const Item &item, Value column, int64_t count,
                               bool inside) {
  Value base = addIndex(b, emitOffset(b, w.image, item.image), w.inputOffset);
  base = addIndex(b, base, item.channel);
  // Indices may start before the input; what is read lies inside.
  auto start = [&](const SpatialDim &dim, Value out) {
    return mulIndex(b, addIndex(b, mulIndex(b, out, dim.stride), -dim.low),
                    dim.distance);
  };
  base = addIndex(b, base, start(w.rows, item.row));
  base = addIndex(b, base, start(w.columns, column));
  PlaceRange columns{indexConstant(b, 0), indexConstant(b, w.columns.kernel)};
  if (!inside)
    columns = emitRange(w.columns, column);

  SmallVector<Value> sums(count, getStart());
  auto emitColumn = [&](Value row, Value place, SmallVector<Value> sums) {
    Value at = addIndex(
        b,
        addIndex(b, base, mulIndex(b, row, w.rows.dilation * w.rows.distance)),
        mulIndex(b, place, w.columns.dilation * w.columns.distance));
    Value factor;
    if (filter) {
      Value index = addIndex(b, mulIndex(b, row, w.columns.kernel), place);
      factor =
          b.create<vector::LoadOp>(vector, filter, mulIndex(b, index, lanes));
    }
    for (int64_t i = 0; i < count; ++i) {
      Value value = loadInput(
          item, addIndex(b, at, i * w.columns.stride * w.columns.distance));
      switch (w.kind) {
      case Window::Kind::Multiply:
        sums[i] = emitMultiplyAdd(b, value, factor, sums[i]);
        break;
      case Window::Kind::Max:
        sums[i] = emitMaximum(sums[i], value);
        break;
      case Window::Kind::Mean:
        sums[i] = b.create<arith::AddFOp>(sums[i], value);
        break;
      }
    }
    return sums;
  };
  sums =
      emitFor(b, item.rows.begin, item.rows.end, 1, sums,
              [&](Value row, ValueRange carried) {
                SmallVector<Value> inner(carried);
                if (inside && w.columns.kernel <= 7) {
                  for (int64_t place = 0; place < w.columns.kernel; ++place)
                    inner = emitColumn(row, indexConstant(b, place), inner);
                  return inner;
                }
                return emitFor(b, columns.begin, columns.end, 1, inner,
                               [&](Value place, ValueRange carried) {
                                 return emitColumn(row, place,
                                                   SmallVector<Value>(carried));
                               });
              });

  Value pixel = addIndex(b, mulIndex(b, item.image, w.rows.out), item.row);
  pixel = addIndex(b, mulIndex(b, pixel, w.columns.out), column);
  for (int64_t i = 0; i < count; ++i) {
    if (w.kind == Window::Kind::Mean) {
      Value places = b.createOrFold<arith::MulIOp>(
          emitCount(w.rows, item.row, item.rows),
          emitCount(w.columns, addIndex(b, column, i), columns));
      Value divisor = b.create<arith::IndexCastOp>(b.getI32Type(), places);
      divisor = b.create<arith::SIToFPOp>(b.getF32Type(), divisor);
      sums[i] = b.create<arith::DivFOp>(
          sums[i], b.create<vector::BroadcastOp>(vector, divisor));
    }
    epilogue.emitVector(b, frame, sums[i],
                        {addIndex(b, pixel, i), item.channel}, item.mask);
  }
}

//===----------------------------------------------------------------------===//
// Reading the kernel
//===----------------------------------------------------------------------===//

bool cpu::isWindowOp(Operation *op) {
  if (auto conv = dyn_cast<ConvOp>(op))
    return conv.getLayout() == ImageLayout::channels_last &&
           conv.getGroups() > 1;
  if (auto pool = dyn_cast<MaxPoolOp>(op))
    return pool.getLayout() == ImageLayout::channels_last;
  if (auto pool = dyn_cast<AvgPoolOp>(op))
    return pool.getLayout() == ImageLayout::channels_last;
  return false;
}

template <typename OpTy>
static void readDims(OpTy op, ArrayRef<int64_t> kernel, Window &w) {
  SpatialDim *dims[] = {&w.rows, &w.columns};
  auto get = [](ArrayRef<int64_t> values, int i, int64_t otherwise) {
    return values.empty() ? otherwise : values[i];
  };
  ArrayRef<int64_t> in =
      cast<RankedTensorType>(op.getInput().getType()).getShape();
  ArrayRef<int64_t> out = cast<RankedTensorType>(op.getType()).getShape();
  w.batch = in[0];
  w.channels = in[3];
  for (int i = 0; i < 2; ++i) {
    dims[i]->in = in[1 + i];
    dims[i]->out = out[1 + i];
    dims[i]->kernel = kernel[i];
    dims[i]->stride = get(op.getStrides(), i, 1);
    dims[i]->dilation = get(op.getDilations(), i, 1);
    dims[i]->low = get(op.getPadLow(), i, 0);
    dims[i]->high = get(op.getPadHigh(), i, 0);
  }
}

static bool readWindow(const KernelViews &views, Window &w,
                       std::string &whyNot) {
  ArrayRef<int64_t> in = views.operands[0].view.sizes;
  if (in.size() != 4) {
    whyNot = "only windows over two spatial dims have a vector schedule";
    return false;
  }
  w.element = views.operands[0].elementType;
  bool isMaximum = isa<MaxPoolOp>(views.anchor);
  for (const AnchorOperand &operand : views.operands)
    if (!isFloatUpTo32(operand.elementType) && !(isMaximum && w.isBytes())) {
      whyNot = "only f32, bf16 and f16 windows, and the largest of bytes, have "
               "a vector schedule";
      return false;
    }
  if (w.isBytes() && in[3] % kLeastBytes) {
    whyNot = "the channels of a pixel are no whole vectors of bytes";
    return false;
  }
  if (auto conv = dyn_cast<ConvOp>(views.anchor)) {
    ArrayRef<int64_t> shape = views.operands[1].view.sizes;
    if (int64_t(conv.getGroups()) != in[3] || shape[0] != in[3]) {
      whyNot = "a grouped convolution that is not depthwise";
      return false;
    }
    w.kind = Window::Kind::Multiply;
    readDims(conv, shape.take_back(2), w);
    auto digits = views.operands[1].view.split({shape[0], shape[2] * shape[3]});
    if (!digits) {
      whyNot = "the filter has no strides";
      return false;
    }
    w.filter = views.operands[1].argument;
    w.filterOffset = views.operands[1].view.offset;
    w.filterChannel = (*digits)[0];
    w.filterPlace = (*digits)[1];
  } else if (auto pool = dyn_cast<MaxPoolOp>(views.anchor)) {
    w.kind = Window::Kind::Max;
    readDims(pool, pool.getKernel(), w);
  } else {
    auto mean = cast<AvgPoolOp>(views.anchor);
    w.kind = Window::Kind::Mean;
    w.countPadding = mean.getCountIncludePad();
    readDims(mean, mean.getKernel(), w);
  }
  if (w.rows.low < 0 || w.columns.low < 0) {
    whyNot = "negative padding";
    return false;
  }
  const AnchorOperand &input = views.operands[0];
  auto digits = input.view.split(in);
  auto stride = [](ArrayRef<Factor> f) { return f.empty() ? 0 : f[0].stride; };
  if (!digits || (*digits)[1].size() > 1 || (*digits)[2].size() > 1 ||
      (*digits)[3].size() > 1 || (in[3] > 1 && stride((*digits)[3]) != 1)) {
    whyNot = "the image's channels are not contiguous";
    return false;
  }
  w.input = input.argument;
  w.inputOffset = input.view.offset;
  w.image = (*digits)[0];
  w.rows.distance = stride((*digits)[1]);
  w.columns.distance = stride((*digits)[2]);
  return true;
}

FailureOr<LoweredKernel> cpu::scheduleWindow(KernelOp kernel,
                                             KernelViews &views,
                                             ModuleOp module, StringRef symbol,
                                             const CpuFeatures &features,
                                             std::string &whyNot) {
  Window window;
  if (!readWindow(views, window, whyNot))
    return failure();
  if (auto conv = dyn_cast<ConvOp>(views.anchor))
    if (conv.getBias())
      views.foldBias(2);
  // As many channels at once as fill a register and leave none over, since few
  // processors have masks for bytes.
  CpuFeatures lanes = features;
  if (window.isBytes())
    lanes.vectorWidth = std::min<int64_t>(4 * features.vectorWidth,
                                          window.channels & -window.channels);
  return emitAnchored<WindowEmitter>(
      kernel, views, module, symbol, lanes, window,
      {window.batch * window.rows.out * window.columns.out, window.channels},
      whyNot);
}
