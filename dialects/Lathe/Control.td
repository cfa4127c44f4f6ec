//===- Control.td - Kernels, loops and branches -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CONTROL_TD
#define LATHE_CONTROL_TD

include "dialects/Lathe/LatheBase.td"

def YieldOp : Lathe_Op<"yield", [Pure, Terminator, ReturnLike,
    ParentOneOf<["KernelOp", "ScanOp", "IfOp", "WhileOp"]>]> {
  let summary = "ends a region with its values";
  let arguments = (ins Variadic<Lathe_Tensor>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}

def KernelOp : Lathe_Op<"kernel", [Pure, IsolatedFromAbove, SingleBlock]> {
  let summary = "ops that run as one kernel";
  let description = [{
    Made by `lathe-form-kernels`. Block arguments are the inputs, `lathe.yield` has
    the outputs. `name` says what it computes, `schedule` which family of code
    generation will take it (rows, contraction, convolution, attention, opaque).

    ```mlir
    %0 = lathe.kernel "linear_gelu" schedule "contraction" (%a = %x, %w = %weight)
        : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32> {
      %1 = lathe.linear %a, %w : ...
      %2 = lathe.gelu %1 : ...
      lathe.yield %2 : tensor<4x16xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<Lathe_Tensor>:$inputs, StrAttr:$name, StrAttr:$schedule);
  let results = (outs Variadic<Lathe_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def ScanOp : Lathe_Op<"scan", [RecursiveMemoryEffects, SingleBlock, AttrSizedOperandSegments]> {
  let summary = "a loop over the leading dim of stacked tensors";
  let description = [{
    Region arguments: the carried values (types of `inits`), then one slice of each
    of `inputs` without its leading dim. The region yields the carried values, then
    one value per stacked output. Results: the last carried values, then the
    stacked outputs with the trip count as leading dim. Values of the enclosing
    scope may be used inside. The trip count is the leading dim of `inputs`, or
    `trip_count` where there are none. `reverse` runs from the last slice to the
    first (stacked outputs keep the place of their slice).

    ```mlir
    %y = lathe.scan init(%h = %x) inputs(%w = %weights)
        : (tensor<8x64xf32>, tensor<6x64x64xf32>) -> tensor<8x64xf32> {
      %0 = lathe.linear %h, %w : (tensor<8x64xf32>, tensor<64x64xf32>) -> tensor<8x64xf32>
      lathe.yield %0 : tensor<8x64xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<Lathe_Tensor>:$inits, Variadic<Lathe_Tensor>:$inputs,
                       OptionalAttr<I64Attr>:$trip_count, UnitAttr:$reverse);
  let results = (outs Variadic<Lathe_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = commonDeclaration # [{
    /// The trip count, or ShapedType::kDynamic.
    int64_t computeTripCount();
    unsigned getNumCarried() { return getInits().size(); }
  }];
}

def IfOp : Lathe_Op<"if", [RecursiveMemoryEffects, NoRegionArguments]> {
  let summary = "one of two branches, by a rank-0 Boolean";
  let description = [{
    Each branch yields the results; only the one that is taken runs. Values of the
    enclosing scope may be used inside.

    ```mlir
    %y = lathe.if %is_long : (tensor<i1>) -> tensor<8xf32> {
      %0 = lathe.neg %x : (tensor<8xf32>) -> tensor<8xf32>
      lathe.yield %0 : tensor<8xf32>
    } else {
      lathe.yield %x : tensor<8xf32>
    }
    ```
  }];
  let arguments = (ins Lathe_BoolTensor:$condition);
  let results = (outs Variadic<Lathe_Tensor>:$results);
  let regions = (region SizedRegion<1>:$then_region, SizedRegion<1>:$else_region);
  let assemblyFormat = [{
    $condition attr-dict `:` functional-type($condition, $results) $then_region `else` $else_region
  }];
  let hasVerifier = 1;
}

def WhileOp : Lathe_Op<"while", [RecursiveMemoryEffects]> {
  let summary = "repeats the body while the condition region yields true";
  let description = [{
    Both regions take the carried values; the condition yields one rank-0 Boolean,
    the body the next carried values. Types stay the same over iterations. Values of
    the enclosing scope may be used inside.

    ```mlir
    %y, %n = lathe.while (%a = %x, %i = %zero) : (tensor<4xf32>, tensor<i64>) -> (tensor<4xf32>, tensor<i64>) {
      %0 = lathe.compare lt, %i, %limit : (tensor<i64>, tensor<i64>) -> tensor<i1>
      lathe.yield %0 : tensor<i1>
    } do {
    ^bb0(%a: tensor<4xf32>, %i: tensor<i64>):
      %0 = lathe.add %a, %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
      %1 = lathe.add %i, %one : (tensor<i64>, tensor<i64>) -> tensor<i64>
      lathe.yield %0, %1 : tensor<4xf32>, tensor<i64>
    }
    ```
  }];
  let arguments = (ins Variadic<Lathe_Tensor>:$inits);
  let results = (outs Variadic<Lathe_Tensor>:$results);
  let regions = (region SizedRegion<1>:$condition, SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

#endif // LATHE_CONTROL_TD
