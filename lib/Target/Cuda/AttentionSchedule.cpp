//===- AttentionSchedule.cpp - Attention without a matrix of scores -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel of one `attention`, views before it and elementwise ops behind it,
// by the skeletons attention_simt.cuh (f32) and attention_mma.cuh (f16, bf16).
// Batch and head are one coordinate; heads that share keys have stride 0 there.
//
//===----------------------------------------------------------------------===//

#include "AnchorText.h"
#include "KernelFile.h"
#include "Printer.h"

#include "lathe/Conversion/ScalarBody.h"
#include "lathe/Target/AttentionSizes.h"
#include "llvm/Support/MathExtras.h"

namespace lathe::cuda {

namespace {
struct Attention : AttentionSizes {
  Type elementType;
  /// Over {batch and head, row, k} as gemm.cuh has them.
  Access q, k, v;
  /// Over {batch and head, query, key}.
  std::optional<Access> mask;
  AnchorOperand maskOperand;
};

/// How a block walks over the keys, and the memory it needs for that.
struct AttentionTile {
  bool tensorCores;
  int64_t keys, depth, width, threads, sharedBytes;
};
} // namespace

static constexpr int64_t kQueries = 64; // of a block; attention.cuh

/// Digits over {batch and head, row, k} of a [batch, head, row, k] operand,
/// each head of which stands for `repeats` heads.
static std::optional<Access> readOperand(const StridedView &view,
                                         int64_t repeats) {
  auto digits = view.split(view.sizes);
  if (!digits)
    return std::nullopt;
  SmallVector<Factor> batch = (*digits)[0];
  llvm::append_range(batch, (*digits)[1]);
  if (repeats != 1)
    batch.push_back({repeats, 0});
  return Access{batch, (*digits)[2], (*digits)[3]};
}

static bool readAttention(const KernelViews &views, Attention &a,
                          std::string &whyNot) {
  ArrayRef<AnchorOperand> operands = views.operands;
  static_cast<AttentionSizes &>(a) = AttentionSizes::get(views);
  a.elementType = operands[0].elementType;
  if (a.elementType.isF64()) {
    whyNot = "attention in f64 has no skeleton";
    return false;
  }
  if (a.depth < 1 || a.depth > 128 || a.width > 128) {
    whyNot = "the heads are empty or have more than 128 places";
    return false;
  }
  int64_t repeats = a.groups ? a.heads / a.groups : 1;
  auto query = readOperand(operands[0].view, 1),
       key = readOperand(operands[1].view, repeats),
       value = readOperand(operands[2].view, repeats);
  if (!query || !key || !value) {
    whyNot = "an operand of the attention has no strides";
    return false;
  }
  a.q = *query;
  a.k = *key;
  a.v = *value;
  // The second product sums over keys.
  std::swap(a.v[1], a.v[2]);
  if (operands.size() < 4)
    return true;
  a.maskOperand = operands[3];
  Type element = a.maskOperand.elementType;
  if (!isa<Float32Type, Float16Type, BFloat16Type>(element) &&
      !element.isInteger(1)) {
    whyNot = "the mask is neither Boolean nor a float of up to 32 bits";
    return false;
  }
  auto wide =
      a.maskOperand.view.broadcastTo({a.batch, a.heads, a.queries, a.keys});
  auto mask = wide ? readOperand(*wide, 1) : std::nullopt;
  if (!mask) {
    whyNot = "the mask has no strides";
    return false;
  }
  a.mask = *mask;
  return true;
}

static AttentionTile chooseTile(const Attention &a) {
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

static void printScore(CodeWriter &writer, const Attention &a) {
  writer.line();
  writer.open("struct Score");
  std::string text = "score";
  if (a.mask) {
    Type element = a.maskOperand.elementType;
    std::string name = KernelFile::input(a.maskOperand.argument);
    writer.line("const " + typeName(getStorageType(element)) + " *" + name +
                ";");
    std::string mask = name + "[" +
                       offsetText(*a.mask, {"batch", "query", "key"},
                                  a.maskOperand.view.offset) +
                       "]";
    if (element.isInteger(1))
      text = mask + " ? score : hiddenScore()";
    else
      text = "score + " + (element.isF32() ? mask : "toFloat(" + mask + ")");
  }
  writer.line("__device__ __forceinline__ float");
  writer.open("operator()(int batch, int query, int key, float score) const");
  writer.line("return " + text + ";");
  writer.close();
  writer.close(";");
}

FailureOr<KernelText> scheduleAttention(KernelOp kernel, StringRef symbol,
                                        const GpuFeatures &,
                                        std::string &whyNot) {
  FailureOr<KernelViews> views = KernelViews::get(
      kernel, [](Operation *op) { return isa<AttentionOp>(op); }, whyNot);
  if (failed(views))
    return failure();
  Attention a;
  if (!readAttention(*views, a, whyNot))
    return failure();
  int64_t batch = a.batch * a.heads;
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
  printScore(writer, a);
  if (failed(epilogue->print(writer, whyNot)))
    return failure();
  file.openGrid(
      launch, "a block per " + std::to_string(kQueries) + " queries of a head",
      256 / tile.threads);
  Type f32 = Float32Type::get(kernel.getContext());
  std::string score =
      a.mask ? "Score{" + KernelFile::input(a.maskOperand.argument) + "}"
             : "Score{}";
  writer.line(Twine(tile.tensorCores ? "attentionMma" : "attentionSimt") +
              "<Shape, Tile>(" + operands +
              literal(FloatAttr::get(f32, a.scale)) + ", " + score + ", " +
              epilogue->construct() + ");");
  file.closeGrid();
  return file.take(0);
}

} // namespace lathe::cuda
