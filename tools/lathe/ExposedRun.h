//===- ExposedRun.h - Inner values of a running program ---------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_EXPOSEDRUN_H
#define LATHE_TOOLS_EXPOSEDRUN_H

#include "lathe/Pipelines/Compiler.h"
#include "lathe/Runtime/Session.h"
#include "lathe/Transforms/ExposeValues.h"

namespace lathe {

/// What one run gives: the function's own results, then the exposed values, in
/// the order in which they were asked for.
struct ExposedRun {
  std::vector<Tensor> results, values;
};

/// A function with inner values as further results, ready to run.
class ExposedProgram {
public:
  /// Compiles the function `entry` of `module` (static shapes, no calls) with
  /// the values at the places `wanted` of listValues as further results. Its
  /// runs read states and do not write them. Errors: it does not compile (a
  /// diagnostic says why, where the message is empty) or load.
  static llvm::Expected<ExposedProgram>
  create(ModuleOp module, StringRef entry, ArrayRef<unsigned> wanted,
         ExposedForm form, const CompileOptions &compile, WeightSource &weights,
         const SessionOptions &session);

  llvm::Expected<ExposedRun> run(ArrayRef<TensorView> inputs);

private:
  std::unique_ptr<Session> session;
  size_t ownResults = 0;
};

/// The same for one run.
llvm::Expected<ExposedRun>
runExposed(ModuleOp module, StringRef entry, ArrayRef<unsigned> wanted,
           ExposedForm form, const CompileOptions &compile,
           WeightSource &weights, const SessionOptions &session,
           ArrayRef<TensorView> inputs);

/// Static shapes of the arguments.
SmallVector<SmallVector<int64_t>> argumentShapes(func::FuncOp function);

/// "\"model.mlir\":7:10", as MLIR prints it, or the name of an ONNX node; ""
/// where it is not known.
std::string formatLocation(Location loc);
/// The same without quotes.
std::string placeOf(Operation *op);
/// "'lathe.log' at model.mlir:7:10", or with "in the gradient" behind it.
std::string describeOp(Operation *op);

/// "[0,3]"
std::string formatIndex(ArrayRef<int64_t> index);

} // namespace lathe

#endif // LATHE_TOOLS_EXPOSEDRUN_H
