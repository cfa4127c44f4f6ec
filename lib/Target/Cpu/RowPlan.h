//===- RowPlan.h - How a row program is cut into work items -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_ROWPLAN_H
#define LATHE_LIB_TARGET_CPU_ROWPLAN_H

#include "lathe/Target/Cpu/Schedule.h"
#include "lathe/Target/RowProgram.h"

namespace lathe::cpu {

/// How a program is cut into work items.
struct RowPlan {
  /// Classes that number the items, outermost first.
  SmallVector<int> itemClasses;
  /// Classes looped over around the steps inside of an item.
  SmallVector<int> grainClasses;
  /// The class the lanes of vectors run along, or -1.
  int vectorClass = -1;
  /// Elements of the vector class an item does; 0 where it does all.
  int64_t block = 0;
  /// The block number varies slowest over items, else fastest.
  bool blockFirst = false;
  int64_t lanes = 8;

  bool isOuter(int c) const {
    return llvm::is_contained(itemClasses, c) ||
           llvm::is_contained(grainClasses, c);
  }
  int64_t getWorkItems(const RowProgram &program) const;
};

std::optional<RowPlan> planRows(const RowProgram &program,
                                const CpuFeatures &features,
                                std::string &whyNot);

/// A program, or a part of one, and how it is cut.
struct PlannedRows {
  RowProgram program;
  RowPlan plan;
};

/// Writes the body of `target` (with the kernel's memory signature): the items
/// of the first part, then those of the next. Returns the bytes of scratch it
/// uses.
int64_t emitRows(ArrayRef<PlannedRows> parts, func::FuncOp target);

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_ROWPLAN_H
