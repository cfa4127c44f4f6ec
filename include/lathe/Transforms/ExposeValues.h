//===- ExposeValues.h - Inner values as results -----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What an op computes can be seen from outside when it is a result of the
// function: results keep their meaning through every pass and on every target,
// so values of two programs can be compared without asking what passes did to
// the ops that made them.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_EXPOSEVALUES_H
#define LATHE_TRANSFORMS_EXPOSEVALUES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {
using namespace mlir;

/// The tensors that ops of `function` give, those in regions included, in
/// program order: what a region computes stands before the results of its op. A
/// clone of the function gives the same ones at the same places. Left out are
/// empty tensors and conditions of `while`. Shapes must be static.
SmallVector<Value> listValues(func::FuncOp function);

enum class ExposedForm {
  Whole,
  /// The largest magnitude, of rank 0; NaN where any element is NaN. Floats
  /// alone.
  Largest
};

/// Appends the values at the places `wanted` of listValues, in ascending order,
/// to the results of `function`; result names are "value.PLACE". In a scan,
/// results are stacked: the trip counts of all enclosing scans are leading
/// dims, the outermost first. In a branch that is not taken they are 0; of a
/// `while` they are those of its last iteration, or the largest of all.
void exposeValues(func::FuncOp function, ArrayRef<unsigned> wanted,
                  ExposedForm form);

} // namespace lathe

#endif // LATHE_TRANSFORMS_EXPOSEVALUES_H
