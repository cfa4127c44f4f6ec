//===- ContractionSchedule.cpp - Matrix products on the microkernel
//--------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel of one `packed_matmul`, `linear` or `matmul` and elementwise ops.
// The result is cut into tiles of rows by columns that a microkernel computes
// in registers; a work item is one tile. Items are ordered so that neighbours
// share their columns (the panel of B stays in the cache) and, where A is
// large, chunks of rows come first. What lies far apart in memory along the
// depth is copied, a panel of B or a chunk of A at a time.
//
//===----------------------------------------------------------------------===//

#include "Epilogue.h"
#include "ItemGrid.h"
#include "MicroKernel.h"

using namespace lathe;
using namespace lathe::cpu;

namespace {
/// The product as sizes and strides; `batch` counts what neither A's rows nor
/// the columns cover.
struct Contraction {
  int64_t batch = 1, rows = 1, columns = 1, depth = 1;
  AnchorOperand a, b;
  SmallVector<Factor> aBatch, bBatch;
  int64_t aRowStride = 0, aDepthStride = 0;
  /// Of an unpacked B.
  int64_t bDepthStride = 0, bColumnStride = 0;
  bool packed = false;
};
} // namespace

/// The stride of a coordinate of one digit.
static std::optional<int64_t> getStride(ArrayRef<Factor> factors) {
  if (factors.size() > 1)
    return std::nullopt;
  return factors.empty() ? 0 : factors[0].stride;
}

/// Cuts A's leading coordinate into a batch and rows of one stride.
static void setRows(Contraction &c, SmallVector<Factor> factors, int64_t rows) {
  c.rows = rows;
  c.aRowStride = factors.empty() ? 0 : factors.back().stride;
  if (factors.size() < 2)
    return;
  c.rows = factors.back().size;
  c.batch = rows / c.rows;
  factors.pop_back();
  c.aBatch = factors;
}

static bool setDepthAndColumns(Contraction &c, ArrayRef<Factor> aDepth,
                               ArrayRef<Factor> bDepth,
                               ArrayRef<Factor> bColumns, std::string &whyNot) {
  auto a = getStride(aDepth), depth = getStride(bDepth),
       columns = getStride(bColumns);
  if (!a || !depth || !columns) {
    whyNot = "an operand's view has no stride along the depth or the columns";
    return false;
  }
  c.aDepthStride = *a;
  c.bDepthStride = *depth;
  c.bColumnStride = *columns;
  return true;
}

/// Reads `linear` and `packed_matmul`: the columns do not depend on A's leading
/// dims.
static bool readShared(Contraction &c, int64_t columns, ArrayRef<Factor> bDepth,
                       ArrayRef<Factor> bColumns, std::string &whyNot) {
  c.columns = columns;
  c.depth = c.a.view.sizes.back();
  int64_t rows = 1;
  for (int64_t size : ArrayRef(c.a.view.sizes).drop_back())
    rows *= size;
  auto a = c.a.view.split({rows, c.depth});
  if (!a) {
    whyNot = "the rows of the left-hand side have no strides";
    return false;
  }
  setRows(c, (*a)[0], rows);
  return setDepthAndColumns(c, (*a)[1], bDepth, bColumns, whyNot);
}

static bool readMatmul(Contraction &c, MatmulOp op, std::string &whyNot) {
  SmallVector<int64_t> shape(cast<RankedTensorType>(op.getType()).getShape());
  int64_t rank = shape.size();
  if (c.a.view.sizes.size() < 2 || c.b.view.sizes.size() < 2) {
    whyNot = "the product has a vector operand";
    return false;
  }
  auto viewAs =
      [&](const StridedView &view,
          bool transposed) -> std::optional<SmallVector<SmallVector<Factor>>> {
    // The operand over the result's batch, with its own last two dims.
    SmallVector<int64_t> sizes(shape);
    size_t operandRank = view.sizes.size();
    sizes[rank - 2] = view.sizes[operandRank - 2];
    sizes[rank - 1] = view.sizes[operandRank - 1];
    auto wide = view.broadcastTo(sizes);
    if (!wide)
      return std::nullopt;
    int64_t batch = 1;
    for (int64_t size : ArrayRef(shape).drop_back(2))
      batch *= size;
    auto digits = wide->split({batch, sizes[rank - 2], sizes[rank - 1]});
    if (digits && transposed)
      std::swap((*digits)[1], (*digits)[2]);
    return digits;
  };
  auto a = viewAs(c.a.view, op.getTransposeLhs());
  auto b = viewAs(c.b.view, op.getTransposeRhs());
  if (!a || !b) {
    whyNot = "the batch dims of an operand have no strides";
    return false;
  }
  int64_t batch = 1;
  for (int64_t size : ArrayRef(shape).drop_back(2))
    batch *= size;
  ArrayRef<int64_t> aSizes = c.a.view.sizes;
  c.depth = aSizes[aSizes.size() - (op.getTransposeLhs() ? 2 : 1)];
  c.columns = shape[rank - 1];
  int64_t rows = shape[rank - 2];
  if (!setDepthAndColumns(c, (*a)[2], (*b)[1], (*b)[2], whyNot))
    return false;
  if (llvm::all_of((*b)[0], [](Factor f) { return f.stride == 0; })) {
    // One right-hand side for all: the batch is only more rows.
    SmallVector<Factor> leading = (*a)[0];
    for (Factor factor : (*a)[1]) {
      if (!leading.empty() &&
          leading.back().stride == factor.stride * factor.size)
        leading.back() = {leading.back().size * factor.size, factor.stride};
      else
        leading.push_back(factor);
    }
    setRows(c, leading, batch * rows);
    return true;
  }
  auto rowStride = getStride((*a)[1]);
  if (!rowStride) {
    whyNot = "the rows of the left-hand side have no stride";
    return false;
  }
  c.batch = batch;
  c.rows = rows;
  c.aRowStride = *rowStride;
  c.aBatch = (*a)[0];
  c.bBatch = (*b)[0];
  return true;
}

static bool isContraction(Operation *op) {
  return isa<PackedMatmulOp, LinearOp, MatmulOp>(op);
}

static bool readContraction(KernelViews &views, Contraction &c,
                            std::string &whyNot) {
  for (AnchorOperand &operand : views.operands)
    if (!operand.elementType.isF32()) {
      whyNot = "only f32 products have a tiled schedule";
      return false;
    }
  c.a = views.operands[0];
  c.b = views.operands[1];
  if (auto op = dyn_cast<PackedMatmulOp>(views.anchor)) {
    const StridedView &packed = c.b.view;
    auto digits = packed.split({packed.getNumElements()});
    c.packed = true;
    if (packed.sizes.size() != 3 || packed.sizes.back() != panelColumns ||
        packed.offset != 0 || getStride((*digits)[0]).value_or(0) != 1) {
      whyNot = "the packed side is not whole panels of 32 columns";
      return false;
    }
    return readShared(c, op.getN(), {}, {}, whyNot);
  }
  if (isa<LinearOp>(views.anchor)) {
    auto digits = c.b.view.split(c.b.view.sizes);
    if (!digits) {
      whyNot = "the weight's view has no strides";
      return false;
    }
    return readShared(c, c.b.view.sizes[0], (*digits)[1], (*digits)[0], whyNot);
  }
  return readMatmul(c, cast<MatmulOp>(views.anchor), whyNot);
}

//===----------------------------------------------------------------------===//
// Emission
//===----------------------------------------------------------------------===//

/// A copy of A's rows pays where neighbours along the depth are this many
/// elements apart, and there are so many of them that the cache cannot hold a
/// line for each.
static constexpr int64_t kFarApart = 64, kDeepEnough = 512;

namespace {
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
    plan();
  }

  int64_t emit();

private:
  void plan();
  void emitTile(int64_t rows, int64_t vectors, Value batch, Value row,
                Value chunkRow, Value column, Value panelIndex,
                Value aheadIndex);
  Value emitPanelIndex(Value column);
  void emitCopyOfRows(Value batch, Value chunkRow);

  ImplicitLocOpBuilder &b;
  KernelFrame &function;
  const Contraction &c;
  const Epilogue &epilogue;
  const CpuFeatures &features;
  int64_t width;
  Tiling rowTiles;
  ColumnTiles columns;
  ItemGrid grid;
  Value tileScratch, panelScratch, rowScratch;
  /// Rows of a chunk's copy of A; 0 where A is read where it lies.
  int64_t copiedRows = 0;
};
} // namespace

void ContractionEmitter::plan() {
  // Few rows: more columns at once, so that enough sums are on their way to
  // hide the latency of an addition.
  int64_t group = 1;
  columns.unitVectors = 2;
  columns.inPlace = !c.packed && c.bColumnStride == 1 && c.rows <= 16;
  int64_t panelVectors = panelColumns / width;
  if (c.rows <= 4 && (c.packed || columns.inPlace)) {
    columns.unitVectors = panelVectors;
    int64_t registers = features.vectorRegisters;
    while ((group + 1) * panelVectors * (c.rows + 1) + 1 <= registers &&
           group < 6)
      ++group;
    if (panelVectors * (c.rows + 1) + 1 > registers)
      columns.unitVectors = 2;
  }
  int64_t units = llvm::divideCeil(c.columns, columns.unitVectors * width);
  columns.units = Tiling::balanced(units, group);
  rowTiles = Tiling::balanced(
      c.rows,
      getLargestRows(features, columns.unitVectors *
                                   std::max<int64_t>(columns.units.big, 1)));

  grid.outer = c.batch;
  grid.columns = columns.units.count;
  grid.rows = rowTiles.count;
  // Rows come in chunks that stay in the second-level cache with what they
  // give, unless that cache is better spent on B.
  int64_t bytesPerTile = rowTiles.big * (c.depth + c.columns) * 4;
  int64_t bBytes = c.depth * c.columns * 4;
  grid.rowsPerChunk = rowTiles.count;
  if (rowTiles.count * bytesPerTile > (1 << 20) && bBytes <= (1 << 19))
    grid.rowsPerChunk = std::max<int64_t>(1, (3 << 18) / bytesPerTile);

  // A transposed left-hand side, as in the gradient of a weight, has every k in
  // another place, so that each tile would fetch a page per k anew. A chunk's
  // rows are copied next to each other, once for all columns; the more of them,
  // the less often B is copied.
  if (c.aRowStride == 1 && c.aDepthStride >= kFarApart &&
      c.depth >= kDeepEnough && c.rows > rowTiles.big) {
    grid.rowsPerChunk = std::clamp<int64_t>(
        (3 << 18) / (rowTiles.big * c.depth * 4), 1, rowTiles.count);
    copiedRows = llvm::alignTo(grid.rowsPerChunk * rowTiles.big, width);
  }
}

void ContractionEmitter::emitCopyOfRows(Value batch, Value chunkRow) {
  PanelCopy copy;
  copy.source = function.inputs[c.a.argument];
  copy.index =
      addIndex(b, addIndex(b, emitOffset(b, c.aBatch, batch), chunkRow),
               c.a.view.offset);
  copy.kStride = c.aDepthStride;
  copy.columnStride = 1;
  copy.depth = c.depth;
  copy.columns = copiedRows;
  copy.width = width;
  copy.validColumns =
      b.createOrFold<arith::SubIOp>(indexConstant(b, c.rows), chunkRow);
  copy.panel = rowScratch;
  copy.panelStride = copiedRows;
  copy.emit(b);
}

/// Where the columns from `column` on start in B (or in its copy).
Value ContractionEmitter::emitPanelIndex(Value column) {
  int64_t tileColumns = columns.unitVectors * width;
  if (tileColumns >= panelColumns)
    return mulIndex(b, column, c.depth);
  Value panel = divIndex(b, column, panelColumns);
  return addIndex(b, mulIndex(b, panel, c.depth * panelColumns),
                  remIndex(b, column, panelColumns));
}

void ContractionEmitter::emitTile(int64_t rows, int64_t vectors, Value batch,
                                  Value row, Value chunkRow, Value column,
                                  Value panelIndex, Value aheadIndex) {
  Product product;
  product.width = width;
  product.depth = c.depth;
  product.setUniform(rows, c.aRowStride, vectors);
  product.a = function.inputs[c.a.argument];
  product.aIndex = addIndex(b,
                            addIndex(b, emitOffset(b, c.aBatch, batch),
                                     mulIndex(b, row, c.aRowStride)),
                            c.a.view.offset);
  product.aStep = c.aDepthStride;
  if (copiedRows) {
    product.a = rowScratch;
    product.aIndex = b.createOrFold<arith::SubIOp>(row, chunkRow);
    product.aStep = copiedRows;
  }

  SmallVector<Value> masks;
  if (c.columns % (columns.unitVectors * width))
    for (int64_t v = 0; v < vectors; ++v) {
      Value left = b.createOrFold<arith::SubIOp>(
          indexConstant(b, c.columns), addIndex(b, column, v * width));
      masks.push_back(emitMask(b, left, width));
    }

  product.bIndex = panelIndex;
  if (c.packed) {
    product.b = function.inputs[c.b.argument];
    product.aheadIndex = aheadIndex;
    product.aheadLines = 2.0 / rowTiles.count;
    int64_t panelVectors = panelColumns / width;
    for (int64_t v = 0; v < vectors; ++v)
      product.vectorOffsets[v] =
          v / panelVectors * c.depth * panelColumns + v % panelVectors * width;
  } else if (columns.inPlace) {
    product.b = function.inputs[c.b.argument];
    product.bStep = c.bDepthStride;
    product.masks = masks;
  } else {
    product.b = panelScratch;
    product.bStep = vectors * width;
  }
  SmallVector<Value> sums = product.emit(b, product.emitZeros(b));
  epilogue.emitTile(b, function, sums, rows, vectors, {batch, row, column},
                    masks, tileScratch);
}

int64_t ContractionEmitter::emit() {
  int64_t items = grid.getNumItems();
  if (items == 0)
    return 0;
  int64_t largest = rowTiles.big * columns.units.big * columns.unitVectors;
  if (!epilogue.isCheap())
    tileScratch = function.allocate(b, largest * width);
  bool copies = !c.packed && !columns.inPlace;
  int64_t tileColumns = columns.unitVectors * width;
  if (copies)
    panelScratch = function.allocate(b, c.depth * tileColumns);
  // The next columns are fetched while these are computed with, where B is too
  // large to be in a cache already.
  bool ahead = c.packed && c.rows > 4 && grid.rowsPerChunk == grid.rows &&
               c.depth * c.columns * 4 > (1 << 19);

  if (copiedRows)
    rowScratch = function.allocate(b, c.depth * copiedRows);

  // What the copies are of.
  SmallVector<Value> init(copies + (copiedRows != 0), indexConstant(b, -1));
  emitFor(b, function.begin, function.end, 1, init,
          [&](Value item, ValueRange carried) -> SmallVector<Value> {
            ItemGrid::Place at = grid.emitPlace(b, item);
            Value column =
                mulIndex(b, columns.units.emitStart(b, at.column), tileColumns);
            Value row = rowTiles.emitStart(b, at.row);
            SmallVector<Value> next;
            if (copies) {
              // The copy is kept while the items stay in the same columns.
              Value key =
                  addIndex(b, mulIndex(b, at.outer, grid.columns), at.column);
              Value changed = b.create<arith::CmpIOp>(arith::CmpIPredicate::ne,
                                                      key, carried[0]);
              emitIf(b, changed, [&] {
                PanelCopy copy;
                copy.source = function.inputs[c.b.argument];
                copy.index =
                    addIndex(b,
                             addIndex(b, emitOffset(b, c.bBatch, at.outer),
                                      mulIndex(b, column, c.bColumnStride)),
                             c.b.view.offset);
                copy.kStride = c.bDepthStride;
                copy.columnStride = c.bColumnStride;
                copy.depth = c.depth;
                copy.columns = tileColumns;
                copy.width = width;
                copy.validColumns = b.createOrFold<arith::SubIOp>(
                    indexConstant(b, c.columns), column);
                copy.panel = panelScratch;
                copy.panelStride = tileColumns;
                copy.emit(b);
              });
              next.push_back(key);
            }
            Value chunkRow;
            if (copiedRows) {
              chunkRow = rowTiles.emitStart(b, at.first);
              Value key =
                  addIndex(b, mulIndex(b, at.outer, grid.rows), at.first);
              Value changed = b.create<arith::CmpIOp>(arith::CmpIPredicate::ne,
                                                      key, carried.back());
              emitIf(b, changed, [&] { emitCopyOfRows(at.outer, chunkRow); });
              next.push_back(key);
            }
            Value panelIndex = indexConstant(b, 0), aheadIndex;
            if (c.packed) {
              panelIndex = emitPanelIndex(column);
              if (ahead)
                aheadIndex = addIndex(
                    b,
                    addIndex(b, panelIndex,
                             mulIndex(b, at.row,
                                      c.depth * panelColumns / grid.rows)),
                    c.depth * panelColumns);
            } else if (columns.inPlace) {
              panelIndex = addIndex(
                  b, addIndex(b, emitOffset(b, c.bBatch, at.outer), column),
                  c.b.view.offset);
            }
            rowTiles.emitSwitch(b, at.row, [&](int64_t rows) {
              columns.units.emitSwitch(b, at.column, [&](int64_t units) {
                emitTile(rows, units * columns.unitVectors, at.outer, row,
                         chunkRow, column, panelIndex, aheadIndex);
              });
            });
            return next;
          });
  return items;
}

FailureOr<LoweredKernel>
cpu::scheduleContraction(KernelOp kernel, ModuleOp module, StringRef symbol,
                         const CpuFeatures &features, std::string &whyNot) {
  FailureOr<KernelViews> views =
      KernelViews::get(kernel, isContraction, whyNot);
  if (failed(views))
    return failure();
  Contraction contraction;
  if (!readContraction(*views, contraction, whyNot))
    return failure();
  if (auto linear = dyn_cast<LinearOp>(views->anchor))
    if (linear.getBias())
      views->foldBias(2);
  return emitAnchored<ContractionEmitter>(
      kernel, *views, module, symbol, features, contraction,
      {contraction.batch, contraction.rows, contraction.columns}, whyNot);
}
