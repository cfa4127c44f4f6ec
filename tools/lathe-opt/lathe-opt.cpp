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

#include "lathe/Autodiff/Passes.h"
#include "lathe/Conversion/Passes.h"
#include "lathe/Pipelines/Compiler.h"
#include "lathe/Pipelines/Pipelines.h"
#include "lathe/Transforms/Passes.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  lathe::registerAllLatheDialects(registry);

  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  mlir::registerInlinerPass();
  mlir::registerSymbolDCEPass();
  lathe::registerLatheTransformsPasses();
  lathe::registerLatheAutodiffPasses();
  lathe::registerLatheConversionPasses();
  lathe::registerLathePipelines();

  return mlir::asMainReturnCode(mlir::MlirOptMain(
      argc, argv, "Optimizer driver of the lathe dialect\n", registry));
}
