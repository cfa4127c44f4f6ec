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

/// Upstream's polynomials that are within a few units in the last place over
/// the whole range; those for arc functions (off by up to 0.1 near 1) and for
/// sin and cos (absolute error grows with the argument) are not.
static bool isAccurate(StringRef op) {
  return llvm::is_contained({"math.exp", "math.expm1", "math.tanh", "math.erf",
                             "math.log", "math.log1p", "math.log2"},
                            op);
}

LogicalResult expandMath(func::FuncOp function) {
  RewritePatternSet patterns(function.getContext());
  populateMathPolynomialApproximationPatterns(patterns);
  llvm::erase_if(patterns.getNativePatterns(), [](const auto &pattern) {
    std::optional<OperationName> root = pattern->getRootKind();
    return root && !isAccurate(root->getStringRef());
  });
  // pow with an exponent of 2, 1/2, 3/4, ... by products and square roots.
  populateMathAlgebraicSimplificationPatterns(patterns);
  return applyPatternsAndFoldGreedily(function, std::move(patterns));
}

} // namespace lathe::cpu
