//===- PointwiseGrid.cpp - A thread per element or pack of elements -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepGrids.h"

#include "llvm/Support/MathExtras.h"

namespace lathe::cuda {

namespace {

/// Reads that are contiguous along another class than the writes.
struct Transposition {
  int readClass = -1;
  SmallVector<MemoryAccess> reads;
};

} // namespace

/// Finds what should pass through a tile in shared memory.
static Transposition findTransposed(const RowProgram &program,
                                    const Phase &phase,
                                    const ElementText &text) {
  Transposition found;
  int unit = phase.unitClass;
  if (unit < 0 || program.classes[unit].size < 16)
    return found;
  std::set<std::string> seen;
  for (const MemoryAccess &access : text.readsOf(phase.steps)) {
    int along = -1;
    for (int c : phase.items)
      if (c != unit && access.form.coefficients[c] == 1 &&
          program.classes[c].size >= 16)
        along = c;
    bool isTransposed = along >= 0 && access.form.coefficients[unit] > 1;
    if (!isTransposed || found.reads.size() == 4 ||
        (found.readClass >= 0 && found.readClass != along) ||
        !seen.insert(access.key()).second)
      continue;
    found.readClass = along;
    found.reads.push_back(access);
  }
  return found;
}

/// Tiles of 32 x 32: read along one class, written along the other.
static LogicalResult emitTiles(const RowProgram &program, const Phase &phase,
                               const Transposition &transposed,
                               ElementText &text, CodeWriter &writer) {
  int unit = phase.unitClass, along = transposed.readClass;
  int64_t width = program.classes[unit].size;
  int64_t height = program.classes[along].size;
  int64_t across = llvm::divideCeil(width, 32);
  int64_t down = llvm::divideCeil(height, 32);
  GridLaunch launch;
  launch.grid[0] = phase.numItems / (width * height) * across * down;
  launch.block[0] = 32;
  launch.block[1] = 8;
  launch.isCooperative = true;
  text.openGrid(launch, "tiles of 32 x 32 elements, turned in shared memory");
  SmallVector<std::string> tiles;
  for (const MemoryAccess &access : transposed.reads) {
    tiles.push_back(writer.unique("tile"));
    // A column more, so that a column of the tile lies in 32 banks.
    writer.line("__shared__ " + typeName(access.element) + " " + tiles.back() +
                "[32][33];");
  }
  // Other classes number the tiles, then the tile's place.
  SmallVector<int> others;
  SmallVector<int64_t> sizes;
  for (int c : phase.items)
    if (c != unit && c != along) {
      others.push_back(c);
      sizes.push_back(program.classes[c].size);
    }
  sizes.append({down, across});
  SmallVector<std::string> names =
      unflatten(writer, blockNumber(writer), sizes);
  std::string firstAcross = product(names.back(), 32);
  std::string firstDown = product(names[names.size() - 2], 32);
  text.items.classes.assign(phase.items.begin(), phase.items.end());
  text.items.flat = "";
  bool isGuarded = false;
  auto openPart = [&](StringRef unitThread, StringRef alongThread) {
    writer.open("for (int i = threadIdx.y; i < 32; i += 8)");
    text.items.names.clear();
    text.items.sizes.clear();
    std::string condition;
    for (int c : phase.items) {
      text.items.sizes.push_back(program.classes[c].size);
      auto *other = llvm::find(others, c);
      if (other != others.end()) {
        text.items.names.push_back(names[other - others.begin()]);
        continue;
      }
      std::string name = writer.unique(c == unit ? "x" : "y");
      writer.declareIndex(name, c == unit ? sum(firstAcross, unitThread)
                                          : sum(firstDown, alongThread));
      text.items.names.push_back(name);
      int64_t size = program.classes[c].size;
      if (size % 32 != 0)
        condition += (condition.empty() ? "" : " && ") + name + " < " +
                     std::to_string(size);
    }
    isGuarded = !condition.empty();
    if (isGuarded)
      writer.open("if (" + condition + ")");
  };
  auto closePart = [&] {
    if (isGuarded)
      writer.close();
    writer.close();
  };
  {
    CodeWriter::NameScope scope(writer);
    openPart("i", "threadIdx.x");
    for (auto [access, tile] : llvm::zip_equal(transposed.reads, tiles))
      writer.line(tile + "[i][threadIdx.x] = " + text.element(access) + ";");
    closePart();
  }
  writer.line("__syncthreads();");
  text.readUniform(phase.steps);
  CodeWriter::NameScope scope(writer);
  openPart("threadIdx.x", "i");
  for (auto [access, tile] : llvm::zip_equal(transposed.reads, tiles))
    text.provide(access, tile + "[threadIdx.x][i]");
  LogicalResult result = text.emitElements(phase.steps, 0);
  closePart();
  return result;
}

static LogicalResult emitFlat(const Phase &phase, ElementText &text,
                              CodeWriter &writer) {
  text.width = text.widestPack();
  int64_t threads = phase.numItems / text.width;
  GridLaunch launch = flatLaunch(threads);
  text.openGrid(launch, text.width == 1
                            ? "a thread per element"
                            : "a thread per " + std::to_string(text.width) +
                                  " elements");
  std::string item = openItem(writer, threads, launch);
  std::string first = item;
  if (text.width > 1 && threads > 1) {
    first = writer.unique("first");
    writer.declareIndex(first, product(item, text.width));
  }
  text.openSpace(text.items, phase.items, first);
  text.readUniform(phase.steps);
  return text.emitElements(phase.steps, 0);
}

LogicalResult emitPointwise(const RowProgram &program, const RowPhases &plan,
                            const Phase &phase, KernelFile &file,
                            std::string &whyNot) {
  ElementText text(program, plan, phase, file);
  text.moving = phase.items;
  Transposition transposed = findTransposed(program, phase, text);
  LogicalResult result =
      transposed.reads.empty()
          ? emitFlat(phase, text, file.writer)
          : emitTiles(program, phase, transposed, text, file.writer);
  if (failed(result)) {
    whyNot = text.whyNot;
    return failure();
  }
  file.closeGrid();
  return success();
}

LogicalResult emitSideBySide(const RowProgram &program, const RowPhases &plan,
                             KernelFile &file, std::string &whyNot) {
  static constexpr int64_t blockSize = 256;
  CodeWriter &writer = file.writer;
  std::vector<ElementText> texts;
  GridLaunch launch;
  launch.block[0] = blockSize;
  launch.grid[0] = 0;
  for (const Phase &phase : plan.phases) {
    texts.emplace_back(program, plan, phase, file);
    texts.back().moving = phase.items;
    texts.back().width = texts.back().widestPack();
    launch.grid[0] +=
        llvm::divideCeil(phase.numItems / texts.back().width, blockSize);
  }
  file.openGrid(launch, std::to_string(texts.size()) +
                            " loops side by side, a range of blocks for each");
  int64_t begin = 0;
  for (auto [phase, text] : llvm::zip_equal(plan.phases, texts)) {
    int64_t threads = phase.numItems / text.width;
    int64_t end = begin + int64_t(llvm::divideCeil(threads, blockSize));
    CodeWriter::NameScope scope(writer);
    // The blocks before have returned.
    writer.open("if (blockIdx.x < " + std::to_string(end) + ")");
    std::string item = writer.unique("item");
    std::string block = blockNumber(writer);
    if (begin)
      block = "(" + block + " - " + std::to_string(begin) + ")";
    writer.declareIndex(item, block + " * " + std::to_string(blockSize) +
                                  " + threadIdx.x");
    if (threads % blockSize != 0) {
      writer.line("if (" + item + " >= " + std::to_string(threads) + ")");
      writer.line("  return;");
    }
    std::string first = item;
    if (text.width > 1) {
      first = writer.unique("first");
      writer.declareIndex(first, product(item, text.width));
    }
    text.openSpace(text.items, phase.items, first);
    text.readUniform(phase.steps);
    if (failed(text.emitElements(phase.steps, 0))) {
      whyNot = text.whyNot;
      return failure();
    }
    writer.line("return;");
    writer.close();
    begin = end;
  }
  file.closeGrid();
  return success();
}

} // namespace lathe::cuda
