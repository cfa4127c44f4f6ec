//===- ExpandMath.cpp - Math functions as vector code ---------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cpu/ExpandMath.h"

#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace lathe::cpu {

LogicalResult expandMath(func::FuncOp function) {
  RewritePatternSet patterns(function.getContext());
  populateMathPolynomialApproximationPatterns(patterns);
  return applyPatternsAndFoldGreedily(function, std::move(patterns));
}

} // namespace lathe::cpu
