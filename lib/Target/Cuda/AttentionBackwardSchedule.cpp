//===- AttentionBackwardSchedule.cpp - Gradients of attention -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel of one `attention_backward`, views before it and behind it, by the
// skeletons attention_backward_simt.cuh (f32) and attention_backward_mma.cuh
// (f16, bf16): one grid by queries, and one by keys.
//
//===----------------------------------------------------------------------===//

#include "AttentionText.h"
#include "KernelFile.h"
#include "Printer.h"

#include "llvm/Support/MathExtras.h"

namespace lathe::cuda {

namespace {
struct Backward : AttentionAccess {
  Access cotangent;
  /// Over {batch and head, query}.
  Access logSumExp, delta;

  bool read(const KernelViews &views, std::string &whyNot);
};

struct BackwardTile {
  bool tensorCores;
  int64_t columns, depth, width, threads, sharedBytes;
};

} // namespace

static constexpr int64_t kRows = 64; // of a block; attention_backward.cuh

bool Backward::read(const KernelViews &views, std::string &whyNot) {
  ArrayRef<AnchorOperand> operands = views.operands;
  if (!AttentionAccess::read(views, /*maskIndex=*/6, whyNot))
    return false;
  if (batch * heads * queries * keys * width == 0) {
    whyNot = "an operand of the attention is empty";
    return false;
  }
  auto given = readOperand(operands[3].view, 1);
  auto readRows = [&](const AnchorOperand &rows) -> std::optional<Access> {
    // As one coordinate where they lie so; with heads third they do not.
    if (auto joined = rows.view.split({batch * heads, queries}))
      return joined;
    auto digits = rows.view.split({batch, heads, queries});
    if (!digits)
      return std::nullopt;
    SmallVector<Factor> head = (*digits)[0];
    llvm::append_range(head, (*digits)[1]);
    return Access{head, (*digits)[2]};
  };
  auto saved = readRows(operands[4]), less = readRows(operands[5]);
  if (!given || !saved || !less) {
    whyNot = "an operand of the attention has no strides";
    return false;
  }
  cotangent = *given;
  logSumExp = *saved;
  delta = *less;
  return true;
}

static BackwardTile chooseTile(const Backward &a) {
  BackwardTile tile;
  tile.tensorCores = !a.elementType.isF32();
  if (tile.tensorCores) {
    auto fill = [](int64_t size) {
      return std::max<int64_t>(32, llvm::PowerOf2Ceil(size));
    };
    tile.depth = fill(a.depth);
    tile.width = fill(a.width);
    // Sums of 128 places leave registers for 32 columns.
    tile.columns = std::max(tile.depth, tile.width) > 64 ? 32 : 64;
    tile.threads = 128;
    tile.sharedBytes = 2 * (tile.depth + tile.width) * (kRows + tile.columns) +
                       8 * tile.columns;
  } else {
    tile.depth = llvm::alignTo(a.depth, 16);
    tile.width = llvm::alignTo(a.width, 16);
    tile.columns = 32;
    tile.threads = 256;
    tile.sharedBytes =
        4 * ((tile.depth + tile.width) * (kRows + 4 + tile.columns + 4) +
             2 * tile.columns * (kRows + 4));
  }
  tile.sharedBytes = std::max(
      tile.sharedBytes, 4 * kRows * (std::max(tile.depth, tile.width) + 4));
  return tile;
}

static void printSaved(CodeWriter &writer, const Backward &a,
                       const KernelViews &views) {
  writer.line();
  writer.open("struct Saved");
  auto print = [&](StringRef name, unsigned operand, const Access &access) {
    std::string base = KernelFile::input(views.operands[operand].argument);
    writer.line("const float *" + name + "Of;");
    writer.line("__device__ __forceinline__ float");
    writer.open(name + Twine("(int batch, int query) const"));
    writer.line("return " + name + "Of[" +
                offsetText(access, {"batch", "query"},
                           views.operands[operand].view.offset) +
                "];");
    writer.close();
  };
  print("logSumExp", 4, a.logSumExp);
  print("delta", 5, a.delta);
  writer.close(";");
}

FailureOr<KernelText> scheduleAttentionBackward(KernelOp kernel,
                                                StringRef symbol,
                                                const GpuFeatures &,
                                                std::string &whyNot) {
  FailureOr<KernelViews> views =
      KernelViews::get(kernel, AttentionSizes::isBackward, whyNot);
  if (failed(views))
    return failure();
  Backward a;
  if (!a.read(*views, whyNot))
    return failure();
  int64_t heads = a.batch * a.heads, groups = a.batch * a.groups;
  Type f32 = Float32Type::get(kernel.getContext());
  auto getResult = [&](unsigned result, StringRef name, int64_t batch,
                       StringRef row, int64_t rows, int64_t columns) {
    return EpilogueText::get(kernel, *views, {batch, rows, columns},
                             {"batch", row, "column"}, f32, whyNot,
                             {result, name.str(), /*lanes=*/8});
  };
  FailureOr<EpilogueText> results[] = {
      getResult(0, "DQuery", heads, "query", a.queries, a.depth),
      getResult(1, "DKey", groups, "key", a.keys, a.depth),
      getResult(2, "DValue", groups, "key", a.keys, a.width)};
  for (FailureOr<EpilogueText> &result : results)
    if (failed(result))
      return failure();

  BackwardTile tile = chooseTile(a);
  std::string skeleton = tile.tensorCores ? "Mma" : "Simt";
  StringRef header = tile.tensorCores ? "attention_backward_mma.cuh"
                                      : "attention_backward_simt.cuh";
  KernelFile file(kernel, symbol, header);
  CodeWriter &writer = file.writer;
  writer.line();
  writer.line("// batch and heads, heads per head of keys, queries, keys, "
              "depth and width of a head,");
  writer.line("// causal");
  writer.line("using Shape = BackwardShape<" + Twine(heads) + ", " +
              Twine(a.heads / a.groups) + ", " + Twine(a.queries) + ", " +
              Twine(a.keys) + ", " + Twine(a.depth) + ", " + Twine(a.width) +
              ", " + (a.causal ? "true" : "false") + ">;");
  writer.line(Twine("// ") + (tile.tensorCores ? "columns at a time; " : "") +
              "depth and width filled up");
  writer.line("using Tile = " + skeleton + "BackwardTile<" +
              (tile.tensorCores ? std::to_string(tile.columns) + ", " : "") +
              Twine(tile.depth) + ", " + Twine(tile.width) + ">;");
  auto print = [&](StringRef name, StringRef rowName, unsigned index,
                   const Access &access) {
    OperandText text = OperandText::fromAccess(kernel, name, rowName,
                                               views->operands[index], access);
    text.print(writer);
    return text.construct();
  };
  std::string q = print("Q", "query", 0, a.q), k = print("K", "key", 1, a.k),
              v = print("V", "key", 2, a.v),
              g = print("G", "query", 3, a.cotangent);
  printSaved(writer, a, *views);
  a.printScore(writer);
  for (FailureOr<EpilogueText> &result : results)
    if (failed(result->print(writer, whyNot)))
      return failure();
  std::string rest = literal(FloatAttr::get(f32, a.scale)) + ", Saved{" +
                     KernelFile::input(views->operands[4].argument) + ", " +
                     KernelFile::input(views->operands[5].argument) + "}, " +
                     a.constructScore() + ", ";

  auto openGrid = [&](int64_t heads, int64_t rows, StringRef comment) {
    GridLaunch launch;
    launch.grid[0] = heads * llvm::divideCeil(rows, kRows);
    launch.block[0] = tile.threads;
    launch.dynamicSharedBytes = tile.sharedBytes;
    launch.isCooperative = true;
    file.openGrid(launch, comment, /*minBlocks=*/1);
  };
  std::string call = "attentionBackward" + skeleton + "<Shape, Tile, ";
  openGrid(heads, a.queries, "a block per 64 queries of a head");
  writer.line(call + "false>(" + q + ", " + g + ", " + k + ", " + v + ", " +
              rest + results[0]->construct() + ", " + results[0]->construct() +
              ");");
  file.closeGrid();
  openGrid(groups, a.keys, "a block per 64 keys of a head of keys");
  writer.line(call + "true>(" + k + ", " + v + ", " + q + ", " + g + ", " +
              rest + results[1]->construct() + ", " + results[2]->construct() +
              ");");
  file.closeGrid();
  return file.take(0);
}

} // namespace lathe::cuda
