//===- ElementText.h - Steps of a row program for a few elements ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_ELEMENTTEXT_H
#define LATHE_LIB_TARGET_CUDA_ELEMENTTEXT_H

#include "IndexText.h"
#include "KernelFile.h"
#include "RowPhases.h"

#include <set>

namespace lathe::cuda {

/// A space of classes, outermost first, that `flat` numbers where there is such
/// a number.
struct IndexSpace {
  SmallVector<int> classes;
  SmallVector<int64_t> sizes;
  std::string flat = "0";
  SmallVector<std::string> names;

  /// The part of `form` along these classes.
  std::string position(const LinearForm &form) const;
};

/// A place in memory that a step reads or writes.
struct MemoryAccess {
  std::string base;
  Type element;
  LinearForm form;
  /// Of the buffer, in bytes.
  int64_t alignment = 256;

  std::string key() const;
};

/// Writes what a grid does to one element, or to a pack of `width` neighbours
/// along the unit class. What is loaded or computed once has a name and is not
/// loaded or computed again in its scope.
class ElementText {
public:
  ElementText(const RowProgram &program, const RowPhases &plan,
              const Phase &phase, KernelFile &file)
      : program(program), plan(plan), phase(phase), file(file),
        writer(file.writer) {}

  /// The widest pack that sizes and positions allow, for `phase.unitClass`.
  int64_t widestPack() const;
  /// Every place in memory that `steps` read.
  SmallVector<MemoryAccess> readsOf(ArrayRef<unsigned> steps) const;
  /// Where a value goes: outputs, and scratch for later phases.
  SmallVector<MemoryAccess> writesOf(unsigned value) const;

  /// Opens a grid, with names for what stands in scratch.
  void openGrid(GridLaunch launch, StringRef comment);
  void declareScratch(StringRef name, Type element, int64_t offset);
  /// Declares the indices of `space` from its flat position.
  void openSpace(IndexSpace &space, ArrayRef<int> classes, StringRef flat);

  /// The element at `access` for this thread: `in0[row * 384 + column]`.
  std::string element(const MemoryAccess &access) {
    return load(access, false);
  }
  /// What is read at `access` is `text`, wherever steps ask for it.
  void provide(const MemoryAccess &access, StringRef text) {
    uniformLoads[access.key()] = text.str();
  }
  /// Reads what all elements of the grid's thread have in common.
  void readUniform(ArrayRef<unsigned> steps);
  /// Computes steps that have no row for this thread.
  LogicalResult emitScalars(ArrayRef<unsigned> steps);
  /// Computes `steps` for one element or pack and stores those of `level`.
  /// Reductions go into the variables in `accumulators`.
  LogicalResult emitElements(ArrayRef<unsigned> steps, unsigned level);
  /// Writes a value that is the same for all elements.
  void storeScalar(unsigned value);

  /// Classes that vary between the elements of a thread.
  SmallVector<int> moving;
  IndexSpace items, inner;
  int64_t width = 1;
  /// Per reduction: its variable.
  std::map<unsigned, std::string> accumulators;
  /// Registers that hold elements between the passes over a row: by access
  /// key, and by value. `slot` ("[k]" or nothing) comes behind their names.
  std::map<std::string, std::string> keptReads;
  std::map<unsigned, std::string> keptValues;
  std::set<std::string> loadedReads;
  std::string slot;
  /// Names of values: for the rest of the grid, and of this element.
  std::map<unsigned, std::string> scalars, locals;
  std::string whyNot;

  /// What a value is called, from the op that makes it.
  static std::string wishFor(Value value);
  /// "float", or "Pack<float, 4>".
  std::string packType(Type element) const;

private:
  bool isUniform(const LinearForm &form) const;
  bool isPacked(const LinearForm &form) const;
  bool isPerPack(const LinearForm &form) const;
  std::optional<MemoryAccess> accessOf(const RowProgram::Operand &read) const;
  std::string position(const LinearForm &form, bool ofElement = false) const;
  std::string load(const MemoryAccess &access, bool ofElement);
  void readPack(const MemoryAccess &access);
  std::string operandText(const RowProgram::Operand &read);
  std::string classIndex(int c) const;
  LogicalResult emitBody(unsigned step, bool isScalar);
  LogicalResult printExtract(Operation &op, Printer &printer);
  bool isRow(unsigned step) const;

  const RowProgram &program;
  const RowPhases &plan;
  const Phase &phase;
  KernelFile &file;
  CodeWriter &writer;
  /// Loads in force, by key: for the grid, and for this element or pack.
  std::map<std::string, std::string> uniformLoads, packLoads;
  /// Packs that are filled element by element, by value.
  std::map<unsigned, std::string> outputPacks;
  bool inElementLoop = false;
};

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_ELEMENTTEXT_H
