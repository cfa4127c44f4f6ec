//===- ConvolutionSchedule.cpp - Convolutions on the microkernel ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// `packed_conv` and elementwise ops as an implicit matrix product: the rows of
// a tile are output pixels, whose inputs stand at constant distances from each
// other for every place of the window. A work item is one tile. Where the
// processor does not multiply 16-bit floats itself, the lines of an image that
// a tile reads are widened to f32 in a copy, and so is a panel of the filter
// that has pairs of them. What AMX's tiles need is in ConvolutionTiles.cpp,
// depthwise convolutions and pooling are in WindowSchedule.cpp.
//
//===----------------------------------------------------------------------===//

#include "ConvolutionEmitter.h"
#include "WindowSchedule.h"

using namespace lathe;
using namespace lathe::cpu;

/// Bytes of widened lines at most.
static constexpr int64_t kWideBytes = 1 << 20;

/// Distances of a tile's first pixels from each other, in elements.
int64_t ConvolutionEmitter::getRowOffset(int64_t row) const {
  return pixels.segments
             ? row * c.strideWidth * c.columnDistance
             : row / c.outWidth * c.strideHeight * c.rowDistance +
                   row % c.outWidth * c.strideWidth * c.columnDistance;
}

void ConvolutionEmitter::planPixels() {
  pixels = PixelTiles();
  int64_t largest = getLargestRows(features, tileVectors, getArithmetic());
  if (c.outWidth * 2 > largest || c.outHeight == 1) {
    pixels.tiling = Tiling::balanced(c.outWidth, largest);
    pixels.perImage = c.outHeight * pixels.tiling.count;
  } else {
    pixels.segments = false;
    pixels.pixelsPerUnit = c.outWidth;
    pixels.tiling = Tiling::balanced(
        c.outHeight, largest / std::max<int64_t>(c.outWidth, 1));
    pixels.perImage = pixels.tiling.count;
  }
}

void ConvolutionEmitter::plan() {
  usesTiles = planTiles();
  if (!usesTiles)
    planPixels();
  // Fewer pixels and more columns where the cache cannot hold so many.
  SmallVector<int64_t> offsets;
  for (int64_t row = 0; row < pixels.tiling.big * pixels.pixelsPerUnit; ++row)
    offsets.push_back(getRowOffset(row) * c.elementBytes);
  int64_t panels = llvm::divideCeil(c.outChannels, panelColumns);
  if (!usesTiles && panelColumns == tileVectors * lanes && panels % 2 == 0 &&
      !widensPanels() && rowsCollide(offsets)) {
    tileVectors *= 2;
    planPixels();
  }
  grid.columns = llvm::divideCeil(c.outChannels, tileVectors * lanes);
  grid.rows = c.batch * pixels.perImage;
  grid.rowsPerChunk = grid.rows;
  // As in contractions: chunks of pixels that stay in the second-level cache
  // with what they give, unless that cache is better spent on the filter.
  int64_t bytesPerTile =
      pixels.tiling.big * pixels.pixelsPerUnit *
      (c.channels * c.strideHeight * c.strideWidth * c.elementBytes +
       c.outChannels * 4);
  int64_t filterBytes = c.kernelHeight * c.kernelWidth * c.channels *
                        c.outChannels * c.elementBytes;
  if (grid.rows * bytesPerTile > (1 << 20) && filterBytes <= (3 << 18))
    grid.rowsPerChunk = std::max<int64_t>(1, (3 << 18) / bytesPerTile);
  if (c.isNarrow && !usesTiles && !usesDots())
    planWideLines();
}

void ConvolutionEmitter::planWideLines() {
  int64_t units = pixels.segments ? 1 : pixels.tiling.big;
  int64_t lines =
      std::min(c.height, (units - 1) * c.strideHeight +
                             (c.kernelHeight - 1) * c.dilationHeight + 1);
  int64_t line = c.width * c.channels;
  if (c.channelDistance != 1 || c.columnDistance != c.channels ||
      lines * line * 4 > kWideBytes)
    return;
  wideLines = lines;
  imageRowDistance = c.rowDistance;
  c.rowDistance = line;
}

/// Lines of `image` from output line `line` on, as f32.
void ConvolutionEmitter::emitWideLines(Value image, Value line) {
  Value source = frame.inputs[c.input];
  Value first = mulIndex(b, line, c.strideHeight);
  Value count = minIndex(
      b, indexConstant(b, wideLines),
      b.createOrFold<arith::SubIOp>(indexConstant(b, c.height), first));
  Value base = addIndex(b, emitOffset(b, c.image, image), c.inputOffset);
  base = addIndex(b, base, mulIndex(b, first, imageRowDistance));
  int64_t elements = c.width * c.channels, whole = elements / lanes * lanes;
  emitFor(b, indexConstant(b, 0), count, 1, [&](Value i) {
    Value from = addIndex(b, base, mulIndex(b, i, imageRowDistance));
    Value to = mulIndex(b, i, elements);
    emitFor(b, indexConstant(b, 0), indexConstant(b, whole), lanes,
            [&](Value k) {
              storeVector(b, loadVector(b, source, addIndex(b, from, k), lanes),
                          lineScratch, addIndex(b, to, k));
            });
    emitFor(b, indexConstant(b, whole), indexConstant(b, elements), 1,
            [&](Value k) {
              Value element =
                  b.create<memref::LoadOp>(source, addIndex(b, from, k));
              storeElement(b, widenFloat(b, element), lineScratch,
                           addIndex(b, to, k));
            });
  });
}

/// Sums over the window: loops over its rows and columns around the channels,
/// or around columns and channels at once where they lie in one run.
SmallVector<Value> ConvolutionEmitter::emitWindow(Product product,
                                                  ArrayRef<Value> start,
                                                  Product::Inner inner) {
  int64_t places = isOneRun() ? 1 : c.kernelWidth;
  product.depth = getRun() / product.arithmetic->getStep();
  Value zero = indexConstant(b, 0), a = product.aIndex, panel = product.bIndex,
        ahead = product.aheadIndex;
  auto emitPlace = [&](Value row, Value column, ArrayRef<Value> sums) {
    product.aIndex = addIndex(
        b, addIndex(b, a, mulIndex(b, row, c.rowDistance * c.dilationHeight)),
        mulIndex(b, column, c.columnDistance * c.dilationWidth));
    Value depth = mulIndex(b, addIndex(b, mulIndex(b, row, places), column),
                           product.depth);
    product.bIndex = addIndex(b, panel, mulIndex(b, depth, product.bStep));
    if (ahead)
      product.aheadIndex =
          addIndex(b, ahead, mulIndex(b, depth, product.getAheadStep()));
    return inner(product, sums);
  };
  auto emitRow = [&](Value row, ArrayRef<Value> sums) {
    if (places == 1)
      return emitPlace(row, zero, sums);
    return emitFor(b, zero, indexConstant(b, places), 1, sums,
                   [&](Value column, ValueRange carried) {
                     return emitPlace(row, column, SmallVector<Value>(carried));
                   });
  };
  if (c.kernelHeight == 1)
    return emitRow(zero, start);
  return emitFor(b, zero, indexConstant(b, c.kernelHeight), 1, start,
                 [&](Value row, ValueRange carried) {
                   return emitRow(row, SmallVector<Value>(carried));
                 });
}

SmallVector<Value> ConvolutionEmitter::emitProduct(Product product) {
  SmallVector<Value> starts =
      product.emitStarts(b, [&](ArrayRef<Value> sums, Product::Inner inner) {
        return emitWindow(product, sums, inner);
      });
  return emitWindow(product, starts,
                    [&](const Product &part, ArrayRef<Value> sums) {
                      return part.emit(b, sums);
                    });
}

SmallVector<Value> ConvolutionEmitter::emitMasks(Value column) {
  SmallVector<Value> masks;
  if (c.outChannels % (tileVectors * lanes))
    for (int64_t v = 0; v < tileVectors; ++v)
      masks.push_back(emitMask(
          b,
          b.createOrFold<arith::SubIOp>(indexConstant(b, c.outChannels),
                                        addIndex(b, column, v * lanes)),
          lanes));
  return masks;
}

void ConvolutionEmitter::emitTile(int64_t units, Value base, Value pixel,
                                  Value column, Value panelIndex,
                                  Value aheadIndex) {
  int64_t rows = units * pixels.pixelsPerUnit;
  Product product;
  product.width = lanes;
  product.arithmetic = &getArithmetic();
  product.setUniform(rows, 0, tileVectors);
  for (int64_t r = 0; r < rows; ++r)
    product.rowOffsets[r] = getRowOffset(r);
  product.a = wideLines ? lineScratch : frame.inputs[c.input];
  product.aIndex = base;
  product.aStep = c.channelDistance * product.arithmetic->getStep();
  if (widensPanels()) {
    product.b = panelScratch;
    product.bIndex = indexConstant(b, 0);
    product.bStep = tileVectors * lanes;
  } else {
    product.b = frame.inputs[c.packed];
    product.bIndex = panelIndex;
    product.bStep = panelColumns * c.interleave;
    int64_t panelVectors = panelColumns / lanes;
    for (auto [v, offset] : llvm::enumerate(product.vectorOffsets))
      offset = v / panelVectors * getPanelSize() +
               v % panelVectors * lanes * c.interleave;
  }
  product.aheadIndex = aheadIndex;
  product.aheadLines = double(tileVectors) / grid.rows;
  SmallVector<Value> masks = emitMasks(column);
  if (c.kernelHeight * c.kernelWidth * c.channels >= kDepthToFetch)
    epilogue.emitFetch(b, frame, rows, tileVectors, {pixel, column});
  epilogue.emitTile(b, frame, emitProduct(product), rows, tileVectors,
                    {pixel, column}, masks, tileScratch);
}

int64_t ConvolutionEmitter::emit() {
  int64_t items = grid.getNumItems();
  if (items == 0)
    return 0;
  if (usesTiles)
    emitRegisters();
  if (!epilogue.isCheap() || usesTiles)
    tileScratch = frame.allocate(
        b, pixels.tiling.big * pixels.pixelsPerUnit * tileVectors * lanes,
        getArithmetic().getSumType(b));
  int64_t panelSize = getPanelSize();
  bool ahead =
      grid.rowsPerChunk == grid.rows && !widensPanels() && !usesTiles &&
      panelSize / panelColumns * c.outChannels * c.elementBytes > (1 << 19);
  // What the copies are of; they are kept while items stay there.
  SmallVector<Value> copied(bool(wideLines) + widensPanels(),
                            indexConstant(b, -1));
  int64_t tileColumns = tileVectors * lanes, depth = panelSize / panelColumns;
  if (wideLines)
    lineScratch = frame.allocate(b, wideLines * c.width * c.channels);
  if (widensPanels())
    panelScratch = frame.allocate(b, depth * tileColumns);
  auto emitItem = [&](Value item, ValueRange carried) {
    ItemGrid::Place at = grid.emitPlace(b, item);
    // Where the tile's first pixel stands in the output and in the input.
    Value image = divIndex(b, at.row, pixels.perImage);
    Value inImage = remIndex(b, at.row, pixels.perImage);
    Value tile = inImage, line, first = indexConstant(b, 0);
    if (pixels.segments) {
      line = divIndex(b, inImage, pixels.tiling.count);
      tile = remIndex(b, inImage, pixels.tiling.count);
      first = pixels.tiling.emitStart(b, tile);
    } else {
      line = pixels.tiling.emitStart(b, tile);
    }
    Value pixel = addIndex(b, mulIndex(b, image, c.outHeight), line);
    pixel = addIndex(b, mulIndex(b, pixel, c.outWidth), first);
    SmallVector<Value> next;
    Value base = indexConstant(b, 0);
    if (wideLines) {
      emitOnChange(b, addIndex(b, mulIndex(b, image, c.outHeight), line),
                   carried, next, [&] { emitWideLines(image, line); });
    } else {
      base = addIndex(b, emitOffset(b, c.image, image), c.inputOffset);
      base =
          addIndex(b, base, mulIndex(b, line, c.strideHeight * c.rowDistance));
    }
    base =
        addIndex(b, base, mulIndex(b, first, c.strideWidth * c.columnDistance));
    Value column = mulIndex(b, at.column, tileColumns);
    Value panelIndex =
        addIndex(b, mulIndex(b, divIndex(b, column, panelColumns), panelSize),
                 mulIndex(b, remIndex(b, column, panelColumns), c.interleave));
    if (widensPanels())
      emitOnChange(b, column, carried, next, [&] {
        emitPairsCopy(b, frame.inputs[c.packed], panelIndex, depth, tileColumns,
                      lanes, panelScratch);
      });
    Value aheadIndex;
    if (ahead) {
      int64_t size = panelSize * tileColumns / panelColumns;
      aheadIndex = addIndex(
          b, addIndex(b, panelIndex, mulIndex(b, at.row, size / grid.rows)),
          size);
    }
    pixels.tiling.emitSwitch(b, tile, [&](int64_t units) {
      if (usesTiles)
        emitTileOfRegisters(units, base, pixel, column, panelIndex);
      else
        emitTile(units, base, pixel, column, panelIndex, aheadIndex);
    });
    return next;
  };
  emitFor(b, frame.begin, frame.end, 1, copied, emitItem);
  if (tileUnit)
    tileUnit->emitRelease();
  return items;
}

//===----------------------------------------------------------------------===//
// Reading the kernel
//===----------------------------------------------------------------------===//

static bool readConvolution(const KernelViews &views, Convolution &c,
                            std::string &whyNot) {
  auto op = cast<PackedConvOp>(views.anchor);
  const AnchorOperand &input = views.operands[0], &packed = views.operands[1];
  bool bytes =
      input.elementType.isInteger(8) && packed.elementType.isInteger(8);
  if (!bytes && (!isFloatUpTo32(input.elementType) ||
                 !isFloatUpTo32(packed.elementType))) {
    whyNot = "only convolutions of f32, bf16, f16 and of bytes have a tiled "
             "schedule";
    return false;
  }
  c.inputElement = input.elementType;
  c.filterElement = packed.elementType;
  c.elementBytes = input.elementType.getIntOrFloatBitWidth() / 8;
  if (bytes)
    c.interleave = byteStep;
  else if (input.elementType.isBF16() && packed.elementType.isBF16() &&
           packed.view.sizes.size() == 4)
    c.interleave = 2;
  ArrayRef<int64_t> in = input.view.sizes,
                    out = cast<RankedTensorType>(op.getType()).getShape();
  if (in.size() != 4 || op.getKernel().size() != 2) {
    whyNot = "only convolutions with two spatial dims have a tiled schedule";
    return false;
  }
  auto pair = [](ArrayRef<int64_t> values, int64_t &first, int64_t &second) {
    if (values.empty())
      return;
    first = values[0];
    second = values[1];
  };
  c.batch = in[0];
  c.height = in[1];
  c.width = in[2];
  c.channels = in[3];
  c.outHeight = out[1];
  c.outWidth = out[2];
  c.outChannels = out[3];
  pair(op.getKernel(), c.kernelHeight, c.kernelWidth);
  pair(op.getStrides(), c.strideHeight, c.strideWidth);
  pair(op.getDilations(), c.dilationHeight, c.dilationWidth);

  auto panels = packed.view.split({packed.view.getNumElements()});
  size_t rank = c.interleave > 1 ? 4 : 3;
  if (packed.view.sizes.size() != rank ||
      packed.view.sizes[2] != panelColumns ||
      (rank == 4 && packed.view.sizes[3] != c.interleave) ||
      packed.view.offset != 0 || (*panels)[0].size() != 1 ||
      (*panels)[0][0].stride != 1) {
    whyNot = "the packed filter is not whole panels of 32 columns";
    return false;
  }
  auto digits = input.view.split(in);
  if (!digits || (*digits)[1].size() > 1 || (*digits)[2].size() > 1 ||
      (*digits)[3].size() > 1) {
    whyNot = "the image has no strides";
    return false;
  }
  auto stride = [](ArrayRef<Factor> f) { return f.empty() ? 0 : f[0].stride; };
  c.input = input.argument;
  c.packed = packed.argument;
  c.isNarrow = !bytes && !input.elementType.isF32();
  c.inputOffset = input.view.offset;
  c.image = (*digits)[0];
  c.rowDistance = stride((*digits)[1]);
  c.columnDistance = stride((*digits)[2]);
  c.channelDistance = stride((*digits)[3]);
  // Dims of size 1 have no digit: any distance does, so take the one that makes
  // runs.
  if (c.channels == 1)
    c.channelDistance = c.columnDistance;
  // A window of one place that moves by one: the image is a single row.
  if (c.kernelHeight == 1 && c.kernelWidth == 1 && c.strideHeight == 1 &&
      c.strideWidth == 1) {
    auto flat = input.view.split({in[0] * in[1] * in[2], in[3]});
    if (flat && (*flat)[0].size() <= 1) {
      c.image.clear();
      c.batch = 1;
      c.height = c.outHeight = 1;
      c.width = c.outWidth = in[0] * in[1] * in[2];
      c.columnDistance = stride((*flat)[0]);
    }
  }
  if (c.interleave > 1 &&
      (c.channels % c.interleave || c.channelDistance != 1)) {
    whyNot = bytes ? "the bytes of a pixel do not come in fours side by side"
                   : "the bf16 of a pixel do not come in pairs side by side";
    return false;
  }
  return true;
}

FailureOr<LoweredKernel>
cpu::scheduleConvolution(KernelOp kernel, ModuleOp module, StringRef symbol,
                         const CpuFeatures &features, std::string &whyNot) {
  FailureOr<KernelViews> views = KernelViews::get(
      kernel,
      [](Operation *op) { return isa<PackedConvOp>(op) || isWindowOp(op); },
      whyNot);
  if (failed(views))
    return failure();
  if (isWindowOp(views->anchor))
    return scheduleWindow(kernel, *views, module, symbol, features, whyNot);
  Convolution c;
  if (!readConvolution(*views, c, whyNot))
    return failure();
  if (c.isBytes() && features.byteProducts == ByteProducts::None) {
    whyNot = "this processor has no known product of bytes";
    return failure();
  }
  return emitAnchored<ConvolutionEmitter>(
      kernel, *views, module, symbol, features, c,
      {c.batch * c.outHeight * c.outWidth, c.outChannels}, whyNot);
}
