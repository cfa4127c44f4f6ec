//===- lathe-lsp-server.cpp - Language server of the lathe dialect --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Pipelines/Compiler.h"

#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  lathe::registerAllLatheDialects(registry);
  return mlir::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
