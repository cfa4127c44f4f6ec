//===- Passes.td - Conversions ----------------------------------*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CONVERSION_PASSES_TD
#define LATHE_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConvertToLinalg : Pass<"lathe-convert-to-linalg", "::mlir::func::FuncOp"> {
  let summary = "lathe ops on static tensors to linalg";
  let description = [{
    Writes the meaning of every op as linalg, tensor, arith, math and scf on
    tensors of storage types: `i1` is kept as `i8`, unsigned integers as signless
    ones. Composite ops go through their decomposition.

    Before:
    ```mlir
    func.func @f(%x: tensor<4xi1>) -> tensor<4xi1> {
      %0 = lathe.not %x : (tensor<4xi1>) -> tensor<4xi1>
      return %0 : tensor<4xi1>
    }
    ```
    After:
    ```mlir
    func.func @f(%x: tensor<4xi8>) -> tensor<4xi8> {
      %init = tensor.empty() : tensor<4xi8>
      %0 = linalg.generic {...} ins(%x : tensor<4xi8>) outs(%init : tensor<4xi8>) {...}
      return %0 : tensor<4xi8>
    }
    ```
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect"
  ];
}

#endif // LATHE_CONVERSION_PASSES_TD
