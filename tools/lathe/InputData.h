//===- InputData.h - Tensors to feed a model -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_INPUTDATA_H
#define LATHE_TOOLS_INPUTDATA_H

#include "lathe/Pipelines/Compiler.h"

namespace lathe {

/// Loads the "name=file.npy" ones of --input; generators are left out. A single
/// "file.npz" gives all its arrays.
llvm::Expected<std::vector<NamedTensor>>
loadInputFiles(const std::vector<std::string> &specs);

/// One tensor per input of the program: from `files`, by the generator that
/// `specs` name, or random. Errors: unknown names, wrong types or shapes.
llvm::Expected<std::vector<Tensor>>
makeInputs(const exec::Program &program, const std::vector<std::string> &specs,
           std::vector<NamedTensor> files, uint64_t seed);

/// "the model has no input 'x'; it has 'a', 'b'"
std::string unknownInput(StringRef name,
                         const std::vector<InputDeclaration> &declarations);

} // namespace lathe

#endif // LATHE_TOOLS_INPUTDATA_H
