//===- ValueMatch.h - Values that two programs both have --------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_VALUEMATCH_H
#define LATHE_TOOLS_VALUEMATCH_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {
using namespace mlir;

struct MatchedValue {
  unsigned here, there; ///< places in listValues of each function
};

/// Values of two functions in one context that stand for the same, in the order
/// of `here`. First those that are computed alike: the same op with the same
/// attributes on values that match, down to inputs and parameters of the same
/// names; then, where both functions have equally many, ops of the same kind,
/// type and place in the model (ONNX: of the same node). Constants are left
/// out.
SmallVector<MatchedValue> matchValues(func::FuncOp here, func::FuncOp there);

} // namespace lathe

#endif // LATHE_TOOLS_VALUEMATCH_H
