//===- ConvolutionEmitter.h - The loops of a convolution --------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Private to ConvolutionSchedule.cpp, which has the plan and the loops, and
// ConvolutionTiles.cpp, which has what AMX's tiles need.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_CONVOLUTIONEMITTER_H
#define LATHE_LIB_TARGET_CPU_CONVOLUTIONEMITTER_H

#include "BfloatKernel.h"
#include "Epilogue.h"
#include "IntegerKernel.h"
#include "ItemGrid.h"
#include "TileKernel.h"
#include "lathe/Conversion/ElementBuilder.h"

namespace lathe::cpu {

/// Output pixels that a tile covers. Tiles are numbered so that their pixels
/// ascend; each covers consecutive pixels.
struct PixelTiles {
  /// Of one row of output: segments. Else of one image: whole rows.
  bool segments = true;
  Tiling tiling;
  /// Tiles per image, pixels per unit of `tiling`.
  int64_t perImage = 0, pixelsPerUnit = 1;
};

struct Convolution {
  int64_t batch, height, width, channels;
  int64_t outHeight, outWidth, outChannels;
  int64_t kernelHeight, kernelWidth;
  int64_t strideHeight = 1, strideWidth = 1;
  int64_t dilationHeight = 1, dilationWidth = 1;
  unsigned input, packed;
  bool isNarrow = false;
  /// Of floats, or of bytes that are signed or not.
  Type inputElement, filterElement;
  bool isBytes() const { return inputElement.isInteger(8); }
  /// Pairs of bf16 lie together in the filter.
  bool hasPairs() const { return interleave == 2; }
  /// Elements of a column that lie together in the filter, bytes of one.
  int64_t interleave = 1, elementBytes = 4;
  int64_t inputOffset;
  SmallVector<Factor> image;
  /// Distances in the input, in elements.
  int64_t rowDistance, columnDistance, channelDistance;
};

class ConvolutionEmitter {
public:
  ConvolutionEmitter(ImplicitLocOpBuilder &b, KernelFrame &frame,
                     const Convolution &c, const Epilogue &epilogue,
                     const CpuFeatures &features)
      : b(b), frame(frame), c(c), epilogue(epilogue), features(features),
        lanes(features.vectorWidth) {
    if (c.isBytes())
      bytes = getByteArithmetic(features, isUnsignedElement(c.inputElement),
                                isUnsignedElement(c.filterElement));
    plan();
  }

  int64_t emit();

private:
  void plan();
  void planPixels();
  bool planTiles();
  void emitRegisters();
  int64_t getRowOffset(int64_t row) const;
  void planWideLines();
  void emitWideLines(Value image, Value line);
  void emitTile(int64_t units, Value base, Value pixel, Value column,
                Value panelIndex, Value aheadIndex);
  void emitTileOfRegisters(int64_t units, Value base, Value pixel, Value column,
                           Value panelIndex);
  SmallVector<Value> emitMasks(Value column);
  SmallVector<Value> emitProduct(Product product);
  SmallVector<Value> emitWindow(Product product, ArrayRef<Value> sums,
                                Product::Inner inner);
  /// Whether both sides are multiplied as the bf16 that they are.
  bool usesDots() const {
    return c.hasPairs() && !usesTiles &&
           features.bfloatProducts == BfloatProducts::Pairs;
  }
  bool widensPanels() const {
    return c.hasPairs() && !usesTiles && !usesDots();
  }
  const Arithmetic &getArithmetic() const {
    return bytes ? *bytes : usesDots() ? dotArithmetic : floatArithmetic;
  }
  /// Whether the columns and channels of a line of the window lie in one run.
  bool isOneRun() const {
    return c.kernelWidth == 1 ||
           c.columnDistance * c.dilationWidth == c.channels * c.channelDistance;
  }
  /// Elements that lie in one run.
  int64_t getRun() const {
    return isOneRun() ? c.channels * c.kernelWidth : c.channels;
  }
  /// Elements of a panel of the filter.
  int64_t getPanelSize() const {
    return c.kernelHeight * c.kernelWidth * c.channels * panelColumns;
  }

  ImplicitLocOpBuilder &b;
  KernelFrame &frame;
  /// With distances in the copy, where there is one.
  Convolution c;
  const Epilogue &epilogue;
  const CpuFeatures &features;
  int64_t lanes;
  std::unique_ptr<Arithmetic> bytes;
  /// Whether AMX's tiles take the place of vectors.
  bool usesTiles = false;
  std::optional<TileUnit> tileUnit;
  PixelTiles pixels;
  /// Vectors of columns in a tile.
  int64_t tileVectors = 2;
  ItemGrid grid;
  Value tileScratch, lineScratch, panelScratch;
  /// Lines of the image that a tile reads, where they are copied; how far apart
  /// they are in the image.
  int64_t wideLines = 0, imageRowDistance = 0;
};

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_CONVOLUTIONEMITTER_H
