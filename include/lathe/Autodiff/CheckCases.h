//===- CheckCases.h - What a gradient check runs ----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_AUTODIFF_CHECKCASES_H
#define LATHE_AUTODIFF_CHECKCASES_H

#include "lathe/Autodiff/Autograd.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace lathe {

/// A function `@forward` whose gradients are to be checked, in a module of its
/// own.
struct CheckCase {
  std::string name; ///< of the op, or of the function
  Location location;
  OwningOpRef<ModuleOp> module;
};

/// A case per different op (name, attributes, types) of a specialized function
/// that takes and gives floats, nested ones included. Operands are arguments,
/// but those that are constants.
std::vector<CheckCase> extractOpCases(func::FuncOp function);

/// The whole function, its parameters as further arguments. The names of the
/// arguments stand in `lathe.name`. With a loss, a rank-0 float as first
/// result, further results are dropped.
CheckCase extractFunctionCase(func::FuncOp function);

/// Stands on the ops that `addVjp` adds itself.
inline constexpr StringLiteral kCheckMark = "lathe.check";

/// Adds `@vjp_grad` to the case: from the arguments and a cotangent per float
/// result of `@forward` to the sum of products of both, and its gradients.
LogicalResult addVjp(CheckCase &check, const GradientOptions &options);

/// The arguments and results that hold floats.
SmallVector<unsigned> floatArguments(func::FuncOp function);
SmallVector<unsigned> floatResults(func::FuncOp function);

/// How many different values argument `index`, of integers, may take: what the
/// ops that index with it allow; 2 where none does.
int64_t indexBound(func::FuncOp function, unsigned index);

} // namespace lathe

#endif // LATHE_AUTODIFF_CHECKCASES_H
