//===- TileKernel.h - Products in AMX's tiles -------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Eight tile registers of up to 16 rows of 64 bytes. Two by two hold sums of up
// to 32 rows by 32 columns; the others take 64 bytes of the depth of two blocks
// of A, which lie in memory as tiles want them, and of a panel of B, whose rows
// of four bytes per column are what `lathe.pack` with `interleave = 4` makes of
// bytes, and with `interleave = 2` of bf16.
//
// MLIR 19's amx dialect cannot carry tiles through loops, so the instructions
// are intrinsics with tile numbers. Without AMX the same steps can run on a
// model of the registers in scratch memory (`--isa amx-emulated`).
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_TILEKERNEL_H
#define LATHE_LIB_TARGET_CPU_TILEKERNEL_H

#include "MicroKernel.h"

namespace lathe::cpu {

/// Rows of a register and of a tile of the result, and bytes of the depth in
/// one step.
constexpr int64_t registerRows = 16, tileRows = 2 * registerRows,
                  tileBytes = 64;
/// Rows up to which vectors do: 64 bytes of the depth by 32 columns are two
/// products of tiles of 16 cycles each, whose sums go through memory; of
/// vectors with two units they are 16 cycles a row.
constexpr int64_t kRowsOfVectors = 4;

/// The tile registers in a kernel's function.
class TileUnit {
public:
  /// `emulated`: in memory, which is taken from the frame's scratch.
  TileUnit(ImplicitLocOpBuilder &b, KernelFrame &frame, ModuleOp module,
           StringRef symbol, bool emulated);

  /// Shapes the registers for two blocks of rows of the result, of up to 16
  /// each, or for one (`second` is 0); once in a function.
  void emitConfigure(int64_t first, int64_t second);
  /// Whether sums are of both blocks from here on, or of the first alone.
  void setBlocks(int64_t count) { blocks = count; }
  /// Frees them for other threads at the end of a kernel.
  void emitRelease();

  /// An operand from element `index` of its buffer on: i8, ui8 or bf16.
  struct Operand {
    Value buffer, index;
    Type element;
  };
  /// Rows of A: in a block `stride` elements apart, and from the first block's
  /// first row to the second's `blockDistance`.
  struct Rows {
    Operand operand;
    int64_t stride, blockDistance;
  };
  /// The sums start at 0.
  void emitZero();
  /// The sums start at what emitStore left from `index` on.
  void emitLoad(Value sums, Value index);
  /// Adds the product of rows of A by a panel of B, over a depth of `steps`
  /// times 64 bytes.
  void emitSteps(Value steps, const Rows &a, const Operand &panel);
  /// [rows][32] of sums to `result`, from `index` on: i32, or of bf16 f32.
  void emitStore(Value result, Value index);

private:
  void zero(int64_t tile);
  void load(int64_t tile, Value buffer, Value index, int64_t stride);
  void dot(int64_t sum, int64_t a, int64_t right, Type left, Type rightElement);
  void dotInMemory(int64_t sum, int64_t a, int64_t right,
                   function_ref<Value(Value x, Value y, Value sum)> add);
  void store(int64_t tile, Value buffer, Value index, int64_t stride);
  /// Every sum's register, and where its first element is behind the first of
  /// all.
  void forEachSum(function_ref<void(int64_t tile, int64_t offset)> visit);
  Value emitPointer(Value buffer, Value index);
  Value number(int64_t value, unsigned bits);
  void call(StringRef name, ValueRange operands);

  ImplicitLocOpBuilder &b;
  ModuleOp module;
  std::string symbol;
  /// Of the model: the registers, one behind the other, 1024 bytes each.
  Value registers;
  /// Rows of each register, as configured.
  int64_t rowsOf[8] = {};
  int64_t blocks = 2;
};

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_TILEKERNEL_H
