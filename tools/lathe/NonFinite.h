//===- NonFinite.h - Where a value that is not finite comes from ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_NONFINITE_H
#define LATHE_TOOLS_NONFINITE_H

#include "lathe/Pipelines/Compiler.h"
#include "lathe/Runtime/Session.h"
#include "lathe/Train/Loop.h"

namespace lathe {

/// A program in which values are looked for that are not finite.
struct NonFiniteSearch {
  /// One function @train_step on static shapes, before the graph passes, its
  /// ops marked (buildTrainingModule).
  ModuleOp module;
  CompileOptions compile;
  WeightSource *weights;
  /// Its states are those of the program that failed: they are read, and never
  /// written.
  SessionOptions session;
};

/// Runs the step with each op in a kernel of its own, and says which op makes
/// the NaN or infinity that its figures, or else the new values of its
/// parameters, come from: "'lathe.log' at model.mlir:7:10 gives -inf at [0,3]".
/// Follows the data back from there, so that what is infinite on purpose (a
/// mask) or not used (the other side of a select) is not blamed. A mean of
/// nothing, such as of a loss that ignores all its labels, is called that. No
/// text where every value is finite. Errors: it does not compile or run.
llvm::Expected<train::Explanation>
findNonFiniteOp(const NonFiniteSearch &search,
                llvm::ArrayRef<TensorView> inputs);

} // namespace lathe

#endif // LATHE_TOOLS_NONFINITE_H
