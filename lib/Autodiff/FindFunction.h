//===- FindFunction.h - The function a pass is told to work on -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_AUTODIFF_FINDFUNCTION_H
#define LATHE_LIB_AUTODIFF_FINDFUNCTION_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

/// The function that a pass's option names; null after an error.
inline mlir::func::FuncOp findFunction(mlir::ModuleOp module,
                                       llvm::StringRef name) {
  auto function = module.lookupSymbol<mlir::func::FuncOp>(name);
  if (!function)
    module.emitError("expected a function '@") << name << "'";
  return function;
}

} // namespace lathe

#endif // LATHE_LIB_AUTODIFF_FINDFUNCTION_H
