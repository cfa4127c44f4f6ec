//===- Printer.h - arith, math, scf and memref as CUDA C++ ------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Prints ops of blocks as statements, and what is used once as part of the
// expression that uses it. Knows nothing of threads: a schedule decides which
// of them come to a block.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_PRINTER_H
#define LATHE_LIB_TARGET_CUDA_PRINTER_H

#include "CodeWriter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace lathe::cuda {
using namespace mlir;

/// The type's name in device.cuh: "float", "i64", "bf16", "bool", or "int" for
/// an index.
std::string typeName(Type type);

/// A literal of `attr` (an IntegerAttr or FloatAttr), exact.
std::string literal(TypedAttr attr);

/// `text` as an operand of any operator: in parentheses unless it is a name, a
/// number or a call.
std::string asOperand(StringRef text);

/// `a * b`, `a + b` with the constants 0 and 1 folded; for index arithmetic.
std::string product(StringRef a, int64_t b);
std::string sum(StringRef a, StringRef b);

/// `isNan(a) ? a : a > b ? a : b`, or its twin for the minimum: maximum(a, b)
/// and minimum(a, b) of device.cuh.
struct Extreme {
  bool isMax;
  Value a, b;
};
std::optional<Extreme> matchExtreme(arith::SelectOp select);

/// A memref: elements of `base` from `offset` on, with the strides of its type.
struct MemoryName {
  std::string base, offset = "0";
};

class Printer {
public:
  Printer(CodeWriter &writer) : writer(writer) {}

  /// Gives a scalar value a name or an expression of its own.
  void bind(Value value, StringRef text) { texts[value] = text.str(); }
  void bind(Value memref, MemoryName name) { memory[memref] = std::move(name); }
  std::string get(Value value);

  /// Prints every op of `block` but its terminator; fails at an op it does not
  /// know, named in `whyNot`.
  LogicalResult print(Block &block) {
    return print(block.without_terminator());
  }
  LogicalResult print(llvm::iterator_range<Block::iterator> ops);
  LogicalResult print(Operation &op);

  /// `base[offset + index]` of an element.
  std::string element(Value memref, ArrayRef<std::string> indices);

  std::string whyNot;

private:
  LogicalResult refuse(Operation &op, StringRef reason);
  /// Keeps `text` as the value of `result`: in place of it where it is used
  /// once, else in a variable.
  void keep(Value result, const Twine &text, bool mayMove = true);
  bool printScalar(Operation &op);
  bool printMemory(Operation &op);
  LogicalResult printControl(Operation &op, bool &known);
  LogicalResult printIf(scf::IfOp op);
  LogicalResult printFor(scf::ForOp op);
  LogicalResult printWhile(scf::WhileOp op);
  std::string declare(Value value, StringRef wish);
  void rename(Value value, StringRef name);
  std::string nameOf(Type type);
  std::string unsignedNameOf(Type type);
  std::string variableType(Type type);
  /// The text of a scalar, or the pointer to memory.
  std::string getAny(Value value);
  std::string unsignedOperand(Value value);
  std::string floatOperand(Value value);

  CodeWriter &writer;
  DenseMap<Value, std::string> texts;
  DenseMap<Value, MemoryName> memory;
};

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_PRINTER_H
