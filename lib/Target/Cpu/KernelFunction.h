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

#ifndef LATHE_TARGET_CPU_KERNELFUNCTION_H
#define LATHE_TARGET_CPU_KERNELFUNCTION_H

#include "lathe/Target/Cpu/Schedule.h"

#include "mlir/IR/BuiltinOps.h"

namespace lathe::cpu {

/// Builds `symbol` in `module`: the kernel's body lowered to linalg on tensors
/// of storage types, elementwise producers fused into their only consumer. On
/// failure nothing is left behind and `whyNot` says why.
FailureOr<func::FuncOp> buildTensorFunction(KernelOp kernel, ModuleOp module,
                                            StringRef symbol,
                                            std::string &whyNot);

/// The memory form of `tensorFunction`'s signature: inputs, outputs, scratch,
/// begin, end.
FunctionType getKernelSignature(func::FuncOp tensorFunction);

} // namespace lathe::cpu

#endif // LATHE_TARGET_CPU_KERNELFUNCTION_H
