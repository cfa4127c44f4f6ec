//===- RowProgram.h - A kernel as ops over shared dims ----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The dims of all generics of a kernel fall into classes: two loop dims are of
// one class where a value that one generic makes along the first is read by
// another along the second. Classes that are parallel in every op number the
// work items; the others are loops inside of an item, over rows that stay in
// cache.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_ROWPROGRAM_H
#define LATHE_TARGET_ROWPROGRAM_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace lathe {
using namespace mlir;

/// A position in flat memory: offset + sum of coefficient * index over classes.
struct LinearForm {
  SmallVector<int64_t> coefficients;
  int64_t offset = 0;
};

struct RowProgram {
  struct Class {
    int64_t size = 1;
    bool isReduced = false;
    /// A body asks for the index along it.
    bool isIndexed = false;
    /// Stood in for by another class after merging.
    bool isGone = false;
  };

  /// What a generic reads: memory of an argument, a value of the program or a
  /// constant.
  struct Operand {
    enum Kind { Memory, Computed, Constant } kind = Memory;
    unsigned argument = 0;
    LinearForm position;
    unsigned value = 0;
    TypedAttr constant;
  };

  struct Step {
    linalg::GenericOp op;
    /// Class of each loop dim, -1 for dims of size 1.
    SmallVector<int> classes;
    SmallVector<Operand> inputs;
    /// Where each accumulator starts (empty without reductions).
    SmallVector<TypedAttr> inits;
    SmallVector<unsigned> results;
    bool isReduction = false;

    bool has(int c) const { return llvm::is_contained(classes, c); }
  };

  struct Computed {
    unsigned step = 0, index = 0;
    Type element;
    /// Classes of its dims, without those of size 1.
    SmallVector<int> classes;
    /// Outputs it is written to, with its position there.
    SmallVector<std::pair<unsigned, LinearForm>> outputs;
    bool isRead = false;

    bool has(int c) const { return llvm::is_contained(classes, c); }
  };

  func::FuncOp function;
  unsigned numInputs = 0;
  SmallVector<Class> classes;
  SmallVector<Step, 0> steps;
  SmallVector<Computed, 0> values;

  /// Reads `function` (as buildTensorFunction leaves it); false with the reason
  /// in `whyNot` where it is no such program.
  static std::optional<RowProgram> analyze(func::FuncOp function,
                                           std::string &whyNot);

  /// The parts that share neither values nor classes, each with its classes
  /// alone; the program itself where there is one part.
  SmallVector<RowProgram, 0> split() const;

  bool isReducedIn(const Step &step, int c) const;
  /// Iterations of a step over `which` of its classes.
  int64_t space(const Step &step, function_ref<bool(int)> which) const;
};

/// The argument that `tensor` is, seen through reshapes, or null.
BlockArgument getReshapedArgument(Value tensor);

/// Row-major strides of a static shape.
SmallVector<int64_t> getStrides(ArrayRef<int64_t> shape);

} // namespace lathe

#endif // LATHE_TARGET_ROWPROGRAM_H
