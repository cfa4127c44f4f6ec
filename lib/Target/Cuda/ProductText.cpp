//===- ProductText.cpp - A product by the skeletons of gemm*.cuh ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductText.h"
#include "KernelFile.h"
#include "Printer.h"

#include "lathe/Conversion/ScalarBody.h"
#include "lathe/Target/ProgramBuilder.h"
#include "llvm/Support/MathExtras.h"

namespace lathe::cuda {

using llvm::divideCeil;

namespace {
struct Candidate {
  ProductTile tile;
  /// How well a multiprocessor is used by such tiles.
  double efficiency;
};
} // namespace

/// The first whose mma takes 8-bit floats.
static constexpr unsigned kFloat8Architecture = 89;

/// Multiprocessors to fill; an H100 has 132, an A100 108.
static constexpr int64_t kMultiprocessors = 132;

static SmallVector<Candidate> getCandidates(Type elementType,
                                            ProductMeans means) {
  constexpr auto Simt = ProductSkeleton::Simt, Mma = ProductSkeleton::Mma,
                 Wgmma = ProductSkeleton::Wgmma, Tma = ProductSkeleton::Tma;
  int64_t bytes = getStorageBytes(elementType);
  bool isHalf = elementType.isF16() || elementType.isBF16();
  SmallVector<Candidate> candidates;
  if (isHalf && means.warpGroups && means.boxes)
    candidates = {{{Tma, 256, 128, 64, 128, 128, 4, 384}, 1.7},
                  {{Tma, 128, 128, 64, 64, 128, 6, 384}, 1.4}};
  else if (isHalf && means.warpGroups)
    candidates = {{{Wgmma, 256, 128, 64, 128, 128, 4, 256}, 1.6},
                  {{Wgmma, 128, 128, 64, 64, 128, 4, 256}, 1.3}};
  if (isHalf || elementType.isInteger(8) || elementType.isFloat8E4M3FN() ||
      means.tf32) {
    int64_t depth = 128 / bytes;
    candidates.append({{{Mma, 128, 128, depth, 64, 32, 3, 256}, 1.0},
                       {{Mma, 128, 64, depth, 32, 32, 3, 256}, 0.8},
                       {{Mma, 64, 64, depth, 32, 32, 4, 128}, 0.65},
                       {{Mma, 32, 32, depth, 16, 16, 4, 128}, 0.3}});
    return candidates;
  }
  // Eight-byte sums have half as many to a fragment, and to a strip.
  if (getStorageBytes(getSumType(elementType)) == 8)
    return {{{Simt, 64, 64, 8, 4, 4, 3, 256}, 1.0},
            {{Simt, 32, 32, 8, 4, 4, 3, 64}, 0.7}};
  return {{{Simt, 128, 128, 8, 8, 8, 3, 256}, 1.0},
          {{Simt, 64, 64, 16, 8, 4, 3, 128}, 0.75},
          {{Simt, 32, 32, 16, 4, 4, 3, 64}, 0.5},
          {{Simt, 16, 64, 16, 4, 4, 3, 64}, 0.5}};
}

ProductTile chooseTile(const ProductSizes &sizes, Type elementType,
                       ProductMeans means) {
  ProductTile best;
  double bestCost = 0;
  for (Candidate &candidate : getCandidates(elementType, means)) {
    ProductTile &tile = candidate.tile;
    int64_t tiles =
        sizes.batch * divideCeil(sizes.m, tile.m) * divideCeil(sizes.n, tile.n);
    for (int64_t parts = 1; parts <= 32; parts *= 2) {
      int64_t depth = llvm::alignTo(
          std::max<int64_t>(1, divideCeil(sizes.k, parts)), tile.depth);
      // Parts are worth their way through memory only where they are deep.
      if (parts > 1 &&
          (depth < 8 * tile.depth || depth * (parts - 1) >= sizes.k))
        break;
      double cost = double(divideCeil(tiles * parts, kMultiprocessors)) *
                    tile.m * tile.n * (depth + 4 * tile.depth) /
                    candidate.efficiency;
      // Writing and reading a sum costs about as much as 64 products.
      if (parts > 1)
        cost += 64.0 * (parts + 1) * sizes.batch * sizes.m * sizes.n /
                    kMultiprocessors +
                2e5;
      if (bestCost == 0 || cost < bestCost) {
        bestCost = cost;
        best = tile;
        best.parts = parts;
        best.partDepth = depth;
      }
    }
  }
  return best;
}

/// Shared memory of a block of gemm_simt.cuh; like all that is not dynamic, it
/// must not take more than 48 KiB.
static int64_t getSimtSharedBytes(const ProductTile &tile, Type elementType) {
  int64_t bytes = getStorageBytes(getSumType(elementType)), vector = 16 / bytes;
  int64_t strips = tile.stages * tile.depth * (tile.m + tile.n + 2 * vector);
  int64_t pass = tile.m / (tile.innerM / vector) * (tile.n + vector);
  return std::max(strips, pass) * bytes;
}

/// Dynamic shared memory of a block of the other skeletons.
static int64_t getSharedBytes(const ProductTile &tile) {
  int64_t strips = tile.stages * (tile.m + tile.n) * 128;
  switch (tile.skeleton) {
  case ProductSkeleton::Simt:
    return 0;
  case ProductSkeleton::Tma:
    // 16 rows of 68 sums for each of 8 warps, and two mbarriers a stage.
    return strips + 8 * 16 * 68 * 4 + tile.stages * 16;
  default:
    return std::max(strips, tile.m * (tile.n + 4) * 4);
  }
}

/// What a block may have of dynamic shared memory (CUDA C++ Programming Guide,
/// "Technical Specifications per Compute Capability").
static int64_t getDynamicSharedLimit(unsigned architecture) {
  switch (architecture) {
  case 80:
  case 87:
    return 163 * 1024;
  case 86:
  case 89:
  case 120:
  case 121:
    return 99 * 1024;
  default:
    return 227 * 1024;
  }
}

FailureOr<ProductTile> takeTile(const TileChoice &wanted,
                                const ProductSizes &sizes, Type elementType,
                                ProductMeans means, unsigned architecture,
                                std::string &whyNot) {
  SmallVector<Candidate> candidates = getCandidates(elementType, means);
  auto found = llvm::find_if(candidates, [&](const Candidate &candidate) {
    return candidate.tile.m == wanted.m && candidate.tile.n == wanted.n &&
           candidate.tile.depth == wanted.depth;
  });
  llvm::raw_string_ostream why(whyNot);
  if (found == candidates.end()) {
    why << "for " << elementType << " there is no tile of " << wanted.m << "x"
        << wanted.n << "x" << wanted.depth << ", expected one of ";
    llvm::interleaveComma(candidates, why, [&](const Candidate &candidate) {
      why << candidate.tile.m << "x" << candidate.tile.n << "x"
          << candidate.tile.depth;
    });
    return failure();
  }
  ProductTile tile = found->tile;
  tile.stages = wanted.stages;
  tile.parts = wanted.parts;
  tile.partDepth = llvm::alignTo(divideCeil(sizes.k, tile.parts), tile.depth);
  // wgmma reads a strip while the next is waited for.
  int64_t fewest = tile.skeleton == ProductSkeleton::Wgmma ? 3 : 2;
  if (tile.stages < fewest || tile.stages > 8) {
    why << "expected " << fewest << " to 8 stages, found " << tile.stages;
    return failure();
  }
  if (tile.parts > 1 && tile.partDepth * (tile.parts - 1) >= sizes.k) {
    why << "k of " << sizes.k << " cannot be cut into " << tile.parts
        << " parts of multiples of " << tile.depth;
    return failure();
  }
  bool isSimt = tile.skeleton == ProductSkeleton::Simt;
  int64_t bytes =
      isSimt ? getSimtSharedBytes(tile, elementType) : getSharedBytes(tile);
  int64_t limit = isSimt ? 48 * 1024 : getDynamicSharedLimit(architecture);
  if (bytes > limit) {
    why << "the tile takes " << bytes
        << " bytes of shared memory, a block may have " << limit;
    return failure();
  }
  return tile;
}

static std::string numbers(ArrayRef<int64_t> values) {
  std::string text;
  for (int64_t value : values)
    text += (text.empty() ? "" : ", ") + std::to_string(value);
  return text;
}

/// A tensor map with the boxes that make up a strip of `rows` rows.
static GridTensorMap withBox(const OperandText &operand, int64_t rows,
                             int64_t depth) {
  GridTensorMap map = *operand.tensor;
  map.box = {depth, operand.alongK ? rows : depth};
  if (map.dims.size() > 2)
    map.box.push_back(1);
  return map;
}

/// The type `Tile` of a skeleton, and what its numbers are.
static void writeTile(CodeWriter &writer, const ProductTile &tile) {
  switch (tile.skeleton) {
  case ProductSkeleton::Simt:
    writer.line("// m, n, depth of a block; m, n of a thread; stages");
    writer.line("using Tile = SimtTile<" +
                numbers({tile.m, tile.n, tile.depth, tile.innerM, tile.innerN,
                         tile.stages}) +
                ">;");
    return;
  case ProductSkeleton::Mma:
    writer.line("// m, n of a block; m, n of a warp; stages");
    writer.line(
        "using Tile = MmaTile<" +
        numbers({tile.m, tile.n, tile.innerM, tile.innerN, tile.stages}) +
        ">;");
    return;
  case ProductSkeleton::Wgmma:
    writer.line("// m of a block, whose n is 128; stages");
    writer.line("using Tile = WgmmaTile<" + numbers({tile.m, tile.stages}) +
                ">;");
    return;
  case ProductSkeleton::Tma:
    writer.line("// m of a tile, whose n is 128; stages");
    writer.line("using Tile = TmaTile<" + numbers({tile.m, tile.stages}) +
                ">;");
    return;
  }
}

FailureOr<KernelText>
writeProduct(KernelOp kernel, StringRef symbol, const GpuFeatures &features,
             const ProductSizes &sizes, const OperandText &givenA,
             const OperandText &givenB, const EpilogueText &epilogue,
             std::string &whyNot) {
  if (sizes.batch * sizes.m * sizes.n == 0) {
    KernelFile file(kernel, symbol);
    file.openGrid({}, "nothing to compute");
    file.closeGrid();
    return file.take(0);
  }
  // Before sm_89 tensor cores know no 8-bit floats, but every one is an f16.
  bool widens = givenA.elementType.isFloat8E4M3FN() &&
                features.architecture < kFloat8Architecture;
  const OperandText a = widens ? givenA.widened() : givenA,
                    b = widens ? givenB.widened() : givenB;
  Type elementType = a.elementType, sumType = getSumType(elementType);
  // Elements that come one by one are no work for few large blocks.
  bool hasVectors = a.vector > 1 && b.vector > 1;
  ProductMeans means = {features.hasWarpGroupMma && hasVectors && !b.isComputed,
                        a.tensor && b.tensor,
                        elementType.isF32() && isTf32Chosen(kernel)};
  FailureOr<std::optional<TileChoice>> wanted = getTileChoice(kernel);
  if (failed(wanted))
    return failure();
  FailureOr<ProductTile> chosen =
      *wanted ? takeTile(**wanted, sizes, elementType, means,
                         features.architecture, whyNot)
              : chooseTile(sizes, elementType, means);
  if (failed(chosen))
    return failure();
  ProductTile tile = *chosen;
  bool isTma = tile.skeleton == ProductSkeleton::Tma;
  GridLaunch launch;
  launch.isCooperative = true;
  launch.block[0] = tile.threads;
  launch.grid[0] =
      sizes.batch * divideCeil(sizes.m, tile.m) * divideCeil(sizes.n, tile.n);
  launch.grid[1] = tile.parts;
  int64_t tiles = launch.grid[0];
  if (isTma) {
    launch.grid[0] = std::clamp<int64_t>(kMultiprocessors / tile.parts, 1,
                                         std::max<int64_t>(1, tiles));
    launch.tensorMaps = {withBox(a, tile.m, tile.depth),
                         withBox(b, tile.n, tile.depth)};
  }
  if (tiles > INT32_MAX) {
    whyNot = "the product has more tiles than a grid has blocks";
    return failure();
  }

  static const StringRef headers[] = {"gemm_simt.cuh", "gemm_mma.cuh",
                                      "gemm_wgmma.cuh", "gemm_tma.cuh"};
  static const StringRef functions[] = {"gemmSimt", "gemmMma", "gemmWgmma",
                                        "gemmTma"};
  StringRef header = headers[unsigned(tile.skeleton)];
  KernelFile file(kernel, symbol, header);
  CodeWriter &writer = file.writer;
  writer.line();
  SmallVector<int64_t> shape = {sizes.batch, sizes.m, sizes.n, sizes.k};
  if (tile.parts > 1)
    shape.append({tile.parts, tile.partDepth});
  writer.line(tile.parts > 1 ? "// batch, m, n, k; parts of k, their depth"
                             : "// batch, m, n, k");
  writer.line("using Shape = ProductShape<" + numbers(shape) + ">;");
  writeTile(writer, tile);
  launch.dynamicSharedBytes = getSharedBytes(tile);
  if (means.tf32)
    writer.line("// operands are rounded to tf32");
  for (const OperandText *operand : {&a, &b})
    if (isTma)
      operand->printTensor(writer);
    else
      operand->print(writer);
  if (failed(epilogue.print(writer, whyNot)))
    return failure();

  std::string skeleton = functions[unsigned(tile.skeleton)].str();
  std::string sum = typeName(sumType);
  // 128 registers a thread are enough for most tiles whose operands come in
  // vectors; told so, ptxas takes neither fewer (and spills) nor more.
  bool isWide =
      tile.skeleton == ProductSkeleton::Wgmma || !hasVectors ||
      (tile.skeleton == ProductSkeleton::Mma && tile.m * tile.n >= 128 * 128);
  int64_t minBlocks = isTma ? 1 : 65536 / (isWide ? 256 : 128) / tile.threads;
  std::string sizesText =
      std::to_string(tile.m) + " x " + std::to_string(tile.n);
  auto call = [&](const std::string &finish) {
    auto construct = [&](const OperandText &operand) {
      return isTma ? operand.name + "{" + operand.tensor->name + "}"
                   : operand.construct();
    };
    writer.line(skeleton + "<Shape, Tile>(" + construct(a) + ", " +
                construct(b) + ", " + finish + ");");
  };
  std::string block =
      isTma ? "blocks that take turns, for each " : "a block per ";
  if (tile.parts == 1) {
    file.openGrid(launch, block + sizesText + " of the result", minBlocks);
    call(epilogue.construct());
    file.closeGrid();
    return file.take(0);
  }
  file.openGrid(launch, block + sizesText + " of the result and part of k",
                minBlocks);
  call("PartialSums<Shape, " + sum + ">{(" + sum + " *)scratch}");
  file.closeGrid();
  GridLaunch join =
      flatLaunch(sizes.batch * sizes.m * sizes.n / epilogue.getLanes());
  file.openGrid(join, "the parts of each sum, in their order");
  writer.line("joinParts<Shape>((const " + sum + " *)scratch, " +
              epilogue.construct() + ");");
  file.closeGrid();
  return file.take(tile.parts * sizes.batch * sizes.m * sizes.n *
                   getStorageBytes(sumType));
}

} // namespace lathe::cuda
