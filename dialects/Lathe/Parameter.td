//===- Parameter.td - Module-level parameters -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_PARAMETER_TD
#define LATHE_PARAMETER_TD

include "dialects/Lathe/LatheBase.td"

def ParameterOp : Lathe_Op<"parameter", [Symbol]> {
  let summary = "a named weight, bound from a file or initialized";
  let description = [{
    The symbol is the tensor's name in public checkpoints. A stacked parameter
    holds the same tensor of several layers: `key` is a pattern with `{}` for the
    layer index, which counts the leading dim.

    ```mlir
    lathe.parameter @"embeddings.word_embeddings.weight" : tensor<30522x384xf32>
    lathe.parameter @query : tensor<6x384x384xf32>
        {key = "encoder.layer.{}.attention.self.query.weight",
         init = #lathe.init<normal, 0.0, 0.02>}
    ```
    `file`, `file_offset` and `file_bytes` say where an imported model keeps it.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<Lathe_Tensor>:$type,
                       OptionalAttr<StrAttr>:$key, OptionalAttr<Lathe_InitializerAttr>:$init,
                       OptionalAttr<StrAttr>:$file, OptionalAttr<I64Attr>:$file_offset,
                       OptionalAttr<I64Attr>:$file_bytes,
                       OptionalAttr<StrAttr>:$sym_visibility);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 1;
}

def GetParameterOp : Lathe_Op<"get_parameter", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "the value of a parameter";
  let arguments = (ins FlatSymbolRefAttr:$name);
  let results = (outs Lathe_Tensor:$result);
  let assemblyFormat = "$name attr-dict `:` type($result)";
}

#endif // LATHE_PARAMETER_TD
