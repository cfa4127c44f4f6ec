//===- LatheToLinalg.h - The meaning of every op, in linalg -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CONVERSION_LATHETOLINALG_H
#define LATHE_CONVERSION_LATHETOLINALG_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {
using namespace mlir;

/// Rewrites `function`, whose body is one block of lathe ops on static tensors,
/// to linalg, tensor, arith, math and scf on tensors of storage types (see
/// ScalarBody.h); the signature changes with them. Composite ops go through
/// their decomposition. Fails with a diagnostic at the first op that has no
/// lowering (control flow, parameters, open sizes), leaving `function` as it
/// was.
LogicalResult convertToLinalg(func::FuncOp function);

} // namespace lathe

#endif // LATHE_CONVERSION_LATHETOLINALG_H
