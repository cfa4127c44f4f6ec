//===- ProductText.h - A product by the skeletons of gemm*.cuh --*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_PRODUCTTEXT_H
#define LATHE_LIB_TARGET_CUDA_PRODUCTTEXT_H

#include "AnchorText.h"
#include "lathe/Target/Cuda/Schedule.h"
#include "lathe/Target/ScheduleChoices.h"

namespace lathe::cuda {

/// C(batch, m, n) = sum over k of A(batch, m, k) * B(batch, n, k).
struct ProductSizes {
  int64_t batch = 1, m = 1, n = 1, k = 1;
};

/// gemm_simt.cuh, gemm_mma.cuh, gemm_wgmma.cuh, gemm_tma.cuh.
enum class ProductSkeleton { Simt, Mma, Wgmma, Tma };

/// What a block computes, and in how many parts k is cut.
struct ProductTile {
  ProductSkeleton skeleton = ProductSkeleton::Simt;
  int64_t m, n, depth;
  /// Rows and columns of a thread, of a warp (Mma), or of a warp group.
  int64_t innerM, innerN;
  int64_t stages;
  int64_t threads;
  int64_t parts = 1, partDepth = 0;
};

/// What a product may be computed with.
struct ProductMeans {
  /// wgmma.
  bool warpGroups = false;
  /// TMA reads both operands.
  bool boxes = false;
  /// Tensor cores for f32.
  bool tf32 = false;
};

/// The tile for which the busiest of a device's multiprocessors has the least
/// to do.
ProductTile chooseTile(const ProductSizes &sizes, Type elementType,
                       ProductMeans means);

/// The tile that the user wants; failure with the reason in `whyNot` where no
/// skeleton has it or it does not fit into a block of `architecture`.
FailureOr<ProductTile> takeTile(const TileChoice &wanted,
                                const ProductSizes &sizes, Type elementType,
                                ProductMeans means, unsigned architecture,
                                std::string &whyNot);

/// Writes the kernel: one grid, or two where k is cut into parts. `a` and `b`
/// are called A and B.
FailureOr<KernelText> writeProduct(KernelOp kernel, StringRef symbol,
                                   const GpuFeatures &features,
                                   const ProductSizes &sizes,
                                   const OperandText &a, const OperandText &b,
                                   const EpilogueText &epilogue,
                                   std::string &whyNot);

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_PRODUCTTEXT_H
