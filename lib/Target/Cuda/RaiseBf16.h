//===- RaiseBf16.h - Conversions of bfloat16, by their name again ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_RAISEBF16_H
#define LATHE_LIB_TARGET_CUDA_RAISEBF16_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe::cuda {
using namespace mlir;

/// Turns the integer arithmetic that converts between bfloat16 and float into
/// arith.extf and arith.truncf.
void raiseBf16Casts(func::FuncOp function);

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_RAISEBF16_H
