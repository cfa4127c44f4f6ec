//===- ContractionSchedule.cpp - Matrix products on the microkernel -------===//
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
// depth is copied, a panel of B or a chunk of A at a time. A deep product whose
// operands are copied is cut along the depth, so that the copies fit into the
// caches: the sums of a run of items wait in scratch for their next part.
// 16-bit floats are widened to f32, but where the processor multiplies them
// itself: rows of A in a copy, B in a copy of the panel where enough rows use
// it, else in registers.
//
//===----------------------------------------------------------------------===//

#include "ContractionEmitter.h"

using namespace lathe;
using namespace lathe::cpu;

/// A copy of A's rows pays where neighbours along the depth are this many
/// elements apart, and there are so many of them that the cache cannot hold a
/// line for each.
static constexpr int64_t kFarApart = 64, kDeepEnough = 512;

/// The part of the depth that is done at once where it is cut, in elements: a
/// panel of B takes half of a first-level cache.
static constexpr int64_t kDepthPart = 256;
/// The same with AMX, in bytes: 32 rows of them and a panel's 32 columns, 20
/// KiB each, stay in a first-level cache of 48 KiB with the sums that come and
/// go. What fits as a whole is not cut.
static constexpr int64_t kTilePart = 640, kTileDepth = 768;
/// Rows of tiles that share a copied panel of B, where the depth is cut, and
/// bytes of the sums that wait: with a part of A, half of a second-level cache.
static constexpr int64_t kTilesPerChunk = 14, kWaitingBytes = 3 << 17;

/// Rows from which on a panel of 16-bit floats is copied in f32.
static constexpr int64_t kRowsToWiden = 32;

/// Bytes of a right-hand side that takes a small part of a second-level cache.
static constexpr int64_t kSmallBytes = 5 << 16;

void ContractionEmitter::plan() {
  // Few rows: more columns at once, so that enough sums are on their way to
  // hide the latency of an addition.
  int64_t group = 1;
  widensPanels =
      c.packed && isHalf(c.b) && c.rows >= kRowsToWiden && readsWide();
  const Arithmetic &arithmetic = getArithmetic();
  columns.unitVectors = 2;
  columns.inPlace =
      (!c.packed && c.bColumnStride == 1 && c.rows <= 16) || streamsWeights();
  int64_t panelVectors = panelColumns / width;
  if (c.rows <= 4 && (c.packed || columns.inPlace)) {
    columns.unitVectors = panelVectors;
    int64_t registers = features.vectorRegisters;
    auto fits = [&](int64_t vectors) {
      return vectors * c.rows + arithmetic.getRegisters(vectors) <= registers;
    };
    while (fits((group + 1) * panelVectors) && group < 6)
      ++group;
    if (!fits(panelVectors))
      columns.unitVectors = 2;
  } else if (c.packed && !usesTiles() && !copiesColumns() &&
             panelVectors == columns.unitVectors) {
    // Fewer rows and more columns where the cache cannot hold so many rows.
    int64_t rows =
        std::min(c.rows, getLargestRows(features, panelVectors, arithmetic));
    SmallVector<int64_t> offsets;
    for (int64_t row = 0; row < rows; ++row)
      offsets.push_back(row * c.aRowStride * c.getABytes());
    if (rowsCollide(offsets))
      group = 2;
  }
  if (usesTiles())
    columns.unitVectors = panelVectors;
  int64_t units = llvm::divideCeil(c.columns, columns.unitVectors * width);
  columns.units = Tiling::balanced(units, group);
  int64_t largestRows = tileRows;
  if (!usesTiles())
    largestRows = getLargestRows(
        features, columns.unitVectors * std::max<int64_t>(columns.units.big, 1),
        arithmetic);
  rowTiles = Tiling::balanced(c.rows, largestRows);

  grid.outer = c.batch;
  grid.columns = columns.units.count;
  grid.rows = rowTiles.count;
  // Rows come in chunks that stay in the second-level cache with what they
  // give, unless that cache is better spent on B.
  int64_t bytesPerTile =
      rowTiles.big * (c.depth * c.getABytes() + c.columns * 4);
  int64_t bBytes = c.depth * c.columns * c.getBBytes();
  grid.rowsPerChunk = rowTiles.count;
  if (rowTiles.count * bytesPerTile > (1 << 20) && bBytes <= (1 << 19))
    grid.rowsPerChunk = std::max<int64_t>(1, (3 << 18) / bytesPerTile);
  // A small B is in that cache whatever the order: rows are then written from
  // their first column to their last, as processors fetch ahead.
  if (c.packed && !copiesColumns() && bBytes <= kSmallBytes)
    grid.rowsPerChunk = 1;

  planDepth();
  if (isHalf(c.a) && !copiedRows && readsWide())
    planWideRows();
}

/// Those whose sums wait together.
int64_t ContractionEmitter::getItemsPerRun() {
  return std::clamp<int64_t>(kWaitingBytes / (tileElements * 4), 1,
                             std::max<int64_t>(grid.getNumItems(), 1));
}

void ContractionEmitter::planDepth() {
  largestPart = c.depth;
  tileElements = rowTiles.big * columns.units.big * columns.unitVectors * width;
  if (usesTiles()) {
    depthUnit = tileBytes / c.getABytes();
    if (c.depth * c.getABytes() > kTileDepth)
      depthParts = llvm::divideCeil(c.depth * c.getABytes(), kTilePart);
    itemsPerRun = getItemsPerRun();
    return;
  }
  depthUnit = width;
  // A transposed left-hand side, as in the gradient of a weight, has every k in
  // another place, so that each tile would fetch a page per k anew. A chunk's
  // tiles are copied, once for all columns of a run. Where only B is copied,
  // waiting sums cost as much as a cut saves.
  if (!copiesColumns() || c.packed || c.depth < kDeepEnough ||
      c.rows <= rowTiles.big || c.aRowStride != 1 || c.aDepthStride < kFarApart)
    return;
  // Parts are whole vectors, but for the last.
  depthParts = llvm::divideCeil(c.depth, kDepthPart);
  largestPart =
      llvm::divideCeil(c.depth / width, depthParts) * width + c.depth % width;
  Tiling chunks = Tiling::balanced(rowTiles.count, kTilesPerChunk);
  grid.rowsPerChunk = chunks.big;
  itemsPerRun = getItemsPerRun();
  copiedRows = llvm::alignTo(rowTiles.big, width);
  // The padding keeps tiles from the same places in the first-level cache.
  copyStride = largestPart * copiedRows + 16;
}

/// Where the columns from `column` on start in B (or in its copy).
Value ContractionEmitter::emitPanelIndex(Value column) {
  int64_t tileColumns = columns.unitVectors * width;
  if (tileColumns >= panelColumns)
    return mulIndex(b, column, c.panelSize / panelColumns);
  Value panel = divIndex(b, column, panelColumns);
  return addIndex(b, mulIndex(b, panel, c.panelSize),
                  mulIndex(b, remIndex(b, column, panelColumns), c.interleave));
}

/// A product of rows of A as they lie, whose places are still open.
Product ContractionEmitter::getRows(int64_t rows, int64_t vectors) {
  Product product;
  product.width = width;
  product.arithmetic = &getArithmetic();
  product.depth = c.depth / product.arithmetic->getStep();
  product.tail = c.depth % product.arithmetic->getStep();
  product.setUniform(rows, c.aRowStride, vectors);
  product.aStep = c.aDepthStride * product.arithmetic->getStep();
  return product;
}

void ContractionEmitter::emitTile(int64_t rows, int64_t vectors,
                                  const ItemGrid::Place &at, Value item,
                                  Value row, Value column, Value panelIndex,
                                  Value aheadIndex, const Part &part) {
  Product product = getRows(rows, vectors);
  if (isCut())
    product.depthValue = part.size;
  if (copiedRows) {
    product.setUniform(rows, 1, vectors);
    product.a = rowScratch;
    product.aIndex = mulIndex(
        b, b.createOrFold<arith::SubIOp>(at.row, at.first), copyStride);
    product.aStep = copiedRows;
  } else if (wideStride) {
    product.setUniform(rows, wideStride, vectors);
    product.a = rowScratch;
    product.aIndex = mulIndex(
        b, b.createOrFold<arith::SubIOp>(row, rowTiles.emitStart(b, at.first)),
        wideStride);
    product.aStep = product.arithmetic->getStep();
  } else {
    product.a = function.inputs[c.a.argument];
    product.aIndex = addIndex(b,
                              addIndex(b, emitOffset(b, c.aBatch, at.outer),
                                       mulIndex(b, row, c.aRowStride)),
                              c.a.view.offset);
  }

  SmallVector<Value> masks;
  if (c.columns % (columns.unitVectors * width))
    for (int64_t v = 0; v < vectors; ++v) {
      Value left = b.createOrFold<arith::SubIOp>(
          indexConstant(b, c.columns), addIndex(b, column, v * width));
      masks.push_back(emitMask(b, left, width));
    }

  // Of a cut product too many tiles come between.
  if (c.depth >= kDepthToFetch && !(tileUnit && isCut()))
    epilogue.emitFetch(b, function, rows, vectors, {at.outer, row, column});
  if (tileUnit)
    return emitTileOfRegisters(product, vectors, item, {at.outer, row, column},
                               panelIndex, masks, part);
  product.bIndex = panelIndex;
  if (aheadIndex) {
    product.aheadIndex = aheadIndex;
    product.aheadSource = function.inputs[c.b.argument];
    product.aheadLines = columns.units.big * c.getBBytes() *
                         product.arithmetic->getStep() * 0.5 / rowTiles.count;
  }
  if (c.packed && !copiesColumns()) {
    product.bStep = panelColumns * c.interleave;
    product.b = function.inputs[c.b.argument];
    int64_t panelVectors = panelColumns / width;
    for (int64_t v = 0; v < vectors; ++v)
      product.vectorOffsets[v] = v / panelVectors * c.panelSize +
                                 v % panelVectors * width * c.interleave;
  } else if (columns.inPlace) {
    product.b = function.inputs[c.b.argument];
    product.bStep = c.bDepthStride;
    product.masks = masks;
  } else {
    product.b = panelScratch;
    product.bStep = vectors * width;
    product.bIndex = indexConstant(b, 0);
  }
  auto finish = [&](ArrayRef<Value> sums) {
    epilogue.emitTile(b, function, sums, rows, vectors, {at.outer, row, column},
                      masks, tileScratch);
  };
  if (!isCut())
    return finish(emitSums(product, row, column));

  auto type = VectorType::get(width, b.getF32Type());
  Value waiting = mulIndex(
      b, b.createOrFold<arith::SubIOp>(item, part.firstItem), tileElements);
  SmallVector<Value> sums;
  for (int64_t i = 0; i < rows * vectors; ++i)
    sums.push_back(b.create<vector::LoadOp>(type, sumScratch,
                                            addIndex(b, waiting, i * width)));
  sums = product.emit(b, sums);
  emitIf(
      b, part.isLast, [&] { finish(sums); },
      [&] {
        for (auto [i, sum] : llvm::enumerate(sums))
          b.create<vector::StoreOp>(sum, sumScratch,
                                    addIndex(b, waiting, i * width));
      });
}

void ContractionEmitter::emitTileOfRegisters(const Product &product,
                                             int64_t vectors, Value item,
                                             ArrayRef<Value> coordinates,
                                             Value panelIndex,
                                             ArrayRef<Value> masks,
                                             const Part &part) {
  // Registers have one shape: where a row less is wanted, the one in front is
  // computed, too.
  int64_t rows = product.rowOffsets.size(), extra = rowTiles.big - rows;
  Value first = addIndex(b, product.aIndex, -extra * c.aRowStride);
  Value waiting;
  if (isCut()) {
    waiting = mulIndex(b, b.createOrFold<arith::SubIOp>(item, part.firstItem),
                       tileElements);
    tileUnit->emitLoad(sumScratch, waiting);
  } else {
    tileUnit->emitZero();
  }
  tileUnit->emitSteps(
      divIndex(b, part.size, depthUnit),
      {{product.a, addIndex(b, first, part.begin), c.a.elementType},
       c.aRowStride,
       registerRows * c.aRowStride},
      {function.inputs[c.b.argument],
       addIndex(b, panelIndex, mulIndex(b, part.begin, panelColumns)),
       c.b.elementType});
  auto finish = [&] {
    tileUnit->emitStore(tileScratch, indexConstant(b, 0));
    epilogue.emitStoredTile(b, function, tileScratch, extra, rows, vectors,
                            coordinates, masks);
  };
  if (!isCut())
    return finish();
  emitIf(b, part.isLast, finish,
         [&] { tileUnit->emitStore(sumScratch, waiting); });
}

SmallVector<Value> ContractionEmitter::emitSums(const Product &product,
                                                Value row, Value column) {
  if (streamsWeights())
    return emitWeightProduct(b, c, function, product, column);
  if (makeUps) {
    SmallVector<Value> values;
    for (size_t r = 0; r < product.rowOffsets.size(); ++r)
      values.push_back(b.create<memref::LoadOp>(makeUps, addIndex(b, row, r)));
    return product.emit(b, product.emitStarts(b, values));
  }
  SmallVector<Value> starts =
      product.emitStarts(b, [&](ArrayRef<Value> sums, Product::Inner inner) {
        return inner(product, sums);
      });
  return product.emit(b, starts);
}

/// What makes up for a B that is read as if moved, for every row: all tiles of
/// a row share it.
void ContractionEmitter::emitMakeUps() {
  makeUps = function.allocate(b, c.rows, b.getI32Type());
  emitFor(b, indexConstant(b, 0), indexConstant(b, c.rows), 1, [&](Value row) {
    Product product = getRows(1, 1);
    product.a = function.inputs[c.a.argument];
    product.aIndex =
        addIndex(b, mulIndex(b, row, c.aRowStride), c.a.view.offset);
    SmallVector<Value> lanes = product.emitRowSums(b, product.emitZeros(b));
    b.create<memref::StoreOp>(product.emitMakeUp(b, lanes[0]), makeUps, row);
  });
}

void ContractionEmitter::emitItems(Value begin, Value end, const Part &part) {
  int64_t tileColumns = columns.unitVectors * width;
  // The next columns are fetched while these are computed with, where B is too
  // large to be in a cache already.
  bool ahead = c.packed && !c.hasScales() && c.rows > 4 &&
               grid.rowsPerChunk == grid.rows &&
               c.depth * c.columns * c.getBBytes() > (1 << 19);

  // What the copies are of.
  bool copiesRows = copiedRows || wideStride;
  SmallVector<Value> init(copiesColumns() + copiesRows, indexConstant(b, -1));
  emitFor(
      b, begin, end, 1, init,
      [&](Value item, ValueRange carried) -> SmallVector<Value> {
        ItemGrid::Place at = grid.emitPlace(b, item);
        Value column =
            mulIndex(b, columns.units.emitStart(b, at.column), tileColumns);
        Value row = rowTiles.emitStart(b, at.row);
        SmallVector<Value> next;
        // The copies are kept while the items stay in the same columns or
        // rows.
        if (copiesColumns())
          emitOnChange(
              b, addIndex(b, mulIndex(b, at.outer, grid.columns), at.column),
              carried, next,
              [&] { emitCopyOfColumns(at.outer, column, part); });
        if (copiesRows)
          emitOnChange(b,
                       addIndex(b, mulIndex(b, at.outer, grid.rows), at.first),
                       carried, next, [&] {
                         if (copiedRows)
                           emitCopyOfRows(at, part);
                         else
                           emitWideRows(at);
                       });
        Value panelIndex = indexConstant(b, 0), aheadIndex;
        if (c.packed && (!copiesColumns() || widensPanels)) {
          panelIndex = emitPanelIndex(column);
          if (ahead) {
            int64_t size = columns.units.big * c.panelSize;
            aheadIndex = addIndex(
                b,
                addIndex(b, panelIndex, mulIndex(b, at.row, size / grid.rows)),
                size);
          }
        } else if (columns.inPlace) {
          panelIndex = addIndex(
              b, addIndex(b, emitOffset(b, c.bBatch, at.outer), column),
              c.b.view.offset);
        }
        rowTiles.emitSwitch(b, at.row, [&](int64_t rows) {
          columns.units.emitSwitch(b, at.column, [&](int64_t units) {
            emitTile(rows, units * columns.unitVectors, at, item, row, column,
                     panelIndex, aheadIndex, part);
          });
        });
        return next;
      });
}

/// A deep product: a run of items does one part of the depth after the other.
/// Every sum is still made from the first k to the last.
void ContractionEmitter::emitRuns() {
  auto type = VectorType::get(width, getArithmetic().getSumType(b));
  Value none = b.create<arith::ConstantOp>(b.getZeroAttr(type));
  Value zero = indexConstant(b, 0);
  // A run stays in one chunk of rows, whose part of A is copied once.
  int64_t perOuter = grid.columns * grid.rows,
          perChunk = grid.columns * grid.rowsPerChunk,
          chunks = llvm::divideCeil(grid.rows, grid.rowsPerChunk);
  auto getChunk = [&](Value item) {
    return addIndex(b, mulIndex(b, divIndex(b, item, perOuter), chunks),
                    divIndex(b, remIndex(b, item, perOuter), perChunk));
  };
  auto getFirstItem = [&](Value chunk) {
    return addIndex(b, mulIndex(b, divIndex(b, chunk, chunks), perOuter),
                    mulIndex(b, remIndex(b, chunk, chunks), perChunk));
  };
  auto emitChunks = [&](function_ref<void(Value, Value)> run) {
    Value last = getChunk(addIndex(b, function.end, -1));
    emitFor(
        b, getChunk(function.begin), addIndex(b, last, 1), 1, [&](Value chunk) {
          Value lower =
              b.create<arith::MaxSIOp>(function.begin, getFirstItem(chunk));
          Value upper =
              minIndex(b, function.end, getFirstItem(addIndex(b, chunk, 1)));
          emitFor(b, lower, upper, itemsPerRun, [&](Value first) {
            run(first, minIndex(b, addIndex(b, first, itemsPerRun), upper));
          });
        });
  };
  emitChunks([&](Value first, Value end) {
    Value elements =
        mulIndex(b, b.create<arith::SubIOp>(end, first), tileElements);
    emitFor(b, zero, elements, width,
            [&](Value i) { b.create<vector::StoreOp>(none, sumScratch, i); });
    emitFor(b, zero, indexConstant(b, depthParts), 1, [&](Value i) {
      auto emitBegin = [&](Value index) {
        return mulIndex(
            b, divIndex(b, mulIndex(b, index, c.depth / depthUnit), depthParts),
            depthUnit);
      };
      Part part;
      part.firstItem = first;
      part.begin = emitBegin(i);
      part.isLast = b.create<arith::CmpIOp>(arith::CmpIPredicate::eq, i,
                                            indexConstant(b, depthParts - 1));
      part.size = b.create<arith::SubIOp>(
          b.create<arith::SelectOp>(part.isLast, indexConstant(b, c.depth),
                                    emitBegin(addIndex(b, i, 1))),
          part.begin);
      emitItems(first, end, part);
    });
  });
}

int64_t ContractionEmitter::emit() {
  int64_t items = grid.getNumItems();
  if (items == 0)
    return 0;
  if (usesTiles()) {
    auto module = function.function->getParentOfType<ModuleOp>();
    tileUnit.emplace(b, function, module, function.function.getSymName(),
                     features.tiles == TileRegisters::Emulated);
    int64_t first = std::min(rowTiles.big, registerRows);
    tileUnit->emitConfigure(first, rowTiles.big - first);
  }
  if (!epilogue.isCheap() || usesTiles())
    tileScratch =
        function.allocate(b, tileElements, getArithmetic().getSumType(b));
  if (copiesColumns())
    panelScratch =
        function.allocate(b, largestPart * columns.unitVectors * width);
  if (copyStride)
    rowScratch = function.allocate(b, grid.rowsPerChunk * copyStride);
  if (isCut()) {
    sumScratch = function.allocate(b, itemsPerRun * tileElements,
                                   getArithmetic().getSumType(b));
    emitRuns();
  } else {
    if (!tileUnit && c.batch == 1 && grid.columns > 1 &&
        getArithmetic().getRowSumFactor() != 0)
      emitMakeUps();
    Part all;
    all.begin = indexConstant(b, 0);
    all.size = indexConstant(b, c.depth);
    emitItems(function.begin, function.end, all);
  }
  if (tileUnit)
    tileUnit->emitRelease();
  return items;
}

static bool isContraction(Operation *op) {
  return isa<PackedMatmulOp, LinearOp, MatmulOp>(op);
}

FailureOr<LoweredKernel>
cpu::scheduleContraction(KernelOp kernel, ModuleOp module, StringRef symbol,
                         const CpuFeatures &features, std::string &whyNot) {
  FailureOr<KernelViews> views =
      KernelViews::get(kernel, isContraction, whyNot);
  if (failed(views))
    return failure();
  Contraction contraction;
  if (!contraction.read(*views, whyNot))
    return failure();
  if (contraction.kind == Contraction::Kind::Bytes &&
      features.byteProducts == ByteProducts::None) {
    whyNot = "this processor has no known product of bytes";
    return failure();
  }
  if (auto linear = dyn_cast<LinearOp>(views->anchor))
    if (linear.getBias())
      views->foldBias(2);
  return emitAnchored<ContractionEmitter>(
      kernel, *views, module, symbol, features, contraction,
      {contraction.batch, contraction.rows, contraction.columns}, whyNot);
}
