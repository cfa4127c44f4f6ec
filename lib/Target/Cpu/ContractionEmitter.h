//===- ContractionEmitter.h - The loops of a matrix product -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Private to ContractionSchedule.cpp, which has the plan and the loops, and
// ContractionCopies.cpp, which copies what is read far apart or narrow.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_CONTRACTIONEMITTER_H
#define LATHE_LIB_TARGET_CPU_CONTRACTIONEMITTER_H

#include "BfloatKernel.h"
#include "ContractionOperands.h"
#include "Epilogue.h"
#include "IntegerKernel.h"
#include "ItemGrid.h"
#include "TileKernel.h"
#include "WeightKernel.h"
#include "lathe/Conversion/ElementBuilder.h"

namespace lathe::cpu {

/// How the columns of a contraction are cut into tiles.
struct ColumnTiles {
  /// Tiles in units of `unit` vectors of B: panels where several are taken at
  /// once, else the one tile's vectors.
  Tiling units;
  int64_t unitVectors = 2;
  /// B is read where it lies, or from a copy of one tile's columns.
  bool inPlace = false;
};

class ContractionEmitter {
public:
  ContractionEmitter(ImplicitLocOpBuilder &b, KernelFrame &function,
                     const Contraction &c, const Epilogue &epilogue,
                     const CpuFeatures &features)
      : b(b), function(function), c(c), epilogue(epilogue), features(features),
        width(features.vectorWidth) {
    if (c.kind == Contraction::Kind::Bytes)
      special = getByteArithmetic(features, isUnsignedElement(c.a.elementType),
                                  isUnsignedElement(c.b.elementType));
    if (c.hasScales())
      special = getWeightArithmetic(features, c);
    plan();
  }

  int64_t emit();

private:
  /// What is done of the depth at a time: all of it, or from `begin` on.
  struct Part {
    Value begin, size;
    /// Of items whose sums wait, the first, and whether this part ends them.
    Value firstItem, isLast;
  };

  void plan();
  void planDepth();
  int64_t getItemsPerRun();
  void emitItems(Value begin, Value end, const Part &part);
  void emitRuns();
  void emitTile(int64_t rows, int64_t vectors, const ItemGrid::Place &at,
                Value item, Value row, Value column, Value panelIndex,
                Value aheadIndex, const Part &part);
  void emitTileOfRegisters(const Product &product, int64_t vectors, Value item,
                           ArrayRef<Value> coordinates, Value panelIndex,
                           ArrayRef<Value> masks, const Part &part);
  SmallVector<Value> emitSums(const Product &product, Value row, Value column);
  Product getRows(int64_t rows, int64_t vectors);
  void emitMakeUps();
  Value emitPanelIndex(Value column);
  void planWideRows();
  void emitCopyOfRows(const ItemGrid::Place &at, const Part &part);
  void emitWideRows(const ItemGrid::Place &at);
  void emitCopyOfColumns(Value batch, Value column, const Part &part);
  /// Weights with scales are multiplied by them once for many rows, in a copy.
  bool streamsWeights() const { return c.hasScales() && c.rows <= 4; }
  bool copiesColumns() const {
    return !columns.inPlace && (!c.packed || c.hasScales() || widensPanels);
  }
  /// Whether AMX's tiles take the place of vectors; a depth that is no whole
  /// number of their rows would need copies of its end.
  bool usesTiles() const {
    return (c.kind == Contraction::Kind::Bytes || c.hasPairs()) &&
           c.rows > kRowsOfVectors && features.tiles != TileRegisters::None &&
           c.depth % (c.interleave * 16) == 0 && c.aDepthStride == 1 &&
           panelColumns % width == 0;
  }
  /// Whether both sides are multiplied as the bf16 that they are.
  bool usesDots() const {
    return c.hasPairs() && !usesTiles() &&
           features.bfloatProducts == BfloatProducts::Pairs &&
           c.aDepthStride == 1;
  }
  /// Whether 16-bit floats have to be widened before they are multiplied.
  bool readsWide() const { return !usesTiles() && !usesDots(); }
  const Arithmetic &getArithmetic() const {
    if (usesDots())
      return dotArithmetic;
    // Copies are f32.
    if (c.hasPairs() && !widensPanels)
      return pairArithmetic;
    return special && !(c.hasScales() && c.rows > 4) ? *special
                                                     : floatArithmetic;
  }
  static bool isHalf(const AnchorOperand &operand) {
    return isFloatUpTo32(operand.elementType) && !operand.elementType.isF32();
  }
  bool isCut() const { return depthParts > 1; }

  ImplicitLocOpBuilder &b;
  KernelFrame &function;
  const Contraction &c;
  const Epilogue &epilogue;
  const CpuFeatures &features;
  int64_t width;
  /// Where the operands are not f32.
  std::unique_ptr<Arithmetic> special;
  std::optional<TileUnit> tileUnit;
  Tiling rowTiles;
  ColumnTiles columns;
  ItemGrid grid;
  Value tileScratch, panelScratch, rowScratch, sumScratch, makeUps;
  /// Rows of a tile's copy of A, with padding; 0 where A is read where it lies.
  int64_t copiedRows = 0;
  /// Elements from one tile's copy of A to the next one's.
  int64_t copyStride = 0;
  /// Elements from one row of A's f32 copy to the next one's; 0 without one.
  int64_t wideStride = 0;
  bool widensPanels = false;
  /// Into how many parts the depth is cut, and the size of the largest.
  int64_t depthParts = 1, largestPart = 0;
  /// What parts are whole numbers of, in elements (but for the last part's
  /// end).
  int64_t depthUnit = 1;
  /// Items whose sums wait together, and how many elements each has.
  int64_t itemsPerRun = 1, tileElements = 0;
};

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_CONTRACTIONEMITTER_H
