//===- KernelFunction.h - A kernel as a function on tensors -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the schedules that start from linalg share.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_KERNELFUNCTION_H
#define LATHE_TARGET_KERNELFUNCTION_H

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "mlir/IR/BuiltinOps.h"

namespace lathe {
using namespace mlir;

/// Builds `symbol` in `module`: the kernel's body lowered to linalg on tensors
/// of storage types, elementwise producers fused into their only consumer. On
/// failure nothing is left behind and `whyNot` says why.
FailureOr<func::FuncOp> buildTensorFunction(KernelOp kernel, ModuleOp module,
                                            StringRef symbol,
                                            std::string &whyNot);

/// The memory form of `tensorFunction`'s signature: a static row-major memref
/// per input and output, then `extra`.
FunctionType getKernelSignature(func::FuncOp tensorFunction,
                                ArrayRef<Type> extra);

/// Brings a function that buildTensorFunction made to memory: its signature
/// becomes that of getKernelSignature, results are written where the caller
/// wants them, temporaries are memref.alloc. What is left is linalg, scf and
/// memref. Fails where one-shot bufferization does.
LogicalResult bufferizeKernel(func::FuncOp function, ArrayRef<Type> extra);

} // namespace lathe

#endif // LATHE_TARGET_KERNELFUNCTION_H
