//===- lathe-opt.cpp - Runs passes on files of the lathe dialect ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Dialects and passes are named one by one: upstream's InitAll headers cost
// more to compile than the rest of the tool.
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Lathe.h"
#include "lathe/Conversion/Passes.h"
#include "lathe/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<lathe::LatheDialect, mlir::func::FuncDialect>();

  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  mlir::registerInlinerPass();
  mlir::registerSymbolDCEPass();
  lathe::registerLatheConversionPasses();
  lathe::registerLatheTransformsPasses();

  return mlir::asMainReturnCode(mlir::MlirOptMain(
      argc, argv, "Optimizer driver of the lathe dialect\n", registry));
}
