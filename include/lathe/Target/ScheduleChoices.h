//===- ScheduleChoices.h - What a user chose for a schedule -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Schedules choose by themselves. What the user chose instead stands on
// lathe.kernel, where `--emit kernels` shows it:
//
//   lathe.tile = array<i64: M, N, DEPTH, STAGES, PARTS>   a product's tile
//   lathe.tf32                                            f32 products in tf32
//
// Schedules of the CUDA targets obey, or refuse the kernel with a sentence.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_SCHEDULECHOICES_H
#define LATHE_TARGET_SCHEDULECHOICES_H

#include "dialects/Lathe/Lathe.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

#include <string>

namespace lathe {
using namespace mlir;

/// Rows and columns of the result and places of k that a block has at a time,
/// strips in shared memory, parts that k is cut into.
struct TileChoice {
  int64_t m, n, depth, stages, parts = 1;
};

/// For all kernels of this name.
struct NamedTile {
  std::string kernel;
  TileChoice tile;
};

/// Of "NAME=128x128x32x3" or "NAME=128x128x32x3x2"; the last are the parts.
llvm::Expected<NamedTile> parseTile(StringRef text);
/// "128x128x32x3x1".
std::string formatTile(const TileChoice &tile);

/// Puts the attributes on the kernels of `module`; failure after a diagnostic
/// where no kernel has a name.
LogicalResult addScheduleChoices(ModuleOp module, ArrayRef<NamedTile> tiles,
                                 bool tf32);

/// The tile of `kernel`, or nothing; failure after a diagnostic at an attribute
/// of another form.
FailureOr<std::optional<TileChoice>> getTileChoice(KernelOp kernel);
bool isTf32Chosen(KernelOp kernel);

} // namespace lathe

#endif // LATHE_TARGET_SCHEDULECHOICES_H
