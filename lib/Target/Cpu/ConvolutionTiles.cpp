//===- ConvolutionTiles.cpp - Convolutions in AMX's tiles -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The rows of a register are output pixels of one line, whose inputs stand at a
// constant distance from each other: an instruction reads them as they lie, for
// every place of the window. The two blocks of rows of a tile need no constant
// distance between all their pixels: where lines have no more than 16 pixels,
// they are two lines.
//
//===----------------------------------------------------------------------===//

#include "ConvolutionEmitter.h"

using namespace lathe;
using namespace lathe::cpu;

/// Whether tiles are used, and which pixels they cover. Not where
/// - what lies in one run at a place of the window is no whole number of rows
///   of 64 bytes: of each place a large part of the products would be of
///   zeros, and runs would have to be copied to have them (3 to 16 channels);
/// - a line has few pixels, see `kRowsOfVectors`.
bool ConvolutionEmitter::planTiles() {
  if (features.tiles == TileRegisters::None ||
      (!c.isBytes() && !c.hasPairs()) || c.outWidth <= kRowsOfVectors ||
      panelColumns % lanes || c.channelDistance != 1 ||
      getRun() * c.elementBytes % tileBytes)
    return false;
  tileVectors = panelColumns / lanes;
  if (c.outWidth > registerRows || c.outHeight == 1) {
    pixels.tiling = Tiling::balanced(c.outWidth, tileRows);
    pixels.perImage = c.outHeight * pixels.tiling.count;
  } else {
    pixels.segments = false;
    pixels.pixelsPerUnit = c.outWidth;
    pixels.tiling = Tiling::balanced(c.outHeight, 2);
    pixels.perImage = pixels.tiling.count;
  }
  return true;
}

/// One shape does for all tiles: a line that is left over uses the first block
/// alone, and a segment that is a pixel shorter computes the pixel in front,
/// too.
void ConvolutionEmitter::emitRegisters() {
  tileUnit.emplace(b, frame, frame.function->getParentOfType<ModuleOp>(),
                   frame.function.getSymName(),
                   features.tiles == TileRegisters::Emulated);
  int64_t first = c.outWidth, second = c.outWidth;
  if (pixels.segments) {
    first = std::min(pixels.tiling.big, registerRows);
    second = pixels.tiling.big - first;
  }
  tileUnit->emitConfigure(first, second);
}

void ConvolutionEmitter::emitTileOfRegisters(int64_t units, Value base,
                                             Value pixel, Value column,
                                             Value panelIndex) {
  int64_t rows = units * pixels.pixelsPerUnit;
  int64_t pixelDistance = c.strideWidth * c.columnDistance;
  TileUnit::Rows a;
  a.operand = {frame.inputs[c.input], base, c.inputElement};
  a.stride = pixelDistance;
  a.blockDistance = registerRows * pixelDistance;
  TileUnit::Operand panel{frame.inputs[c.packed], panelIndex, c.filterElement};
  int64_t extra = 0;
  if (pixels.segments) {
    extra = pixels.tiling.big - units;
    a.operand.index = addIndex(b, base, -extra * pixelDistance);
    tileUnit->setBlocks(llvm::divideCeil(pixels.tiling.big, registerRows));
  } else {
    a.blockDistance = c.strideHeight * c.rowDistance;
    tileUnit->setBlocks(units);
  }
  if (c.kernelHeight * c.kernelWidth * c.channels >= kDepthToFetch)
    epilogue.emitFetch(b, frame, rows, tileVectors, {pixel, column});

  Product window;
  window.arithmetic = &getArithmetic();
  window.aIndex = a.operand.index;
  window.bIndex = panelIndex;
  window.bStep = panelColumns * window.arithmetic->getStep();
  tileUnit->emitZero();
  emitWindow(window, {}, [&](const Product &place, ArrayRef<Value>) {
    a.operand.index = place.aIndex;
    panel.index = place.bIndex;
    tileUnit->emitSteps(indexConstant(b, getRun() * c.elementBytes / tileBytes),
                        a, panel);
    return SmallVector<Value>();
  });
  tileUnit->emitStore(tileScratch, indexConstant(b, 0));
  epilogue.emitStoredTile(b, frame, tileScratch, extra, rows, tileVectors,
                          {pixel, column}, emitMasks(column));
}
