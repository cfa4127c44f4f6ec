//===- InputLimits.h - Which integers the inputs of a loss may hold -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_INPUTLIMITS_H
#define LATHE_TOOLS_INPUTLIMITS_H

#include "TrainOptions.h"
#include "lathe/Pipelines/Compiler.h"

namespace lathe {

/// The limits that follow from the model's @loss, by input: of labels the
/// number of classes, of what chooses rows of a table their number.
std::map<std::string, InputLimit>
findInputLimits(const TrainOptions &options, llvm::ArrayRef<TensorSpec> inputs,
                const Model &model);

} // namespace lathe

#endif // LATHE_TOOLS_INPUTLIMITS_H
