//===- ContractionCopies.cpp - What a matrix product copies first ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ContractionEmitter.h"

using namespace lathe;
using namespace lathe::cpu;

/// The most bytes of a copy of A's 16-bit floats in f32.
static constexpr int64_t kWideBytes = 1 << 20;

/// A 16-bit float would take three instructions to widen for every vector it is
/// multiplied with.
void ContractionEmitter::planWideRows() {
  if (c.aRowStride == 1 && c.aDepthStride != 1 && !c.hasPairs()) {
    copiedRows = llvm::alignTo(rowTiles.big, width);
    copyStride = c.depth * copiedRows + 16;
  } else {
    // The padding keeps rows from the same places in the first-level cache.
    wideStride = llvm::alignTo(c.depth, width) + 16;
    copyStride = rowTiles.big * wideStride;
  }
  grid.rowsPerChunk = std::min(
      grid.rowsPerChunk, std::max<int64_t>(1, kWideBytes / (4 * copyStride)));
}

void ContractionEmitter::emitWideRows(const ItemGrid::Place &at) {
  Value source = function.inputs[c.a.argument];
  Value base = addIndex(b, emitOffset(b, c.aBatch, at.outer), c.a.view.offset);
  Value first = rowTiles.emitStart(b, at.first);
  Value end = minIndex(b, addIndex(b, at.first, grid.rowsPerChunk),
                       indexConstant(b, grid.rows));
  Value rows = b.createOrFold<arith::SubIOp>(rowTiles.emitStart(b, end), first);
  int64_t whole = c.aDepthStride == 1 ? c.depth / width * width : 0;
  emitFor(b, indexConstant(b, 0), rows, 1, [&](Value row) {
    Value from =
        addIndex(b, base, mulIndex(b, addIndex(b, first, row), c.aRowStride));
    Value to = mulIndex(b, row, wideStride);
    if (whole)
      emitFor(
          b, indexConstant(b, 0), indexConstant(b, whole), width, [&](Value k) {
            storeVector(b, loadVector(b, source, addIndex(b, from, k), width),
                        rowScratch, addIndex(b, to, k));
          });
    if (whole < c.depth)
      emitFor(b, indexConstant(b, whole), indexConstant(b, c.depth), 1,
              [&](Value k) {
                Value element = b.create<memref::LoadOp>(
                    source, addIndex(b, from, mulIndex(b, k, c.aDepthStride)));
                storeElement(b, widenFloat(b, element), rowScratch,
                             addIndex(b, to, k));
              });
  });
}

void ContractionEmitter::emitCopyOfRows(const ItemGrid::Place &at,
                                        const Part &part) {
  Value source = function.inputs[c.a.argument];
  Value base = addIndex(b, emitOffset(b, c.aBatch, at.outer), c.a.view.offset);
  Value tiles = minIndex(
      b, b.createOrFold<arith::SubIOp>(indexConstant(b, grid.rows), at.first),
      indexConstant(b, grid.rowsPerChunk));
  emitFor(b, indexConstant(b, 0), part.size, 1, [&](Value k) {
    Value from = addIndex(
        b, base, mulIndex(b, addIndex(b, k, part.begin), c.aDepthStride));
    emitFor(b, indexConstant(b, 0), tiles, 1, [&](Value tile) {
      Value row = rowTiles.emitStart(b, addIndex(b, at.first, tile));
      Value left = b.createOrFold<arith::SubIOp>(indexConstant(b, c.rows), row);
      Value to = addIndex(b, mulIndex(b, tile, copyStride),
                          mulIndex(b, k, copiedRows));
      for (int64_t r = 0; r < copiedRows; r += width) {
        Value mask = emitMask(b, addIndex(b, left, -r), width);
        Value elements = loadVector(
            b, source, addIndex(b, addIndex(b, from, row), r), width, mask);
        b.create<vector::StoreOp>(elements, rowScratch, addIndex(b, to, r));
      }
    });
  });
}

void ContractionEmitter::emitCopyOfColumns(Value batch, Value column,
                                           const Part &part) {
  if (c.hasScales())
    return emitWeightCopy(b, c, function, *special, column,
                          columns.unitVectors * width, panelScratch, width);
  if (c.hasPairs())
    return emitPairsCopy(b, function.inputs[c.b.argument],
                         emitPanelIndex(column), c.depth,
                         columns.unitVectors * width, width, panelScratch);
  PanelCopy copy;
  copy.source = function.inputs[c.b.argument];
  copy.index = addIndex(b,
                        addIndex(b, emitOffset(b, c.bBatch, batch),
                                 mulIndex(b, column, c.bColumnStride)),
                        c.b.view.offset);
  copy.index = addIndex(b, copy.index, mulIndex(b, part.begin, c.bDepthStride));
  copy.kStride = c.bDepthStride;
  copy.columnStride = c.bColumnStride;
  copy.depth = c.depth;
  if (isCut())
    copy.depthValue = part.size;
  copy.columns = columns.unitVectors * width;
  copy.width = width;
  copy.validColumns =
      b.createOrFold<arith::SubIOp>(indexConstant(b, c.columns), column);
  copy.panel = panelScratch;
  copy.panelStride = copy.columns;
  if (c.packed) {
    // Panels are whole, whatever the columns.
    copy.index = emitPanelIndex(column);
    copy.kStride = panelColumns;
    copy.columnStride = 1;
    copy.validColumns = indexConstant(b, copy.columns);
  }
  copy.emit(b);
}
