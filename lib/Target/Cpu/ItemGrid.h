//===- ItemGrid.h - The order of work items over tiles ----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_ITEMGRID_H
#define LATHE_LIB_TARGET_CPU_ITEMGRID_H

#include "KernelFrame.h"

namespace lathe::cpu {

/// Tiles in the order outer (batch), chunk of row tiles, column tile, row tile:
/// consecutive items share their columns, and a chunk's rows stay in the cache
/// over all columns.
struct ItemGrid {
  int64_t outer = 1, columns = 1, rows = 1, rowsPerChunk = 1;

  struct Place {
    Value outer, column, row;
    /// The first row tile of the chunk.
    Value first;
  };

  int64_t getNumItems() const { return outer * columns * rows; }

  Place emitPlace(ImplicitLocOpBuilder &b, Value item) const {
    Place place;
    Value rest = item;
    place.outer = indexConstant(b, 0);
    if (outer != 1) {
      place.outer = divIndex(b, item, columns * rows);
      rest = remIndex(b, item, columns * rows);
    }
    if (rowsPerChunk >= rows) {
      place.first = indexConstant(b, 0);
      place.column = divIndex(b, rest, rows);
      place.row = remIndex(b, rest, rows);
      return place;
    }
    Value chunk = divIndex(b, rest, columns * rowsPerChunk);
    rest = remIndex(b, rest, columns * rowsPerChunk);
    Value first = mulIndex(b, chunk, rowsPerChunk);
    Value left = b.createOrFold<arith::SubIOp>(indexConstant(b, rows), first);
    Value size = minIndex(b, left, indexConstant(b, rowsPerChunk));
    place.column = b.createOrFold<arith::DivUIOp>(rest, size);
    place.first = first;
    place.row = addIndex(b, first, b.createOrFold<arith::RemUIOp>(rest, size));
    return place;
  }
};

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_ITEMGRID_H
