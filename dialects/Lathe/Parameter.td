//===- Parameter.td - Module-level parameters -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_PARAMETER_TD
#define LATHE_PARAMETER_TD

include "dialects/Lathe/LatheBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def ParameterOp : Lathe_Op<"parameter", [Symbol]> {
  let summary = "a named weight, bound from a file or initialized";
  let description = [{
    The symbol is the tensor's name in public checkpoints. A stacked parameter
    holds the same tensor of several layers: `key` is a pattern with `{}` for the
    layer index, which counts the leading dim from 0; `{1}` counts from 1.

    ```mlir
    lathe.parameter @"embeddings.word_embeddings.weight" : tensor<30522x384xf32>
    lathe.parameter @query : tensor<6x384x384xf32>
        {key = "encoder.layer.{}.attention.self.query.weight",
         init = #lathe.init<normal, 0.0, 0.02>}
    ```
    `file`, `file_offset` and `file_bytes` say where an imported model keeps it.

    A `mutable` parameter is state: programs write it with `lathe.set_parameter`,
    and every session of a model that shares its states sees what was written.
    What is not mutable never changes after it was loaded.
    ```mlir
    lathe.parameter @"train.step" : tensor<i64> {init = #lathe.init<zeros>, mutable}
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<Lathe_Tensor>:$type,
                       OptionalAttr<StrAttr>:$key, OptionalAttr<Lathe_InitializerAttr>:$init,
                       OptionalAttr<StrAttr>:$file, OptionalAttr<I64Attr>:$file_offset,
                       OptionalAttr<I64Attr>:$file_bytes,
                       OptionalAttr<StrAttr>:$sym_visibility);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 1;
  // `mutable` is a word of C++, so ODS cannot declare it.
  let extraClassDeclaration = [{
    static constexpr ::llvm::StringLiteral mutableAttrName = "mutable";
    /// Whether programs may write it.
    bool isMutable() { return (*this)->hasAttr(mutableAttrName); }
    void setMutable(bool value) {
      if (value)
        (*this)->setAttr(mutableAttrName, ::mlir::UnitAttr::get(getContext()));
      else
        (*this)->removeAttr(mutableAttrName);
    }
  }];
}

def GetParameterOp : Lathe_Op<"get_parameter", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "the value of a parameter";
  let description = "Of a mutable one: its value when the program started, wherever the op stands.";
  let arguments = (ins FlatSymbolRefAttr:$name);
  let results = (outs Lathe_Tensor:$result);
  let assemblyFormat = "$name attr-dict `:` type($result)";
}

def SetParameterOp : Lathe_Op<"set_parameter", [MemoryEffects<[MemWrite]>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "gives a mutable parameter the value it has from the next run on";
  let description = [{
    Takes effect at the end of the program: `lathe.get_parameter` reads what was
    there at its start, so all values stay in SSA form. Stands in the entry
    function's top block, at most once per parameter. `in_place`, set by
    `lathe-update-in-place`, says that the kernel which computes the value writes
    it over the old one.

    ```mlir
    %step = lathe.get_parameter @"train.step" : tensor<i64>
    %next = lathe.add %step, %one : (tensor<i64>, tensor<i64>) -> tensor<i64>
    lathe.set_parameter @"train.step", %next : tensor<i64>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$name, Lathe_Tensor:$value, UnitAttr:$in_place);
  let assemblyFormat = "$name `,` $value (`in_place` $in_place^)? attr-dict `:` type($value)";
  let hasVerifier = 1;
}

#endif // LATHE_PARAMETER_TD
