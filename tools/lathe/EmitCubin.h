//===- EmitCubin.h - lathe compile --emit cubin -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_EMITCUBIN_H
#define LATHE_TOOLS_EMITCUBIN_H

#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace lathe {

/// Compiles every kernel of `module`, or its edited text in `sourceFolder`, by
/// NVRTC, prints what ptxas says of each (registers, shared memory, spills,
/// time) and every warning, and, where `folder` is given, writes NAME.cubin
/// into it. Returns an exit code; warnings are no failure. The last line is for
/// scripts:
///   cubin: N kernels for ARCH, W warnings, S spills, T ms
int emitCubins(mlir::ModuleOp module, const std::string &arch,
               const std::string &sourceFolder, const std::string &folder,
               unsigned threads, bool useCache, const std::string &json);

} // namespace lathe

#endif // LATHE_TOOLS_EMITCUBIN_H
