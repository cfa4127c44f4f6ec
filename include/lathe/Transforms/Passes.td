//===- Passes.td - Graph passes ---------------------------------*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// File organization: passes are grouped under banners in the order the pipeline
// runs them, alphabetical inside a banner. Pass `FooBar` is `def FooBar` here,
// `lathe-foo-bar` on the command line, `FooBar.cpp` in lib/Transforms and
// `test/Transforms/foo-bar.mlir`.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_PASSES_TD
#define LATHE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Simplify
//===----------------------------------------------------------------------===//

def Decompose : Pass<"lathe-decompose"> {
  let summary = "expand composite ops that no kernel claims";
  let description = [{
    Replaces every op that implements `DecomposableOpInterface` by its
    decomposition, except the ops named in `keep` (composites with a schedule
    of their own on the target).

    Before:
    ```mlir
    %0 = lathe.softmax %x {axis = -1} : (tensor<4x8xf32>) -> tensor<4x8xf32>
    ```
    After:
    ```mlir
    %max = lathe.reduce_max %x {axes = array<i64: 1>, keepdims = true} : ...
    %sub = lathe.sub %x, %max : ...
    %exp = lathe.exp %sub : ...
    %sum = lathe.reduce_sum %exp {axes = array<i64: 1>, keepdims = true} : ...
    %0 = lathe.div %exp, %sum : ...
    ```
  }];
  let options = [
    ListOption<"keep", "keep", "std::string",
               "Composite ops to leave alone, by full name (lathe.attention)">
  ];
  let statistics = [
    Statistic<"numDecomposed", "decomposed", "composite ops expanded">
  ];
}

#endif // LATHE_TRANSFORMS_PASSES_TD
