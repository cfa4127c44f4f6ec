//===- AttentionSchedule.cpp - Attention without a matrix of scores -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel of one `attention`, views before it and elementwise ops behind it,
// by the skeletons attention_simt.cuh (f32) and attention_mma.cuh (f16, bf16).
//
//===----------------------------------------------------------------------===//

#include "AttentionText.h"
#include "KernelFile.h"
#include "Printer.h"

#include "llvm/Support/MathExtras.h"

namespace lathe::cuda {

namespace {
/// How a block walks over the keys, and the memory it needs for that.
struct AttentionTile {
  bool tensorCores;
  int64_t keys, depth, width, threads, sharedBytes;
};
} // namespace

static constexpr int64_t kQueries = 64; // of a block; attention.cuh

static AttentionTile chooseTile(const AttentionAccess &a) {
  AttentionTile tile;
  tile.tensorCores = !a.elementType.isF32();
  if (tile.tensorCores) {
    auto fill = [](int64_t size) {
      return std::max<int64_t>(32, llvm::PowerOf2Ceil(size));
    };
    tile.keys = 64;
    tile.depth = fill(a.depth);
    tile.width = fill(a.width);
    tile.threads = 128;
    tile.sharedBytes = std::max(
        2 * (tile.depth * (kQueries + tile.keys) + tile.width * tile.keys),
        4 * kQueries * (tile.width + 4));
    return tile;
  }
  tile.keys = std::max(a.depth, a.width) > 64 ? 32 : 64;
  tile.depth = llvm::alignTo(a.depth, 8);
  tile.width = std::max<int64_t>(32, llvm::PowerOf2Ceil(a.width));
  tile.threads = 256;
  int64_t strips = tile.depth * (kQueries + 4 + tile.keys + 4) +
                   tile.keys * (tile.width + 4 + kQueries + 4);
  tile.sharedBytes = 4 * std::max(strips, kQueries * (tile.width + 4));
  return tile;
}

FailureOr<KernelText> scheduleAttention(KernelOp kernel, StringRef symbol,
                                        const GpuFeatures &,
                                        std::string &whyNot) {
  FailureOr<KernelViews> views =
      KernelViews::get(kernel, AttentionSizes::isForward, whyNot);
  if (failed(views))
    return failure();
  AttentionAccess a;
  if (!a.read(*views, /*maskIndex=*/3, whyNot))
    return failure();
  // The second product sums over keys.
  std::swap(a.v[1], a.v[2]);
  int64_t batch = a.batch * a.heads;
  bool givesRows = views->anchor->getNumResults() == 2;
  if (givesRows && a.width == 0) {
    whyNot = "the values are empty";
    return failure();
  }
  if (batch * a.queries * a.width == 0) {
    KernelFile file(kernel, symbol);
    file.openGrid({}, "nothing to compute");
    file.closeGrid();
    return file.take(0);
  }
  FailureOr<EpilogueText> epilogue = EpilogueText::get(
      kernel, *views, {batch, a.queries, a.width}, {"batch", "query", "column"},
      Float32Type::get(kernel.getContext()), whyNot);
  if (failed(epilogue))
    return failure();
  FailureOr<EpilogueText> rows = failure();
  if (givesRows) {
    rows = EpilogueText::get(kernel, *views, {batch, a.queries},
                             {"batch", "query"},
                             Float32Type::get(kernel.getContext()), whyNot,
                             {/*result=*/1, "LogSumExp", /*lanes=*/1});
    if (failed(rows))
      return failure();
  }

  AttentionTile tile = chooseTile(a);
  GridLaunch launch;
  launch.grid[0] = batch * llvm::divideCeil(a.queries, kQueries);
  launch.block[0] = tile.threads;
  launch.dynamicSharedBytes = tile.sharedBytes;
  launch.isCooperative = true;
  StringRef header =
      tile.tensorCores ? "attention_mma.cuh" : "attention_simt.cuh";
  KernelFile file(kernel, symbol, header);
  CodeWriter &writer = file.writer;
  writer.line();
  writer.line("// batch and heads, queries, keys, depth and width of a head, "
              "causal");
  writer.line("using Shape = AttentionShape<" + Twine(batch) + ", " +
              Twine(a.queries) + ", " + Twine(a.keys) + ", " + Twine(a.depth) +
              ", " + Twine(a.width) + ", " + (a.causal ? "true" : "false") +
              ">;");
  writer.line("// keys at a time; depth and width filled up");
  writer.line(Twine("using Tile = ") + (tile.tensorCores ? "Mma" : "Simt") +
              "AttentionTile<" + Twine(tile.keys) + ", " + Twine(tile.depth) +
              ", " + Twine(tile.width) + ">;");
  std::string operands;
  auto operand = [&](StringRef name, StringRef rowName, unsigned index,
                     const Access &access) {
    OperandText text = OperandText::fromAccess(kernel, name, rowName,
                                               views->operands[index], access);
    text.print(writer);
    operands += text.construct() + ", ";
  };
  operand("Q", "query", 0, a.q);
  operand("K", "key", 1, a.k);
  operand("V", "column", 2, a.v);
  a.printScore(writer);
  if (failed(epilogue->print(writer, whyNot)) ||
      (givesRows && failed(rows->print(writer, whyNot))))
    return failure();
  file.openGrid(
      launch, "a block per " + std::to_string(kQueries) + " queries of a head",
      256 / tile.threads);
  Type f32 = Float32Type::get(kernel.getContext());
  writer.line(Twine(tile.tensorCores ? "attentionMma" : "attentionSimt") +
              "<Shape, Tile>(" + operands +
              literal(FloatAttr::get(f32, a.scale)) + ", " +
              a.constructScore() + ", " + epilogue->construct() + ", " +
              (givesRows ? rows->construct() : "NoLogSumExp{}") + ");");
  file.closeGrid();
  return file.take(0);
}

} // namespace lathe::cuda
