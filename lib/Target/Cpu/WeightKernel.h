//===- WeightKernel.h - f32 by weights of 8 or 4 bits -----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights are kept in 8 or 4 bits to read fewer bytes. Few rows take them from
// memory straight into registers and multiply the sum of a group by its scale;
// for many rows a panel is turned into f32 once, in scratch.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_WEIGHTKERNEL_H
#define LATHE_LIB_TARGET_CPU_WEIGHTKERNEL_H

#include "ContractionOperands.h"
#include "MicroKernel.h"

namespace lathe::cpu {

/// The arithmetic of f32 by weights without their scales.
std::unique_ptr<Arithmetic> getWeightArithmetic(const CpuFeatures &features,
                                                const Contraction &c);

/// Writes the weights times scales of the `columns` columns from `column` on to
/// `panel[k * columns + column]`. `width` lanes at a time.
void emitWeightCopy(ImplicitLocOpBuilder &b, const Contraction &c,
                    const KernelFrame &frame, const Arithmetic &arithmetic,
                    Value column, int64_t columns, Value panel, int64_t width);

/// The sums of `product`, whose B are weights from `column` on.
SmallVector<Value> emitWeightProduct(ImplicitLocOpBuilder &b,
                                     const Contraction &c,
                                     const KernelFrame &frame, Product product,
                                     Value column);

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_WEIGHTKERNEL_H
